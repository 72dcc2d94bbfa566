"""By which program, when and with what options a report or a manifest was made."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from scraper.core.settings import Settings


def made_by(options: Mapping[str, object]) -> dict[str, object]:
    """The ``made`` of ``study.json`` and of a manifest. The options hold no answer, no path and no name."""
    return {
        "cloudfilm": _version("cloudfilm"),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "pydicom": _version("pydicom"),
        "options": dict(options),
    }


def options_of(settings: Settings) -> dict[str, object]:
    """What of the user's settings decides what a report says."""
    return {
        "provider": settings.provider or None,
        "browser": settings.browser.value,
        "series": list(settings.series),
        "expect": settings.expect,
        "jobs": settings.jobs,
        "rate": settings.rate,
        "insecure": settings.insecure,
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
