"""``learn film.har``: a provider from a recording alone, as Chromium and as mitmproxy write it; the site is not asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from fixtures.sites.generic_viewer.site import HOST
from fixtures.world import World
from scraper.authoring.from_har import RecordedSite, entrance, learn_har
from scraper.authoring.trace import NotLearnt
from scraper.cli import commands
from scraper.core.link import ShareLink
from scraper.core.model import Origin, Status
from scraper.core.settings import BrowserUse
from scraper.session.browser import find_browser
from scraper.session.browser.traffic import Exchange
from scraper.testing import compare, in_pipeline, settings_in
from tests import lists
from tests.recorders import by_chromium, by_mitmproxy
from tests.test_learn import LISTS, SITE, sound

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")
CHAIN = "a chain of calls"
RECORDERS = {"chromium": by_chromium, "mitmproxy": by_mitmproxy}
LINKS = {
    "signed addresses": (f"https://{HOST}/v/signed", SITE),
    CHAIN: (f"https://{lists.HOST}/chain?code={lists.CODE}", LISTS),
    "a bare array and a cookie": (f"https://{lists.HOST}/array/{lists.CODE}", LISTS),
    "a password": (f"https://{lists.HOST}/login/{lists.CODE}", LISTS),
}


@pytest.fixture(scope="module")
def world():
    with World(SITE, LISTS) as running:
        yield running


@pytest.fixture(scope="module")
def recorded(world: World, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """A recorder's recording of a viewer, made once: (recorder, name) → its file."""

    @cache
    def made(recorder: str, name: str) -> Path:
        link, _ = LINKS[name]
        password = lists.PASSWORD if name == "a password" else ""
        return RECORDERS[recorder](world.connect_to, link, tmp_path_factory.mktemp("har"), password=password)

    return made


@pytest.mark.parametrize(
    ("recorder", "name"),
    [
        pytest.param(recorder, name, marks=[] if (recorder, name) == ("chromium", CHAIN) else [pytest.mark.thorough])
        for recorder in RECORDERS
        for name in LINKS
    ],
)
async def test_what_is_written_of_a_recording_works_on_the_site(world, recorded, tmp_path, recorder, name):
    if recorder == "mitmproxy" and find_spec("mitmproxy") is None:
        pytest.skip("without the extra")
    link, site = LINKS[name]
    har = await asyncio.to_thread(recorded, recorder, name)
    answers = {"password": lists.PASSWORD} if name == "a password" else {}
    asked = len(world.requests())
    written = await learn_har(har, tmp_path, answers)
    assert len(world.requests()) == asked
    assert written.instances == len(site.study.by_uid)
    path = tmp_path / "learnt.py"
    path.write_text(written.source, encoding="utf-8")
    assert "a recording of its viewer alone" in written.source
    sound(path)
    chosen = settings_in(world, tmp_path / "out", provider=str(path), browser=BrowserUse.NEVER, answers=answers)
    result = await in_pipeline(chosen, lambda pipeline: pipeline.grab(link))
    assert result.status is Status.COMPLETE, result
    compare(tmp_path / "out", site.originals, Origin.ORIGINAL)
    assert world.unexpected == []


RECORDED = (
    Exchange("https://film.test/s/1?_=1796000000", "document", status=302, headers={"location": "/v/1"}),
    Exchange("https://film.test/v/1", "document", status=200, body=b"<html></html>", size=13),
    Exchange(
        "https://film.test/api/enter",
        "xhr",
        "POST",
        {"x-token": "t", "user-agent": "a browser"},
        b'{"code": "1"}',
        200,
        body=b"{}",
        size=2,
    ),
)


def test_the_link_is_where_redirects_began():
    page = ShareLink("https://film.test/v/1#/x")
    assert entrance(page, RECORDED).url == "https://film.test/s/1?_=1796000000"
    assert entrance(page, RECORDED[1:]) == page


async def test_the_recorded_site_refuses_what_the_viewer_did_not_ask():
    site = RecordedSite(ShareLink("https://film.test/s/1"), RECORDED, {})
    assert (await site.get("https://film.test/s/1")).body == b"<html></html>"
    asked = {"json": {"code": "1"}, "headers": {"X-Token": "t"}}
    assert (await site.post("https://film.test/api/enter", **asked)).body == b"{}"
    for wrong in ({"json": {"code": "2"}}, {"headers": {}}, {"form": {"code": "1"}, "json": None}):
        with pytest.raises(NotLearnt):
            await site.post("https://film.test/api/enter", **{**asked, **wrong})
    with pytest.raises(NotLearnt):
        await site.get("https://film.test/other")


def test_the_command_writes_a_file_and_says_that_the_site_was_not_asked(recorded, tmp_path, capsys):
    har = recorded("chromium", CHAIN)
    output = tmp_path / "learnt.py"
    assert commands.run(["learn", str(har), "-o", str(output), "--lang", "en"]) == 0
    assert "The site itself was not asked" in capsys.readouterr().out
    assert "class Lists(Provider)" in output.read_text(encoding="utf-8")


@pytest.mark.thorough
def test_a_whole_platform_is_written_of_a_recording(recorded, tmp_path, capsys):
    har = recorded("chromium", CHAIN)
    assert commands.run(["learn", str(har), "--files", str(tmp_path / "new"), "--lang", "en"]) == 0
    written = {path.name for path in (tmp_path / "new").rglob("*") if path.is_file()}
    assert written == {"lists.py", "__init__.py", "site.py", "answers.json", "README.md", "test_lists.py"}
    every = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "new").rglob("*") if path.is_file())
    assert not [secret for secret in LISTS.secrets if secret in every]


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["wado", "post", "dicomweb"])
def test_what_can_not_be_learnt_is_said(world, tmp_path, capsys, kind):
    har = by_chromium(world.connect_to, f"https://{HOST}/v/{kind}", tmp_path)
    output = tmp_path / "learnt.py"
    code = commands.run(["learn", str(har), "-o", str(output), "--lang", "en"])
    shown = capsys.readouterr()
    assert (code, output.exists()) == {"wado": (0, True), "post": (9, False), "dicomweb": (0, False)}[kind], shown
