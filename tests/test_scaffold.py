"""A new provider's files are green as they are written, and with a bundle they are about its site."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from scraper.testing import first_of
from scraper.testing.__main__ import main
from scraper.testing.scaffold import new_platform, write

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


@pytest.mark.parametrize("from_bundle", first_of([True, False]), ids=["from a bundle", "skeleton"])
def test_what_is_written_is_green_at_once(tmp_path, monkeypatch, capsys, from_bundle):
    monkeypatch.chdir(tmp_path)
    words = ["new", "new-film", *(["--from", str(bundle(tmp_path))] if from_bundle else [])]
    assert main(words) == 0
    written = capsys.readouterr().out.split("\n\n")[0].splitlines()
    assert [name for name in written if not (tmp_path / name).is_file()] == []
    ours = f'src = [".", "{ROOT.as_posix()}"]'  # what stands in the checkout is no third party's
    config = ["--config", str(ROOT / "pyproject.toml"), "--config", ours, "--no-cache"]
    for command in (["check", *config], ["format", "--check", *config]):
        done = subprocess.run([sys.executable, "-m", "ruff", *command, "."], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    (tmp_path / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    test = tmp_path / "tests" / "providers" / "test_new_film.py"
    tests = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--rootdir={tmp_path}",
        f"--confcutdir={tmp_path}",
    ]
    done = subprocess.run(
        [*tests, "-c", str(ROOT / "pyproject.toml"), str(test)], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout


def test_a_bundle_gives_host_link_and_calls(tmp_path):
    platform = new_platform("shown", bundle(tmp_path))
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
