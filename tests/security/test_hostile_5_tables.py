"""Row 5: no cell of any table that is written is a formula, and none speaks to a terminal; a list given back means the same.

Row 11: what a program that uses the library exports is its owner's alone, whatever its umask.
"""

import csv
import os
import re
import sys
from pathlib import Path

import pydicom
import pytest

import cloudfilm
from fixtures.dicom import chest_ct
from scraper.batch.input import rows
from scraper.batch.report import needs
from scraper.core.settings import Language
from scraper.send.ledger import NAME, Ledger
from scraper.testing import first_of

FORMULAS = (
    "=cmd|' /C calc'!A0",
    "-1+cmd|' /C calc'!A0",
    "+1+cmd|' /C calc'!A0",
    "@SUM(A1)",
    "＝1+1",
    " =1+1",
    "\t=1+1",
    "\r\n=1+1",
    "x;=1+1",
    "-0.5\\=1+1",
    "1\x1b]52;c;aGk=\x07",
    "a\u202eb",
)
HARMLESS = ("-0.5\\-1.25\\0.75", "-100", "+7", "Thorax 1.0 / B30f", "胸部", "ORIGINAL\\PRIMARY\\AXIAL")


def is_safe(cell: str) -> bool:
    if re.fullmatch(r"[+-]?[0-9.]+", cell):
        return True
    return (
        cell.lstrip()[:1] not in tuple("=+-@＝＋－＠")
        and ";=" not in cell
        and not set(cell) & set("\x1b\x07\u202e\t\r")
    )


def saved(folder: Path, text: str) -> Path:
    folder.mkdir()
    path = folder / "a.dcm"
    path.write_bytes(chest_ct(slices=1, size=16).images[0].data)
    data = pydicom.dcmread(path)
    data.SeriesDescription = data.ProtocolName = data.PatientID = text
    data.save_as(path)
    return folder


@pytest.mark.parametrize("text", first_of(FORMULAS, 3), ids=ascii)
def test_hostile_5_no_cell_of_an_exported_table_is_a_formula(text, tmp_path):
    made = cloudfilm.export(saved(tmp_path / "study", text), "table", tmp_path / "table")
    for name in ("instances.csv", "series.csv"):
        with (made.path / name).open(encoding="utf-8-sig", newline="") as file:
            (row,) = csv.DictReader(file)
        for column in ("SeriesDescription", "ProtocolName", "PatientID"):
            assert is_safe(row[column]), (text, row[column])


@pytest.mark.parametrize("text", FORMULAS, ids=ascii)
def test_hostile_5_each_value_in_a_table_is_made_safe(text):
    from scraper.export.table import _cell

    assert is_safe(str(_cell(text))), text


def test_hostile_5_what_is_no_formula_stays_as_it_is(tmp_path):
    from scraper.export.table import _cell

    assert [_cell(text) for text in HARMLESS] == list(HARMLESS)


@pytest.mark.parametrize("text", [text for text in FORMULAS if text.isprintable()])
def test_hostile_5_a_list_to_fill_in_holds_no_formula_and_reads_as_before(text, tmp_path):
    row = rows.Row(1, "https://film.test/s/1", text.strip(), {}, extra={"ward": text.strip(), text: "x"})
    needs.write(tmp_path / "needs.csv", [(row, "none")], Language.EN)
    with (tmp_path / "needs.csv").open(encoding="utf-8-sig", newline="") as file:
        header, cells = csv.reader(file)
    assert all(is_safe(cell) for cell in (*header, *cells)), cells
    (again,) = rows.read(tmp_path / "needs.csv").rows
    assert again.source == row.source
    assert ";=" in text or again.label == row.label


@pytest.mark.skipif(sys.platform == "win32", reason="the folder's rights decide there")
@pytest.mark.parametrize("target", first_of(["zip", "table", "dicomdir"]))
def test_hostile_11_an_export_of_the_library_is_its_owners_alone(target, tmp_path):
    source = saved(tmp_path / "study", "1")
    before = os.umask(0o022)
    try:
        made = cloudfilm.export(source, target, tmp_path / "out" / "made")
        with Ledger(tmp_path / "data", "archive") as ledger:
            ledger.add("1.2", "a")
            modes = {path.name: path.stat().st_mode & 0o077 for path in (tmp_path / "data").iterdir()}
    finally:
        os.umask(before)
    assert made.path.stat().st_mode & 0o077 == 0
    assert NAME in modes
    assert set(modes.values()) == {0}
