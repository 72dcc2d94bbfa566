"""A clinic's list: workbooks, Chinese headings, columns of its own, what is missing, and whose study it is."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import pytest
from openpyxl import Workbook, load_workbook

from fixtures.dicom import chest_ct
from scraper.batch.input import rows
from scraper.batch.input.headings import column_of, write_template
from scraper.batch.input.text import ListUnreadable
from scraper.core.errors import ExitCode, UsageError
from scraper.core.model import Study
from scraper.core.settings import Language
from scraper.pipeline.expectation import _bare
from scraper.store import naming
from tests import aurora
from tests.test_cli import cloudfilm, photo, site_of, up

STUDY = chest_ct(slices=3, size=32, seed=7)  # of 测试^甲


def workbook(path: Path, *lines: tuple) -> Path:
    book = Workbook()
    for line in lines:
        book.active.append(line)
    book.save(path)
    return path


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))


@pytest.mark.parametrize(
    ("heading", "column"),
    [
        ("链接", "source"),
        (" 网址 ", "source"),
        ("照片", "source"),
        ("姓名", "label"),
        ("安全码", "access_code"),
        ("手机后四位", "phone_last4"),
        ("手机号后四位（必填）", "phone_last4"),
        ("身份证后四位", "id_last4"),
        ("Password", "password"),
        ("URL", "source"),
        ("备注", "备注"),
        ("Ward", "Ward"),
    ],
)
def test_headings(heading, column):
    assert column_of(heading) == column


def test_a_workbook_is_a_list(tmp_path):
    path = workbook(
        tmp_path / "清单.xlsx",
        ("姓名", "链接", "手机后四位", "张数", "备注"),
        ("王五", aurora.LINK, 1234, 12.0, "三楼"),
        (None, None, None, None, None),
        ("李四", aurora.ASKS, "0045", None, None),
    )
    first, second = rows.read(path).rows
    assert (first.line, first.source, first.label, dict(first.answers)) == (
        2,
        aurora.LINK,
        "王五",
        {"phone_last4": "1234"},
    )
    assert (first.expect, dict(first.extra)) == (12, {"备注": "三楼"})
    assert (second.line, dict(second.answers)) == (4, {"phone_last4": "0045"})


@pytest.mark.parametrize("body", [b"", b"PK\x03\x04nothing", b"no workbook"], ids=["empty", "torn", "text"])
def test_what_is_no_workbook(body, tmp_path):
    (tmp_path / "x.xlsx").write_bytes(body)
    with pytest.raises(ListUnreadable):
        rows.read(tmp_path / "x.xlsx")


@pytest.mark.parametrize("name", ["模板.csv", "模板.xlsx"])
@pytest.mark.parametrize("language", Language)
def test_a_template_is_a_list_to_fill_in(name, language, tmp_path):
    path = tmp_path / name
    write_template(path, language)
    assert rows.read(path).rows == ()
    if path.suffix == ".xlsx":
        book = load_workbook(path)
        book.active.append([aurora.LINK, "王五", "", "", "0123"])
        book.save(path)
    else:
        path.write_text(path.read_text(encoding="utf-8-sig") + f"{aurora.LINK},王五,,,0123\n", encoding="utf-8-sig")
    (row,) = rows.read(path).rows
    assert (row.source, row.label, dict(row.answers)) == (aurora.LINK, "王五", {"phone_last4": "0123"})
    with pytest.raises(UsageError):
        write_template(path, language)


def test_a_day_at_the_clinic(tmp_path):
    """Two patients, one without the answer: needs.csv has that row and that column, is filled in and given back."""
    path = workbook(
        tmp_path / "清单.xlsx",
        ("姓名", "链接", "核对姓名", "科室"),
        ("病人1", aurora.LINK, "测试甲", "呼吸科"),
        ("病人2", aurora.ASKS, "", "骨科"),
    )
    out = tmp_path / "out"
    with up(site_of(STUDY)) as site:
        words = ("--browser", "never", "--connect-to", site.connect_to[0], "-o", out, "--lang", "zh")
        done = cloudfilm("batch", path, *words)
        assert done.returncode == ExitCode.CREDENTIALS, done.stderr
        assert "needs.csv" in done.stderr
        report = table(out / "report.csv")
        assert [(row["姓名"], row["状态"], row["科室"]) for row in report] == [
            ("病人1", "complete", "呼吸科"),
            ("病人2", "failed", "骨科"),
        ]
        (needed,) = table(out / "needs.csv")
        assert needed == {"链接": aurora.ASKS, "姓名": "病人2", "手机后四位": "", "科室": "骨科"}
        text = (out / "needs.csv").read_text(encoding="utf-8-sig").replace("病人2,,", f"病人2,{aurora.PHONE},")
        filled = tmp_path / "filled.csv"
        filled.write_text(text, encoding="utf-8-sig")
        again = cloudfilm("batch", filled, *words)
        assert again.returncode == 0, again.stderr
    assert not (out / "needs.csv").exists()


def test_another_patients_study_is_told_without_a_name(tmp_path):
    (tmp_path / "list.csv").write_text(f"source,label,expect_name\n{aurora.LINK},王五,王五\n", encoding="utf-8")
    with up(site_of(STUDY)) as site:
        words = ("--browser", "never", "--connect-to", site.connect_to[0], "-o", tmp_path / "out", "--lang", "zh")
        done = cloudfilm("batch", tmp_path / "list.csv", *words)
    assert done.returncode == ExitCode.INCOMPLETE, done.stderr
    (row,) = table(tmp_path / "out" / "report.csv")
    assert "姓名不符" in row["问题"]
    assert "测试甲" not in row["问题"]


@pytest.mark.parametrize(
    ("one", "other"), [("测试^甲", "测试甲"), ("Wang^Xiao Ming", "wang xiaoming"), ("\uff37\uff41\uff4e\uff47", "WANG")]
)
def test_names_that_differ_in_spelling_alone(one, other):
    assert _bare(one) == _bare(other)


@pytest.mark.thorough
def test_the_same_photo_twice_enters_the_site_once(tmp_path):
    photos = tmp_path / "photos"
    (photos / "again").mkdir(parents=True)
    first = photo(photos, aurora.LINK)
    shutil.copyfile(first, photos / "again" / "copy.png")
    with up(site_of(STUDY)) as site:
        words = ("--browser", "never", "--connect-to", site.connect_to[0], "-o", tmp_path / "out")
        done = cloudfilm("batch", photos, *words)
        assert done.returncode == 0, done.stderr
        assert site.requests["/api/enter"] == 1


@pytest.mark.parametrize("kind", ["folder", "list"])
def test_no_source_is_wrong_usage(kind, tmp_path):
    path = tmp_path / "links.csv"
    if kind == "folder":
        path = tmp_path / "empty"
        path.mkdir()
    else:
        path.write_text("source,label\n")
    done = cloudfilm("batch", path, "-o", tmp_path / "out", "--lang", "zh")
    assert done.returncode == ExitCode.USAGE
    assert "没有可处理的来源" in done.stderr


def test_the_command_writes_a_template(tmp_path):
    done = cloudfilm("batch", tmp_path / "模板.csv", "--template", "--lang", "zh")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "模板.csv").read_text(encoding="utf-8-sig").startswith("链接,姓名,密码,安全码")


KNOWN = Study("1.2.3", date="20260108", modality="CT", patient_name="测试^甲", description="胸部CT平扫")


@pytest.mark.parametrize(
    ("template", "study", "label", "name"),
    [
        ("{label}_{date}_{modality}", KNOWN, "病人1", "病人1_20260108_CT"),
        ("{label}_{date}_{modality}", KNOWN, "", "20260108_CT"),
        ("{date}_{label}_{modality}", KNOWN, "", "20260108_CT"),
        ("{modality}-{date} ({label})", KNOWN, "7", "CT-20260108 (7)"),
        ("film {patient}", KNOWN, "", "film 测试 甲"),
        ("{label}", KNOWN, "../../etc/passwd", "_.._etc_passwd"),
        ("{label}", KNOWN, "{date}", "{date}"),
        ("{label}", KNOWN, "con", "_con"),
        ("{label}_{date}", Study("1.2.3"), "", "study"),
        ("", KNOWN, "病人1", "20260108_CT_测试 甲_胸部CT平扫"),
    ],
    ids=[
        "all known",
        "no label at the beginning",
        "no label in the middle",
        "the user's own marks",
        "the user's own word",
        "a label that is a path",
        "a label with braces",
        "a label that Windows reserves",
        "nothing known",
        "no template",
    ],
)
def test_a_folders_name_by_a_template(template, study, label, name):
    if template:
        naming.check(template)
    assert naming.folder_name(template, study, label) == name


@pytest.mark.parametrize(
    "template", ["{ward}", "{date", "date", "{date}/{label}", "{label.__class__}", "{label!r}", "{date:>9}", "{}"]
)
def test_a_template_that_names_no_folder(template):
    with pytest.raises(UsageError):
        naming.check(template)


def test_a_clinics_folders_are_named_after_its_list_and_stay(tmp_path):
    (tmp_path / "list.csv").write_text(f"source,label\n{aurora.LINK},Bed 7\n", encoding="utf-8")
    out = tmp_path / "out"
    with up(site_of(STUDY)) as site:
        words = ("--browser", "never", "--connect-to", site.connect_to[0], "-o", out)
        done = cloudfilm("batch", tmp_path / "list.csv", *words, "--name", "{label}_{modality}")
        assert done.returncode == 0, done.stderr
        again = cloudfilm("grab", aurora.LINK, *words, "--name", "{date}")
        assert again.returncode == 0, again.stderr
    assert [path.parent.name for path in out.glob("*/study.json")] == ["Bed 7_CT"]
    wrong = cloudfilm("batch", tmp_path / "list.csv", *words, "--name", "{ward}")
    assert wrong.returncode == ExitCode.USAGE
    assert "{label}" in wrong.stderr
