"""How fast ``verify`` is beside dcmftest and gdcminfo, how much memory it takes, and what its decoders cost.

    python tests/benchmarks/verify.py [--slices 360] [--many 5000]

Prints, for a study of 360 CT slices of 512 x 512 (native, JPEG-LS, JPEG 2000), the wall time of ``check_folder``
(hashing, parsing, decoding every pixel, geometry; process start included) and of ``dcmftest`` + ``gdcminfo`` over the same files:
once file by file, as gdcminfo is called on an instance, and once with ``gdcminfo -r`` on the folder, which reads headers and
neither hashes nor decodes. Then the peak memory of all processes together over 5,000 instances.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))

from fixtures.dicom import JPEG_2000, JPEG_LS, NATIVE, chest_ct

OURS = """
import asyncio, sys
from pathlib import Path
from scraper.verify import check_folder
report = asyncio.run(check_folder(Path(sys.argv[1])))
problems = [p.code for one in report.checked for p in one.problems] + [p.code for p in report.problems]
print(len(report.checked), sorted(set(problems)))
"""


class Peak(threading.Thread):
    """Highest sum of the proportional set sizes of a process and its children, in MB, seen every 50 ms."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.root, self.peak, self.alone = psutil.Process(pid), 0.0, 0.0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.05):
            try:
                sizes = [each.memory_full_info().pss / 1e6 for each in (self.root, *self.root.children(recursive=True))]
            except psutil.Error:
                continue
            self.peak, self.alone = max(self.peak, sum(sizes)), max(self.alone, sizes[0])


def ours(folder: Path) -> tuple[float, float, str]:
    """Seconds, peak MB, what it said."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", OURS, folder], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    watch = Peak(process.pid)
    watch.start()
    output, _ = process.communicate()
    seconds = time.perf_counter() - started
    watch.done.set()
    watch.join()
    return seconds, watch.peak, output.strip()


def others(folder: Path) -> tuple[float, float, float]:
    """Seconds of dcmftest, of gdcminfo file by file, of gdcminfo -r."""
    paths = sorted(map(str, folder.iterdir()))
    times = []
    started = time.perf_counter()
    subprocess.run(["dcmftest", *paths], stdout=subprocess.DEVNULL, check=True)
    times.append(time.perf_counter() - started)
    started = time.perf_counter()
    for path in paths:
        subprocess.run(["gdcminfo", path], stdout=subprocess.DEVNULL, check=True)
    times.append(time.perf_counter() - started)
    started = time.perf_counter()
    subprocess.run(["gdcminfo", "-r", str(folder)], stdout=subprocess.DEVNULL, check=True)
    times.append(time.perf_counter() - started)
    return times[0], times[1], times[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=360)
    parser.add_argument("--many", type=int, default=5000)
    asked = parser.parse_args()
    has_others = shutil.which("dcmftest") is not None and shutil.which("gdcminfo") is not None
    with tempfile.TemporaryDirectory() as scratch:
        for name, syntax in (("native", NATIVE), ("JPEG-LS", JPEG_LS), ("JPEG 2000", JPEG_2000)):
            folder = Path(scratch) / name.replace(" ", "")
            folder.mkdir()
            # 45 different slices, over and over: encoding 360 would take longer than all that is measured
            made = chest_ct(slices=45, size=512, localizers=0, dose_report=False, syntax=syntax).images
            for number in range(asked.slices):
                (folder / f"{number:05}.dcm").write_bytes(made[number % len(made)].data)
            seconds, peak, output = ours(folder)
            print(f"{name}: verify {seconds:.2f} s, peak {peak:.0f} MB; {output}")
            if has_others:
                ftest, by_file, by_folder = others(folder)
                for words, theirs in (("file by file", by_file), ("-r, no pixels", by_folder)):
                    ratio = seconds / (ftest + theirs)
                    print(
                        f"  dcmftest {ftest:.2f} s + gdcminfo ({words}) {theirs:.2f} s: verify takes {ratio:.2f} of it"
                    )
            shutil.rmtree(folder)
        folder = Path(scratch) / "many"
        folder.mkdir()
        made = chest_ct(slices=250, size=128, localizers=0, dose_report=False).images
        for number in range(asked.many):
            (folder / f"{number:05}.dcm").write_bytes(made[number % len(made)].data)
        seconds, peak, output = ours(folder)
        print(f"{asked.many} instances: {seconds:.1f} s, peak {peak:.0f} MB over all processes; {output}")


if __name__ == "__main__":
    main()
