"""A new provider's files are green as they are written, and with a bundle they are about its site."""

import asyncio
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fixtures.sites.generic_viewer.site import HOST, GenericViewer
from fixtures.world import World
from scraper.authoring import learn, record
from scraper.authoring.platform_files import Platform, new_platform, write
from scraper.session.browser import find_browser
from scraper.testing import first_of, in_pipeline, settings_in
from scraper.testing.__main__ import main
from tests import lists

ROOT = Path(__file__).parent.parent
CONFTEST = """
import fixtures.sites, providers, sys
from pathlib import Path
here = Path(__file__).parent
providers.__path__.append(str(here / "providers"))
fixtures.sites.__path__.append(str(here / "fixtures" / "sites"))
"""
ENTRIES = [
    {
        "method": "GET",
        "url": "https://film.shown.test/v/x/Ab12Cd34",
        "status": 200,
        "headers": {"content-type": "text/html"},
    },
    {
        "method": "POST",
        "url": "https://api.shown.test/list?code=A|b&t=1790000000",
        "status": 200,
        "headers": {"content-type": "application/json; charset=utf-8"},
        "body": "bodies/000001",
    },
    *(
        {"method": "GET", "url": f"https://api.shown.test/image/1.2.3.{n:05d}.dcm", "status": 200, "headers": {}}
        for n in range(3)
    ),
    {"url": "wss://api.shown.test/live", "messages": []},
]


def bundle(folder: Path, **changed: object) -> Path:
    document = {"format": "cloudfilm-bundle", "version": 1, "link": ENTRIES[0]["url"], "entries": ENTRIES, **changed}
    path = folder / "bundle.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bundle.json", json.dumps(document))
        archive.writestr("bodies/000001", '{"studyUid": "1.2.3", "series": []}')
    return path


def is_green(folder: Path, name: str) -> str:
    """Hold written files against the linter, the formatter and their own tests; gives what the tests printed."""
    ours = f'src = [".", "{ROOT.as_posix()}"]'  # what stands in the checkout is no third party's
    config = ["--config", str(ROOT / "pyproject.toml"), "--config", ours, "--no-cache"]
    for command in (["check", *config], ["format", "--check", *config]):
        words = [sys.executable, "-m", "ruff", *command, "."]
        done = subprocess.run(words, capture_output=True, text=True, cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr
    (folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    test = folder / "tests" / "providers" / f"test_{name}.py"
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    tests += [f"--rootdir={folder}", f"--confcutdir={folder}", "-c", str(ROOT / "pyproject.toml"), str(test)]
    done = subprocess.run(tests, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("from_bundle", first_of([True, False]), ids=["a bundle that teaches nothing", "skeleton"])
def test_what_is_written_is_green_at_once(tmp_path, monkeypatch, capsys, from_bundle):
    monkeypatch.chdir(tmp_path)
    words = ["new", "new-film", *(["--from", str(bundle(tmp_path))] if from_bundle else [])]
    assert main(words) == 0
    written = capsys.readouterr().out.split("\n\n")[0].splitlines()
    assert [name for name in written if not (tmp_path / name).is_file()] == []
    assert "5 passed" in is_green(tmp_path, "new_film")


SITE, LISTS = GenericViewer(slices=8, thin=5), lists.Lists()
VIEWERS = {
    "fields": (f"https://{HOST}/v/fields", SITE, {}),
    "signed addresses": (f"https://{HOST}/v/signed", SITE, {}),
    "a chain of calls": (f"https://{lists.HOST}/chain?code={lists.CODE}", LISTS, {}),
    "a bare array and a cookie": (f"https://{lists.HOST}/array/{lists.CODE}", LISTS, {}),
    "a password": (f"https://{lists.HOST}/login/{lists.CODE}", LISTS, {"password": lists.PASSWORD}),
}
needs_browser = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")


@needs_browser
@pytest.mark.thorough
@pytest.mark.parametrize("viewer", VIEWERS)
def test_a_bundle_becomes_a_provider_and_a_site_that_answers_as_it_did(viewer, tmp_path, monkeypatch):
    link, site, answers = VIEWERS[viewer]
    path = tmp_path / "bundle.zip"
    with World(site) as world:
        settings = settings_in(world, tmp_path / "out", answers=answers, keep_programs=True)
        asyncio.run(in_pipeline(settings, lambda pipeline: record.record_link(pipeline, link, path)))
    folder = tmp_path / "checkout"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert main(["new", "shown", "--from", str(path)]) == 0
    assert "passed" in is_green(folder, "shown")
    document = json.loads((folder / "fixtures/sites/shown/answers.json").read_text(encoding="utf-8"))
    assert document["calls"]
    assert sum(map(len, document["series"].values())) > 1
    texts = [
        file.read_text(encoding="utf-8") for file in folder.rglob("*.*") if file.is_file() and file.suffix != ".pyc"
    ]
    assert not [secret for secret in {*SITE.originals, *LISTS.secrets} for text in texts if secret in text]


@needs_browser
@pytest.mark.thorough
def test_learn_writes_the_same_files(tmp_path):
    link, site, _ = VIEWERS["a chain of calls"]
    path, folder = tmp_path / "bundle.zip", tmp_path / "checkout"
    with World(site) as world:
        settings = settings_in(world, tmp_path / "out", keep_programs=True)
        written = asyncio.run(in_pipeline(settings, lambda pipeline: learn.learn_link(pipeline, link, path)))
    platform = asyncio.run(new_platform("shown", path, written.source.replace(f'"{written.name}"', '"shown"')))
    write(platform, folder)
    assert written.instances == len(site.study.by_uid)
    assert "4 passed" in is_green(folder, "shown")
    assert lists.CODE not in (folder / "providers/shown.py").read_text(encoding="utf-8")


async def test_a_bundle_gives_host_link_and_calls(tmp_path):
    platform: Platform = await new_platform("shown", bundle(tmp_path))
    assert (platform.host, platform.before) == ("film.shown.test", "/v/x/")
    assert [call.path for call in platform.calls] == ["/v/x/…", "/list?code&t", "/image/…"]
    write(platform, tmp_path)
    facts = (tmp_path / "fixtures" / "sites" / "shown" / "README.md").read_text(encoding="utf-8")
    assert (
        "| `POST api.shown.test/list?code&t`: 200, application/json, its names `studyUid`, `series` | observed in a bundle, "
        in facts
    )
    assert "1790000000" not in facts


@pytest.mark.parametrize(
    "words",
    [["new", "Ünfug"], ["new", "../x"], ["new", "a", "--from", "none.zip"], ["new", "a", "--from", "other.zip"]],
    ids=["name", "path", "no bundle", "another file"],
)
def test_what_cannot_be_written_is_said_and_nothing_is(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    bundle(tmp_path, format="another").rename("other.zip")
    assert main(words) == 2
    assert capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["other.zip"]


def test_nothing_is_overwritten(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "providers" / "aurora.py"
    own.parent.mkdir()
    own.write_text("mine", encoding="utf-8")
    assert main(["new", "aurora"]) == 2
    assert "exists" in capsys.readouterr().err
    assert own.read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "fixtures").exists()
