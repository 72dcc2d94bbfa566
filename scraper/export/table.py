"""Tables of a folder: a row an instance and a row a series, with what a researcher asks first. No name of a patient."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pydicom
from pydicom.multival import MultiValue

from scraper.core.model import Problem
from scraper.core.reasons import Reason
from scraper.core.safe_text import csv_cell
from scraper.dicom.elements import PYDICOM_ERRORS, quiet
from scraper.export.companions import sha256_of
from scraper.export.gather import InstanceFile, LeftOut, by_series, problems_of

_TEXTS: Final = (
    "PatientID",
    "PatientSex",
    "PatientAge",
    "StudyInstanceUID",
    "StudyDate",
    "StudyDescription",
    "AccessionNumber",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "Modality",
    "BodyPartExamined",
    "Manufacturer",
    "ManufacturerModelName",
    "ProtocolName",
    "ConvolutionKernel",
    "SliceThickness",
    "SpacingBetweenSlices",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "KVP",
    "XRayTubeCurrent",
    "Exposure",
    "MagneticFieldStrength",
    "RepetitionTime",
    "EchoTime",
    "FlipAngle",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "BitsStored",
    "PhotometricInterpretation",
    "ImageType",
    "ImagePositionPatient",
    "ImageOrientationPatient",
)
_OF_AN_INSTANCE: Final = ("SOPInstanceUID", "SOPClassUID", "InstanceNumber")
_NUMBERS: Final = re.compile(
    r"[+-]?[0-9]+(?:\.[0-9]+)?(?:\\[+-]?[0-9]+(?:\.[0-9]+)?)*"
)  # between backslashes (PS3.5 6.4)
_VARY: Final = frozenset(("ImagePositionPatient", "XRayTubeCurrent", "Exposure"))


def tables(listed: Sequence[InstanceFile], made: Path) -> tuple[int, list[Problem]]:
    """Write ``instances.csv`` and ``series.csv``, and both as Parquet where pyarrow is installed."""
    made.mkdir()
    instances: list[dict[str, str]] = []
    series: list[dict[str, str]] = []
    left_out: list[LeftOut] = []
    for members in by_series(listed).values():
        rows = []
        for item in members:
            try:
                rows.append(_row(item))
            except PYDICOM_ERRORS:
                left_out.append(LeftOut(item.name, Reason.UNREADABLE_FILE))
        instances += rows
        if rows:
            series.append(_of_series(rows))
    count = 0
    for name, table in (("instances", instances), ("series", series)):
        _write_csv(made / f"{name}.csv", table)
        count += 1
        if find_spec("pyarrow") is not None:
            _write_parquet(made / f"{name}.parquet", table)
            count += 1
    return count, problems_of(left_out)


def _row(item: InstanceFile) -> dict[str, str]:
    with quiet():
        ds = pydicom.dcmread(item.path, stop_before_pixels=True)
        values = {name: _values(ds, name) for name in (*_TEXTS, *_OF_AN_INSTANCE)}
        values["TransferSyntaxUID"] = str(ds.file_meta.get("TransferSyntaxUID", ""))
    return {"file": item.name, "sha256": sha256_of(item.path), "bytes": str(item.path.stat().st_size), **values}


def _values(ds: pydicom.Dataset, keyword: str) -> str:
    """Every value of an element, between backslashes as the standard writes them (PS3.5 6.4); empty where there is none."""
    try:
        value = ds.get(keyword)
        several = value if isinstance(value, MultiValue | list) else [] if value is None else [value]
        return "\\".join(str(item).strip("\0 ") for item in several)
    except PYDICOM_ERRORS:  # a value that can't be read is no reason to leave the row out
        return ""


def _of_series(rows: Sequence[dict[str, str]]) -> dict[str, str]:
    """What all instances of a series share; what differs is empty."""
    shared = {
        name: rows[0][name] if len({row[name] for row in rows}) == 1 else "" for name in _TEXTS if name not in _VARY
    }
    syntaxes = sorted({row["TransferSyntaxUID"] for row in rows})
    return {"instances": str(len(rows)), **shared, "TransferSyntaxUID": "\\".join(syntaxes)}


def _write_csv(path: Path, rows: Sequence[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]) if rows else ["file"])
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _cell(value) for name, value in row.items()})


def _cell(value: str) -> str:
    """Numbers as they are, also several of them; any other text as one that no spreadsheet runs."""
    return value if _NUMBERS.fullmatch(value) else csv_cell(value)


def _write_parquet(path: Path, rows: Sequence[dict[str, str]]) -> None:
    import pyarrow  # optional
    from pyarrow import parquet  # optional

    written: Any = pyarrow.Table.from_pylist([dict(row) for row in rows])
    parquet.write_table(written, path)
