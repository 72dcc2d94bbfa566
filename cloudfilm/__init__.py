"""``cloudfilm``: from the code on a hospital's film to a verified DICOM study on disk.

What other programs may import. Each name is loaded at first use, so that ``import cloudfilm`` costs nothing::

    import cloudfilm

    result = cloudfilm.grab("report.jpg", answers={"phone_last4": "1234"})
    print(result.status, result.folders)

Every function has a twin for programs that run an event loop of their own: ``await cloudfilm.grab_async("report.jpg")``.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # typing itself is not loaded
if TYPE_CHECKING:
    from typing import Any

    from scraper import __version__
    from scraper.api.calls import (
        decode,
        decode_async,
        export,
        export_async,
        grab,
        grab_all,
        grab_all_async,
        grab_async,
        send,
        send_async,
        verify,
        verify_async,
    )
    from scraper.api.calls import list_async as list_async
    from scraper.api.calls import list_studies as list  # noqa: A004  the command's own name
    from scraper.api.options import Options
    from scraper.api.results import CodesResult, ExportResult, SourceResult
    from scraper.core.errors import CloudfilmError
    from scraper.core.model import Problem, Status
    from scraper.core.settings import BurnedIn, Retain, Settings
    from scraper.export.deidentify import Deidentification
    from scraper.send.outcome import Sent

__all__ = [
    "decode",
    "decode_async",
    "list",
    "list_async",
    "grab",
    "grab_async",
    "grab_all",
    "grab_all_async",
    "verify",
    "verify_async",
    "export",
    "export_async",
    "send",
    "send_async",
    "Options",
    "Settings",
    "SourceResult",
    "CodesResult",
    "ExportResult",
    "Sent",
    "Deidentification",
    "Retain",
    "BurnedIn",
    "Status",
    "Problem",
    "CloudfilmError",
    "__version__",
]

_CALLS = "scraper.api.calls"
_HOME = {
    **{name: (_CALLS, name) for name in __all__[:14]},
    "list": (_CALLS, "list_studies"),
    "Options": ("scraper.api.options", "Options"),
    "Settings": ("scraper.core.settings", "Settings"),
    "SourceResult": ("scraper.api.results", "SourceResult"),
    "CodesResult": ("scraper.api.results", "CodesResult"),
    "ExportResult": ("scraper.api.results", "ExportResult"),
    "Sent": ("scraper.send.outcome", "Sent"),
    "Deidentification": ("scraper.export.deidentify", "Deidentification"),
    "Retain": ("scraper.core.settings", "Retain"),
    "BurnedIn": ("scraper.core.settings", "BurnedIn"),
    "Status": ("scraper.core.model", "Status"),
    "Problem": ("scraper.core.model", "Problem"),
    "CloudfilmError": ("scraper.core.errors", "CloudfilmError"),
    "__version__": ("scraper", "__version__"),
}


def __getattr__(name: str) -> Any:  # the type of each name stands above, for checkers
    if name in _HOME:
        module, attribute = _HOME[name]
        return getattr(import_module(module), attribute)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> __builtins__.list[str]:
    return sorted(__all__)
