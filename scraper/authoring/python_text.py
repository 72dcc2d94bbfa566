"""Text of Python expressions, laid out as the formatter does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from scraper.authoring.source_guard import UnsafeSource, literal, template

LINE: Final = 120


def fitted(head: str, opening: str, items: Sequence[str], closing: str, indent: int, *, after: int = 0) -> str:
    """A call or a list on one line where it fits, else its content on one line, else one item per line, like the formatter.

    Args:
        head: the text before it.
        opening: the bracket.
        items: its content; an item of several lines is indented as a whole.
        closing: the other bracket.
        indent: column of the first line.
        after: columns that follow on its last line.
    """
    bare = head.startswith("from ")
    line = head + ("" if bare else opening) + ", ".join(items) + ("" if bare else closing)
    if "\n" not in line and len(line) + indent + after <= LINE:
        return line
    pad = " " * indent
    content = f"{pad}    {', '.join(items)}"
    if not bare and "\n" not in content and len(content) <= LINE:
        return f"{head}{opening}\n{content}\n{pad}{closing}"
    inner = "".join(f"{pad}    {item}," + "\n" for item in items)
    return f"{head}{opening}\n{inner}{pad}{closing}"


def mapping(items: Mapping[str, str], indent: int) -> str:
    """A dict display."""
    pairs = [f"{literal(name)}: {value}" for name, value in items.items()]
    return fitted("", "{", pairs, "}", indent)


def formatted(pieces: Sequence[tuple[str, str]]) -> str:
    """A Python expression for a sequence of literals and values."""
    if len(pieces) == 1 and pieces[0][0] == "value":
        return pieces[0][1]
    if all(kind == "literal" for kind, _ in pieces):
        return literal("".join(text for _, text in pieces))
    return template(pieces)


def identifier_of(group: str) -> str:
    """A named group of the route, for use in quotes within an f-string.

    Raises:
        UnsafeSource: not a plain name.
    """
    if not group.isascii() or not group.isidentifier():
        raise UnsafeSource("a name of the link can't be written down")
    return group


def import_order(name: str) -> tuple[int, str]:
    """Sort key of the import sorter: constants, classes, functions."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name
