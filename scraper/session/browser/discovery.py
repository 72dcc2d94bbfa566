"""Find the browsers of this machine, without starting one."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from scraper.core.settings import playwright_folder, program_folders

NAMES = (
    "google-chrome-stable",
    "google-chrome",
    "microsoft-edge-stable",
    "microsoft-edge",
    "chromium",
    "chromium-browser",
    "chrome",
    "msedge",
)
IN_PLAYWRIGHT = ("chrome-linux*/chrome", "chrome-win*/chrome.exe", "chrome-mac*/*.app/Contents/MacOS/*")
ON_MACOS = (
    "Google Chrome.app/Contents/MacOS/Google Chrome",
    "Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "Chromium.app/Contents/MacOS/Chromium",
)
ON_WINDOWS = (
    "Google/Chrome/Application/chrome.exe",
    "Microsoft/Edge/Application/msedge.exe",
    "Chromium/Application/chrome.exe",
)


def installed_browsers(preferred: str = "") -> Iterator[Path]:
    """Yield every usable browser, best first: the named one, Playwright's own, Chrome, Edge, Chromium.

    Args:
        preferred: an executable's path or name (``CLOUDFILM_BROWSER``); where it is given, no other is offered.
    """
    if preferred:
        named = shutil.which(preferred)
        if named:
            yield Path(named)
        return
    yield from _of_playwright()
    for name in NAMES:
        found = shutil.which(name)
        if found:
            yield Path(found)
    if sys.platform == "darwin":
        roots = (Path("/Applications"), Path.home() / "Applications")
        yield from (path for root in roots for name in ON_MACOS if (path := root / name).is_file())
    yield from (path for root in program_folders() for name in ON_WINDOWS if (path := root / name).is_file())


def _of_playwright() -> Iterator[Path]:
    """Playwright's downloads, newest revision first."""
    folder = playwright_folder()
    if not folder.is_dir():
        return
    revisions = sorted(folder.glob("chromium-*"), key=lambda path: path.name.rpartition("-")[2].zfill(9), reverse=True)
    for revision in revisions:
        for pattern in IN_PLAYWRIGHT:
            yield from (path for path in revision.glob(pattern) if path.is_file())


def find_browser(preferred: str = "") -> Path | None:
    """Return the browser that a run would start, or None; starts nothing."""
    return next(installed_browsers(preferred), None)
