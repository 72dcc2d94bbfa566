"""What lies on the disk: verified and exported with the truth about what is missing or broken."""

import hashlib
import io
import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from fixtures.dicom import JPEG_2000, SyntheticStudy, chest_ct, retagged
from scraper.cli import commands
from scraper.core.messages import catalogue
from scraper.core.settings import Language
from scraper.testing import first_of
from tests.programs import environment, ran

SHARED = Path(__file__).parents[2] / "shared" / "dicom"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/dicom next to the repository")
STUDY = chest_ct(slices=12, size=64, localizers=0)
TARGETS = ("zip", "dicomdir", "png", "jpg")


def saved(folder: Path, study: SyntheticStudy = STUDY, **changed: object) -> Path:
    """The study as ``grab`` leaves it, with its ``study.json``."""
    rows, files = [], []
    for series in study.series:
        place = folder / f"{series.number:03}_series"
        place.mkdir(parents=True)
        for index, instance in enumerate(series.instances, start=1):
            (place / f"{index:05}.dcm").write_bytes(instance.data)
            files.append(
                {
                    "sop_instance_uid": instance.sop_instance_uid,
                    "series_instance_uid": series.uid,
                    "file": f"{place.name}/{index:05}.dcm",
                    "sha256": hashlib.sha256(instance.data).hexdigest(),
                    "size": len(instance.data),
                    "origin": "original",
                    "transfer_syntax_uid": "",
                    "key": "",
                    "problems": [],
                }
            )
        rows.append(
            {
                "uid": series.uid,
                "number": series.number,
                "description": series.description,
                "modality": series.modality,
                "expected": len(series.instances),
                "saved": len(series.instances),
                "origin": "original",
                "status": "ok",
                "problems": [],
            }
        )
    report = {
        "schema": 1,
        "key": "key",
        "status": "complete",
        "exit_code": 0,
        "series": rows,
        "problems": [],
        "study": {
            "uid": study.study_instance_uid,
            "date": study.date,
            "modality": "CT",
            "description": "",
            "patient_name": "",
        },
        "instances": {"expected": len(files), "saved": len(files), "reused": 0, "failed": 0},
        "instances_saved": files,
        **changed,
    }
    (folder / "study.json").write_text(json.dumps(report), encoding="utf-8")
    return folder


@pytest.fixture
def folder(tmp_path):
    return saved(tmp_path / "study")


class Output:
    """What a command printed, and its code."""

    def __init__(self, capsys, *words: object) -> None:
        capsys.readouterr()
        self.code = commands.run([str(word) for word in words])
        printed = capsys.readouterr()
        self.out, self.err = printed.out, printed.err

    @property
    def json(self) -> dict:
        return json.loads(self.out)

    @property
    def codes(self) -> dict[str, list[str]]:
        rows = [*self.json["problems"], *(item for row in self.json.get("series", ()) for item in row["problems"])]
        found: dict[str, list[str]] = {}
        for row in rows:
            found.setdefault(row["code"], []).extend(row["instances"])
        return found


@pytest.fixture
def run(capsys):
    return lambda *words: Output(capsys, *words)


# ---- A5: verify has sentences of its own


def damage(folder: Path) -> None:
    (folder / "002_series" / "00003.dcm").unlink()
    cut = folder / "002_series" / "00007.dcm"
    cut.write_bytes(cut.read_bytes()[:5000])
    (folder / "002_series" / "00009.dcm").write_bytes(b"<html>502</html>")


def test_verdicts_a5_a_whole_study_is_counted_by_its_own_report(folder, run):
    output = run("verify", folder, "--lang", "en")
    assert output.code == 0
    assert "13 of 13" in output.out
    assert "already" not in output.out


def test_verdicts_a5_what_is_missing_or_broken_is_named_by_path(folder, run):
    damage(folder)
    output = run("verify", folder, "--json")
    assert (output.code, output.json["instances"]["expected"], output.json["instances"]["saved"]) == (7, 13, 11)
    assert output.codes["missing-files"] == ["002_series/00003.dcm"]
    assert output.codes["truncated"] == output.codes["changed-since-saved"] == ["002_series/00007.dcm"]
    assert output.codes["unreadable"] == ["002_series/00009.dcm"]
    words = run("verify", folder, "--lang", "en").out.replace("\n", " ")
    assert "11 of 13" in words
    for name in ("00003", "00007", "00009"):
        assert f"002_series/{name}.dcm" in words
    assert STUDY.series[0].instances[6].sop_instance_uid not in words


@pytest.mark.parametrize("language", ["en", "zh"])
def test_verdicts_a5_verify_never_speaks_of_fetching(folder, run, language):
    damage(folder)
    output = run("verify", folder, "--lang", language).out
    assert not re.search(r"same command|[Ff]etch|already|同一命令|其中 \d+ 幅原已存在", output)


def test_verdicts_a5_no_advice_for_files_on_the_disk_is_to_fetch():
    only_fetched = {"fetch-failed", "conflicting-bytes", "package-broken", "missing-series"}
    advice = re.compile(
        r"same command|[Ff]etch (it|them|the)|Grab|grab again|Run (again|grab)|再次运行同一命令|重新运行"
    )
    problems = {
        name.removeprefix("problem."): entry for name, entry in catalogue().items() if name.startswith("problem.")
    }
    hints = {
        (code, language): entry.get(f"hint_folder_{language.value}", entry[f"hint_{language.value}"])
        for code, entry in problems.items()
        if code not in only_fetched and entry.get("hint_en")
        for language in Language
    }
    assert len(hints) > 20
    assert [key for key, hint in hints.items() if advice.search(hint)] == []


def test_verdicts_a5_the_tool_s_own_files_are_not_foreign(folder, run):
    for name in ("report.html", "cloudfilm-diagnostic-20260101-010101.json", "index.html", "report.csv"):
        (folder / name).write_text("<html></html>", encoding="utf-8")
    made = run("export", folder, "--to", "dicomdir", "-o", folder / "disc")
    assert made.code == 0
    output = run("verify", folder, "--json")
    assert "not-dicom" not in output.codes
    (folder / "viewer.exe").write_bytes(b"MZ" + bytes(400))
    assert "not-dicom" in run("verify", folder, "--json").codes


def test_verdicts_a5_a_zip_of_the_folder_says_the_same(folder, tmp_path, run):
    damage(folder)
    packed = tmp_path / "packed.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(tmp_path).as_posix())
    output = run("verify", packed, "--json")
    assert (output.code, output.json["instances"]["expected"], output.json["instances"]["saved"]) == (7, 13, 11)
    assert output.codes["missing-files"] == ["study/002_series/00003.dcm"]
    assert output.codes["unreadable"] == ["study/002_series/00009.dcm"]


def test_verdicts_a5_a_folder_of_studies_is_judged_by_each_one_s_report(tmp_path, run):
    other = chest_ct(slices=5, size=32, seed=4, localizers=0, dose_report=False)
    saved(tmp_path / "all" / "one")
    saved(tmp_path / "all" / "two", other)
    (tmp_path / "all" / "two" / "002_series" / "00002.dcm").unlink()
    output = run("verify", tmp_path / "all", "--json")
    assert (output.code, output.json["instances"]["expected"], output.json["instances"]["saved"]) == (7, 18, 17)
    assert output.codes["missing-files"] == ["two/002_series/00002.dcm"]


def test_verdicts_a5_a_series_that_is_gone_stays_expected(folder, run):
    shutil.rmtree(folder / "999_series")
    output = run("verify", folder, "--json")
    assert output.code == 7
    assert [(row["expected"], row["saved"]) for row in output.json["series"]] == [(12, 12), (1, 0)]


def test_verdicts_a5_a_study_that_was_incomplete_when_saved_is_not_called_complete(tmp_path, run):
    report = {
        "status": "incomplete",
        "exit_code": 7,
        "instances": {"expected": None, "saved": 13, "reused": 0, "failed": 0},
        "problems": [{"code": "judged-by-sight", "message": "…", "instances": []}],
    }
    folder = saved(tmp_path / "study", **report)
    document = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    for row in document["series"]:
        row["expected"] = None
    (folder / "study.json").write_text(json.dumps(document), encoding="utf-8")
    output = run("verify", folder, "--json")
    assert output.code == 7
    assert "known-incomplete" in output.codes
    assert "judged-by-sight" in output.out


def test_verdicts_a5_more_than_its_series_were_announced(tmp_path, run):
    counts = {"expected": 20, "saved": 13, "reused": 0, "failed": 0}
    output = run("verify", saved(tmp_path / "study", instances=counts), "--json")
    assert (output.code, output.json["instances"]["expected"]) == (7, 20)


# ---- A3: an export tells what the study lacks


@pytest.mark.parametrize("target", first_of(TARGETS))
def test_verdicts_a3_a_damaged_study_is_exported_with_the_truth(folder, tmp_path, run, target):
    damage(folder)
    output = run("export", folder, "--to", target, "-o", tmp_path / "out", "--lang", "en")
    assert output.code == 7
    sentence = output.err.strip().splitlines()[-1]
    assert "not whole" in sentence
    assert "11 of 13" in sentence
    for name in ("00003", "00007", "00009"):
        assert f"002_series/{name}.dcm" in sentence
    assert (tmp_path / "out").exists()
    output = run("export", folder, "--to", target, "-o", tmp_path / "again", "--json", "--lang", "en")
    assert (output.json["status"], output.json["exit_code"], output.code) == ("incomplete", 7, 7)
    assert "002_series/00009.dcm" in output.codes["export-skipped"]


@pytest.mark.parametrize("target", first_of(TARGETS))
def test_verdicts_a3_a_whole_study_is_exported_without_a_word(tmp_path, run, target):
    study = chest_ct(slices=5, size=32, localizers=0, dose_report=False, syntax=JPEG_2000)
    output = run("export", saved(tmp_path / "study", study), "--to", target, "-o", tmp_path / "out")
    assert (output.code, output.err) == (0, "")


def test_verdicts_a3_an_export_of_nothing_is_no_success(tmp_path, run):
    report = tmp_path / "study" / "report.dcm"
    report.parent.mkdir()
    report.write_bytes(STUDY.series[-1].instances[0].data)
    output = run("export", report.parent, "--to", "png", "-o", tmp_path / "out", "--lang", "en")
    assert output.code == 7
    assert "report.dcm" in output.err
    assert "no pixels" in output.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", first_of(["png", "jpg"]))
def test_verdicts_a3_an_image_left_out_is_no_success(tmp_path, run, target):
    study = chest_ct(slices=5, size=32, localizers=0, dose_report=False, syntax=JPEG_2000)
    folder = saved(tmp_path / "study", study)
    path = folder / "002_series" / "00002.dcm"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"\xff\x52\x00", b"\xff\x00\x00", 1))  # its codestream's COD marker
    (folder / "study.json").unlink()
    output = run("export", folder, "--to", target, "-o", tmp_path / "out", "--json")
    assert output.code == 7
    assert output.codes["export-skipped"] == ["002_series/00002.dcm"]


def test_verdicts_a3_nifti_names_what_it_leaves_out(folder, tmp_path, run):
    pytest.importorskip("dcm2niix", reason="dcm2niix is not installed")
    output = run("export", folder, "--to", "nifti", "-o", tmp_path / "out", "--json")
    assert output.code == 0
    assert output.codes["export-skipped"] == ["999_series/00001.dcm"]


def test_verdicts_a3_one_damaged_file_does_not_cost_a_volume(folder, tmp_path, run):
    pytest.importorskip("dcm2niix", reason="dcm2niix is not installed")
    cut = folder / "002_series" / "00012.dcm"
    cut.write_bytes(cut.read_bytes()[:5000])
    output = run("export", folder, "--to", "nifti", "-o", tmp_path / "out", "--json")
    assert (output.code, output.json["files"]) == (7, 1)
    assert "002_series/00012.dcm" in output.codes["export-skipped"]


# ---- A4: what goes onto a disc


def odd_files(folder: Path) -> dict[str, bytes]:
    """Files that lack what a directory record must hold, or share what must be their own."""
    axial = STUDY.series[0].instances
    made = {
        "no-id.dcm": retagged(axial[0], PatientID=""),
        "no-date.dcm": retagged(axial[1], StudyDate="", StudyTime="", SeriesDate="", StudyID=""),
        "one-uid.dcm": retagged(axial[2], ImageComments="first"),
        "one-uid-again.dcm": retagged(axial[2], ImageComments="second"),
        "one-uid-once-more.dcm": retagged(axial[2], ImageComments="third"),
        "no-numbers.dcm": retagged(axial[3], SeriesNumber=None, InstanceNumber=None),
        "a file of a very long name with blanks.dcm": axial[4].data,
        "chinese.dcm": retagged(axial[5], PatientID="另一个", PatientName="王^誠"),
        "report.dcm": STUDY.series[-1].instances[0].data,
    }
    without = pydicom.dcmread(io.BytesIO(axial[6].data))
    for keyword in ("PatientName", "PatientID", "StudyID", "StudyDate", "AccessionNumber", "SeriesNumber", "Modality"):
        delattr(without, keyword)
    out = io.BytesIO()
    without.save_as(out, enforce_file_format=True)
    made["nothing-at-all.dcm"] = out.getvalue()
    folder.mkdir()
    for name, data in made.items():
        (folder / name).write_bytes(data)
    return made


def on_the_disc(disc: Path) -> dict[Path, Dataset]:
    records = pydicom.dcmread(disc / "DICOMDIR").DirectoryRecordSequence
    return {disc.joinpath(*record.ReferencedFileID): record for record in records if "ReferencedFileID" in record}


def test_verdicts_a4_files_that_lack_keys_or_share_a_uid_go_onto_a_disc(tmp_path, run):
    made = odd_files(tmp_path / "study")
    output = run("export", tmp_path / "study", "--to", "dicomdir", "-o", tmp_path / "disc", "--json")
    assert output.json["files"] == len(made)
    assert "export-skipped" not in output.codes
    assert "nothing-at-all.dcm" in output.codes["directory-completed"]
    found = on_the_disc(tmp_path / "disc")
    assert sorted(path.read_bytes() for path in found) == sorted(made.values()), "no file is changed"
    assert all(
        re.fullmatch(r"[A-Z0-9_]{1,8}", part) for path in found for part in path.relative_to(tmp_path / "disc").parts
    )
    records = pydicom.dcmread(tmp_path / "disc" / "DICOMDIR").DirectoryRecordSequence
    must = {
        "PATIENT": ("PatientID",),
        "STUDY": ("StudyDate", "StudyTime", "StudyInstanceUID", "StudyID"),
        "SERIES": ("Modality", "SeriesInstanceUID", "SeriesNumber"),
        "IMAGE": ("InstanceNumber",),
    }
    for record in records:
        for keyword in must.get(record.DirectoryRecordType, ()):
            assert str(record[keyword].value), (record.DirectoryRecordType, keyword)


def readers(disc: Path, files: int) -> None:
    """Other programs read the directory and find every file."""
    for program, *words in (("dcmdump", "-q", "+E"), ("gdcmdump", "-i")):
        if shutil.which(program):
            shown = subprocess.run([program, *words, disc / "DICOMDIR"], capture_output=True, check=False)
            assert shown.returncode == 0
            assert shown.stdout.count(b"(0004,1500)") == files
            assert b"E: " not in shown.stderr
    if shutil.which("dcmmkdir"):
        written = (disc / "DICOMDIR").read_bytes()
        names = [path.relative_to(disc).as_posix() for path in on_the_disc(disc)]
        command = ["dcmmkdir", "+A", "+I", "-Nxc", "-Nec", "-Nrc", "+Nrs", "+D", "DICOMDIR", *names]
        output = subprocess.run(command, cwd=disc, capture_output=True, check=False)
        assert output.returncode == 0, output.stderr
        known = len(re.findall(rb"already exists|inconsistent with existing", output.stderr))
        assert known, "it takes our records for its own"
        assert len(on_the_disc(disc)) == files
        (disc / "DICOMDIR").write_bytes(written)


def test_verdicts_a4_other_programs_read_the_disc(tmp_path, run):
    made = odd_files(tmp_path / "study")
    run("export", tmp_path / "study", "--to", "dicomdir", "-o", tmp_path / "disc")
    readers(tmp_path / "disc", len(made))


@pytest.mark.thorough
def test_verdicts_a4_a_deidentified_disc_holds_every_image(folder, tmp_path, run):
    output = run("export", folder, "--to", "dicomdir", "--deidentify", "-o", tmp_path / "disc", "--json")
    assert (output.code, output.json["files"]) == (0, 12)
    found = on_the_disc(tmp_path / "disc")
    assert len(found) == 12
    ids = {str(pydicom.dcmread(path).PatientID) for path in found}
    records = pydicom.dcmread(tmp_path / "disc" / "DICOMDIR").DirectoryRecordSequence
    assert ids == {str(record.PatientID) for record in records if record.DirectoryRecordType == "PATIENT"}
    assert len(ids) == 1
    assert "" not in ids
    assert STUDY.patient_id not in ids
    assert "测试".encode() not in (tmp_path / "disc" / "DICOMDIR").read_bytes()


def test_verdicts_a4_a_patient_named_within_a_sequence_does_not_empty_the_disc(tmp_path, run):
    group, request = Dataset(), Dataset()
    group.PatientID, group.IssuerOfPatientID = STUDY.patient_id, "hospital"
    request.AccessionNumber = STUDY.accession_number
    (tmp_path / "study").mkdir()
    for number, instance in enumerate(STUDY.series[0].instances):
        data = retagged(instance, SourcePatientGroupIdentificationSequence=[group], RequestAttributesSequence=[request])
        (tmp_path / "study" / f"{number}.dcm").write_bytes(data)
    output = run("export", tmp_path / "study", "--to", "dicomdir", "--deidentify", "-o", tmp_path / "disc", "--json")
    assert (output.code, output.json["files"]) == (0, 12)
    assert not any(STUDY.patient_id.encode() in path.read_bytes() for path in on_the_disc(tmp_path / "disc"))


@needs_shared
@pytest.mark.parametrize("case", first_of(["mr-axial-128", "mr-multiecho-ge", "ts-ct"]))
@pytest.mark.thorough
def test_verdicts_a4_deidentified_real_series_go_onto_a_disc(case, tmp_path, run):
    output = run("export", SHARED / case, "--to", "dicomdir", "--deidentify", "-o", tmp_path / "disc", "--json")
    left_out = [problem for problem in output.json["problems"] if problem["code"] == "identity-not-removed"]
    # a file whose fragments no table delimits may hold anything between its frames
    count = sum(path.is_file() for path in (SHARED / case).iterdir()) - sum(len(p["instances"]) for p in left_out)
    assert output.json["files"] == count > 0
    readers(tmp_path / "disc", count)


def test_verdicts_a4_a_data_set_without_file_meta_gets_it_on_the_disc(tmp_path, run):
    bare = bare_of(STUDY.series[0].instances[0].data)
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "bare.dcm").write_bytes(bare)
    output = run("export", tmp_path / "study", "--to", "dicomdir", "-o", tmp_path / "disc", "--json")
    assert output.json["files"] == 1
    (path,) = on_the_disc(tmp_path / "disc")
    assert path.read_bytes().endswith(bare)
    assert path.read_bytes()[128:132] == b"DICM"
    assert (tmp_path / "study" / "bare.dcm").read_bytes() == bare


@needs_shared
@pytest.mark.parametrize(
    "case", first_of(["mr-axial-128", "mr-multiecho-ge", "sr-seg", "ts-ct", "charset-pydicom", "sc-rgb"])
)
def test_verdicts_a4_real_series_go_onto_a_disc(case, tmp_path, run):
    output = run("export", SHARED / case, "--to", "dicomdir", "-o", tmp_path / "disc", "--json")
    count = sum(path.is_file() for path in (SHARED / case).iterdir())
    assert output.json["files"] == count
    readers(tmp_path / "disc", count)


@needs_shared
def test_verdicts_a4_what_can_t_go_onto_a_disc_is_named(tmp_path, run):
    output = run("export", SHARED / "malformed", "--to", "dicomdir", "-o", tmp_path / "disc", "--json", "--lang", "en")
    count = sum(path.is_file() for path in (SHARED / "malformed").iterdir())
    left_out = [item for row in output.json["problems"] if row["code"] == "export-skipped" for item in row["instances"]]
    assert output.json["files"] + len(left_out) == count
    assert output.code == 7
    readers(tmp_path / "disc", output.json["files"])


# ---- C23: a DICOMDIR is a list of what must be there


def bare_of(data: bytes) -> bytes:
    """A Part 10 file's data set alone."""
    length = int.from_bytes(data[140:144], "little")
    return data[144 + length :]


@pytest.fixture
def disc(folder, tmp_path, run):
    assert run("export", folder, "--to", "dicomdir", "-o", tmp_path / "disc").code == 0
    return tmp_path / "disc"


def test_verdicts_c23_a_record_without_its_file_is_missing(disc, run):
    whole = run("verify", disc, "--json")
    assert (whole.code, whole.json["instances"]["expected"]) == (0, 13)
    removed = next(path for path, record in on_the_disc(disc).items() if record.DirectoryRecordType == "IMAGE")
    removed.unlink()
    output = run("verify", disc, "--json")
    assert (output.code, output.json["instances"]["expected"], output.json["instances"]["saved"]) == (7, 13, 12)
    assert output.codes["dicomdir-missing"] == [removed.relative_to(disc).as_posix()]


def test_verdicts_c23_the_last_image_and_a_whole_series_are_missed_too(disc, run):
    report = next(path for path, record in on_the_disc(disc).items() if record.DirectoryRecordType != "IMAGE")
    report.unlink()
    last = max(path for path, record in on_the_disc(disc).items() if record.DirectoryRecordType == "IMAGE")
    last.unlink()
    output = run("verify", disc, "--json")
    assert output.code == 7
    assert (output.json["instances"]["expected"], output.json["instances"]["saved"]) == (13, 11)


@pytest.mark.thorough
def test_verdicts_c23_a_copied_disc_in_lower_case_with_versions_is_whole(disc, tmp_path, run):
    copy = tmp_path / "copy"
    for path in disc.rglob("*"):
        if path.is_file():
            target = copy / (path.relative_to(disc).as_posix().lower() + ";1")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    assert run("verify", copy).code == 0


def test_verdicts_c23_files_that_were_renamed_are_there(disc, tmp_path, run):
    flat = tmp_path / "flat"
    flat.mkdir()
    shutil.copyfile(disc / "DICOMDIR", flat / "DICOMDIR")
    for number, path in enumerate(on_the_disc(disc)):
        shutil.copyfile(path, flat / f"{number}.dcm")
    assert run("verify", flat).code == 0


def test_verdicts_c23_another_patient_s_record_is_named(tmp_path, run):
    other = chest_ct(slices=3, size=32, seed=9, localizers=0, dose_report=False, patient_name="王^五")
    saved(tmp_path / "both" / "one")
    saved(tmp_path / "both" / "two", other)
    run("export", tmp_path / "both", "--to", "dicomdir", "-o", tmp_path / "disc")
    output = run("verify", tmp_path / "disc", "--json")
    assert output.code == 0
    assert len(output.codes["dicomdir-other-patient"]) == 3
    for path in on_the_disc(tmp_path / "disc"):
        if pydicom.dcmread(path).PatientID == other.patient_id:
            path.unlink()
    output = run("verify", tmp_path / "disc", "--json")
    assert output.code == 7
    assert len(output.codes["dicomdir-other-patient"]) == len(output.codes["dicomdir-missing"]) == 3


def test_verdicts_c23_a_directory_that_can_t_be_read_is_told(disc, run):
    data = (disc / "DICOMDIR").read_bytes()
    (disc / "DICOMDIR").write_bytes(data[: len(data) // 2])
    output = run("verify", disc, "--json")
    assert "dicomdir-unreadable" in output.codes or "dicomdir-missing" not in output.codes


# ---- C28: nothing is decoded or encoded in the program's own process

_TRAPS = """
def here(*_, **__):
    print("IN OUR OWN PROCESS")
    raise RuntimeError

import imagecodecs, simplejpeg, PIL.Image
for name in [name for name in dir(imagecodecs) if name.endswith(("_decode", "_encode"))]:
    setattr(imagecodecs, name, here)
simplejpeg.decode_jpeg = here
PIL.Image.open = here
"""


def test_verdicts_c28_pictures_are_decoded_by_other_processes(tmp_path):
    study = chest_ct(slices=3, size=32, localizers=0, dose_report=False, syntax=JPEG_2000)
    folder = saved(tmp_path / "study", study)
    output = ran("export", folder, "--to", "png", "-o", tmp_path / "out", environment=environment(), before=_TRAPS)
    assert output.returncode == 0, output.stderr
    assert b"IN OUR OWN PROCESS" not in output.stdout
    assert len(list((tmp_path / "out").rglob("*.png"))) == 4
