"""Row 13: archives, long JSON and codecs are read in children that reach nothing, and whose word is not taken for it."""

import io
import json
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from fixtures.dicom import chest_ct
from scraper.capture.observe.recognise import BrokenPackage, Recogniser
from scraper.core.bounded_json import parse_json
from scraper.core.errors import CorruptInstance, DiskFull, ListNotReadInTime, NotCheckedInTime
from scraper.core.messages import describe
from scraper.core.reasons import Reason
from scraper.core.schema import read_json
from scraper.core.settings import Language
from scraper.dicom.codec_process import CodecProcess
from scraper.isolation import json_text
from scraper.isolation.child import Child, ChildLate, ChildLost
from scraper.protocols import j2k_json, zip_archive
from tests.security import captured_child

only_linux = pytest.mark.skipif(sys.platform != "linux", reason="the fences are the kernel's")
CAPTURED = captured_child.__name__


def archive_of(tmp_path: Path, *entries: tuple[str, bytes]) -> Path:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path


@pytest.fixture(autouse=True)
def children_of_its_own():
    zip_archive.close_idle()
    yield
    zip_archive.close_idle()


@only_linux
def test_hostile_13_a_child_reaches_nothing_but_its_folder(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    child = Child(CAPTURED, (str(folder), str(tmp_path / "outside")), 30)
    try:
        (_, reached), *_ = child.ask({}, longest=1 << 20)
    finally:
        child.close()
    found = json.loads(reached)
    assert found.pop("inside") == "written"
    assert set(found.values()) == {"refused"}
    assert not (tmp_path / "outside").exists()


@only_linux
@pytest.mark.parametrize("lie", captured_child.LIES)
def test_hostile_13_what_the_reader_of_archives_claims_is_looked_at(lie, tmp_path, monkeypatch):
    monkeypatch.setattr(zip_archive, "PROGRAM", CAPTURED)
    monkeypatch.setattr(zip_archive, "PATIENCE_S", 3.0)
    worker = zip_archive._Worker()
    (worker.folder.parent / "lie").write_text(lie)
    zip_archive._idle.append(worker)
    target = tmp_path / "out"
    with pytest.raises(CorruptInstance) as caught:
        list(zip_archive.unpack(archive_of(tmp_path, ("a", b"b")), target))
    assert caught.value.cause == (Reason.NOT_READ_IN_TIME if lie == "hangs" else Reason.BROKEN_ZIP)
    assert all(path.is_file() and not path.is_symlink() and path.stat().st_nlink == 1 for path in target.iterdir())
    assert not worker.folder.exists()
    assert zip_archive._idle == []


@only_linux
@pytest.mark.parametrize("lie", captured_child.LIES)
def test_hostile_13_what_the_reader_of_json_claims_is_looked_at(lie, tmp_path, monkeypatch):
    child = Child(CAPTURED, (str(tmp_path),), 3.0)
    monkeypatch.setattr(json_text, "_child", child)
    asked = child.ask
    monkeypatch.setattr(child, "ask", lambda header, data, **named: asked({"lie": lie}, b"", **named))
    try:
        with pytest.raises(ValueError):  # noqa: PT011  # whichever the lie comes to
            parse_json(" " * (2 << 20) + "1")
    finally:
        child.close()


@pytest.mark.parametrize(
    "value",
    [
        [{"00080018": {"vr": "UI", "Value": [f"1.2.{n}"]}, "名": '张\ud800\x7f\n"\\'} for n in range(20_000)],
        [0.1, 1e300, -0.0, 10**40, True, None, {}, [], "", {"": [[]]}] * 30_000,
        ["😀é" * 20] * 30_000,
    ],
    ids=["a list of images", "numbers", "texts"],
)
def test_hostile_13_long_json_means_what_it_meant(value):
    text = json.dumps(value, ensure_ascii=False)
    assert len(text) > json_text.LONG
    assert parse_json(text) == value
    assert parse_json(json.dumps(value)) == value


@only_linux
def test_hostile_13_a_list_that_is_not_read_in_time_is_named_so(tmp_path, monkeypatch):
    """A busy computer made of it that the site gives no JSON, and of a list in a page that there is no viewer."""
    child = Child(CAPTURED, (str(tmp_path),), 1.0)
    monkeypatch.setattr(json_text, "_child", child)
    asked = child.ask
    monkeypatch.setattr(child, "ask", lambda header, data, **named: asked({"lie": "hangs"}, b"", **named))
    body = b"[1]" + b" " * (2 << 20)
    try:
        with pytest.raises(ListNotReadInTime) as caught:
            read_json(body, "https://film.test/api/list")
        for language in Language:
            assert "film.test" in describe(caught.value, language)
        with pytest.raises(NotCheckedInTime):
            j2k_json.tags(body)
        (piece,) = Recogniser(lambda: tmp_path / "piece").scan(body, "application/json")
        assert piece == BrokenPackage(Reason.NOT_READ_IN_TIME)
    finally:
        child.close()


def test_hostile_13_the_last_of_a_key_counts_in_long_json_too():
    assert parse_json('{"a": 1, "b": NaN, "a": 2}' + " " * (2 << 20))["a"] == 2


@pytest.mark.parametrize(
    "text",
    ["[" * 2_000_000, "[1," + " " * 2_000_000, '"' + "a" * 2_000_000, "x" * 2_000_000, "9" * 2_000_000],
    ids=["a nest", "cut short", "an open text", "none", "a number without end"],
)
def test_hostile_13_long_json_that_is_none_is_refused(text):
    with pytest.raises((ValueError, RecursionError)):
        parse_json(text)
    assert parse_json("[1]" + " " * (2 << 20)) == [1]


@only_linux
def test_hostile_13_an_archive_is_not_opened_here(tmp_path, monkeypatch):
    """With the library broken in this process, archives are unpacked all the same."""
    image = chest_ct(slices=1, size=64).images[0].data
    path = archive_of(tmp_path, ("a.dcm", image), ("b.txt", b"text"))

    def opened(*_: object, **__: object) -> None:
        raise AssertionError("opened in our own process")

    monkeypatch.setattr(zipfile.ZipFile, "__init__", opened)
    members = list(zip_archive.unpack(path, tmp_path / "out"))
    monkeypatch.undo()
    assert [member.path is not None for member in members] == [True, False]
    assert members[0].path is not None
    assert members[0].path.read_bytes() == image


def test_hostile_13_one_child_takes_one_archive_after_another(tmp_path):
    image = chest_ct(slices=1, size=64).images[0].data
    path = archive_of(tmp_path, ("a.dcm", image))
    list(zip_archive.unpack(path, tmp_path / "0"))
    (worker,) = zip_archive._idle
    for number in range(1, 4):
        assert len(list(zip_archive.unpack(path, tmp_path / str(number)))) == 1
    assert zip_archive._idle == [worker]
    assert list(worker.folder.iterdir()) == []


def test_hostile_13_who_stops_in_the_middle_ends_the_child(tmp_path):
    image = chest_ct(slices=1, size=64).images[0].data
    path = archive_of(tmp_path, *((f"{number}.dcm", image) for number in range(20)))
    members = zip_archive.unpack(path, tmp_path / "out")
    assert next(members).path == tmp_path / "out" / "000001"
    members.close()  # type: ignore[attr-defined]
    assert zip_archive._idle == []


def test_hostile_13_unpacking_leaves_the_reserve_free(tmp_path, monkeypatch):
    monkeypatch.setattr(zip_archive, "RESERVE_BYTES", 1 << 60)
    monkeypatch.setattr(zip_archive, "PROGRAM", CAPTURED)
    worker = zip_archive._Worker()
    (worker.folder.parent / "lie").write_text("hangs")
    zip_archive._idle.append(worker)
    with pytest.raises(DiskFull):
        list(zip_archive.unpack(archive_of(tmp_path, ("a", b"b")), tmp_path / "out"))


@only_linux
def test_hostile_13_codecs_are_behind_the_fences(tmp_path):
    process = CodecProcess()
    process._child.close()
    process._child = Child(CAPTURED, ("", str(tmp_path / "outside")), 30)
    try:
        reached = process.ask("png", {}, b"")
    finally:
        process.close()
    assert reached is not None
    assert set(json.loads(reached).values()) == {"refused"}


@only_linux
def test_hostile_13_a_codec_that_dies_or_hangs_is_no_answer(tmp_path):
    process = CodecProcess()
    process._child = Child(CAPTURED, ("", ""), 3.0)
    try:
        for lie in ("dies", "hangs", "more bytes than may come", "a list in place of a message"):
            assert process.ask("png", {"lie": lie}, b"") is None
    finally:
        process.close()


def test_hostile_13_a_lost_child_says_so():
    child = Child("tests.security.no_such_module", (), 30)
    with pytest.raises(ChildLost):
        list(child.ask({}))
    child.close()


def test_hostile_13_pictures_in_a_zip_are_named_as_such(tmp_path):
    path = archive_of(tmp_path, ("a.pdf", b"%PDF-1.4 " + bytes(200)))
    with pytest.raises(zip_archive.NotAnImage):
        zip_archive.only_object(path, tmp_path / "into")
    out = io.BytesIO(path.read_bytes())
    assert zipfile.is_zipfile(out)


@only_linux
def test_hostile_13_a_tar_is_not_opened_here(tmp_path, monkeypatch):
    path, existing = tmp_path / "a.tar", tmp_path / "kept"
    existing.write_bytes(b"as it was")
    with tarfile.open(path, "w") as archive:
        for name, data in (("../kept", b"worse"), ("/etc/cloudfilm-test", b"worse"), ("a.dcm", b"image")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)

    def opened(*_: object, **__: object) -> None:
        raise AssertionError("opened in our own process")

    monkeypatch.setattr(tarfile.TarFile, "__init__", opened)
    found = [(file.parent, file.read_bytes()) for file in zip_archive.tar_files(path, tmp_path / "out")]
    monkeypatch.undo()
    assert found == [(tmp_path / "out", data) for data in (b"worse", b"worse", b"image")]
    assert existing.read_bytes() == b"as it was"
    whole = path.read_bytes()
    damaged = whole[:1024] + bytes(byte ^ 1 for byte in whole[1024:1536]) + whole[1536:]
    for number, body in enumerate(
        (whole[:700], whole[:1024], whole[:1100], damaged)
    ):  # within a file, before and in a header
        path.write_bytes(body)
        with pytest.raises(CorruptInstance, match="broken-tar"):
            list(zip_archive.tar_files(path, tmp_path / f"broken-{number}"))


def test_hostile_13_only_a_child_that_works_gets_more_time_than_its_own():
    """It may be a busy computer's doing: a child that does nothing is ended, and so is one that had the processor."""
    child = Child(CAPTURED, patience_s=2.0)
    with pytest.raises(ChildLate):
        list(child.ask({"lie": "hangs"}))
    try:
        assert list(child.ask({"starved": True})) == [({"end": True, "length": 0}, b"")]
    finally:
        child.close()
