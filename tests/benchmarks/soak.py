"""Many seeded runs over a site that fails in every way, and over runs that are killed: nothing may be lost, nothing wrong kept.

``python -m tests.benchmarks.soak --seeds 200`` prints a line for each seed that ended badly, and the count at the end. Every
third answer goes wrong; a third of the runs is ended by kill -9 at a random moment before the run that must succeed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pydicom

from fixtures.dicom import chest_ct
from tests import aurora
from tests.aurora import Fault, Site
from tests.benchmarks.fetch import serve

FAULTS = [fault for fault in Fault if fault not in (Fault.GONE_404, Fault.OTHER_IMAGE, Fault.SILENT)]
RUNS = 4  # of one study, at most, until it is complete


def site_of(seed: int) -> tuple[Site, random.Random]:
    """A study whose answers fail by the dice of ``seed``."""
    study = chest_ct(slices=12, size=64, seed=7)
    site = Site(
        study.study_instance_uid, {one.uid: {i.sop_instance_uid: i.data for i in one.instances} for one in study.series}
    )
    dice = random.Random(seed)
    for uid in site.originals:
        if dice.random() < 0.33:
            site.fail(uid, *dice.choices(FAULTS, k=dice.randint(1, 2)))
    return site, dice


def grab(site: Site, output: str, kill_after_s: float | None) -> int | None:
    """One run of the command; None where it was killed."""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root / "tests" / "plugins"), str(root)])}
    words = [
        "grab",
        aurora.LINK,
        "-o",
        output,
        "--browser",
        "never",
        "--connect-to",
        site.connect_to[0],
        "-q",
        "--json",
    ]
    start = (
        "from scraper.core.timings import Timings; made = Timings.__init__; "
        "made.__defaults__ = (0.02, *made.__defaults__[1:]); "
        "from scraper.cli.commands import main; main()"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", start, *words], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        return running.wait(kill_after_s)
    except subprocess.TimeoutExpired:
        running.send_signal(signal.SIGKILL)
        running.wait()
        return None


def fault_of(site: Site, output: str) -> str:
    """What is wrong with what lies on the disk, or nothing."""
    wanted = {uid: hashlib.sha256(data).hexdigest() for uid, data in site.originals.items()}
    found = {}
    for path in Path(output).rglob("*.dcm"):
        uid = str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)
        found[uid] = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != wanted:
        return f"{len(wanted.keys() - found.keys())} lost, {sum(found[uid] != wanted.get(uid) for uid in found)} wrong"
    (report,) = Path(output).glob("*/study.json")
    return "" if json.loads(report.read_text(encoding="utf-8"))["status"] == "complete" else "not called complete"


def main() -> None:
    """Run all seeds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--from", dest="first", type=int, default=0)
    chosen = parser.parse_args()
    bad, killed, started = 0, 0, time.monotonic()
    for seed in range(chosen.first, chosen.first + chosen.seeds):
        site, dice = site_of(seed)
        thread, stop = serve(site)
        with tempfile.TemporaryDirectory() as output:
            if dice.random() < 0.33:
                site.latency_s = 0.05
                killed += grab(site, output, dice.uniform(0.5, 4.0)) is None
                site.latency_s = 0.0
            for _ in range(RUNS):
                if grab(site, output, None) == 0:
                    break
            if fault := fault_of(site, output):
                bad += 1
                print(f"seed {seed}: {fault}", flush=True)
        stop.set()
        thread.join()
    print(f"{chosen.seeds} seeds, {killed} runs killed, {bad} ended badly, {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
