"""The window over studies that lie on the disk: what is read before the first image, and an archive that asks who sends."""

import base64
import http.client
import json
import shutil
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from fixtures.dicom import chest_ct
from scraper.session.browser import find_browser
from tests.tabs import PATIENCE_MS, browser_page, expect
from tests.test_send import STUDY, StowService
from tests.test_view import LUNG, is_near, windowed
from tests.test_window import asked, fetch, says, window

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")
SLICES = 30


def look(page):
    page.click(".study .row button.main")
    page.wait_for_selector("#viewer canvas[data-shown]")


def canvas_of(page, size):
    """What the canvas shows in the lung's window, one pixel for one pixel, as (rows, columns, 3)."""
    page.select_option("#viewer .bar select", "lung")
    canvas, view = page.locator("#viewer .pane canvas"), page.viewport_size
    odd = canvas.evaluate("canvas => [canvas.width % 2, canvas.height % 2]")  # or the picture lies between two pixels
    page.set_viewport_size({"width": view["width"] + odd[0], "height": view["height"] + odd[1]})
    page.wait_for_function(
        "() => [document.querySelector('#viewer .pane canvas')].every(({ width, height }) => !(width % 2 || height % 2))"
    )
    canvas.focus()
    page.keyboard.press("0")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    data = base64.b64decode(canvas.evaluate("canvas => canvas.toDataURL('image/png')").partition(",")[2])
    picture = np.asarray(Image.open(BytesIO(data)).convert("RGB"))
    top, left = (picture.shape[0] - size) // 2, (picture.shape[1] - size) // 2
    return picture[top : top + size, left : left + size]


def rows_of(output):
    report = next(output.glob("*/study.json"))
    rows: dict[str, list] = {}
    for row in json.loads(report.read_text())["instances_saved"]:
        rows.setdefault(row["series_instance_uid"], []).append(report.parent / row["file"])
    return list(rows.values())


@pytest.mark.thorough
def test_the_first_image_needs_one_file_of_each_series(tmp_path):
    fetch(tmp_path, chest_ct(slices=SLICES, size=64, seed=5))
    for files in rows_of(tmp_path / "out"):
        for path in files:
            if path != files[len(files) // 2]:
                path.write_bytes(b"")  # whoever reads it finds nothing
    middle = next(files[len(files) // 2] for files in rows_of(tmp_path / "out") if len(files) == SLICES)
    with window(tmp_path) as started, browser_page(started.address) as page:
        # what all files say comes when this lets it
        page.route("**/whole.json", lambda route: None)
        look(page)
        expect(page.locator(".bl")).to_have_text(f"{SLICES // 2 + 1} / {SLICES}", timeout=PATIENCE_MS)
        expect(page.locator(".tr")).to_have_text("")
        ds = dcmread(middle)
        assert is_near(canvas_of(page, 64), windowed(ds.pixel_array * ds.RescaleSlope + ds.RescaleIntercept, LUNG))
        says(page, ".notice", "正在读取其余文件")
        assert page.locator('[data-name="mpr"]').is_disabled()
    with window(tmp_path) as started, browser_page(started.address) as page:
        look(page)  # now all files are looked at: most are none
        expect(page.locator(".bl")).to_have_text("1 / 1", timeout=PATIENCE_MS)


@pytest.mark.thorough
def test_an_older_study_gets_planes_and_tags_once_all_files_are_read(tmp_path):
    fetch(tmp_path, chest_ct(slices=SLICES, size=64, seed=5))
    with window(tmp_path) as started, browser_page(started.address) as page:
        look(page)
        expect(page.locator(".notice")).to_have_text("", timeout=PATIENCE_MS)
        expect(page.locator(".bl")).to_have_text(f"{SLICES // 2 + 1} / {SLICES}")
        page.keyboard.press("m")
        page.wait_for_selector('.area[data-panes="3"] canvas[data-shown]')
        page.keyboard.press("m")
        page.keyboard.press("t")
        page.fill("#viewer dialog input", "image position")
        assert "0020,0032" in page.inner_text("#viewer dialog tbody")
        page.click("#viewer dialog .close")
        page.click("#back")
        look(page)
        page.keyboard.press("PageDown")  # the first viewer is gone: a key counts once
        expect(page.locator(".bl")).to_have_text(f"{SLICES // 2 + 11} / {SLICES}")


def test_a_report_names_nothing_outside_its_folder(tmp_path):
    fetch(tmp_path, chest_ct(slices=5, size=64, localizers=0, dose_report=False))
    report = next((tmp_path / "out").glob("*/study.json"))
    outside = tmp_path / "outside"
    report.parent.rename(outside)
    shutil.copytree(outside, tmp_path / "out" / "sound")
    report.parent.mkdir()
    document = json.loads((outside / "study.json").read_text())
    for row in document["instances_saved"]:
        row["file"] = f"../../outside/{row['file']}"
    report.write_text(json.dumps(document))
    with window(tmp_path) as started:
        connection = http.client.HTTPConnection("127.0.0.1", started.port, timeout=20)
        connection.request("GET", f"/{started.token}/events")
        news = json.loads(connection.getresponse().readline().removeprefix(b"data: "))
        connection.close()
        shown = {}
        for study in news["studies"]:
            status, answer, _ = asked(started, "GET", f"/{started.token}/study/{study['number']}/index.json")
            shown[study["folder"]] = (status, len(json.loads(answer)["series"]))
    assert shown == {"sound": (200, 1), report.parent.name: (200, 0)}


@pytest.mark.thorough
def test_an_archive_that_asks_who_sends(tmp_path):
    fetch(tmp_path, STUDY)
    basic = "Basic " + base64.b64encode(b"clinic:s3cret-w0rd").decode()
    with (
        StowService(authorization=basic) as service,
        window(tmp_path) as started,
        browser_page(started.address) as page,
    ):
        page.click(".study summary")
        for password in ("wrong-w0rd", "s3cret-w0rd"):
            page.click(".study button:has-text('归档系统')")
            page.fill("#archive-to", service.url)
            page.fill("#archive-account", "clinic")
            page.fill("#archive-password", password)
            page.press("#archive-password", "Enter")
            says(page, ".note.failed" if password == "wrong-w0rd" else ".note.done", "")
        count = len(STUDY.instances)
        says(page, ".note.done", f"已有 {count} 幅中的 {count} 幅")
        assert sorted(service.stored) == sorted(item.sop_instance_uid for item in STUDY.instances)
        page.click(".study button:has-text('归档系统')")
        assert page.input_value("#archive-password") == page.input_value("#archive-account") == ""
        page.fill("#archive-to", "pacs://ARCHIVE@127.0.0.1:11112")
        expect(page.locator("#archive-tls")).to_be_visible()
        expect(page.locator("#archive-password")).to_be_hidden()
        page.check("#archive-tls")
        no_certificate = {"name": "ca.pem", "mimeType": "text/plain", "buffer": b"no certificate"}
        page.set_input_files("#archive-certificate", no_certificate)
        page.press("#archive-to", "Enter")
        says(page, ".note.failed", "不是证书")
    for folder in (started.home, started.output):
        for path in folder.rglob("*"):
            assert not path.is_file() or b"s3cret-w0rd" not in path.read_bytes()
