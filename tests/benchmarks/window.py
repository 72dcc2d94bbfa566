"""How the window shows a large older study: first image, next image, memory while all are looked at.

``python -m tests.benchmarks.window [COUNT]`` starts ``cloudfilm app`` over a study of COUNT slices of 512 × 512 that was not
looked at before, in a real browser, and prints milliseconds beside those of an empty answer of the same server, and megabytes.
"""

from __future__ import annotations

import copy
import hashlib
import json
import statistics
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path

import psutil
from pydicom import dcmread, dcmwrite

from fixtures.dicom import JPEG_LS, chest_ct
from scraper.testing import shared_browser
from tests.tabs import Waiting, browser_page, expect
from tests.test_window import window

DRAWN = 20  # different slices; the others repeat their pixels
STEPS = 60
EVERY = 250  # slices between two looks at the memory


def make_study(output: Path, count: int) -> None:
    """A study as ``grab`` leaves it."""
    study = chest_ct(slices=DRAWN, size=512, seed=7, localizers=0, dose_report=False, syntax=JPEG_LS)
    series = study.series[0]
    folder = output / "20260108_CT_large"
    (folder / "002_5mm").mkdir(parents=True)
    drawn = [dcmread(BytesIO(instance.data)) for instance in series.instances]
    rows = []
    for number in range(1, count + 1):
        ds = copy.copy(drawn[number % DRAWN])
        ds.SOPInstanceUID = f"{series.uid}.{number}"
        ds.file_meta = copy.copy(ds.file_meta)
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.InstanceNumber, ds.ImagePositionPatient = number, [-200, -200, number * 0.5]
        path = folder / "002_5mm" / f"{number:05}.dcm"
        dcmwrite(path, ds)
        data = path.read_bytes()
        rows.append(
            {
                "sop_instance_uid": ds.SOPInstanceUID,
                "series_instance_uid": series.uid,
                "file": f"002_5mm/{path.name}",
                "sha256": hashlib.sha256(data).hexdigest(),
                "size": len(data),
                "origin": "original",
            }
        )
    report = {
        "study": {"uid": study.study_instance_uid, "date": "20260108", "modality": "CT", "patient_name": "测试甲"},
        "status": "complete",
        "series": [{"uid": series.uid, "number": 2, "description": "5mm", "modality": "CT", "expected": count}],
        "instances": {"expected": count},
        "instances_saved": rows,
    }
    (folder / "study.json").write_text(json.dumps(report), encoding="utf-8")


def step(page: Waiting, key: str) -> float:
    """Milliseconds from a key to the next image on the canvas, measured in the page."""
    return page.evaluate(
        """(key) => new Promise((done) => {
          const canvas = document.querySelector(".pane canvas"), before = canvas.dataset.shown, start = performance.now();
          const look = () => (canvas.dataset.shown !== before ? done(performance.now() - start) : requestAnimationFrame(look));
          canvas.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
          look();
        })""",
        key,
    )


def empty_answer(page: Waiting) -> float:
    """Milliseconds of a request that reads nothing."""
    return page.evaluate(
        "async () => { const t = performance.now(); await (await fetch('words.json')).text(); return performance.now() - t; }"
    )


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory(prefix="cloudfilm-bench-") as name:
        place = Path(name)
        make_study(place / "out", count)
        with shared_browser(), window(place) as started, browser_page(started.address, arguments=()) as page:
            page.wait_for_selector(".study")
            empty = statistics.median(empty_answer(page) for _ in range(20))
            begun = time.perf_counter()
            page.click(".study .row button.main")
            page.wait_for_selector("#viewer canvas[data-shown]")
            first = (time.perf_counter() - begun) * 1000
            print(f"{count} slices: first image {first:.0f} ms; an empty answer {empty:.0f} ms", flush=True)
            expect(page.locator(".notice")).to_have_text("", timeout=300_000)
            whole = time.perf_counter() - begun
            page.wait_for_timeout(2000)
            steps = sorted(step(page, "ArrowDown") for _ in range(STEPS))
            far = sorted(step(page, "PageDown") for _ in range(20))
            print(f"all files read after {whole:.1f} s")
            print(f"next image: median {statistics.median(steps):.0f} ms, 95 % {steps[int(0.95 * STEPS)]:.0f} ms")
            print(f"ten further, not loaded before: median {statistics.median(far):.0f} ms")
            page.keyboard.press("Home")
            for number in range(1, count):
                step(page, "ArrowDown")
                if number % EVERY == 0:
                    server = resident(started.process.pid)
                    print(f"after {number}: browser {resident(browser_of(page)):.0f} MB, server {server:.0f} MB")


def resident(pid: int) -> float:
    """Megabytes of a process and of those that it started; what they share counts once."""
    whole = 0
    process = psutil.Process(pid)
    for member in (process, *process.children(recursive=True)):
        try:
            whole += member.memory_full_info().pss
        except psutil.Error:
            continue
    return whole / 1e6


def browser_of(page: Waiting) -> int:
    """The process of the page's browser."""
    session = page.context.browser.new_browser_cdp_session()
    rows = session.send("SystemInfo.getProcessInfo")["processInfo"]
    return next(row["id"] for row in rows if row["type"] == "browser")


if __name__ == "__main__":
    main()
