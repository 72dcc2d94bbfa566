"""Read codes on pages of pixels.

Each name is loaded at first use: the process that reads the pages needs none of them, and starts sooner.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # typing itself is not loaded
if TYPE_CHECKING:
    from typing import Any

    from scraper.source.qr.models import WrongSum, default_folder, fetch_models
    from scraper.source.qr.reader import Code, Reader, Reading, Suspect, engines, read

__all__ = ["Code", "Reader", "Reading", "Suspect", "WrongSum", "default_folder", "engines", "fetch_models", "read"]

_OF_MODELS = frozenset(("WrongSum", "default_folder", "fetch_models"))


def __getattr__(name: str) -> Any:  # the type of each name stands above, for checkers
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{'models' if name in _OF_MODELS else 'reader'}"), name)
