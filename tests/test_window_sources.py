"""What is handed to the window: folders, archives, recordings, photos with several codes or none, and the camera's picture."""

import hashlib
import zipfile

import pytest
from PIL import Image

from fixtures.dicom import chest_ct
from fixtures.sites.shdc import site
from fixtures.world import World
from scraper.session.browser import find_browser
from tests.tabs import PATIENCE_MS, browser_page, expect
from tests.test_codes import drawn, paper
from tests.test_har_sources import WANTED, as_base64, entries, har
from tests.test_window import PHOTO, asked, paste, says, window

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")
EQUAL = ("https://q.one.test/m/8kQz1LmP", "https://e.two.test/c/Jk3f9QwX")
STUDY = chest_ct(slices=5, size=64, seed=3)


def files_of(folder):
    folder.mkdir()
    for number, instance in enumerate(STUDY.instances):
        (folder / f"IM{number:05}").write_bytes(instance.data)  # as on a CD: without an ending
    return folder


def saved(output):
    return {path.read_bytes() for path in output.glob("*/*/*.dcm")}


@pytest.mark.thorough
def test_a_folder_a_zip_and_a_recording(tmp_path):
    folder = files_of(tmp_path / "CD")
    with zipfile.ZipFile(tmp_path / "scan.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"DICOM/{path.name}")
    (tmp_path / "film.har").write_bytes(har(entries(as_base64)))
    with window(tmp_path) as started, browser_page(started.address) as page:
        page.set_input_files("#folder", folder)
        says(page, ".verdict", "完整")
        says(page, ".card h3", "CD")
        assert saved(started.output) == {instance.data for instance in STUDY.instances}
        page.set_input_files("#files", [tmp_path / "scan.zip", tmp_path / "film.har"])
        expect(page.locator(".verdict:visible")).to_have_count(3, timeout=PATIENCE_MS)
        says(page, ".card:has-text('scan.zip') .verdict", "完整")
        says(page, ".card:has-text('film.har') .verdict", "完整")
        assert {hashlib.sha256(data).hexdigest() for data in saved(started.output)} >= WANTED


def test_a_folder_is_bounded_and_never_a_path(tmp_path):
    with window(tmp_path) as started:
        headers = {"Origin": f"http://127.0.0.1:{started.port}", "Content-Type": "application/json"}
        post = lambda path, body=None: asked(started, "POST", f"/{started.token}/{path}", headers, body)  # noqa: E731
        assert post("folder/99/file?name=a", "x")[0] == 404
        assert post("folder/99/whole", "{}")[0] == 404
        assert post("folder/..%2f1/file?name=a", "x")[0] == 404
        assert post("folder")[0] == 200
        assert post("folder/1/file?name=..%2F..%2Fevil.dcm", "x")[0] == 200
        assert not list(tmp_path.rglob("evil*"))
        for _ in range(49):
            assert post("folder")[0] == 200
        assert post("folder")[0] == 429


# Where the marks lie on the photo, as parts of its size; all at one moment, as the page below it may still grow.
PLACES = """image => {
  const at = image.getBoundingClientRect(), marks = [...document.querySelectorAll(".photo button.mark")];
  return marks.map(mark => mark.getBoundingClientRect()).map(box => [(box.x - at.x) / at.width, (box.y - at.y) / at.height]);
}"""


@pytest.mark.thorough
def test_a_person_chooses_between_two_codes(tmp_path):
    photo = paper(tmp_path, (drawn(EQUAL[0]), (60, 60)), (drawn(EQUAL[1]), (640, 420)))
    with Image.open(photo) as picture:
        width, height = picture.size
    with window(tmp_path) as started, browser_page(started.address) as page:
        page.set_input_files("#files", photo)
        says(page, ".doing", "哪一个是影像的二维码")
        expect(page.locator(".ask .option")).to_have_count(2)
        frame = page.locator(".photo .frame img")
        frame.evaluate("image => image.decode()")
        marks = page.locator(".photo button.mark")
        expect(marks).to_have_count(2)
        places = sorted(frame.evaluate(PLACES))
        for (x, y), (left, top) in zip(places, ((60, 60), (640, 420)), strict=True):
            assert 0 <= x * width - left < 45  # the quiet zone
            assert 0 <= y * height - top < 45
        right = max(marks.all(), key=lambda mark: mark.bounding_box()["x"])
        right.click()  # the sites are not there: which one was asked stands in the sentence
        says(page, ".verdict", "未取到")
        says(page, ".card", "e.two.test")
        page.locator(".photo button.mark").nth(
            0 if "q.one" in page.locator(".photo li").nth(0).inner_text() else 1
        ).click()
        expect(page.locator(".card .doing")).to_contain_text("q.one.test", timeout=PATIENCE_MS)


@pytest.mark.thorough
def test_a_photo_without_a_code_can_be_cut(tmp_path):
    """What helps is said, and a part of the photo that a person frames is read in its place."""
    Image.new("L", (900, 700), 220).save(tmp_path / "empty.png")
    with (
        World(site.ShdcSite(STUDY)) as world,
        window(tmp_path, world) as started,
        browser_page(started.address) as page,
    ):
        page.set_input_files("#files", tmp_path / "empty.png")
        says(page, ".verdict", "未取到")
        says(page, ".card .doing", "empty.png")
        says(page, ".help", "靠近些")
        page.reload()  # the page has no file of its own now
        says(page, ".help", "靠近些")
        page.click(".card button:has-text('框出二维码')")
        box = page.locator("dialog canvas").bounding_box()
        page.mouse.move(box["x"] + 40, box["y"] + 40)
        page.mouse.down()
        page.mouse.move(box["x"] + 200, box["y"] + 160)
        page.mouse.up()
        page.click("dialog .main")
        expect(page.locator(".card")).to_have_count(2, timeout=PATIENCE_MS)
        says(page, ".card:has-text('part.png') .verdict", "未取到")


@pytest.mark.thorough
def test_the_camera_takes_the_photo(tmp_path):
    with Image.open(PHOTO) as photo:
        photo.convert("RGB").resize((1200, round(photo.height * 1200 / photo.width))).save(tmp_path / "film.jpg")
    (tmp_path / "film.mjpeg").write_bytes((tmp_path / "film.jpg").read_bytes())
    fake = (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={tmp_path / 'film.mjpeg'}",
    )
    with (
        World(site.ShdcSite(STUDY)) as world,
        window(tmp_path, world) as started,
        browser_page(started.address, arguments=fake) as page,
    ):
        page.click("#camera")
        page.click("dialog .main")
        says(page, ".card h3", "camera.jpg")
        says(page, ".doing", "需要您填写")  # its code was read


@pytest.mark.thorough
def test_without_a_camera_it_says_so(tmp_path):
    with window(tmp_path) as started, browser_page(started.address) as page:
        page.click("#camera")
        says(page, "dialog", "没有摄像头")


@pytest.mark.thorough
def test_a_link_in_a_card_is_a_host_alone(tmp_path):
    with (
        World(site.ShdcSite(STUDY)) as world,
        window(tmp_path, world) as started,
        browser_page(started.address) as page,
    ):
        paste(page, f"您的影像：{site.REPORT_EXPIRED}")
        says(page, ".verdict", "未取到")
        assert site.REPORT_EXPIRED.rpartition("/")[2] not in page.inner_text(".card")
