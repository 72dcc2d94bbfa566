"""Lists of sources as people keep them: every kind, every encoding, and rows that nobody can read."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import pytest

from scraper.batch.input import rows as inputs
from scraper.batch.input import text
from scraper.batch.input.rows import ListWithoutSource, Row
from scraper.batch.input.text import ListTooLarge, ListUnreadable
from scraper.core.errors import ExitCode, NoSuchFile

ONE = "https://film.aurora.test/s/Ab12Cd34"
TWO = "https://film.lakeside.test/s/Ef56Gh78"
MESSAGE = f"【示例医院】您的影像：{ONE} 安全码：8K2Q"


def read(folder: Path, name: str, content: str | bytes) -> inputs.SourceList:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return inputs.read(path)


def sources(listing: inputs.SourceList) -> list[tuple[int, str]]:
    return [(row.line, row.source) for row in listing.rows]


def refused(listing: inputs.SourceList) -> list[tuple[int, str]]:
    return [(item.line, item.why) for item in listing.refused]


def test_text_one_source_a_line(tmp_path):
    listing = read(tmp_path, "links.txt", f"# old links\n\n  {ONE}  \n{MESSAGE}\n{TWO}  # second hospital\n#{ONE}\n")
    assert sources(listing) == [(3, ONE), (4, MESSAGE), (5, TWO)]
    assert refused(listing) == []


def test_a_fragment_is_no_comment(tmp_path):
    listing = read(tmp_path, "links.txt", f"{ONE}#/viewer?a=1\n{ONE}#x # comment\n")
    assert [row.source for row in listing.rows] == [f"{ONE}#/viewer?a=1", f"{ONE}#x"]


def test_what_is_neither_link_nor_file_is_refused_by_its_line(tmp_path):
    listing = read(tmp_path, "links.txt", f"{ONE}\n张三的片子\nmissing.jpg\n{TWO}\n")
    assert [row.line for row in listing.rows] == [1, 4]
    assert refused(listing) == [(2, "no-link"), (3, "no-file")]
    assert [item.exit_code for item in listing.refused] == [ExitCode.NO_LINK, ExitCode.USAGE]


def test_a_photo_is_looked_for_beside_the_list_first_then_in_the_working_folder(tmp_path, monkeypatch):
    lists, here = tmp_path / "lists", tmp_path / "here"
    for folder in (lists, here):
        folder.mkdir()
        (folder / "both.jpg").write_bytes(b"x")
    (here / "only here.PNG").write_bytes(b"x")
    monkeypatch.chdir(here)
    listing = read(lists, "l.txt", f"both.jpg\nonly here.PNG\n{here / 'both.jpg'}\n")
    assert [Path(row.source).absolute() for row in listing.rows] == [
        lists / "both.jpg",
        here / "only here.PNG",
        here / "both.jpg",
    ]
    assert all(row.is_file for row in listing.rows)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_with_answers_and_labels(tmp_path, delimiter):
    rows = [
        ("label", "Source", "password", "phone_last4", "hospital"),
        ("甲", ONE, "p w", "0123", "first"),
        ("", TWO, "", '="0045"', ""),
    ]
    listing = read(tmp_path, "links.csv", "\n".join(delimiter.join(row) for row in rows))
    assert listing.rows == (
        Row(2, ONE, "甲", {"password": "p w", "phone_last4": "0123"}, extra={"hospital": "first"}),
        Row(3, TWO, "", {"phone_last4": "0045"}, extra={"hospital": ""}),
    )


def test_csv_rows_that_cannot_be_read_take_no_other_along(tmp_path):
    listing = read(
        tmp_path,
        "links.csv",
        f'source,password\n{ONE},a,b\n,secret\n"{ONE},x\n{TWO},y\n\n"a share\nmessage {ONE}",z\n{TWO},"q""w"\n{ONE},5"\n',
    )
    assert refused(listing) == [(2, "too-many-cells"), (3, "no-source"), (4, "open-quote")]
    assert [(row.line, dict(row.answers)) for row in listing.rows] == [
        (5, {"password": "y"}),
        (7, {"password": "z"}),
        (9, {"password": 'q"w'}),
        (10, {"password": '5"'}),
    ]
    assert listing.rows[1].source == f"a share\nmessage {ONE}"


def test_csv_as_a_spreadsheet_leaves_it(tmp_path):
    body = f"sep=;\r\nsource;label;\r\n{ONE};甲;\r\n;;\r\n".encode("utf-16")
    listing = read(tmp_path, "links.csv", body)
    assert listing.rows == (Row(3, ONE, "甲"),)
    assert listing.refused == ()


def test_csv_without_a_source_column_is_no_list(tmp_path):
    with pytest.raises(ListWithoutSource):
        read(tmp_path, "links.csv", f"hospital,label\n{ONE},a\n")


def test_json_lines(tmp_path):
    rows = [
        json.dumps({"source": ONE, "label": "甲", "password": "p", "other": [1]}),
        json.dumps({"source": TWO, "answers": {"phone_last4": 1234}, "label": 7}),
        json.dumps(ONE),
        "",
        "{broken",
        "[" * 5000,
        json.dumps({"label": "no source"}),
        json.dumps({"source": ONE, "password": ["a"]}),
        json.dumps({"source": ONE, "password": 1.5}),
    ]
    listing = read(tmp_path, "links.jsonl", "\n".join(rows))
    assert listing.rows == (Row(1, ONE, "甲", {"password": "p"}), Row(2, TWO, "", {"phone_last4": "1234"}), Row(3, ONE))
    assert refused(listing) == [(5, "no-json"), (6, "no-json"), (7, "no-source"), (8, "no-answer"), (9, "no-answer")]


def test_a_folder_stands_for_its_photos_and_pdfs(tmp_path):
    for name in ("b.JPG", "a.pdf", "deep/c.heic", "notes.txt", ".hidden.jpg", ".trash/d.jpg", "x.dcm"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    listing = inputs.read(tmp_path)
    assert [(row.line, row.label.replace("\\", "/")) for row in listing.rows] == [
        (1, "a.pdf"),
        (2, "b.JPG"),
        (3, "deep/c.heic"),
    ]


@pytest.mark.parametrize(
    "encoded",
    [
        lambda s: s.encode(),
        lambda s: codecs.BOM_UTF8 + s.encode(),
        lambda s: s.encode("utf-16"),
        lambda s: s.encode("utf-16-le"),
        lambda s: s.encode("utf-16-be"),
        lambda s: s.encode("utf-32"),
        lambda s: s.encode("gb18030"),
        lambda s: s.replace("\n", "\r\n").encode("gb18030"),
        lambda s: s.replace("\n", "\r").encode(),
    ],
    ids=["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030", "gb18030-crlf", "utf-8-cr"],
)
def test_every_encoding_that_spreadsheets_export(tmp_path, encoded):
    listing = read(tmp_path, "links.csv", encoded(f"source,label,password\n{ONE},张三丰,密码\n{TWO},联通,x\n"))
    assert listing.rows == (Row(2, ONE, "张三丰", {"password": "密码"}), Row(3, TWO, "联通", {"password": "x"}))


def test_a_line_that_is_no_text_is_not_guessed(tmp_path):
    lines = [
        f"{ONE} 甲".encode(),
        b"\xff\xff\xfe broken " + ONE.encode(),
        f"{TWO} 乙".encode(),
        b"nul\x00" + ONE.encode(),
    ]
    listing = read(tmp_path, "links.txt", b"\n".join(lines))
    assert [row.line for row in listing.rows] == [1, 3]
    assert refused(listing) == [(2, "no-text"), (4, "no-text")]


def test_a_huge_line_costs_only_itself(tmp_path):
    listing = read(tmp_path, "links.csv", f"source\n{ONE}\n{ONE}{'x' * 10**6}\n{TWO}\n")
    assert [row.line for row in listing.rows] == [2, 4]
    assert refused(listing) == [(3, "too-long")]


@pytest.mark.parametrize(
    "content",
    [b"PK\x03\x04" + bytes(90), b"\xff\xd8\xff\xe0", b"%PDF-1.7", b"\0\1" * 400],
    ids=["xlsx", "jpeg", "pdf", "binary"],
)
def test_what_is_no_text_is_refused_as_a_whole(tmp_path, content):
    with pytest.raises(ListUnreadable):
        read(tmp_path, "links.txt", content)


def test_a_list_that_is_far_too_large(tmp_path):
    with (tmp_path / "links.txt").open("wb") as out:
        out.truncate(text.MAX_LIST + 1)
    with pytest.raises(ListTooLarge):
        inputs.read(tmp_path / "links.txt")


def test_no_such_list(tmp_path):
    with pytest.raises(NoSuchFile):
        inputs.read(tmp_path / "nothing.txt")


@pytest.mark.parametrize("content", ["", "\n\n", "# nothing\n"])
def test_an_empty_list_is_empty(tmp_path, content):
    assert read(tmp_path, "links.txt", content) == inputs.SourceList()
    assert read(tmp_path, "links.csv", content.replace("#", " ").replace("nothing", "")) == inputs.SourceList()


@pytest.mark.parametrize(
    "first, second, same",
    [
        (ONE, ONE, True),
        (ONE, MESSAGE, True),
        (ONE, TWO, False),
        (ONE, ONE.replace("https", "HTTPS"), True),
        (ONE, ONE.replace(".test/", ".test:443/"), True),
        (ONE, ONE + "#x", False),
        (ONE, ONE.lower(), False),
        ("photo.jpg", "./photo.jpg", True),
    ],
)
def test_one_link_however_it_is_written(first, second, same):
    assert (Row(1, first).identity == Row(2, second).identity) is same


def test_what_is_shown_opens_nothing():
    for source in (
        MESSAGE,
        "https://user:geheim@host.test/8K2Q",
        "pacs://AE@host:104?PatientID=8K2Q",
        f"{ONE}?token=8K2Q",
    ):
        row = Row(1, source, answers={"password": "geheim"})
        assert "8K2Q" not in row.shown + repr(row)
        assert "geheim" not in row.shown + repr(row)
        assert "Ab12Cd34" not in row.shown + repr(row)
