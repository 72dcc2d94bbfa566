"""Row 9: files that programs keep for themselves (settings, overrides, reports), where somebody else made them."""

import json
import sys

import pytest

import providers.shdc
from fixtures.dicom import chest_ct
from scraper.app.library import Library
from scraper.batch.report import thumbnails
from scraper.cli import config
from scraper.core.errors import UnreadableFile, UsageError, WrongOverride
from scraper.core.model import Study
from scraper.pipeline.document import saved_study
from scraper.registry import catalogue, constants, overrides
from scraper.registry.catalogue import named
from scraper.store import earlier
from scraper.store.naming import safe_name, study_folder_name
from scraper.testing import first_of
from tests.security.memory import MOST, peak_of_all_processes
from tests.test_cli import cloudfilm

NESTED = "[" * 200_000
DIGITS = "9" * 10_000
SETTINGS = {
    "nested": f"jobs = {NESTED}",
    "a key of many steps": ".".join("a" * 20_000) + " = 1",
    "larger than any": "# " + "x" * (config.LARGEST + 1),
    "no number": "rate = nan",
    "beyond all numbers": "timeout = inf",
    "digits without end": f"jobs = {DIGITS}",
    "a table of another program": '[provider]\nname = "x"',
    "escapes": 'output = "a\\u001B[2Jb"',
    "a line break in an address": 'proxy = "http://a.test\\n"',
    "bytes": 'output = "\udcff"',
}


@pytest.mark.parametrize("name", SETTINGS)
def test_hostile_9_a_settings_file_that_is_none_ends_with_2(name, tmp_path):
    path = tmp_path / "config.toml"
    path.write_bytes(SETTINGS[name].encode("utf-8", "surrogateescape"))
    with pytest.raises((UnreadableFile, UsageError)):
        config.read(path)


@pytest.mark.skipif(sys.platform == "win32", reason="such a file is POSIX")
def test_hostile_9_a_settings_file_without_an_end_is_not_read_to_it(tmp_path):
    path = tmp_path / "config.toml"
    path.symlink_to("/dev/zero")
    with pytest.raises(UnreadableFile):
        config.read(path)


@pytest.mark.parametrize("line", first_of(['name = "{label.__class__}"', 'name = "../{date}"', 'name = "{0}"'], 3))
def test_hostile_9_a_template_of_names_reaches_nothing(line, tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(f"{line}\n")
    done = cloudfilm("--config", str(path), "grab", "https://film.test/s/1", "--browser", "never")
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr


# ---- overrides


@pytest.fixture
def data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CLOUDFILM_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    yield tmp_path / "data"
    (tmp_path / "data" / overrides.NAME).unlink(missing_ok=True)
    overrides.apply(catalogue.known().by_name["shdc"])


def rows_of(**values):
    rows = {name: {"text": new, "replaces": {"text": old}} for name, (old, new) in values.items()}
    return json.dumps({"shdc": {"since": "2026-11-29", "constants": rows}})


OVERRIDES = {
    "nested": NESTED,
    "nested inside": '{"shdc": ' + NESTED,
    "digits without end": f'{{"shdc": {DIGITS}}}',
    "larger than any": json.dumps({"shdc": {}, "x": "x" * overrides.MAX_BYTES}),
    "another host": rows_of(SITE=(providers.shdc.SITE, "evil.test")),
    "a host as a word": rows_of(SITE=(providers.shdc.SITE, "@evil.test")),
    "escapes": rows_of(KEY=(providers.shdc.KEY, "\x1b[2J")),
    "a surrogate": rows_of(KEY=(providers.shdc.KEY, "\ud800")),
}


@pytest.mark.parametrize("name", OVERRIDES)
def test_hostile_9_an_override_made_by_hand_is_refused_and_changes_nothing(name, data_folder):
    """One that names a host in the place of the provider's own was taken, since a host is a word."""
    before = dict(constants.constants(catalogue.known().by_name["shdc"]))
    (data_folder / overrides.NAME).write_text(OVERRIDES[name], encoding="utf-8")
    with pytest.raises(WrongOverride):
        overrides.apply(catalogue.known().by_name["shdc"])
    assert dict(constants.constants(catalogue.known().by_name["shdc"])) == before


def test_hostile_9_an_override_of_another_platform_or_of_nothing_known_changes_nothing(data_folder):
    whole = {"no-such-platform": NESTED[:50], "../../x": {}, "mtywcloud": 7, "__class__": {"since": "x"}}
    (data_folder / overrides.NAME).write_text(json.dumps(whole), encoding="utf-8")
    overrides.apply(catalogue.known().by_name["shdc"])
    unknown = json.loads(rows_of(NO_SUCH_NAME=("a", "b"), __class__=("a", "b")))
    (data_folder / overrides.NAME).write_text(json.dumps(unknown), encoding="utf-8")
    saved = overrides.saved(catalogue.known().by_name["shdc"])
    assert saved is not None
    assert saved.is_outdated


def test_hostile_9_no_constant_that_names_a_host_or_is_a_pattern_takes_any_value():
    """Over every provider: what heals a changed key moves no request to another host, and makes no expression slow."""
    checked = 0
    for name in catalogue.known().by_name:
        provider = named(name)
        assert provider is not None
        for old in constants.constants(provider).values():
            if isinstance(old, str) and ("://" in old or old.startswith("^") or "(?" in old):
                checked += 1
                for new in ("evil.test", "/evil", "(a+)+$", old[:-1] + "x"):
                    assert not constants.fits(old, new), (name, old)
    assert checked > 3


# ---- reports

REPORTS = {
    "nested": NESTED,
    "nested inside": '{"study": ' + NESTED,
    "digits without end": f'{{"series": [], "instances_saved": [], "instances": {DIGITS}}}',
    "another kind": "[1, 2]",
    "rows of another kind": '{"series": [7], "instances_saved": ["x"]}',
    "a file outside": json.dumps(
        {
            "study": {"uid": "1"},
            "series": [],
            "instances_saved": [{"file": "../../../etc/passwd", "sop_instance_uid": "1"}],
        }
    ),
}


@pytest.mark.parametrize("name", REPORTS)
def test_hostile_9_a_report_that_somebody_put_there_ends_nothing(name, tmp_path):
    """A report that was nested deeply ended every later run that looked through the output folder."""
    folder = tmp_path / "out" / "study"
    folder.mkdir(parents=True)
    report = folder / "study.json"
    report.write_text(REPORTS[name], encoding="utf-8")
    assert earlier.read(report).series == ()
    assert isinstance(Library(tmp_path / "out").listed(), list)
    assert thumbnails.of_studies([folder]) == {}
    saved_study(report, "study.json")
    (folder / "a.dcm").write_bytes(chest_ct(slices=1, size=16).images[0].data)
    done = cloudfilm("verify", folder)
    assert done.returncode in (0, 7), done.stderr
    assert "Traceback" not in done.stderr


def test_hostile_7_a_report_of_small_lists_takes_no_memory(tmp_path):
    report = tmp_path / "out" / "study" / "study.json"
    report.parent.mkdir(parents=True)
    report.write_bytes(b'{"series":[' + b"[],[]," * 9_000_000 + b"1]}")
    with peak_of_all_processes() as peak:
        assert saved_study(report, "study.json") is None
        assert [study.facts["images"] for study in Library(tmp_path / "out").listed()] == [0]
    assert peak.size < MOST


@pytest.mark.parametrize("text", ["x" * 2_000_000, " ." * 1_000_000, "\u0301" * 1_000_000, "张" * 1_000_000])
def test_hostile_6_a_name_of_megabytes_is_cut_at_once(text):
    """The name was cut letter by letter: a study's description of a megabyte kept the program busy for hours."""
    assert len(safe_name(text, "x")) <= 80
    assert len(study_folder_name(Study("1", text, text, text, text)).encode()) <= 240


def test_hostile_9_a_link_with_a_broken_override_is_one_sentence(data_folder):
    (data_folder / overrides.NAME).write_text(NESTED)
    done = cloudfilm("list", f"{providers.shdc.SITE}x", "--browser", "never", CLOUDFILM_DATA=str(data_folder))
    assert done.returncode, done.stdout
    assert "Traceback" not in done.stderr
