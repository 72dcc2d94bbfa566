"""The files of the window's page, and its words."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

from scraper.core.messages import catalogue
from scraper.core.settings import Language
from scraper.viewer import page as viewer

PREFIX: Final = "app."
_OWN: Final = frozenset(("index.html", "window.js", "window.css"))


@cache
def asset(name: str) -> bytes | None:
    """A file of the page or of the viewer's program; None where there is none of that name."""
    if name == "viewer.js":
        return viewer.script().encode()
    if name == "viewer.css":
        return viewer.program(name).encode()
    if name in _OWN:
        return files("scraper.app").joinpath("page", name).read_bytes()
    return None


def window_words() -> dict[str, dict[str, dict[str, str]]]:
    """The page's words and the viewer's: kind → language → name → text."""
    own = {name.removeprefix(PREFIX): entry for name, entry in catalogue().items() if name.startswith(PREFIX)}
    return {
        "words": {lang.value: {name: entry[lang.value] for name, entry in own.items()} for lang in Language},
        "viewer": viewer.words(),
    }
