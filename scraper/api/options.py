"""The options of the library's calls, by keyword, as Settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from scraper.core.errors import UsageError
from scraper.core.log import logger
from scraper.core.questions import QUESTIONS
from scraper.core.settings import BrowserUse, ConnectTo, Language, Settings


class Options(TypedDict, total=False):
    """What a call may be given by keyword; the names and meanings are those of the command line.

    ``connect_to`` takes rows ``HOST:PORT:ADDRESS:PORT``; ``timeout_s`` is ``--timeout``.
    """

    output: str | Path
    answers: Mapping[str, str]
    provider: str
    browser: str
    headed: bool
    series: str | Sequence[str]
    jobs: int
    rate: float | None
    timeout_s: float
    give_up_s: float
    insecure: bool
    connect_to: Sequence[str | ConnectTo]
    proxy: str
    language: str
    expect: int | None


def settings_of(base: Settings | None, options: Options) -> Settings:
    """Settings with these options over them.

    Raises:
        UsageError: an unknown option or field, or a value that can't be.
    """
    from dataclasses import replace

    given: dict[str, Any] = dict(options)
    unknown = given.keys() - Options.__annotations__.keys()
    if unknown:
        raise UsageError(f"unknown option: {', '.join(sorted(unknown))}")
    fields = {question.name for question in QUESTIONS}
    wrong = set(given.get("answers", ())) - fields
    if wrong:
        raise UsageError(f"answers: {', '.join(sorted(wrong))}; known are {', '.join(sorted(fields))}")
    if "output" in given:
        given["output"] = Path(given["output"])
    if "series" in given:
        given["series"] = (given["series"],) if isinstance(given["series"], str) else tuple(given["series"])
    if "connect_to" in given:
        rows = given["connect_to"]
        given["connect_to"] = tuple(row if isinstance(row, ConnectTo) else ConnectTo.parse(row) for row in rows)
    for name, kind in (("browser", BrowserUse), ("language", Language)):
        if name in given:
            try:
                given[name] = kind(given[name])
            except ValueError as err:
                raise UsageError(f"{name}: {', '.join(kind)}") from err
    settings = replace(base or Settings(), **given)
    if settings.insecure:
        logger.warning("a broken TLS certificate is accepted")
    return settings
