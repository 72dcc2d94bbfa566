"""The settings file, words before the command, the log file, and the search among hospitals."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from fixtures.dicom import chest_ct
from scraper.cli.config import read, taken
from scraper.core.errors import ExitCode, UnreadableFile, UsageError
from tests import aurora
from tests.test_cli import cloudfilm, site_of, up


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_come_from_the_file_and_the_command_line_goes_before(tmp_path):
    path = written(tmp_path / "c.toml", 'output = "studies"\nlang = "zh"\njobs = 3\nbrowser = "never"\nrate = 5\n')
    given = taken(["--config", str(path), "grab", "x.jpg", "--jobs", "2"])
    assert given.words == ["grab", "x.jpg", "--jobs", "2"]
    assert given.default_map()["grab"] == {"output": "studies", "lang": "zh", "jobs": 3, "browser": "never", "rate": 5}
    assert taken(["grab", "x", "--no-config"]).defaults == {}


@pytest.mark.parametrize(
    "text", ['password = "x"', 'answer = "phone=1"', 'colour = "red"', 'jobs = "many"', 'lang = "fr"', "jobs = true"]
)
def test_what_has_no_place_in_it(text, tmp_path):
    with pytest.raises(UsageError):
        read(written(tmp_path / "c.toml", text))


@pytest.mark.parametrize("text", [None, "no toml at all ["], ids=["missing", "torn"])
def test_a_file_that_can_not_be_read(text, tmp_path):
    path = tmp_path / "c.toml" if text is None else written(tmp_path / "c.toml", text)
    with pytest.raises(UnreadableFile):
        taken(["doctor", "--config", str(path)])


def test_lang_before_the_command_and_what_stands_behind_two_dashes():
    assert taken(["--lang", "zh", "verify", "x"]).words == ["verify", "--lang", "zh", "x"]
    assert taken(["grab", "--", "--config"]).words == ["grab", "--", "--config"]
    with pytest.raises(UsageError):
        taken(["grab", "x", "--log-file"])


def test_a_run_by_the_file_and_its_log(tmp_path):
    study = chest_ct(slices=3, size=32, seed=7)
    path = written(tmp_path / "c.toml", f'output = "{(tmp_path / "out").as_posix()}"\nlang = "zh"\nbrowser = "never"\n')
    with up(site_of(study)) as site:
        words = ("--config", path, "--log-file", tmp_path / "log", "--connect-to", site.connect_to[0])
        done = cloudfilm("grab", aurora.LINK, *words)
    assert done.returncode == ExitCode.COMPLETE, done.stderr
    assert "完整" in done.stdout + done.stderr
    assert list((tmp_path / "out").rglob("study.json"))
    text = (tmp_path / "log").read_text(encoding="utf-8")
    assert "end: complete (0), aurora by direct" in text
    assert not any(word in text for word in ("Ab12Cd34", "测试"))
    if sys.platform != "win32":
        assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600


def test_h_is_help():
    assert cloudfilm("-h").returncode == 0
    assert "--connect-to" in cloudfilm("grab", "-h").stdout


def test_providers_searches_hospitals_and_hosts():
    lines = cloudfilm("providers", "shdc").stdout
    assert "shdc" in lines
    found = cloudfilm("providers", "天津")
    assert found.returncode == 0
    assert all("天津" in line or "tj" in line for line in found.stdout.splitlines())
    assert cloudfilm("providers", "nothing-of-that-name").returncode == ExitCode.USAGE
