"""NIfTI by dcm2niix, which knows the vendors' ways with slopes, tilts, phases and b-values."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from scraper.errors import UsageError
from scraper.export.gather import Listed
from scraper.model import Problem

_TIMEOUT_S: Final = 1800


def _converter() -> str:
    """The program: from its wheel, else from the path.

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


def nifti(listed: Iterable[Listed], made: Path) -> tuple[int, list[Problem]]:
    """One folder a series with ``.nii.gz`` files and their JSON (without the patient's name)."""
    program = _converter()
    by_series: dict[str, list[Listed]] = defaultdict(list)
    for one in listed:
        by_series[one.series].append(one)
    skipped: list[str] = []
    for name, members in by_series.items():
        with tempfile.TemporaryDirectory(dir=made.parent) as inside:
            for one in members:
                _link(one.path, Path(inside) / f"{one.index:05}.dcm")
            out = made / name
            out.mkdir(parents=True)
            command = [program, "-z", "y", "-b", "y", "-ba", "y", "-f", "%s_%p", "-o", str(out), inside]
            try:
                # the program is ours, the folder is ours, no word comes from a file
                subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)  # noqa: S603
            except subprocess.TimeoutExpired:
                skipped.append(name)
            if not any(out.glob("*.nii.gz")):
                skipped.append(name)
                shutil.rmtree(out)
    files = sum(1 for _ in made.rglob("*.nii.gz")) if made.exists() else 0
    made.mkdir(exist_ok=True)
    return files, [Problem("export-skipped", tuple(skipped), fatal=False)] if skipped else []


def _link(path: Path, link: Path) -> None:
    """A second name for the file, or a copy where the disk has no links."""
    try:
        link.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, link)
