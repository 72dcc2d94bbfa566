"""One page of a study, opened by a real browser from the disk: its pixels, its planes, its words, and nothing else."""

import asyncio
import base64
import json
import zipfile
from contextlib import asynccontextmanager
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from fixtures.dicom import JPEG_LS, NATIVE, chest_ct, retagged
from scraper.core.errors import NoDicomHere, NothingToSee, UsageError
from scraper.core.settings import Language, Settings
from scraper.export import ExportOptions, Target, export
from scraper.export.view import view
from scraper.session.browser import find_browser
from scraper.testing import borrowed_browser, first_of, in_browser_loop
from scraper.verify import Inspector
from scraper.viewer import ViewedSeries, preview_study, view_study, write_page
from scraper.viewer.frames import _percentiles
from tests.test_cli import cloudfilm

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")
SIZE, SLICES = 96, 12
NO_STREAMS = "delete window.DecompressionStream"
LUNG = (-600.0, 1500.0)


def saved(study, folder):
    for series in study.series:
        for instance in series.instances:
            path = folder / f"{series.number:03}" / f"{instance.instance_number:05}.dcm"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(instance.data)
    return folder


@asynccontextmanager
async def opened(page_path, *, script="", size=(900, 700), touch=False):
    """The page in a window of its own, and every address that it asked for."""
    async with borrowed_browser(Settings()) as browser:
        context = await browser.context(viewport={"width": size[0], "height": size[1]}, has_touch=touch)
        page = await context.new_page()
        page.asked, page.faults = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("console", lambda line: page.faults.append(line.text) if line.type == "error" else None)
        if script:
            await page.add_init_script(script)
        await page.goto(page_path.as_uri())
        await page.wait_for_selector("canvas[data-shown]", timeout=60_000)
        yield page
        assert page.faults == []


async def shown(page, frame, pane=0, part=None):
    """What a pane's canvas shows of a frame at one pixel for one pixel, as (rows, columns, 3)."""
    canvas = page.locator(".pane canvas").nth(pane)
    await canvas.focus()
    if frame is not None:
        await page.wait_for_function(
            "([pane, frame]) => document.querySelectorAll('.pane canvas')[pane].dataset.shown.endsWith('+' + frame)",
            arg=[pane, frame],
            timeout=60_000,
        )
    await page.keyboard.press("0")
    picture = await painted(page, pane)
    if part == ():
        return picture
    rows, columns = part or (SIZE, SIZE)
    top, left = (picture.shape[0] - rows) // 2, (picture.shape[1] - columns) // 2
    assert (picture.shape[0] - rows) % 2 == (picture.shape[1] - columns) % 2 == 0
    return picture[top : top + rows, left : left + columns]


async def painted(page, pane):
    """A pane's canvas as it is, as (rows, columns, 3)."""
    await page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    url = await page.locator(".pane canvas").nth(pane).evaluate("canvas => canvas.toDataURL('image/png')")
    return np.asarray(Image.open(BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB"))


def windowed(values, window, *, inverted=False):
    """Apart from our program: PS3.3 C.11.2.1.2.1."""
    center, width = window
    share = np.clip((values.astype(np.float64) - (center - 0.5)) / (width - 1) + 0.5, 0, 1)
    return np.round((1 - share if inverted else share) * 255)


def hounsfield(instance):
    ds = dcmread(BytesIO(instance.data))
    return ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)


def is_near(found, wanted):
    return np.abs(found[..., 0].astype(float) - wanted).max() <= 1 and np.array_equal(found[..., 0], found[..., 2])


def axial(study):
    """The slices in the order of the page: along the normal, from the feet up."""
    images = next(series for series in study.series if series.number == 2).images
    return sorted(images, key=lambda image: float(image.tags.ImagePositionPatient[2]))


@pytest.mark.parametrize(
    "options, script",
    [
        pytest.param({}, "", id="12 bits", marks=pytest.mark.thorough),
        pytest.param({"signed": True}, NO_STREAMS, id="signed, in a browser without DecompressionStream"),
        pytest.param({"syntax": JPEG_LS}, "", id="JPEG-LS", marks=pytest.mark.thorough),
    ],
)
@in_browser_loop
async def test_a_known_value_at_a_known_place_and_window(tmp_path, options, script):
    study = chest_ct(slices=SLICES, size=SIZE, **{"syntax": NATIVE, **options})
    made = await view(saved(study, tmp_path / "study"), tmp_path / "study" / "index.html", Language.ZH)
    assert (made.frames, made.undecoded, made.unreadable) == (len(study.images), 0, ())
    async with opened(made.path, script=script) as page:
        await page.select_option(".bar select", "lung")
        await page.locator(".pane canvas").focus()
        await page.keyboard.press("Home")
        await page.keyboard.press("ArrowDown")
        assert is_near(await shown(page, 1), windowed(hounsfield(axial(study)[1]), LUNG))
        await page.keyboard.press("i")
        assert is_near(await shown(page, 1), windowed(hounsfield(axial(study)[1]), LUNG, inverted=True))
        assert page.asked == [made.path.as_uri()]


COUNTING = """async () => {
  const [index, words] = ["index", "words"].map((id) => JSON.parse(document.getElementById(id).textContent));
  index.series = [{ ...index.series[0], first: 0, count: 100, volume: null, positions: null, orientations: null, files: null }];
  const facts = { kind: "grey8", rows: 2, columns: 2, as_is: true, aspect: 1, slope: 1, intercept: 0, signed: false,
    inverted: false, low: 0, high: 3, least: 0, most: 3, windows: [], function: "" };
  const head = new TextEncoder().encode(JSON.stringify(facts)), frame = new Uint8Array(8 + head.length);
  new DataView(frame.buffer).setUint32(0, head.length, true);
  frame.set(head, 4);
  document.getElementById("viewer").replaceChildren();
  window.asked = [];
  const load = (number) => new Promise((done) => window.asked.push({ number, come: () => done(frame) }));
  window.counting = window.cloudfilmViewer(document.getElementById("viewer"), { index, words, language: "en", load });
}"""


@in_browser_loop
async def test_what_is_looked_at_comes_before_what_may_be(tmp_path):
    made = await view(saved(chest_ct(slices=5, size=64), tmp_path / "study"), tmp_path / "index.html", Language.EN)

    async def asked(page, count):
        await page.wait_for_function("count => asked.length >= count", arg=count, timeout=60_000)
        return await page.evaluate("asked.map(({ number }) => number)")

    async with opened(made.path) as page:
        await page.evaluate(COUNTING)
        assert await asked(page, 1) == [50]
        await page.evaluate("asked[0].come()")
        assert await asked(page, 4) == [50, 51, 52, 49]  # ahead, and not more at once
        await page.locator(".pane canvas").focus()
        await page.keyboard.press("PageDown")
        await page.evaluate("asked[1].come()")
        assert (await asked(page, 5))[4] == 60
        await page.evaluate("asked[4].come()")
        assert (await asked(page, 6))[5] == 61  # what was ahead of the old place is forgotten


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16])
def test_percentiles_are_those_of_numpy(dtype):
    dice = np.random.default_rng(5)
    limits = np.iinfo(dtype)
    for shape in ((1, 1), (2, 3), (64, 64)):
        samples = dice.integers(limits.min, limits.max, shape, dtype, endpoint=True)
        assert np.allclose(_percentiles(samples), np.percentile(samples, (1, 99)))
    assert _percentiles(np.full((4, 4), -7, np.int16)) == (-7, -7)


@in_browser_loop
async def test_planes_are_cut_from_the_slices(tmp_path):
    study = chest_ct(slices=SLICES, size=SIZE)
    made = await view(saved(study, tmp_path / "study"), tmp_path / "index.html", Language.EN)
    async with opened(made.path) as page:
        await page.select_option(".bar select", "mediastinum")
        await page.keyboard.press("m")
        await page.wait_for_selector('.area[data-panes="3"] canvas[data-shown]', timeout=60_000)
        await shown(page, SIZE // 2, pane=1, part=())
        for _ in range(9):
            await page.keyboard.press("+")  # so large that pixels stay squares
        picture, size = await painted(page, pane=1), 1.25**9
        spacing = 5 / float(axial(study)[0].tags.PixelSpacing[0])
        wanted = np.array([windowed(hounsfield(image)[SIZE // 2], (40, 400)) for image in reversed(axial(study))])
        compared = 0
        for place, column in np.ndindex(wanted.shape):
            y = picture.shape[0] / 2 + (place + 0.5 - SLICES / 2) * spacing * size
            x = picture.shape[1] / 2 + (column + 0.5 - SIZE / 2) * size
            is_line = column in (SIZE // 2, SIZE // 2 - 1) or place in (SLICES // 2, SLICES // 2 - 1)
            if not is_line and 0 < y < picture.shape[0] and 0 < x < picture.shape[1]:
                compared += 1
                assert abs(float(picture[int(y), int(x), 0]) - wanted[place, column]) <= 1
        assert compared > 100


@in_browser_loop
async def test_a_large_study_lies_in_parts_beside_its_page(tmp_path):
    study = chest_ct(slices=SLICES, size=SIZE)
    files = saved(study, tmp_path / "study")
    (tmp_path / "out").mkdir()
    paths = tuple(sorted((files / "002").iterdir()))
    async with Inspector() as inspector:
        listed = await view_study([ViewedSeries(2, "", paths)], inspector)
        made = await write_page(listed, tmp_path / "out" / "index.html", Language.ZH, inspector, most_in_page=20_000)
    assert made.parts
    async with opened(made.path) as page:
        await page.select_option(".bar select", "lung")
        await page.locator(".pane canvas").focus()
        await page.keyboard.press("End")
        last = next(series for series in study.series if series.number == 2).images[-1]
        assert is_near(await shown(page, SLICES - 1), windowed(hounsfield(last), LUNG))
        assert set(page.asked) == {made.path.as_uri(), *(part.as_uri() for part in made.parts)}


async def test_a_preview_reads_the_middle_file_of_each_series_and_of_few_series(tmp_path):
    study = chest_ct(slices=SLICES, size=SIZE)
    files = saved(study, tmp_path / "study")
    paths = tuple(sorted((files / "002").iterdir()))
    middle = paths[len(paths) // 2]
    for path in paths:
        if path != middle:
            path.write_bytes(b"")  # whoever reads it finds nothing
    alone = tmp_path / "alone.dcm"
    alone.write_bytes(middle.read_bytes())
    many = [ViewedSeries(number, "", (alone,) if number <= 24 else (paths[0],)) for number in range(3, 40)]
    async with Inspector() as inspector:
        preview = await preview_study([ViewedSeries(2, "5mm", paths), *many], inspector)
        whole = await view_study([ViewedSeries(2, "5mm", paths)], inspector)
    first = preview.index["series"][0]
    assert (first["count"], first["rows"], first["modality"]) == (len(paths), SIZE, "CT")
    assert first["volume"] is None  # of one place nothing is said about the others
    assert [at.path for at in preview.frames[: len(paths)]] == list(paths)
    assert preview.unreadable == ()
    rows = [series["rows"] for series in preview.index["series"]]
    assert (rows.count(SIZE), rows.count(0)) == (23, len(many) - 22)  # 24 series were looked at, one of them in vain
    assert (whole.index["series"][0]["count"], len(whole.unreadable)) == (1, len(paths) - 1)


def colour_file(path, frames):
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.Modality, ds.PatientName, ds.SeriesNumber = "US", "Colour^Test", 1
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PlanarConfiguration = *frames.shape[1:3], 3, 0
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation, ds.PhotometricInterpretation = 7, 0, "RGB"
    ds.NumberOfFrames, ds.FrameTime, ds.PixelData = len(frames), "40", frames.tobytes()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dcmwrite(path, ds, enforce_file_format=True)


@in_browser_loop
async def test_frames_of_colour_play(tmp_path):
    frames = np.random.default_rng(3).integers(0, 256, (5, 64, 80, 3), dtype=np.uint8)
    (tmp_path / "study").mkdir()
    colour_file(tmp_path / "study" / "us.dcm", frames)
    made = await view(tmp_path / "study", tmp_path / "index.html", Language.EN)
    async with opened(made.path) as page:
        await page.locator(".pane canvas").focus()
        await page.keyboard.press("End")
        assert np.array_equal(await shown(page, 4, part=(64, 80)), frames[4])
        await page.keyboard.press(" ")
        await page.wait_for_function("() => document.querySelector('.pane canvas').dataset.shown.endsWith('+1')")
        await page.keyboard.press(" ")


@in_browser_loop
async def test_one_finger_turns_the_stack_and_two_zoom(tmp_path):
    study = chest_ct(slices=SLICES, size=SIZE, localizers=0, dose_report=False)
    made = await view(saved(study, tmp_path / "study"), tmp_path / "index.html", Language.ZH)
    async with opened(made.path, size=(400, 700), touch=True) as page:
        session = await page.context.new_cdp_session(page)

        async def touch(kind, *points):
            fingers = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
            await session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

        box = await page.locator(".pane canvas").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        before = int((await page.inner_text(".bl")).partition(" / ")[0])
        await touch("touchStart", (x, y))
        for step in range(1, 9):
            await touch("touchMove", (x, y + 10 * step))
        await touch("touchEnd")
        await page.wait_for_function(
            "before => Number(document.querySelector('.bl').textContent.split(' / ')[0]) > before", arg=before
        )
        narrow = lit_rows(await painted(page, 0))
        await touch("touchStart", (x - 30, y), (x + 30, y))
        for step in range(1, 9):
            await touch("touchMove", (x - 30 - 5 * step, y), (x + 30 + 5 * step, y))
        await touch("touchEnd")
        assert lit_rows(await painted(page, 0)) > narrow
        assert await page.evaluate("visualViewport.scale") == 1  # the picture grows, not the page


def lit_rows(picture):
    """How many rows of a picture show something."""
    return int((picture.max(axis=(1, 2)) > 10).sum())


@pytest.mark.parametrize("width", [pytest.param(400, marks=pytest.mark.thorough), 1200])
@pytest.mark.parametrize("language", first_of(Language))
@in_browser_loop
async def test_both_languages_at_both_widths_say_what_it_is_not_for(tmp_path, language, width):
    study = chest_ct(slices=5, size=SIZE)
    made = await view(saved(study, tmp_path / "study"), tmp_path / "index.html", language)
    async with opened(made.path, size=(width, 700)) as page:
        warning = await page.locator(".warning").bounding_box()
        assert warning["x"] + warning["width"] <= width
        assert await page.inner_text(".warning") == "Not for diagnosis / 不用于诊断"
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        label = "Invert" if language is Language.EN else "反色"
        assert await page.get_attribute('[data-name="invert"]', "title") == f"{label} (I)"
        await page.click(".language")
        assert await page.get_attribute('[data-name="invert"]', "title") != f"{label} (I)"


@in_browser_loop
async def test_a_damaged_file_is_named_and_the_rest_is_shown(tmp_path):
    study = chest_ct(slices=6, size=SIZE, localizers=0, dose_report=False)
    broken = axial(study)[2]
    data = retagged(broken, PhotometricInterpretation="NO SUCH")
    folder = saved(study.with_data(broken.sop_instance_uid, data), tmp_path / "study")
    (folder / "002" / "00001.dcm").write_bytes(axial(study)[0].data[:400])
    made = await view(folder, tmp_path / "index.html", Language.EN)
    assert made.unreadable
    async with opened(made.path) as page:
        assert " / 5" in await page.inner_text(".bl")


def test_the_command(tmp_path):
    folder = saved(chest_ct(slices=5, size=SIZE, localizers=0), tmp_path / "study")
    ran = cloudfilm("view", folder, "--json")
    result = json.loads(ran.stdout)
    assert (ran.returncode, result["images"], result["output"]) == (0, 5, str(folder / "index.html"))
    assert (folder / "index.html").stat().st_mode & 0o077 == 0
    assert cloudfilm("view", folder).returncode == 0


@pytest.mark.thorough
@in_browser_loop
async def test_a_zip_and_a_cd_hold_the_page(tmp_path):
    study = chest_ct(slices=5, size=SIZE, localizers=0)
    folder = saved(study, tmp_path / "study")
    packed = await export(folder, Target.ZIP, tmp_path / "a.zip", ExportOptions(page=Language.ZH))
    with zipfile.ZipFile(packed.path) as archive:
        archive.extractall(tmp_path / "unpacked")
    disc = await export(folder, Target.DICOMDIR, tmp_path / "cd", ExportOptions(page=Language.ZH))
    assert (disc.path / "DICOMDIR").is_file()
    for page_path in (tmp_path / "unpacked" / "index.html", disc.path / "INDEX.HTM"):
        assert b"cloudfilm view" in page_path.read_bytes()[:2000]
    async with opened(tmp_path / "unpacked" / "index.html") as page:
        assert await page.inner_text(".bl") == "3 / 5"


@pytest.mark.thorough
async def test_a_page_without_a_name(tmp_path):
    study = chest_ct(slices=5, size=SIZE, localizers=0, dose_report=False)
    made = await export(
        saved(study, tmp_path / "study"),
        Target.ZIP,
        tmp_path / "a.zip",
        ExportOptions(page=Language.EN),
        deidentify=True,
    )
    with zipfile.ZipFile(made.path) as archive:
        page = archive.read("index.html").decode()
    for identity in ("测试", study.patient_id, study.accession_number, study.study_instance_uid):
        assert identity not in page


async def test_what_can_not_be_shown_is_refused(tmp_path):
    report = chest_ct(slices=5, size=64, localizers=0).series[-1].instances[0]
    (tmp_path / "sr").mkdir()
    (tmp_path / "sr" / "sr.dcm").write_bytes(report.data)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingToSee):
        await view(tmp_path / "sr", tmp_path / "a.html", Language.EN)
    with pytest.raises(NoDicomHere):
        await view(tmp_path / "empty", tmp_path / "a.html", Language.EN)
    (tmp_path / "mine.html").write_text("<p>somebody's own page")
    with pytest.raises(UsageError):
        await view(tmp_path / "sr", tmp_path / "mine.html", Language.EN)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "mine.html", "sr"]


def test_it_is_small(tmp_path):
    import jpeg_ls

    study = chest_ct(slices=20, size=256, localizers=0, dose_report=False)
    made = asyncio.run(view(saved(study, tmp_path / "study"), tmp_path / "index.html", Language.EN))
    lossless = sum(len(jpeg_ls.encode(np.ascontiguousarray(image.pixels).view(np.uint16))) for image in study.images)
    assert made.path.stat().st_size - 60_000 <= 2 * lossless  # the program and the tags take 60 KB
