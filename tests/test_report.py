"""What a person sees while things go on: one line a message, in the language asked for."""

import asyncio
import io
from pathlib import Path

import pytest
from rich.console import Console

from scraper.core.errors import SiteBusy
from scraper.core.link import parse_url
from scraper.core.messages import Language
from scraper.core.settings import Settings
from scraper.session import Session
from scraper.session.http.client import Http
from scraper.session.http.pace import Pace
from scraper.testing import nobody
from scraper.ui.report import Display


def session(settings: Settings, folder: Path, **more) -> Session:
    async def no_window():
        raise AssertionError

    return Session(
        parse_url("https://film.aurora.test/s/Ab12Cd34"),
        settings,
        Http(settings, Pace(1, None)),
        start_window=no_window,
        ask=nobody,
        spool=folder,
        **more,
    )


@pytest.mark.parametrize(("language", "words"), [(Language.EN, "preparing the images"), (Language.ZH, "正在准备影像")])
async def test_a_hospital_that_prepares_its_images_is_said_to(language, words, tmp_path):
    page = io.StringIO()
    display = Display(Console(file=page, width=200), language, quiet=False)
    answers = iter([None, None, "ready"])
    speaking = session(Settings(), tmp_path, tell=display.say)

    async def ask() -> str | None:
        return next(answers)

    try:
        assert await speaking.poll(ask, every_s=0.01, up_to_s=60) == "ready"
    finally:
        await speaking.close()
    lines = page.getvalue().splitlines()
    assert len(lines) == 2
    assert all(words in line and "film.aurora.test" in line for line in lines)


async def test_a_timeout_that_the_user_gave_ends_the_wait(tmp_path):
    speaking = session(Settings(timeout_s=0.05), tmp_path)

    async def never() -> None:
        await asyncio.sleep(0)

    try:
        with pytest.raises(SiteBusy):
            await speaking.poll(never, every_s=0.01, up_to_s=10**9)
    finally:
        await speaking.close()


def test_quiet_says_nothing():
    page = io.StringIO()
    Display(Console(file=page), Language.EN, quiet=True).say("packing", host="film.aurora.test")
    assert page.getvalue() == ""
