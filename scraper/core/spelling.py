"""Correct an address that was typed on a Chinese keyboard, and guess what a misspelt one was meant to be."""

from __future__ import annotations

import re
import unicodedata

# The letters and signs of a scheme, full width or not
_WIDE_SCHEME = re.compile("[h\uff48][t\uff54]{2}[p\uff50][s\uff53]?\\s?[:\uff1a]\\s?[/\uff0f]{2}", re.IGNORECASE)
# h, t, t, p, one of them missing, doubled or in the wrong place; or the colon or a slash missing
_MISSPELT = re.compile(
    r"\b(?!https?://)(h?t{1,3}p{1,2}s{0,2}|hptts?|hxxps?)(:/{1,3}|//|;//)(?=[\w-]+\.)", re.IGNORECASE
)


def mended(text: str) -> str:
    """A text whose schemes were typed in full-width letters or signs with them put right."""
    return _WIDE_SCHEME.sub(lambda found: unicodedata.normalize("NFKC", "".join(found.group().split())).lower(), text)


def corrected(text: str) -> str:
    """What a text with a misspelt scheme (``htps://``) was probably meant to be, from there on; empty if there is none."""
    found = _MISSPELT.search(text)
    if found is None:
        return ""
    return ("https://" if "s" in found.group(1).lower() else "http://") + text[found.end() :]
