"""Fixtures that many tests share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scraper import registry
from scraper.model import Via
from scraper.verify import Inspector

ROWS = {  # test → the rows that every run takes; ``make thorough`` takes all
    "test_recorded_and_shown_again": (
        "signed addresses", "DICOMweb", "WebSocket messages", "a password and a ticket",
    ),
    "test_what_is_written_works": ("fields", "WADO-URI", "a chain of calls"),
    "test_a_package_is_asked_for_and_comes_home": ("icon", "quota"),
    "test_what_a_package_lacks_is_told": ("badcrc",),
    "test_every_list_of_wado_uri_objects_is_read": ("weasis",),
    "test_messages_become_files": ("split", "idraw"),
    "test_what_completeness_is_judged_by_is_said": ("post", "package"),
    "test_every_way_to_the_images": (
        "post", "counter", "signed", "xml", "script", "wado", "socket", "ranges", "base64", "frame", "popup", "login",
        "login-CredentialsRefused", "boxes", "package", "dicomweb", "others", "pictures-NotOriginalDicom",
    ),
}  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A browser costs seconds a row: every run takes one row that ends well and one that does not of each platform."""
    seen: set[tuple[str, bool]] = set()
    for item in items:
        row = getattr(item, "callspec", None)
        if row is None:
            continue
        name = item.name.partition("[")[0]
        if name in ROWS and row.id not in ROWS[name]:
            item.add_marker("thorough")
        if row.params.get("via") is Via.BROWSER and "case" in row.params:
            kind = (str(item.path), row.params["case"].raises is None)
            if kind in seen:
                item.add_marker("thorough")
            seen.add(kind)


@pytest.fixture
def plugged_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder with the plug-in ``aurora``, on the path as if it had been installed."""
    folder = Path(__file__).parent / "plugins"
    monkeypatch.syspath_prepend(str(folder))
    registry.known.cache_clear()
    yield folder
    registry.known.cache_clear()
    sys.modules.pop("cloudfilm_aurora", None)


@pytest.fixture(scope="session", autouse=True)
def kept_inspectors() -> Iterator[None]:
    """A process that checks files costs a second to start, and most tests would start one."""
    Inspector.spare = []
    yield
    for worker in Inspector.spare:
        worker.stop()
    Inspector.spare = None
