"""Folders and archives as sources of ``grab``, ``list`` and ``verify``: what is in them is verified and placed, byte for byte."""

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import py7zr
import pycdlib
import pytest
import pyzipper
from pydicom.fileset import FileSet

from fixtures.dicom import chest_ct
from scraper.cli import commands
from scraper.testing import first_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

STUDY = chest_ct(slices=5, size=32, localizers=1)
FILES = {
    f"检查/S{series.number}/IM{number:04}.dcm": instance.data
    for series in STUDY.series
    for number, instance in enumerate(series.instances, 1)
}
COUNT = len(FILES)
SECRET = "Kf3-secret"


def run(capsys, *words: object) -> tuple[int, dict]:
    """The command's exit code and its JSON."""
    code = commands.run([*map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out or "{}")


def laid_out(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def zipped(path: Path, files: Mapping[str, bytes], *, name: Callable[[str], str] = str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for inner, data in files.items():
            out.writestr(name(inner), data)


def zipped_with_gbk_names(path: Path, files: Mapping[str, bytes]) -> None:
    """As Windows in China writes them: GBK bytes without the flag for UTF-8."""
    zipped(path, files, name=lambda inner: inner.encode("gbk").decode("cp437", "replace"))


def aes(path: Path, files: Mapping[str, bytes], *, password: str = SECRET) -> None:
    with pyzipper.AESZipFile(path, "w", compression=pyzipper.ZIP_DEFLATED, encryption=pyzipper.WZ_AES) as out:
        out.setpassword(password.encode())
        for inner, data in files.items():
            out.writestr(inner, data)


def seven_zip(
    path: Path, files: Mapping[str, bytes], *, password: str | None = None, is_list_hidden: bool = False
) -> None:
    with py7zr.SevenZipFile(path, "w", password=password, header_encryption=is_list_hidden) as out:
        for inner, data in files.items():
            out.writef(io.BytesIO(data), inner)


def tarred(path: Path, files: Mapping[str, bytes], *, mode: str = "w") -> None:
    with tarfile.open(path, mode) as out:
        for inner, data in files.items():
            member = tarfile.TarInfo(inner)
            member.size = len(data)
            out.addfile(member, io.BytesIO(data))


def tarred_and_zstd(path: Path, files: Mapping[str, bytes]) -> None:
    tarred(path, files)
    path.write_bytes(zstd.compress(path.read_bytes()))


def nested(path: Path, files: Mapping[str, bytes]) -> None:
    zipped(path.with_suffix(".inner"), files)
    tarred(path.with_suffix(".middle"), {"inner.zip": path.with_suffix(".inner").read_bytes()})
    zipped(path, {"middle.tar": path.with_suffix(".middle").read_bytes()})


def disc(path: Path, files: Mapping[str, bytes], **kind: object) -> None:
    image = pycdlib.PyCdlib()
    image.new(interchange_level=1, **kind)
    for number, (inner, data) in enumerate(files.items(), 1):
        iso = "/DICOMDIR.;1" if inner == "DICOMDIR" else f"/IM{number:06}.;1"
        other = {name: f"/image {number}.dcm" for name in ("udf", "joliet") if kind.get(name)}
        image.add_fp(io.BytesIO(data), len(data), iso, **{f"{name}_path": value for name, value in other.items()})
    image.write(str(path))
    image.close()


ARCHIVES = {
    "study.zip": zipped,
    "gbk.zip": zipped_with_gbk_names,
    "study.7z": seven_zip,
    "study.tar": tarred,
    "study.tar.gz": lambda path, files: tarred(path, files, mode="w:gz"),
    "study.tar.zst": tarred_and_zstd,
    "nested.zip": nested,
    "plain.iso": disc,
    "udf.iso": lambda path, files: disc(path, files, udf="2.60"),
    "joliet.iso": lambda path, files: disc(path, files, joliet=3),
    "no-suffix": zipped,
}
LOCKED = {
    "aes.zip": aes,
    "locked.7z": lambda path, files: seven_zip(path, files, password=SECRET),
    "hidden.7z": lambda path, files: seven_zip(path, files, password=SECRET, is_list_hidden=True),
}


def judged_by(document: dict) -> set[str]:
    """The codes that say by what evidence each series is complete."""
    problems = [problem for row in document["series"] for problem in row["problems"]]
    return {problem["code"] for problem in problems if problem["code"].startswith("judged-by-")}


def hashes(folder: Path) -> set[str]:
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.dcm")}


WANTED = {hashlib.sha256(data).hexdigest() for data in FILES.values()}


@pytest.mark.parametrize("name", ARCHIVES)
def test_the_bytes_of_an_archive_are_placed(tmp_path, capsys, name):
    archive = tmp_path / name
    ARCHIVES[name](archive, FILES)
    before = archive.read_bytes()
    code, document = run(capsys, "grab", archive, "-o", tmp_path / "out")
    assert code == 0, document
    assert hashes(tmp_path / "out") == WANTED
    assert (document["provider"], document["via"], document["link"]) == ("files", None, None)
    assert judged_by(document) == {"judged-by-numbers"}
    assert document["instances"] == {"expected": COUNT, "saved": COUNT, "reused": 0, "failed": 0}
    assert archive.read_bytes() == before


def test_a_folder_is_copied_and_stays(tmp_path, capsys):
    folder = laid_out(tmp_path / "from disc", FILES)
    for _ in range(2):
        code, document = run(capsys, "grab", folder, "-o", tmp_path / "out")
        assert code == 0, document
    assert hashes(tmp_path / "out") == hashes(folder) == WANTED
    assert len(list((tmp_path / "out").glob("2*"))) == 1


@pytest.mark.parametrize("name", first_of(LOCKED))
@pytest.mark.parametrize(
    ("given", "code", "error"), [(SECRET, 0, ""), ("wrong", 5, "credentials-refused"), ("", 5, "credentials-required")]
)
def test_an_archive_with_a_password(tmp_path, capsys, name, given, code, error):
    archive = tmp_path / name
    LOCKED[name](archive, FILES)
    answer = ["--answer", f"password={given}"] if given else []
    got, document = run(capsys, "grab", archive, "-o", tmp_path / "out", *answer)
    assert got == code, document
    assert hashes(tmp_path / "out") == (set() if code else WANTED)
    assert error in json.dumps(document)
    assert SECRET not in json.dumps(document)
    if name == "aes.zip":
        assert run(capsys, "verify", archive, *answer)[0] == code


@pytest.mark.skipif(shutil.which("zip") is None, reason="no Info-ZIP here")
@pytest.mark.parametrize(("given", "code"), first_of([(SECRET, 0), ("wrong", 5)]))
def test_zip_crypto_by_another_hand(tmp_path, capsys, given, code):
    laid_out(tmp_path / "files", FILES)
    subprocess.run(["zip", "-q", "-r", "-P", SECRET, "../locked.zip", "."], cwd=tmp_path / "files", check=True)
    got, document = run(capsys, "grab", tmp_path / "locked.zip", "-o", tmp_path / "out", "--password", given)
    assert got == code, document
    assert hashes(tmp_path / "out") == (set() if code else WANTED)


def media(folder: Path) -> Path:
    """The study as a disc holds it, with its DICOMDIR."""
    laid_out(folder / "source", FILES)
    files = FileSet()
    for path in (folder / "source").rglob("*.dcm"):
        files.add(path)
    files.write(folder / "disc")
    files._stage["t"].cleanup()  # pydicom leaves it to the collector, with a warning
    return folder / "disc"


@pytest.mark.parametrize("is_zipped", first_of([False, True]), ids=["folder", "zip"])
def test_a_dicomdir_says_what_is_missing(tmp_path, capsys, is_zipped):
    source = media(tmp_path)
    code, document = run(capsys, "grab", source, "-o", tmp_path / "whole")
    assert (code, document["status"]) == (0, "complete")
    assert judged_by(document) <= {"judged-by-package"}
    lost = next(path for path in source.rglob("*") if path.is_file() and path.name != "DICOMDIR")
    lost.unlink()
    if is_zipped:
        source = Path(shutil.make_archive(str(tmp_path / "disc"), "zip", source))
    code, document = run(capsys, "grab", source, "-o", tmp_path / "out")
    assert (code, document["instances"]["saved"], document["instances"]["expected"]) == (7, COUNT - 1, COUNT)
    assert "dicomdir-missing" in json.dumps(document)


def test_what_nobody_counts_is_incomplete_until_a_person_does(tmp_path, capsys):
    names = list(FILES)
    without_one = {name: FILES[name] for name in names if not name.endswith("IM0002.dcm")}
    archive = tmp_path / "study.zip"
    zipped(archive, without_one)
    code, document = run(capsys, "grab", archive, "-o", tmp_path / "out")
    assert code == 7
    assert "judged-by-sight" in json.dumps(document)


def test_list_shows_the_series_and_saves_nothing(tmp_path, capsys):
    archive = tmp_path / "study.7z"
    seven_zip(archive, FILES)
    code, document = run(capsys, "list", archive)
    assert code == 0, document
    assert {row["uid"]: (row["expected"], row["saved"]) for row in document["series"]} == {
        series.uid: (len(series.instances), 0) for series in STUDY.series
    }
    assert [path.name for path in tmp_path.iterdir()] == ["study.7z"]


@pytest.mark.parametrize("name", first_of(["study.7z", "study.tar.zst", "udf.iso"]))
def test_verify_reads_any_archive(tmp_path, capsys, name):
    archive = tmp_path / name
    ARCHIVES[name](archive, FILES)
    code, document = run(capsys, "verify", archive)
    assert (code, document["instances"]["saved"]) == (0, COUNT)


AUTORUN = {
    "autorun.inf": b"[autorun]\r\nopen=viewer.exe\r\n",
    "viewer.exe": b"MZ" + bytes(99),
    "DATA/P1.PVD": bytes(9999),
}


@pytest.mark.parametrize(
    ("files", "code", "words"),
    [
        pytest.param({"readme.txt": b"nothing here"}, 2, "There is no DICOM file in", id="no DICOM"),
        pytest.param(AUTORUN, 2, "DATA/P1.PVD", id="a viewer's own container"),
    ],
)
def test_an_archive_without_dicom_is_named(tmp_path, capsys, files, code, words):
    archive = tmp_path / "disc.zip"
    zipped(archive, files)
    assert commands.run(["grab", str(archive), "-o", str(tmp_path / "out"), "--lang", "en"]) == code
    assert words in capsys.readouterr().err


def cut(path: Path) -> None:
    zipped(path, FILES)
    path.write_bytes(path.read_bytes()[:-200])


def bomb_in_gzip(path: Path) -> None:
    path.write_bytes(gzip.compress(bytes(2**20)) * 300)  # RFC 1952 2.2: one member after the other is one file


def bomb_in_7z(path: Path) -> None:
    seven_zip(path, {"blank.dcm": bytes(300 * 2**20)})


def noise_in_7z(path: Path) -> None:
    path.write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(range(200)))


def noise_on_disc(path: Path) -> None:
    disc(path, FILES)
    data = bytearray(path.read_bytes())
    data[16 * 2048 + 150 : 16 * 2048 + 190] = b"\xff" * 40
    path.write_bytes(data)


def rar(path: Path) -> None:
    path.write_bytes(b"Rar!\x1a\x07\x01\x00" + bytes(100))


@pytest.mark.parametrize("broken", first_of([cut, bomb_in_gzip, noise_in_7z, noise_on_disc, rar, bomb_in_7z], 5))
def test_a_hostile_archive_is_one_sentence(tmp_path, capsys, broken):
    archive = tmp_path / "archive"
    broken(archive)
    code = commands.run(["grab", str(archive), "-o", str(tmp_path / "out"), "--lang", "en"])
    captured = capsys.readouterr()
    assert code == 2, captured.err
    assert "can't be unpacked" in captured.err
    assert "Traceback" not in captured.err


def test_names_that_climb_out_of_a_folder_stay_in_it(tmp_path, capsys):
    archive = tmp_path / "climbs.tar"
    tarred(archive, {f"../../{name}": data for name, data in FILES.items()})
    code, _ = run(capsys, "grab", archive, "-o", tmp_path / "out")
    assert code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"climbs.tar", "out"}
