"""Replace many known phrases in a text in one pass: at each position the longest match."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

LONGEST: Final = 64  # characters of a phrase that are looked for; a longer one is known by its beginning


class Phrases:
    """The phrases as a tree of their characters.

    Args:
        phrases: to find.
    """

    def __init__(self, phrases: Iterable[str]) -> None:
        self._tree: dict[str, Any] = {}
        for phrase in phrases:
            node = self._tree
            for char in phrase[:LONGEST]:
                node = node.setdefault(char, {})
            ends = node.setdefault("", [])
            ends.append(phrase)
            ends.sort(key=len, reverse=True)

    def replaced(self, text: str, replace: Callable[[str], str]) -> str:
        """The text with every phrase replaced."""
        out: list[str] = []
        at = done = 0
        while at < len(text):
            found = self._at(text, at) if text[at] in self._tree else ""
            if found:
                out += [text[done:at], replace(found)]
                done = at = at + len(found)
            else:
                at += 1
        return "".join([*out, text[done:]])

    def _at(self, text: str, at: int) -> str:
        """The longest phrase that begins at a position; empty: none."""
        node, found = self._tree, ""
        for place in range(at, min(at + LONGEST, len(text))):
            if text[place] not in node:
                break
            node = node[text[place]]
            found = next((item for item in node.get("", ()) if text.startswith(item, at)), found)
        return found
