"""The disk: safe names, whole files, resuming after any interruption, two processes on one study."""

import asyncio
import contextlib
import hashlib
import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from scraper.core.errors import InstanceConflict, NotWritable
from scraper.core.model import Header, Origin, Saved, Study
from scraper.store import naming
from scraper.store import place as store
from scraper.store.place import StudyStore

STUDY = Study("1.2.3", "20260108", "CT", "胸部CT平扫", "张三")


def header(number: int, study: str = "1.2.3") -> Header:
    return Header(f"1.2.3.{number}", "1.2.840.10008.5.1.4.1.1.2", "1.2.3.0", study, "1.2.840.10008.1.2.1")


def keep(place: StudyStore, number: int, content: bytes | None = None) -> Saved:
    data = content if content is not None else f"slice {number:03d}".encode()
    path = place.incoming(f"k{number}")
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return place.keep(path, header(number), digest, len(data), Origin.ORIGINAL, f"s/k{number}")


def opened(output: Path, key: str = "1.2.3") -> StudyStore:
    output.mkdir(exist_ok=True)
    place = StudyStore(output, key)
    place.load()
    return place


def report(place: StudyStore, placed: dict[str, list[Saved]], status: str = "complete") -> None:
    rows = [
        {
            "sop_instance_uid": saved.header.sop_instance_uid,
            "key": saved.key,
            "sha256": saved.sha256,
            "size": saved.size,
            "origin": saved.origin.value,
            "file": f"{folder}/{saved.path.name}",
        }
        for folder, files in placed.items()
        for saved in files
    ]
    place.write_report({"key": place.key, "status": status, "study": {"uid": "1.2.3"}, "instances_saved": rows})


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("胸部CT平扫", "胸部CT平扫"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("a/b\\c:d*e?f", "a_b_c_d_e_f"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("Wang^Xiao", "Wang Xiao"),
        ("trailing. . ", "trailing"),
        ("bell\x07 and\nline", "bell_ and_line"),
        ("\u202egnp.exe", "_gnp.exe"),
        ("", "else"),
        (" .. ", "else"),
    ],
)
def test_names_are_safe_everywhere(text, name):
    assert naming.safe_name(text, "else") == name


def test_long_names_are_cut_not_refused():
    assert len(naming.safe_name("影" * 500).encode()) <= 240
    assert len(naming.safe_name("x" * 500)) == 80


def test_folder_names_follow_the_contract():
    assert naming.study_folder_name(STUDY) == "20260108_CT_张三_胸部CT平扫"
    assert naming.study_folder_name(Study()) == "study"
    assert naming.series_folder_name(2, "5mm") == "002_5mm"
    assert naming.series_folder_name(None, "") == "000"


def test_places_files_in_order_for_the_owner_alone(tmp_path):
    place = opened(tmp_path / "out")
    files = [keep(place, number) for number in (3, 1, 2)]
    folder, placed = place.place(STUDY, {"002_5mm": files})
    report(place, placed)
    assert [path.name for path in sorted((folder / "002_5mm").iterdir())] == ["00001.dcm", "00002.dcm", "00003.dcm"]
    assert (folder / "002_5mm" / "00001.dcm").read_bytes() == b"slice 003"
    if os.name != "nt":
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "002_5mm").stat().st_mode) == 0o700
    assert [path.name for path in (tmp_path / "out" / ".cloudfilm").iterdir() if path.is_dir()] == []


def test_what_is_there_is_found_by_uid_and_by_key(tmp_path):
    place = opened(tmp_path)
    keep(place, 1)
    again = opened(tmp_path)
    assert again.have("1.2.3.1", "") is not None
    assert again.have("", "s/k1") is not None
    assert again.have("1.2.3.2", "s/k2") is None


def test_a_finished_study_is_found_also_after_it_moved(tmp_path):
    place = opened(tmp_path / "a")
    folder, placed = place.place(STUDY, {"002_5mm": [keep(place, 1)]})
    report(place, placed)
    (tmp_path / "b").mkdir()
    folder.rename(tmp_path / "b" / "renamed by its owner")
    again = opened(tmp_path / "b")
    assert again.was_complete
    found = again.have("1.2.3.1", "")
    assert found is not None
    assert found[0].read_bytes() == b"slice 001"


def test_one_process_finds_a_study_again_under_its_new_folder_and_its_new_key(tmp_path):
    place = opened(tmp_path)
    folder, placed = place.place(STUDY, {"002_5mm": [keep(place, 1)]})
    report(place, placed)
    assert opened(tmp_path).folder == folder
    moved = folder.rename(tmp_path / "renamed by its owner")
    assert opened(tmp_path).folder == moved
    assert opened(tmp_path, "by another link").folder is None
    place = opened(tmp_path)
    place.key = "by another link"
    _, placed = place.place(STUDY, {"002_5mm": [keep(place, 1)]})
    report(place, placed)
    assert opened(tmp_path, "by another link").folder == moved
    (moved / "study.json").unlink()
    assert opened(tmp_path, "by another link").folder is None


def test_equal_bytes_are_skipped_and_other_bytes_refused(tmp_path):
    place = opened(tmp_path)
    first = keep(place, 1)
    assert keep(place, 1).reused
    with pytest.raises(InstanceConflict):
        keep(place, 1, b"other bytes under the same UID")
    assert first.path.read_bytes() == b"slice 001"


def test_two_studies_never_share_a_folder(tmp_path):
    item, two = opened(tmp_path, "1.2.3"), opened(tmp_path, "9.9.9")
    first, placed = item.place(STUDY, {"001": [keep(item, 1)]})
    report(item, placed)
    second, _ = two.place(replace(STUDY, uid="9.9.9"), {"001": [keep(two, 2)]})
    assert first != second
    assert second.name == first.name + "_2"
    third = opened(tmp_path, "7.7.7")
    assert third.place(replace(STUDY, uid="7.7.7"), {})[0].name == first.name + "_3"


def test_a_new_slice_in_the_middle_shifts_the_others_and_loses_none(tmp_path):
    place = opened(tmp_path)
    saved = [keep(place, number) for number in (1, 3)]
    folder, placed = place.place(STUDY, {"001": saved})
    report(place, placed, "incomplete")
    again = opened(tmp_path)
    old = [
        Saved(again.have(f"1.2.3.{n}", "")[0], header(n), "", 9, Origin.ORIGINAL, f"s/k{n}", reused=True)
        for n in (1, 3)
    ]
    again.place(STUDY, {"001": [old[0], keep(again, 2), old[1]]})
    assert [path.read_bytes() for path in sorted((folder / "001").iterdir())] == [
        b"slice 001",
        b"slice 002",
        b"slice 003",
    ]


@pytest.mark.parametrize("stop_after", range(9))
def test_killed_at_any_rename_while_placing(tmp_path, monkeypatch, stop_after):
    place = opened(tmp_path)
    _, placed = place.place(STUDY, {"001": [keep(place, number) for number in (1, 3, 4)]})
    report(place, placed, "incomplete")
    again = opened(tmp_path)
    entries = {
        n: Saved(
            again.have(f"1.2.3.{n}", "")[0],
            header(n),
            hashlib.sha256(f"slice {n:03d}".encode()).hexdigest(),
            9,
            Origin.ORIGINAL,
            f"s/k{n}",
        )
        for n in (1, 3, 4)
    }
    layout = {"001": [entries[1], keep(again, 2), entries[3], entries[4]]}
    real, count = Path.replace, iter(range(100))

    def dies(self, target):
        if next(count) >= stop_after:
            raise KeyboardInterrupt
        return real(self, target)

    monkeypatch.setattr(Path, "replace", dies)
    with contextlib.suppress(KeyboardInterrupt):
        again.place(STUDY, layout)
    monkeypatch.undo()
    third = opened(tmp_path)
    for number in (1, 2, 3, 4):
        found = third.have(f"1.2.3.{number}", "")
        assert found is not None, f"{number} is lost"
        assert found[0].read_bytes() == f"slice {number:03d}".encode()


def test_half_a_journal_line_and_half_a_file_harm_nothing(tmp_path):
    place = opened(tmp_path)
    keep(place, 1)
    state = next(path for path in (tmp_path / ".cloudfilm").iterdir() if path.is_dir())
    (state / "abc.part").write_bytes(b"half")
    with (state / "journal.jsonl").open("a") as journal:
        journal.write('{"sop_instance_uid": "1.2.3.2", "ke')
    again = opened(tmp_path)
    assert again.have("1.2.3.1", "") is not None
    assert not (state / "abc.part").exists()


def test_a_report_that_points_outside_is_not_believed(tmp_path):
    (tmp_path / "secret").write_bytes(b"123456789")
    folder = tmp_path / "out" / "study"
    folder.mkdir(parents=True)
    row = {
        "sop_instance_uid": "1.2.3.1",
        "key": "k",
        "sha256": "x",
        "size": 9,
        "origin": "original",
        "file": "../../secret",
    }
    (folder / "study.json").write_text(json.dumps({"key": "1.2.3", "instances_saved": [row]}))
    assert opened(tmp_path / "out").have("1.2.3.1", "") is None


def test_a_strangers_file_is_moved_aside_not_overwritten(tmp_path):
    place = opened(tmp_path)
    folder = tmp_path / "20260108_CT_张三_胸部CT平扫"
    (folder / "001").mkdir(parents=True)
    (folder / "001" / "00001.dcm").write_bytes(b"not ours")
    (folder / "study.json").write_text(json.dumps({"key": "1.2.3", "study": {"uid": "1.2.3"}, "instances_saved": []}))
    place.place(STUDY, {"001": [keep(place, 1)]})
    assert (folder / "001" / "00001.other").read_bytes() == b"not ours"
    assert (folder / "001" / "00001.dcm").read_bytes() == b"slice 001"


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    place = StudyStore(tmp_path / "file", "1.2.3")
    with pytest.raises(NotWritable):
        place.load()


async def test_a_second_process_waits_for_the_first(tmp_path):
    events, order = [], []

    async def item(name: str) -> None:
        async with store.opened(tmp_path, "1.2.3", lambda: events.append(name)):
            order.append(f"{name} in")
            await asyncio.sleep(0.05)
            order.append(f"{name} out")

    await asyncio.gather(item("a"), item("b"))
    assert order in (["a in", "a out", "b in", "b out"], ["b in", "b out", "a in", "a out"])
    assert len(events) == 1
