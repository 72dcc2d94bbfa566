"""NIfTI by dcm2niix, which handles the vendors' differences in slopes, tilts, phases and b-values."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from scraper.core.errors import UsageError
from scraper.core.model import Problem
from scraper.core.reasons import Reason
from scraper.export.gather import LeftOut, Listed, by_series, problems_of
from scraper.verify import is_image

_TIMEOUT_S: Final = 1800
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


def nifti(listed: Iterable[Listed], made: Path, damaged: Collection[str] = ()) -> tuple[int, list[Problem]]:
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
        pictured = [member for member in members if _is_volume(member)]
        left_out += [
            LeftOut(member.name, Reason.NO_PIXELS, is_loss=False) for member in members if member not in pictured
        ]
        left_out += [LeftOut(item.name, Reason.DAMAGED_FILE) for item in pictured if item.name in damaged]
        sound = [item for item in pictured if item.name not in damaged]
        if sound:
            left_out += _converted(program, sound, made / name)
    return sum(1 for _ in made.rglob("*.nii.gz")), problems_of(left_out)


def _is_volume(one: Listed) -> bool:
    return one.header.rows is not None or is_image(one.header.sop_class_uid)


def _converted(program: str, members: Sequence[Listed], out: Path) -> list[LeftOut]:
    """Convert one series; returns what the converter refused, or the whole series where it made none or too few."""
    with tempfile.TemporaryDirectory(dir=out.parent.parent) as inside:
        for listed in members:
            _link(listed.path, Path(inside) / f"{listed.index:05}.dcm")
        out.mkdir()
        command = [program, "-z", "y", "-b", "y", "-ba", "y", "-f", "%s_%p", "-o", str(out), inside]
        why, output = Reason.DCM2NIIX_NO_VOLUME, ""
        try:
            # the program is ours, the folder is ours, no word comes from a file
            ran = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)  # noqa: S603
            output = ran.stdout.decode("utf-8", "replace")
        except subprocess.TimeoutExpired:
            why = Reason.DCM2NIIX_TIMED_OUT
    if not any(out.glob("*.nii.gz")):
        shutil.rmtree(out)
        return [LeftOut(listed.name, why) for listed in members]
    taken = sum(int(count) for count in _TAKEN.findall(output))
    if taken >= len(members):
        return []
    refused = {int(number) for number in _REFUSED.findall(output) if number}
    named = [listed for listed in members if listed.index in refused] or members
    return [LeftOut(listed.name, Reason.DCM2NIIX_TOOK_SOME.of(taken=taken, count=len(members))) for listed in named]


def _link(path: Path, link: Path) -> None:
    """Hard-link a file, or copy it where the disk has no links."""
    try:
        link.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, link)
