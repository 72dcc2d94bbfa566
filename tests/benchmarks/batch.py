"""A thousand old links: each accounted for although the run is killed three times, memory flat, four at once faster than one.

``python -m tests.benchmarks.batch --links 1000`` runs ``cloudfilm batch`` over an emulated hospital where one share in twenty
goes wrong (expired, an image lost for good, a changed site, or faults that pass), ends it by kill -9 three times on the way, and
looks at what is in the ledger, in the report and on the disk. Then it measures studies a second with ``--parallel`` 1 and 4 at
40 ms latency.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.many import Ends, Many, share, up
from tests.programs import environment, from_nothing

PARALLEL = 4
KILLED_AT = (0.1, 0.25, 0.4)  # of the links
SETTLED = 100  # links after which memory must not grow
MB = 2**20


def started(many: Many, links: Path, output: Path, parallel: int, *, json_lines: bool = False) -> subprocess.Popen[str]:
    """The command in a process of its own; what goes wrong with a passing fault is tried again at once."""
    start = (
        "from scraper.core.timings import Timings; made = Timings.__init__; "
        "made.__defaults__ = (0.05, *made.__defaults__[1:]); "
        "from scraper.cli.commands import main; main()"
    )
    words = from_nothing("batch", links, "-o", output, "--parallel", parallel, "-q", *many.options)
    words[2] = start
    out = subprocess.PIPE if json_lines else subprocess.DEVNULL
    return subprocess.Popen(
        [*words, *(["--json"] if json_lines else [])],
        env=environment(),
        stdout=out,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def settled(output: Path) -> int:
    """Sources that have ended, as the ledger has it."""
    path = output / ".cloudfilm" / "batch.sqlite3"
    if not path.exists():
        return 0
    db = sqlite3.connect(path, timeout=30)
    try:
        (count,) = db.execute("SELECT count(*) FROM sources WHERE state IN ('done', 'incomplete', 'failed')").fetchone()
    except sqlite3.OperationalError:  # its tables are being made
        return 0
    finally:
        db.close()
    return int(count)


def memory(process: psutil.Process) -> tuple[float, float]:
    """Resident megabytes of the program, and of it with the processes it started."""
    own = process.memory_info().rss / MB
    whole = own
    for child in process.children(recursive=True):
        try:
            whole += child.memory_info().rss / MB
        except psutil.NoSuchProcess:
            continue
    return own, whole


def survive(many: Many, links: Path, output: Path) -> list[tuple[int, float, float]]:
    """Run to the end, killed on the way; gives (sources ended in the last run, own MB, MB with its processes) over time."""
    for part in KILLED_AT:
        running = started(many, links, output, PARALLEL)
        while running.poll() is None and settled(output) < part * many.links:
            time.sleep(0.05)
        running.send_signal(signal.SIGKILL)
        running.wait()
        print(f"  killed with {settled(output)} of {many.links} ended", flush=True)
    before, curve = settled(output), []
    running = started(many, links, output, PARALLEL)
    watched = psutil.Process(running.pid)
    while running.poll() is None:
        try:
            curve.append((settled(output) - before, *memory(watched)))
        except psutil.NoSuchProcess:
            break
        time.sleep(0.5)
    return curve


def judged(many: Many, output: Path) -> list[str]:
    """What is wrong with the ledger, the report or the files."""
    faults = []
    report = (output / "report.csv").read_text(encoding="utf-8-sig")
    rows_by_line = {int(row["line"]) - 1: row for row in csv.DictReader(io.StringIO(report))}
    if sorted(rows_by_line) != list(range(many.links)):
        faults.append(f"the report has {len(rows_by_line)} sources of {many.links}")
    for number, row in rows_by_line.items():
        if int(row["exit_code"] or -1) != many.outcome(number):
            faults.append(f"link {number} ended {row['exit_code']}, not {int(many.outcome(number))}: {row['problems']}")
        if many.outcome(number) in (Ends.COMPLETE, Ends.INCOMPLETE):
            wanted = {hashlib.sha256(data).hexdigest() for _, data in share(number).images}
            folder = output / row["folder"]
            found = [hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.dcm")]
            short = 1 if many.outcome(number) is Ends.INCOMPLETE else 0
            if len(found) != len(wanted) - short or not set(found) <= wanted:
                faults.append(f"link {number}: {len(found)} files of {len(wanted)}")
    folders = [row["folder"] for row in rows_by_line.values() if row["folder"]]
    if len(set(folders)) != len(folders):
        faults.append("two links share a folder")
    ended = [number for number in rows_by_line if many.outcome(number) is not Ends.INCOMPLETE]  # those are gone on with
    repeated = [number for number in ended if int(rows_by_line[number]["attempts"]) > 1]
    if len(repeated) > (2 * PARALLEL - 1) * len(KILLED_AT):  # more than were being done when the run was killed
        faults.append(f"{len(repeated)} links were done more than once")
    lost = set(range(many.links)) - set(many.entered)
    if lost:
        faults.append(f"{len(lost)} links were never opened")
    return faults


def grown(curve: list[tuple[int, float, float]]) -> float:
    """By how many MB the program grew at most after its first links; says so."""
    after = [row for row in curve if row[0] >= SETTLED]
    if not after:
        return 0.0
    for name, column in (("the program", 1), ("with its processes", 2)):
        begin, most, last = after[0][column], max(row[column] for row in after), after[-1][column]
        print(
            f"  {name}: {begin:.0f} MB after {SETTLED} links, at most {most - begin:+.0f}, at the end {last - begin:+.0f}"
        )
    return max(row[1] for row in after) - after[0][1]


def rate(many: Many, links: Path, output: Path, parallel: int) -> float:
    """Studies a second, from the end of the first eighth on: how long a program takes to start is another matter."""
    running = started(many, links, output, parallel, json_lines=True)
    ends = []
    for line in running.stdout or ():
        ends.append(time.monotonic())
        assert json.loads(line)["exit_code"] == 0
    running.wait()
    begin = len(ends) // 8
    return (len(ends) - 1 - begin) / (ends[-1] - ends[begin])


def main() -> int:
    """Run both parts; 1 where a bar is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--links", type=int, default=1000)
    parser.add_argument("--faulty", type=float, default=0.05)
    parser.add_argument("--measured", type=int, default=200, help="links of the throughput runs")
    parser.add_argument("--latency", type=float, default=0.04)
    chosen = parser.parse_args()
    missed = False
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if chosen.links:
            many = Many(chosen.links, faulty=chosen.faulty)
            links = folder / "links.txt"
            links.write_text("".join(many.link(number) + "\n" for number in range(many.links)))
            began = time.monotonic()
            with up(many):
                curve = survive(many, links, folder / "out")
            faults = judged(many, folder / "out")
            took = time.monotonic() - began
            print(f"{many.links} links, {chosen.faulty:.0%} faulty, killed {len(KILLED_AT)} times, {took:.0f} s")
            print(f"  wrong: {len(faults)}", *faults[:20], sep="\n    ")
            missed |= bool(faults) | (grown(curve) > 50)
        if chosen.measured:
            rates = {}
            for parallel in (1, PARALLEL):
                many = Many(chosen.measured, latency_s=chosen.latency)
                links = folder / f"links-{parallel}.txt"
                links.write_text("".join(many.link(number) + "\n" for number in range(many.links)))
                with up(many):
                    rates[parallel] = rate(many, links, folder / f"out-{parallel}", parallel)
                print(f"  --parallel {parallel}: {rates[parallel]:.1f} studies a second", flush=True)
            print(
                f"throughput at {chosen.latency * 1000:.0f} ms: {rates[PARALLEL] / rates[1]:.1f} times that of one at a time"
            )
            missed |= rates[PARALLEL] / rates[1] < 3
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
