"""NIfTI by dcm2niix, which handles the vendors' differences in slopes, tilts, phases and b-values."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from pydicom.datadict import dictionary_VR, keyword_for_tag

from scraper.core.errors import UsageError
from scraper.core.model import Problem
from scraper.core.reasons import Reason
from scraper.dicom import charset, structure
from scraper.dicom.elements import declared_charset
from scraper.export.gather import InstanceFile, LeftOut, by_series, problems_of
from scraper.isolation import other_program
from scraper.isolation.own_program import NO_CONSOLE
from scraper.verify import is_image

_TIMEOUT_S: Final = 1800
# Bytes that the converter may have: it holds a series' whole volume, unpacked, and 30 MB (measured: 2,000 slices of 512 x 512,
# 1,000 MB, take 1,030 MB). The volume is compressed here, piece by piece: the converter would hold it once more. Of a tilted
# gantry it makes a second volume (2,335 MB for those 2,000), which only files of that size may have it do.
_MEMORY: Final = 1200 << 20
_MEMORY_PER_BYTE: Final = 2.4  # of the files, where that is more
_MEMORY_PER_PACKED_BYTE: Final = 4.0  # packed without loss, images take a third of their volume
_MEMORY_BESIDE: Final = 64 << 20
_MOST_MEMORY: Final = 6000 << 20
_PIECE: Final = 1 << 20
_LEVEL: Final = 6  # of compression
_UNSAFE: Final = re.compile(r"[^\w.\-]+")
# what it says of the files: how many became a volume, and which it could not use
_TAKEN: Final = re.compile(r"^Convert (\d+) DICOM", re.MULTILINE)
_REFUSED: Final = re.compile(  # a line without a file is passed over as a whole
    r"(?:Skipping|Unable|Error|Unsupported)(?:.*?[\\/](\d{5})\.dcm|.*+)"
)


def converter() -> str:
    """Path of the converter: from its wheel, else from ``PATH``.

    Raises:
        UsageError: it is not installed.
    """
    if find_spec("dcm2niix") is not None:
        import dcm2niix  # type: ignore[import-untyped]  # no types in the wheel

        return str(dcm2niix.bin)
    found = shutil.which("dcm2niix")
    if found is None:
        raise UsageError("NIfTI needs the converter dcm2niix: pip install dcm2niix")
    return found


def nifti(listed: Iterable[InstanceFile], made: Path, damaged: Collection[str] = ()) -> tuple[int, list[Problem]]:
    """Write one folder for each series with ``.nii.gz`` files and their JSON (without the patient's name).

    Args:
        listed: the instances.
        made: the folder to make.
        damaged: names of files to withhold: a single one makes the converter give up its whole series.
    """
    program = converter()
    left_out: list[LeftOut] = []
    made.mkdir()
    for name, members in by_series(listed).items():
        pictured = [
            member for member in members if member.header.rows is not None or is_image(member.header.sop_class_uid)
        ]
        left_out += [
            LeftOut(member.name, Reason.NO_PIXELS, is_loss=False) for member in members if member not in pictured
        ]
        left_out += [LeftOut(item.name, Reason.DAMAGED_FILE) for item in pictured if item.name in damaged]
        sound = [item for item in pictured if item.name not in damaged]
        if sound:
            left_out += _converted(program, sound, made, made / name)
    return sum(1 for _ in made.rglob("*.nii.gz")), problems_of(left_out)


def _converted(program: str, members: Sequence[InstanceFile], made: Path, out: Path) -> list[LeftOut]:
    """Convert one series; returns what the converter refused, or the whole series where it made none or too few."""
    with tempfile.TemporaryDirectory(dir=made.parent) as inside, tempfile.TemporaryDirectory(dir=made.parent) as given:
        for listed in members:
            _link(listed.path, Path(inside) / f"{listed.index:05}.dcm")
        command = [program, "-z", "n", "-b", "y", "-ba", "y", "-f", "%s", "-o", given, inside]
        memory = _memory_for(members)
        why, output = Reason.DCM2NIIX_NO_VOLUME, ""
        try:
            # the folder is ours, no word comes from a file; what reads the files is a program in C++
            ran = subprocess.run(  # noqa: S603
                other_program.fenced(command, Path(given), memory),
                capture_output=True,
                timeout=_TIMEOUT_S,
                check=False,
                env=other_program.environment(Path(given)),
                creationflags=NO_CONSOLE,
            )
            output = ran.stdout.decode("utf-8", "replace")
        except subprocess.TimeoutExpired:
            why = Reason.DCM2NIIX_TIMED_OUT
        out.mkdir(parents=True)
        _take(Path(given), out)
    _mend_texts(out, members[0])
    if not any(out.glob("*.nii.gz")):
        shutil.rmtree(out)
        return [LeftOut(listed.name, why) for listed in members]
    taken = sum(int(count) for count in _TAKEN.findall(output))
    if taken >= len(members):
        return []
    refused = {int(number) for number in _REFUSED.findall(output) if number}
    named = [listed for listed in members if listed.index in refused] or members
    return [LeftOut(listed.name, Reason.DCM2NIIX_TOOK_SOME.of(taken=taken, count=len(members))) for listed in named]


def _memory_for(members: Sequence[InstanceFile]) -> int:
    """Bytes for the conversion of a series."""
    sizes = [(item.path.stat().st_size, item.header.transfer_syntax_uid in structure.NATIVE) for item in members]
    wanted = sum(size * (_MEMORY_PER_BYTE if is_native else _MEMORY_PER_PACKED_BYTE) for size, is_native in sizes)
    return min(max(_MEMORY, _MEMORY_BESIDE + int(wanted)), _MOST_MEMORY)


def _take(given: Path, out: Path) -> None:
    """Take what the converter made: plain files alone, and volumes compressed."""
    for path in sorted(given.iterdir()):
        if path.is_symlink() or not path.is_file():
            continue
        if path.suffix != ".nii":
            shutil.move(path, out / path.name)
            continue
        with (
            path.open("rb") as volume,
            (out / f"{path.name}.gz").open("wb") as packed,
            gzip.GzipFile("", "wb", _LEVEL, packed, mtime=0) as zipped,
        ):
            shutil.copyfileobj(volume, zipped, _PIECE)
        path.unlink()


def _mend_texts(out: Path, first: InstanceFile) -> None:
    """Name files after the series' description and mend the sidecars' texts: dcm2niix reads all as Latin-1."""
    texts = _texts(first.path)
    words = _UNSAFE.sub("_", texts.get("SeriesDescription", ""))[:40].strip("._")
    number = str(first.header.series_number or 0)
    for path in sorted(out.iterdir()):
        if path.suffix == ".json":
            _mend_sidecar(path, texts)
        head, tail = path.name[: len(number)], path.name[len(number) :]
        if words and head == number and tail[:1] in ("_", "."):
            path.rename(path.with_name(f"{number}_{words}{tail}"))


def _texts(path: Path) -> dict[str, str]:
    """Keyword → text of a file's values that are not ASCII, decoded."""
    with structure.mapped(path) as data:
        layout = structure.part10(data)
        declared = declared_charset(layout)
        found = {
            keyword: layout.value(tag)
            for tag in layout.elements
            if (keyword := keyword_for_tag(tag)) and dictionary_VR(tag) in ("LO", "SH", "ST", "LT")
        }
        layout.data = b""  # the map is about to be closed
    guessed = charset.suspect(list(found.values()), declared)
    return {keyword: charset.decode(value, declared, guessed).strip("\0 ") for keyword, value in found.items()}


def _mend_sidecar(path: Path, texts: Mapping[str, str]) -> None:
    """Put the decoded values in the place of those that are no ASCII."""
    try:
        sidecar = json.loads(path.read_bytes().decode("utf-8", "replace"))
    except ValueError:
        return
    for keyword, value in sidecar.items():
        if isinstance(value, str) and not value.isascii() and keyword in texts:
            sidecar[keyword] = texts[keyword]
    path.write_text(json.dumps(sidecar, ensure_ascii=False, indent="\t") + "\n", encoding="utf-8")


def _link(path: Path, link: Path) -> None:
    """Hard-link a file, or copy it where the disk has no links."""
    try:
        link.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, link)
