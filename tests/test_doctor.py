"""What the doctor finds on this machine, and on machines that lack something."""

import os
import shutil
import sys

import pytest

from scraper.core.settings import Language, Settings
from scraper.ui import doctor


def by_name(settings: Settings) -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in doctor.examine(settings)}


def test_this_machine_can_work(tmp_path):
    findings = doctor.examine(Settings(output=tmp_path))
    assert doctor.sound(findings)
    names = [finding.name for finding in findings]
    assert names == list(dict.fromkeys(names))
    assert {"python", "browser", "zxing-cpp", "zbar", "imagecodecs", "wechat", "disk-space"} <= set(names)


def test_what_is_there_costs_nothing_and_what_is_missing_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("CLOUDFILM_DATA", str(tmp_path / "nothing here"))
    for finding in doctor.examine(Settings(output=tmp_path)):
        assert bool(finding.found) >= finding.ok
        assert bool(finding.costs) == bool(finding.mend) == (not finding.ok)
    assert not by_name(Settings(output=tmp_path))["wechat"].ok


def test_both_languages(tmp_path, monkeypatch):
    monkeypatch.setenv("CLOUDFILM_DATA", str(tmp_path))
    costs = {language: by_name(Settings(output=tmp_path, language=language))["wechat"].costs for language in Language}
    assert "微信" in costs[Language.ZH]
    assert "WeChat" in costs[Language.EN]


def test_no_browser(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "find_browser", lambda _: None)
    browser = by_name(Settings(output=tmp_path))["browser"]
    assert not browser.ok
    assert browser.mend == "cloudfilm doctor --install-browser"


def test_a_missing_codec_names_its_transfer_syntaxes(tmp_path, monkeypatch):
    # the import system's own way to say: can't be imported
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    codec = by_name(Settings(output=tmp_path))["imagecodecs"]
    assert (codec.ok, codec.optional) == (False, True)
    assert "1.2.840.10008.1.2.4.90" in codec.costs
    assert "imagecodecs" in codec.mend


def test_without_the_main_reader_it_is_not_sound(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zxingcpp", None)
    assert not doctor.sound(doctor.examine(Settings(output=tmp_path)))


@pytest.mark.parametrize(
    ("prefix", "mend"),
    [
        ("/opt/pipx/venvs/cloudfilm", "pipx inject cloudfilm simplejpeg"),
        ("/opt/uv/tools/cloudfilm", "uv tool install --with simplejpeg cloudfilm"),
        ("/usr", f"{sys.executable} -m pip install simplejpeg"),
    ],
)
def test_the_command_fits_the_way_it_was_installed(tmp_path, monkeypatch, prefix, mend):
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    monkeypatch.setattr(sys, "prefix", prefix)
    assert by_name(Settings(output=tmp_path))["simplejpeg"].mend == mend


def test_space_is_looked_for_where_the_folder_will_be(tmp_path):
    space = by_name(Settings(output=tmp_path / "not" / "yet" / "there"))["disk-space"]
    assert str(tmp_path) in space.found
    assert not (tmp_path / "not").exists()


def test_little_space(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=300_000_000))
    space = by_name(Settings(output=tmp_path))["disk-space"]
    assert (space.ok, space.optional) == (False, True)
    assert "0.3 GB" in space.costs


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    space = by_name(Settings(output=tmp_path))["disk-space"]
    assert not space.ok
    assert str(tmp_path) in space.costs
