"""``cloudfilm``: from the code on a hospital's film to a verified DICOM study on disk.

The names below are what other programs may import. They are loaded at first use: ``import scraper`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # typing itself is not loaded: Ctrl-C is taken in hand as early as can be
if TYPE_CHECKING:
    from typing import Any

    from scraper.core.errors import CloudfilmError
    from scraper.core.model import Problem, Result, Status
    from scraper.core.settings import Settings
    from scraper.pipeline.run import grab

__version__ = "0.1.0"
__all__ = ["grab", "Settings", "Result", "Status", "Problem", "CloudfilmError", "__version__"]

_HOME = {
    "grab": "scraper.pipeline.run",
    "Settings": "scraper.core.settings",
    "Result": "scraper.core.model",
    "Status": "scraper.core.model",
    "Problem": "scraper.core.model",
    "CloudfilmError": "scraper.core.errors",
}


def __getattr__(name: str) -> Any:  # the type of each name stands above, for checkers
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
