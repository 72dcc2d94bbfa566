"""How long a capture takes of a viewer that must show all of its images, beside the viewer's own time; prints the ratios.

    python tests/benchmarks/shown.py [--slices 300] [--latency 0.04] [--only wheel keys slider signed ticket]

``wheel``, ``keys``, ``slider``: each image's ticket comes with the one before, so that neither a request can be repeated nor a
function be called; ``signed``, ``ticket``: the page's function for one image can be called with its list's values. The viewer's
own time is that of a script in its page that makes the gesture as soon as the image before is shown, from the first image to the
last. The capture's is that from the opened page to the described study; the whole run's holds the browser's start and the
verification, too.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fixtures.sites import Site
from fixtures.sites.generic_signed import site as signed
from fixtures.sites.generic_stepped import site as stepped
from fixtures.world import World
from providers.universal import Universal
from scraper.core.model import Via
from scraper.session.browser import Browser
from scraper.testing import Case, run, settings_in

OWN = """async ({kind, count}) => {
  const canvas = document.querySelector("canvas"), note = document.querySelector(".note");
  const slider = document.querySelector("input"), watched = {childList: true, characterData: true, subtree: true};
  const number = () => Number(note.textContent.split("/")[0]);
  const gesture = at => {
    if (kind === "keys") dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowDown", bubbles: true}));
    else if (slider) { slider.value = at; slider.dispatchEvent(new Event("input", {bubbles: true})); }
    else canvas.dispatchEvent(new WheelEvent("wheel", {deltaY: 120, bubbles: true})); };
  const began = performance.now();
  for (let at = 1; at < count; at++) {
    const shown = new Promise(done => {
      const look = new MutationObserver(() => { if (number() === at + 1) { look.disconnect(); done(); } });
      look.observe(note, watched); });
    gesture(at); await shown; }
  return (performance.now() - began) / 1000; }"""


def site_of(kind: str, slices: int, latency_s: float) -> tuple[Site, str]:
    """The viewer's site, and its link."""
    if kind in stepped.KINDS:
        return stepped.GenericStepped(slices, latency_s), f"{stepped.LINK}/{kind}"
    return signed.GenericSigned(slices, thin=0, localizers=0, latency_s=latency_s), f"{signed.LINK}/{kind}"


async def own_time(world: World, link: str, kind: str, slices: int) -> float:
    """Seconds that the viewer takes to show all images, one after another."""
    with tempfile.TemporaryDirectory() as folder:
        async with Browser(settings_in(world, Path(folder)), Path(folder) / "spool") as browser:
            window = await browser.window()
            await window.open(link)
            await window.page.wait_for_function("document.querySelector('.note').textContent.startsWith('1/')")
            return float(await window.page.evaluate(OWN, {"kind": kind, "count": slices}))


async def capture_time(world: World, link: str, slices: int) -> tuple[float, float, str]:
    """Seconds of the capture and of the whole run, and how it ended."""
    captured = list[float]()
    watch = Universal.watch

    async def timed(self, share, session):
        began = time.perf_counter()
        async for series in watch(self, share, session):
            captured.append(time.perf_counter() - began)
            yield series

    Universal.watch = timed
    began = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as folder:
            result = await run(Universal, Case("shown", link, ways=(Via.BROWSER,)), world, Path(folder), Via.BROWSER)
    finally:
        Universal.watch = watch
    outcome = f"exit {result.exit_code}, {result.counts.saved} of {slices}"
    return captured[0] if captured else 0.0, time.perf_counter() - began, outcome


def measure(kind: str, slices: int, latency_s: float) -> None:
    """Print one viewer's ratios."""
    site, link = site_of(kind, slices, latency_s)
    with World(site) as world:
        own = asyncio.run(own_time(world, link, kind, slices))
        before = len(world.seen)
        capture, whole, outcome = asyncio.run(capture_time(world, link, slices))
        asked = world.seen[before:]
    refused = sum(item.status == 403 for item in asked)
    print(
        f"{kind:7} {slices} images: own {own:.1f} s, captured in {capture:.1f} s (ratio {capture / own:.2f}), whole run "
        f"{whole:.1f} s ({whole / own:.2f}); {len(asked)} requests, {refused} refused; {outcome}",
        flush=True,
    )


def main() -> None:
    """Measure each kind."""
    kinds = (*stepped.KINDS, "signed", "ticket")
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--latency", type=float, default=0.04)
    parser.add_argument("--only", nargs="*", choices=kinds, default=kinds)
    given = parser.parse_args()
    for kind in given.only:
        measure(kind, given.slices, given.latency)


if __name__ == "__main__":
    main()
