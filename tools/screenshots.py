"""Pictures of the window and of a study's page, in every state, both languages and two widths: docs/screens/.

``python -m tools.screenshots``. An emulated hospital starts on loopback, a real browser presses what a person presses.
The people in the pictures are invented.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from fixtures.dicom import chest_ct
from fixtures.sites.shdc import site
from fixtures.world import World
from scraper.app.phone_page import page_text
from scraper.core.settings import Language
from scraper.export.view import view
from scraper.session.browser.discovery import find_browser
from scraper.session.proxy import certificate

ROOT = Path(__file__).resolve().parent.parent
SCREENS = ROOT / "docs" / "screens"
PHOTO = ROOT / "fixtures" / "report.jpg"
WIDTHS = {"wide": (1200, 800), "phone": (400, 800)}
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/[\w-]+/")
COLOURS = 48  # of a picture's palette: enough for text and greys, a third of the size


class Camera:
    """Takes the pictures of one language and width."""

    def __init__(self, page: Page, suffix: str) -> None:
        self.page = page
        self._suffix = suffix

    def take(self, name: str) -> None:
        """Save what is seen now."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        with Image.open(io.BytesIO(self.page.screenshot())) as picture:
            small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        small.save(SCREENS / f"{name}-{self._suffix}.png", optimize=True)


@contextlib.contextmanager
def window(folder: Path, world: World, language: str) -> Iterator[str]:
    """A running window; its address."""
    words = ["app", "--no-window", "--lang", language, "-o", str(folder / "out"), *world.options]
    start = [sys.executable, "-c", "from scraper.cli.commands import main; main()", *words]
    environment = {**os.environ, "CLOUDFILM_DATA": str(folder), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(start, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    with process, contextlib.closing(io.StringIO() if process.stdout is None else process.stdout) as out:
        found = ADDRESS.search(out.readline())
        try:
            yield found[0] if found else ""
        finally:
            process.terminate()


def walk(camera: Camera, address: str) -> None:
    """The way of a person from a photo to a zip."""
    page = camera.page
    page.goto(address)
    page.wait_for_selector("h1:not(:empty)")
    camera.take("1-give")
    page.set_input_files("#files", str(PHOTO))
    page.wait_for_selector(".ask input")
    page.wait_for_selector(".photo img")
    page.evaluate("document.querySelector('.card').scrollIntoView()")
    camera.take("2-answer")
    page.fill(".ask input", "000000")
    page.press(".ask input", "Enter")
    page.wait_for_selector(".wrong")
    page.evaluate("document.querySelector('.card').scrollIntoView()")
    camera.take("3-refused")
    page.fill(".ask input", site.SECURITY_CODE)
    page.press(".ask input", "Enter")
    with contextlib.suppress(Exception):  # over before it is seen
        page.wait_for_selector("progress:visible", timeout=15_000)
        page.evaluate("document.querySelector('.card').scrollIntoView()")
        camera.take("4-watch")
    page.wait_for_selector(".verdict.complete")
    page.evaluate("document.querySelector('.card').scrollIntoView()")
    camera.take("5-verdict")
    page.click(".card .row .main:visible")
    page.wait_for_selector("#viewer canvas[data-shown]")
    page.wait_for_timeout(1500)  # the thumbnails
    camera.take("6-see")
    page.click("#back")
    page.click(".study summary")
    page.click(".study details .row button")
    page.wait_for_selector(".note.done")
    page.evaluate("document.querySelector('.study').scrollIntoView()")
    camera.take("7-hand-on")
    page.fill("#text", "没有链接的一句话")
    page.click("#text-form button")
    page.wait_for_selector(".verdict.failed")
    page.evaluate("document.querySelector('.card').scrollIntoView()")
    camera.take("8-no-link")


def look(camera: Camera, page_of_study: Path) -> None:
    """The page of ``cloudfilm view``."""
    page = camera.page
    page.goto(page_of_study.as_uri())
    page.wait_for_selector("canvas[data-shown]")
    page.wait_for_timeout(1500)  # the thumbnails
    page.select_option(".bar select", "lung")
    camera.take("view-1-lung")
    page.keyboard.press("m")
    page.wait_for_selector('.area[data-panes="3"] canvas[data-shown]')
    page.wait_for_timeout(500)
    camera.take("view-2-planes")
    page.keyboard.press("d")
    page.wait_for_timeout(500)
    camera.take("view-3-two")
    page.keyboard.press("t")
    camera.take("view-4-tags")


def main() -> int:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=("zh", "en"), help="one language")
    chosen = parser.parse_args()
    SCREENS.mkdir(parents=True, exist_ok=True)
    study = chest_ct(slices=40, size=256, seed=11)
    with tempfile.TemporaryDirectory() as place:
        files = Path(place) / "study"
        files.mkdir()
        for number, instance in enumerate(study.instances):
            (files / f"{number:04}.dcm").write_bytes(instance.data)
        pages = {lang: asyncio.run(view(files, Path(place) / f"{lang.value}.html", lang)).path for lang in Language}
        take_all(Path(place), site.ShdcSite(study), pages, chosen.only)
    total = sum(path.stat().st_size for path in SCREENS.glob("*.png"))
    print(f"{total / 1e6:.1f} MB in {SCREENS.relative_to(ROOT)}")
    return 0


def take_all(place: Path, hospital: site.ShdcSite, pages: Mapping[Language, Path], only: str | None) -> None:
    """Take the pictures of all languages and widths."""
    with World(hospital) as world, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(find_browser()), args=["--no-sandbox"])
        for language in Language:
            if only not in (None, language.value):
                continue
            for name, (width, height) in WIDTHS.items():
                page = browser.new_page(viewport={"width": width, "height": height})
                page.set_default_timeout(120_000)
                camera = Camera(page, f"{language.value}-{name}")
                folder = place / f"{language.value}-{name}"
                folder.mkdir()
                with window(folder, world, language.value) as address:
                    walk(camera, address)
                look(camera, pages[language])
                page.close()
                print(f"{language.value} {name}")
        take_phone_page(place, browser.new_page(viewport={"width": 400, "height": 1000}))
        browser.close()


def take_phone_page(place: Path, page: Page) -> None:
    """The page that points a phone at the proxy of ``listen``."""
    authority = replace(certificate.make(place / "authority"), name="cloudfilm 2026-11-29 4b7c (delete after use)")
    page.set_content(page_text("192.168.1.23", 8123, authority))
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(
            SCREENS / "phone-proxy.png", optimize=True
        )


if __name__ == "__main__":
    sys.exit(main())
