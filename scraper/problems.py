"""Problems that say the same: told once, with a count, and without the addresses that alone tell them apart."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from scraper.model import Problem

_ADDRESS = re.compile(r"[a-z]{2,8}://[^\s,;]+", re.IGNORECASE)
_PATH = re.compile(
    r"(?<![\w/])/[^\s,;]*/([^\s/,;?]*)[^\s,;]*"
)  # at least two steps; the last one says what it was
_UID = re.compile(r"\b\d+(?:\.\d+){4,}\b")


def without_addresses(text: str) -> str:
    """A reason without addresses and UIDs, so that the same of many instances is one."""
    shown = _ADDRESS.sub("…", text[:1000])
    shown = _PATH.sub(lambda path: f"…/{path[1]}" if not path[1][:1].isdigit() else "…", shown)
    return _UID.sub("…", shown)


def merge_equal(problems: Iterable[Problem]) -> list[tuple[Problem, int]]:
    """Problems whose sentences are equal, each once with all its instances, and how often it was found."""
    grouped: dict[tuple[str, str, bool], list[Problem]] = {}
    for problem in problems:
        grouped.setdefault((problem.code, repr(problem.values), problem.fatal), []).append(problem)
    return [
        (
            replace(equal[0], instances=tuple(name for problem in equal for name in problem.instances)),
            len(equal),
        )
        for equal in grouped.values()
    ]
