"""Row 5: a study's page, whatever its files say of themselves, in every text that they hold and in both languages."""

from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.datadict import DicomDictionary
from pydicom.sequence import Sequence

from fixtures.dicom import chest_ct
from scraper.core.errors import UsageError
from scraper.core.settings import Language, Settings
from scraper.export.view import view
from scraper.session.browser import find_browser
from scraper.testing import borrowed_browser, first_of, in_browser_loop

HOSTILE = (
    "</script><script>document.title=1</script>",
    '"><img src=x onerror=document.title=1>',
    "<svg/onload=document.title=1>",
    "<!--<script>",
    "javascript:document.title=1",
    "{{constructor.constructor(1)()}}${1}`",
    "\u202egnp.exe\u202c\u2028\u2066",
    "\x1b]52;c;aGk=\x07\x00",
    "&lt;script&gt;",
    "__proto__",
)
VRS = ("LO", "SH", "ST", "LT", "UT", "PN", "UC", "UR", "CS", "AE", "AS")
IN_ANY_CHARACTERS = ("LO", "SH", "ST", "LT", "UT", "PN", "UC")
IN_NUMBERS = {"DS": "1e400", "IS": "9" * 30, "DA": "</script>", "TM": "<img src=x>", "DT": "-->"}
UNTOUCHED = (
    "SpecificCharacterSet",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "PixelSpacing",
    "InstanceNumber",
    "SeriesNumber",
)


# groups of what the page may look at by its name (study, series, patient); the others are rows of its table, which ends at 400
BY_NAME = (0x08, 0x10)


def file_that_says(text: str, path: Path, number: int) -> None:
    """A CT slice in which the text attributes of the dictionary say it, and every number is none.

    Of those that are never looked at by their name, each stands in one of the files.
    """
    ds = pydicom.dcmread(BytesIO(chest_ct(slices=1, size=24, dose_report=False).images[0].data))
    ds.SpecificCharacterSet = "ISO_IR 192"
    for place, (tag, (vr, _, _, retired, keyword)) in enumerate(DicomDictionary.items()):
        if tag >> 16 in (0, 2, 4, 0x7FE0, 0xFFFE) or retired or not keyword or keyword in UNTOUCHED:
            continue
        if tag >> 16 not in BY_NAME and place % len(HOSTILE) != number - 1:
            continue
        if vr in VRS:  # some kinds know no other characters
            setattr(
                ds, keyword, text if vr in IN_ANY_CHARACTERS else text.encode("latin-1", "replace").decode("latin-1")
            )
        elif vr in IN_NUMBERS:
            ds.add(pydicom.DataElement(tag, "LO", IN_NUMBERS[vr]))  # no writer of ours would write it under its own VR
    item = pydicom.Dataset()
    item.CodeMeaning = text
    ds.ProcedureCodeSequence = Sequence([item])
    ds.PatientName = text
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
    ds.InstanceNumber, ds.SeriesNumber, ds.SeriesInstanceUID = number, number, f"1.2.4.{number}"
    ds.save_as(path, enforce_file_format=True)


@pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")
@pytest.mark.parametrize("language", first_of(Language))
@in_browser_loop
async def test_hostile_5_no_text_of_a_file_runs_in_its_page(language, tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    for number, text in enumerate(HOSTILE, 1):
        file_that_says(text, folder / f"{number:02}.dcm", number)
    made = await view(folder, tmp_path / "index.html", language)
    written = made.path.read_bytes()
    assert [mark for mark in (b"\x1b", b"\x00", b"\x07", "\u202e".encode(), "\u2028".encode()) if mark in written] == []
    async with borrowed_browser(Settings()) as browser:
        page = await (await browser.context()).new_page()
        asked, faults = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(dialog.message))
        page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
        await page.goto(made.path.as_uri())
        await page.wait_for_selector("canvas[data-shown]", timeout=60_000)
        assert HOSTILE[0] in await page.inner_text(".heading")  # as letters
        count, shown = await page.locator(".series").count(), set[str]()
        for place in range(count):
            await page.locator(".series").nth(place).click()
            await page.keyboard.press("t")
            shown |= set(await page.locator("dialog tbody td:first-child").all_text_contents())
            await page.keyboard.press("Escape")
        await page.locator(".series").first.click()
        await page.keyboard.press("t")
        await page.fill("dialog input", "study desc")
        assert HOSTILE[0] in await page.inner_text("dialog tbody tr")
        assert count == len(HOSTILE)
        assert len(shown) > 2000
        assert await page.title() != "1"
        assert await page.locator("img, iframe, svg[onload], a[href^=javascript]").count() == 0
        assert await page.locator("script:not([nonce]):not([type])").count() == 0
        assert not faults
        assert [url for url in asked if not url.startswith("file:")] == []


@pytest.mark.parametrize("kind", first_of(["folder", "link"], 2))
async def test_hostile_9_a_folder_of_that_name_is_not_removed_for_the_pages_parts(kind, tmp_path):
    """A study's folder may hold anything: what lay in ``index-parts`` was removed to make room."""
    folder, other = tmp_path / "study", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    (other / "letter.txt").write_text("mine")
    (folder / "a.dcm").write_bytes(chest_ct(slices=1, size=24).images[0].data)
    parts = folder / "index-parts"
    if kind == "link":
        parts.symlink_to(other)
    else:
        other.rename(parts)
    with pytest.raises(UsageError):
        await view(folder, folder / "index.html", Language.EN)
    assert (parts / "letter.txt").read_text() == "mine"
