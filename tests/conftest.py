"""Fixtures that many tests share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scraper.contract import Provider
from scraper.core.model import Via
from scraper.registry import catalogue
from scraper.testing import Case
from scraper.verify import Inspector

ROWS = {  # test → the rows that every run takes; ``make thorough`` takes all
    "test_recorded_and_shown_again": ("DICOMweb",),
    "test_what_is_written_works": ("fields", "a chain of calls"),
    "test_every_protocol_page": ("package icon", "list weasis"),
    "test_what_a_package_lacks_is_told": ("badcrc",),
    "test_what_completeness_is_judged_by_is_said": ("package",),
    "test_every_way_to_the_images": (
        "post",
        "wado",
        "socket",
        "frame",
        "login-CredentialsRefused",
        "boxes",
        "package",
        "others",
        "pictures-NotOriginalDicom",
    ),
}


SLOW = (  # modules of programs and browsers, the slowest first
    "test_universal",
    "test_count_viewer",
    "test_batch",
    "test_reach",
    "test_people",
    "test_expect_cli",
    "test_pacs_foreign",
    "test_hostile_output",
    "test_hostile_traces",
    "test_hostile_give_up",
    "test_stillness",
    "test_tjmucih",
    "test_cli",
    "test_universal_pages",
    "test_gjwlyy",
    "test_browser",
    "test_jnrmyy",
    "test_decode",
    "test_rjh",
    "test_zy91",
    "test_learn",
    "test_distributed",
    "test_survival",
    "test_leaks",
    "test_record",
    "test_radonline",
    "test_nyfy",
    "test_wlycloud",
    "test_demo",
    "test_cif",
    "test_zscloud",
)


def _spread(items: list[pytest.Item]) -> None:
    """Of several workers each begins with slow tests: at the end none is left with them alone.

    Each gets an equal part of the list, from the front, and takes from another's end when it has none left.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    slow = {name: [entry for entry in items if entry.path.stem == name] for name in SLOW}
    heads: list[list[pytest.Item]] = [[] for _ in range(workers)]
    for place, item in enumerate(entry for some in slow.values() for entry in some):
        heads[place % workers].append(item)
    rest = [entry for entry in items if entry.path.stem not in slow]
    spread: list[pytest.Item] = []
    for place, head in enumerate(heads):
        size = (len(items) - len(spread)) // (workers - place)
        fill = max(size - len(head), 0)
        spread += sorted(head, key=lambda entry: SLOW.index(entry.path.stem)) + rest[:fill]
        rest = rest[fill:]
    items[:] = spread + rest


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """A browser costs seconds a row: every run takes one row that ends well of each platform.

    Of a platform that is worked by its page alone, it takes one that ends otherwise, too; its codes show nowhere else.
    """
    seen: set[tuple[object, ...]] = set()
    for item in items:
        row = getattr(item, "callspec", None)
        if row is None:
            continue
        name = item.name.partition("[")[0]
        if name in ROWS and row.id not in ROWS[name]:
            item.add_marker("thorough")
        case = row.params.get("case")
        if not isinstance(case, Case):
            continue
        ends_well, paged = case.raises is None, _needs_its_page(item)
        if row.params.get("via") is Via.BROWSER or paged or "by_another_hand" in name:
            kind = (item.path, name, ends_well, None if paged else row.params.get("shape"))
            if kind in seen or not (ends_well or paged):
                item.add_marker("thorough")
            seen.add(kind)
    yield  # what is not meant to run is left out in here
    _spread(items)


def _needs_its_page(item: pytest.Item) -> bool:
    """Is it a test of a recipe that can't speak to its site directly."""
    found = [entry for entry in vars(getattr(item, "module", None)).values() if isinstance(entry, type)]
    recipes = [entry for entry in found if issubclass(entry, Provider) and entry.name and entry.name != "universal"]
    return bool(recipes) and not any(recipe.speaks_directly() for recipe in recipes)


@pytest.fixture
def plugged_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder with the plug-in ``aurora``, on the path as if it had been installed."""
    folder = Path(__file__).parent / "plugins"
    monkeypatch.syspath_prepend(str(folder))
    catalogue.known.cache_clear()
    catalogue.shapes.cache_clear()
    yield folder
    catalogue.known.cache_clear()
    catalogue.shapes.cache_clear()
    sys.modules.pop("cloudfilm_aurora", None)


@pytest.fixture(scope="session", autouse=True)
def spare_inspectors() -> Iterator[None]:
    """A process that checks files costs a second to start, and most tests would start one."""
    Inspector.spare = []
    yield
    for worker in Inspector.spare:
        worker.stop()
    Inspector.spare = None
