"""Rank how much of an image an object holds: its matrix, then whether its Transfer Syntax is lossy."""

from __future__ import annotations

from typing import Final

from scraper.core.model import Header

LOSSY: Final = frozenset(  # PS3.6 annex A: Transfer Syntaxes that may lose what the scanner measured
    f"1.2.840.10008.1.2.4.{last}"
    for last in (50, 51, 81, 91, 93, 100, 101, 102, 103, 104, 105, 106, 107, 108, 112, 203)
)
Fidelity = tuple[int, bool]  # pixels of the matrix, whether nothing is lost


def fidelity(header: Header) -> Fidelity:
    """The key for comparing two objects with one SOP Instance UID."""
    return (header.rows or 0) * (header.columns or 0), header.transfer_syntax_uid not in LOSSY
