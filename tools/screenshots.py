"""Pictures of the window and of a study's page, in every state, both languages and two widths: docs/screens/.

``python -m tools.screenshots``. An emulated hospital starts on loopback, a real browser presses what a person presses.
The people in the pictures are invented.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import html
import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import segno
from PIL import Image, ImageDraw, ImageFilter
from playwright.sync_api import Browser, Error, Page, Playwright, sync_playwright

from fixtures.dicom import chest_ct
from fixtures.faults import Fault
from fixtures.sites.generic_person.site import SLIDE, PersonSite
from fixtures.sites.shdc import site
from fixtures.world import World
from scraper.app.phone_page import page_text
from scraper.cli.listen import as_code
from scraper.core.messages import say
from scraper.core.settings import Language
from scraper.export.view import view
from scraper.session.browser.discovery import find_browser
from scraper.session.proxy import certificate

ROOT = Path(__file__).resolve().parent.parent
SCREENS = ROOT / "docs" / "screens"
PHOTO = ROOT / "fixtures" / "report.jpg"
WIDTHS = {"wide": (1200, 800), "phone": (400, 800)}
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/[\w-]+/")
EQUAL = ("https://q.one.test/m/8kQz1LmP", "https://e.two.test/c/Jk3f9QwX")
PAINTED = """() => [...document.querySelectorAll(".list .series")].filter((entry) => !/no picture|无图像/.test(entry.innerText))
  .every((entry) => { const canvas = entry.querySelector("canvas");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return data.some((value, at) => at % 4 < 3 && value); })
  && !document.querySelector(".viewer .notice").textContent"""
MEANS = 4  # rounds in which the palette's colours move to the middle of what they stand for: a ground keeps its own
COLOURS = 96  # of a picture's palette: enough for text, greys and the few small things in green or red


class Camera:
    """Takes the pictures of one language and width."""

    def __init__(self, page: Page, suffix: str) -> None:
        self.page = page
        self._suffix = suffix

    def take(self, name: str) -> None:
        """Save what is seen now."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        with Image.open(io.BytesIO(self.page.screenshot())) as picture:
            small = picture.convert("RGB").quantize(
                COLOURS, Image.Quantize.MAXCOVERAGE, MEANS, dither=Image.Dither.NONE
            )
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


def walk(camera: Camera, address: str, world: World) -> None:
    """The way of a person from a photo to a zip; the hospital is slow while its images are watched as they come."""
    page = camera.page
    world.faults.plan("/rawdata/", Fault.SLOW, 10_000)
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
    page.wait_for_selector(".series-list li:nth-child(2) img")
    page.evaluate("document.querySelector('.card').scrollIntoView()")
    page.evaluate("document.querySelector('.said').hidden = true")  # this tool may run as root, of which it speaks
    camera.take("4-watch")
    page.click(".card button:has-text('暂停'), .card button:has-text('Pause')")
    page.wait_for_selector(".doing:has-text('已暂停'), .doing:has-text('Paused')")
    page.evaluate("document.querySelector('.card').scrollIntoView()")
    camera.take("12-paused")
    world.faults.clear()
    with contextlib.suppress(Error):  # what was under way was all that was left
        page.click(".card button:has-text('继续'), .card button:has-text('Go on')", timeout=5_000)
    page.wait_for_selector(".verdict.complete")
    page.evaluate("document.querySelector('.card').scrollIntoView()")
    camera.take("5-verdict")
    page.click(".card .row .main:visible")
    page.wait_for_selector("#viewer canvas[data-shown]")
    wait_until_painted(page)
    camera.take("6-see")
    page.click("#back")
    page.click(".study summary")
    page.click(".study details .row button")
    page.wait_for_selector(".note.done")
    page.evaluate("document.querySelector('.study').scrollIntoView()")
    camera.take("7-hand-on")
    refusals(camera)


def wait_until_painted(page: Page) -> None:
    """Wait for a study's thumbnails, and until nothing is read any more; the page's policy lets no script of ours wait in it."""
    while not page.evaluate(PAINTED):
        page.wait_for_timeout(200)


def refusals(camera: Camera) -> None:
    """What is shown where there is no link, no code, or a choice; and the form of an archive."""
    page = camera.page
    page.fill("#text", "没有链接的一句话")
    page.click("#text-form button")
    page.wait_for_selector(".verdict.failed")
    page.evaluate("document.querySelector('.card').scrollIntoView()")
    camera.take("8-no-link")
    page.set_input_files("#files", [{"name": "IMG_0412.jpg", "mimeType": "image/jpeg", "buffer": blank()}])
    page.wait_for_selector(".help:visible")
    page.evaluate("document.querySelector('.card').scrollIntoView()")
    camera.take("9-no-code")
    page.set_input_files("#files", [{"name": "IMG_0413.png", "mimeType": "image/png", "buffer": two_codes()}])
    page.wait_for_selector(".option")
    page.evaluate("document.querySelector('.card').scrollIntoView()")
    page.wait_for_timeout(500)  # the photo
    camera.take("10-which-code")
    page.click(".card button:has-text('停止'), .card button:has-text('Stop')")
    page.click(".study details button:has-text('归档系统'), .study details button:has-text('archive')")
    page.fill("#archive-to", "https://archive.hospital.test/dicom-web/studies")
    camera.take("11-archive")
    page.keyboard.press("Escape")
    page.fill("#text", SLIDE)
    page.click("#text-form button")
    page.wait_for_selector(".card:first-child .verdict.failed")
    page.evaluate("document.querySelector('.card').scrollIntoView()")
    camera.take("13-by-hand")


def blank() -> bytes:
    """A photo of a paper without a code, out of focus."""
    with Image.open(PHOTO) as photo:
        upper = photo.convert("RGB").crop((0, 0, photo.width, photo.height // 2)).resize((900, 640))
    made = io.BytesIO()
    upper.filter(ImageFilter.GaussianBlur(6)).save(made, "JPEG", quality=80)
    return made.getvalue()


def two_codes() -> bytes:
    """A paper with two links of which nothing says which is the film's."""
    paper = Image.new("RGB", (900, 640), (236, 234, 228))
    pen = ImageDraw.Draw(paper)
    pen.rectangle((60, 60, 840, 250), outline=(120, 120, 120), width=2)
    for line in range(5):
        pen.line((90, 95 + 30 * line, 560 + 40 * (line % 3), 95 + 30 * line), fill=(90, 90, 90), width=5)
    for place, link in ((120, EQUAL[0]), (560, EQUAL[1])):
        code = io.BytesIO()
        segno.make(link, error="m", micro=False).save(code, kind="png", scale=6)
        paper.paste(Image.open(code).convert("RGB"), (place, 330))
    made = io.BytesIO()
    paper.save(made, "PNG")
    return made.getvalue()


def look(camera: Camera, page_of_study: Path) -> None:
    """The page of ``cloudfilm view``."""
    page = camera.page
    page.goto(page_of_study.as_uri())
    page.wait_for_selector("canvas[data-shown]")
    wait_until_painted(page)
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
    parser.add_argument("--width", choices=tuple(WIDTHS), help="one width")
    chosen = parser.parse_args()
    listed = subprocess.run(["fc-list", ":lang=zh-cn"], capture_output=True, text=True, check=False)
    if not listed.stdout:
        sys.exit("no font for Chinese on this machine (apt install fontconfig fonts-noto-cjk)")
    SCREENS.mkdir(parents=True, exist_ok=True)
    study = chest_ct(slices=40, size=256, seed=11)
    with tempfile.TemporaryDirectory() as place:
        files = Path(place) / "study"
        files.mkdir()
        for number, instance in enumerate(study.instances):
            (files / f"{number:04}.dcm").write_bytes(instance.data)
        pages = {lang: asyncio.run(view(files, Path(place) / f"{lang.value}.html", lang)).path for lang in Language}
        take_all(Path(place), site.ShdcSite(study), pages, chosen.only, chosen.width)
    total = sum(path.stat().st_size for path in SCREENS.glob("*.png"))
    print(f"{total / 1e6:.1f} MB in {SCREENS.relative_to(ROOT)}")
    return 0


def launched(playwright: Playwright, language: Language) -> Browser:
    """A browser whose own words, as those of a button that chooses a file, are in a language."""
    words = {Language.ZH: "zh_CN", Language.EN: "en_US"}[language]
    return playwright.chromium.launch(
        executable_path=str(find_browser()),
        args=["--no-sandbox", f"--lang={words}"],
        env={**os.environ, "LANGUAGE": words},
    )


def take_all(
    place: Path, hospital: site.ShdcSite, pages: Mapping[Language, Path], only: str | None, only_width: str | None
) -> None:
    """Take the pictures of all languages and widths, or of one."""
    with World(hospital, PersonSite()) as world, sync_playwright() as playwright:
        for language in Language:
            if only not in (None, language.value):
                continue
            browser = launched(playwright, language)
            for name, (width, height) in WIDTHS.items():
                if only_width not in (None, name):
                    continue
                page = browser.new_page(viewport={"width": width, "height": height})
                page.set_default_timeout(300_000)
                camera = Camera(page, f"{language.value}-{name}")
                folder = place / f"{language.value}-{name}"
                folder.mkdir()
                with window(folder, world, language.value) as address:
                    walk(camera, address, world)
                look(camera, pages[language])
                page.close()
                print(f"{language.value} {name}", flush=True)
            browser.close()
        browser = launched(playwright, Language.EN)
        take_phone_page(place, browser.new_page(viewport={"width": 400, "height": 1000}))
        take_terminal(browser.new_page(viewport={"width": 760, "height": 370}))
        browser.close()


def take_phone_page(place: Path, page: Page) -> None:
    """The page that points a phone at the proxy of ``listen``."""
    authority = replace(certificate.make(place / "authority"), name="cloudfilm 2026-11-29 4b7c (delete after use)")
    page.set_content(page_text("192.168.1.23", 8123, authority))
    save(page, "phone-proxy.png")


def take_terminal(page: Page) -> None:
    """What ``listen --lan`` prints, with the code for the phone."""
    address = "http://192.168.1.23:8124/"
    lines = ["$ cloudfilm listen --lan", say("listen.phone", Language.EN, page=address, host="192.168.1.23", port=8123)]
    lines += [as_code(address), say("listen.end", Language.EN)]
    rows = [
        say("listen.series", Language.EN, name=name, received=received, expected=60) for name, received in (("2", 31),)
    ]
    lines += [say("listen.progress", Language.EN, rows="; ".join(rows))]
    text = html.escape("\n".join(lines))
    style = "background:#111;color:#ddd;font:14px/1.0 monospace;margin:0;padding:1em;white-space:pre-wrap"
    page.set_content(
        f'<!doctype html><meta charset="utf-8"><body style="margin:0;background:#111"><pre style="{style}">{text}'
    )
    save(page, "listen-terminal.png")


def save(page: Page, name: str) -> None:
    """The page as a small picture."""
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(SCREENS / name, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
