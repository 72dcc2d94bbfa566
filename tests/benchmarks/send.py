"""How fast ``send`` is next to dcmtk's ``dcmsend``: the same files to a fresh Orthanc, one association each, in turns.

``python -m tests.benchmarks.send [COUNT]`` prints the seconds of each turn, with those of the sender's processor, and at the end
the median and the ratio of each way. 1.0: as fast as dcmsend. Orthanc flushes every instance to the disk, so 2,000 of them nine
times take a quarter of an hour on a quiet machine; 300 say nearly as much.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fixtures.dicom import chest_ct
from fixtures.orthanc import Orthanc
from scraper.core.settings import Settings
from scraper.send import send, target_of

ROUNDS = 3
STATION = {"CLOUDFILM": ("127.0.0.1", 1)}


def dcmsend(folder: Path, orthanc: Orthanc) -> None:
    words = [
        "dcmsend",
        "-aet",
        "CLOUDFILM",
        "-aec",
        "ORTHANC",
        "127.0.0.1",
        str(orthanc.dicom_port),
        "+sd",
        str(folder),
    ]
    subprocess.run(words, check=True, capture_output=True)


def by_dimse(folder: Path, orthanc: Orthanc) -> None:
    _send(folder, f"pacs://ORTHANC@127.0.0.1:{orthanc.dicom_port}")


def by_stow(folder: Path, orthanc: Orthanc) -> None:
    _send(folder, f"{orthanc.url}/studies")


def _send(folder: Path, target: str) -> None:
    result = asyncio.run(send([folder], target_of(target), Settings()))
    assert result.exit_code == 0, result


def processor_s() -> float:
    """What this process and the programs that it waited for have used."""
    return sum(os.times()[:4])


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory(prefix="cloudfilm-bench-") as name:
        folder = Path(name) / "study"
        folder.mkdir()
        os.environ["CLOUDFILM_DATA"] = str(Path(name) / "data")
        study = chest_ct(slices=count, size=256, seed=5, dose_report=False)
        for number, instance in enumerate(study.instances):
            (folder / f"{number:05}.dcm").write_bytes(instance.data)
        size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
        print(f"{len(study.instances)} instances, {size:.0f} MB")
        took: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            for way in (dcmsend, by_dimse, by_stow):
                with Orthanc(STATION, {"DicomAlwaysAllowStore": True}) as orthanc:
                    started, spent = time.perf_counter(), processor_s()
                    way(folder, orthanc)
                    took.setdefault(way.__name__, []).append(time.perf_counter() - started)
                    spent = processor_s() - spent
                    print(
                        f"{way.__name__:9} {took[way.__name__][-1]:7.1f} s, {spent:5.1f} of its processor", flush=True
                    )
        reference = statistics.median(took["dcmsend"])
        for way, seconds in took.items():
            middle = statistics.median(seconds)
            print(f"{way:9} {middle:7.1f} s   {reference / middle:.2f} x dcmsend")


if __name__ == "__main__":
    main()
