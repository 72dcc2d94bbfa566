"""The kit for tests of providers, ours and other people's; ``python -m scraper.testing new NAME`` writes a new one."""

from scraper.testing.cases import (
    Case,
    Silent,
    World,
    check,
    check_listing,
    compare,
    first_of,
    in_pipeline,
    nobody,
    rows,
    run,
    settings_in,
)
from scraper.testing.shared import borrowed_browser, in_browser_loop, shared_browser, wait_in_browser_loop

__all__ = [
    "Case",
    "rows",
    "first_of",
    "check",
    "check_listing",
    "run",
    "in_pipeline",
    "shared_browser",
    "borrowed_browser",
    "in_browser_loop",
    "wait_in_browser_loop",
    "settings_in",
    "compare",
    "World",
    "Silent",
    "nobody",
]
