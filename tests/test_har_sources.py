"""A browser's recording (HAR) as a source: what it holds is saved byte for byte, what its lists name besides is missing."""

import base64
import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from fixtures.dicom import chest_ct
from fixtures.sites.generic_viewer.site import HOST, GenericViewer
from fixtures.world import World
from scraper.cli import commands
from scraper.session.browser import find_browser
from scraper.testing import first_of
from tests.serving import served

needs_browser = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")
SITE = GenericViewer()
STUDY = chest_ct(slices=4, size=32, localizers=0)
CT = STUDY.series[0]


def run(capsys, *words: object) -> tuple[int, dict]:
    """The command's exit code and its JSON."""
    code = commands.run([*map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out or "{}")


def saved(folder: Path) -> dict[str, bytes]:
    return {hashlib.sha256(path.read_bytes()).hexdigest(): path.read_bytes() for path in folder.rglob("*.dcm")}


WANTED = {hashlib.sha256(item.data).hexdigest() for item in CT.instances}


# ---- written as programs write it


def entry(url: str, content: dict, mime: str, **more: object) -> dict:
    return {
        "request": {"method": "GET", "url": url, "headers": []},
        "response": {
            "status": 200,
            "headers": [{"name": "Content-Type", "value": mime}],
            "content": {"mimeType": mime, "size": 1, **content},
        },
        **more,
    }


def as_base64(data: bytes) -> dict:
    return {"text": base64.b64encode(data).decode(), "encoding": "base64"}


def as_latin_1(data: bytes) -> dict:
    return {"text": data.decode("latin-1")}


def left_out(data: bytes) -> dict:
    return {"size": len(data)}


def entries(content: Callable[[bytes], dict], *, count: int = len(CT.instances)) -> list[dict]:
    """A viewer that lists its images, and gets some of them."""
    images = [{"sopInstanceUID": item.sop_instance_uid} for item in CT.instances]
    listed = {
        "studyInstanceUID": STUDY.study_instance_uid,
        "series": [{"seriesInstanceUID": CT.uid, "instances": images}],
    }
    site = "https://film.aurora.test"
    rows = [entry(f"{site}/s/Ab12Cd34", {"text": "<html></html>"}, "text/html")]
    rows.append(entry(f"{site}/api/list", {"text": json.dumps(listed)}, "application/json"))
    for number, item in enumerate(CT.instances[:count], 1):
        rows.append(entry(f"{site}/image/{number}", content(item.data), "application/octet-stream"))
    return rows


def har(rows: list[dict]) -> bytes:
    return json.dumps({"log": {"version": "1.2", "entries": rows}}).encode()


@pytest.mark.parametrize("content", [as_base64, as_latin_1])
@pytest.mark.parametrize("name", ["film.har", "film.har.gz"])
def test_what_a_recording_holds_is_saved(tmp_path, capsys, content, name):
    path = tmp_path / name
    data = har(entries(content))
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    code, document = run(capsys, "grab", path, "-o", tmp_path / "out")
    assert code == 0, document
    assert set(saved(tmp_path / "out")) == WANTED
    assert (document["provider"], document["via"], document["link"]) == ("har", None, None)


def test_what_a_list_names_and_the_recording_lacks_is_missing(tmp_path, capsys):
    path = tmp_path / "film.har"
    path.write_bytes(har(entries(as_base64, count=3)))
    code, document = run(capsys, "grab", path, "-o", tmp_path / "out")
    assert (code, document["instances"]["saved"], document["instances"]["expected"]) == (7, 3, 4)


def test_a_cut_file_gives_what_it_holds(tmp_path, capsys):
    path = tmp_path / "film.har"
    path.write_bytes(har(entries(as_base64))[:-500])
    code, document = run(capsys, "grab", path, "-o", tmp_path / "out")
    assert (code, document["instances"]["saved"]) == (7, 3)
    assert "har-cut" in json.dumps(document)


@pytest.mark.parametrize(
    ("rows", "code", "words"),
    [
        pytest.param(
            [row | {"response": {**row["response"], "content": {"size": 9}}} for row in entries(left_out)],
            2,
            "HAR with content",
            id="no bodies at all",
        ),
        pytest.param(entries(left_out), 2, "HAR with content", id="no bodies of images"),
        pytest.param(entries(as_base64)[:1], 2, "No DICOM images", id="no images"),
        pytest.param([], 2, "No DICOM images", id="nothing"),
    ],
)
def test_a_recording_without_images_is_named(tmp_path, capsys, rows, code, words):
    path = tmp_path / "film.har"
    path.write_bytes(har(rows))
    assert commands.run(["grab", str(path), "-o", str(tmp_path / "out"), "--lang", "en"]) == code
    assert words in capsys.readouterr().err


def test_list_shows_what_a_recording_holds(tmp_path, capsys):
    path = tmp_path / "film.har"
    path.write_bytes(har(entries(as_base64)))
    code, document = run(capsys, "list", path)
    assert code == 0, document
    assert [(row["uid"], row["expected"]) for row in document["series"]] == [(CT.uid, 4)]


THICK_AND_THIN = chest_ct(slices=4, thin=4, size=32, localizers=0, dose_report=False)


def in_blocks(*starts: int) -> list[dict]:
    """A viewer that gets three images of a series at a time, from one on; a series' last one comes alone."""
    listed = {
        "studyInstanceUID": THICK_AND_THIN.study_instance_uid,
        "series": [
            {
                "seriesInstanceUID": series.uid,
                "instances": [{"sopInstanceUID": item.sop_instance_uid} for item in series.instances],
            }
            for series in THICK_AND_THIN.series
        ],
    }
    rows = [entry("https://film.aurora.test/api/list", {"text": json.dumps(listed)}, "application/json")]
    for series in THICK_AND_THIN.series:
        for start in starts:
            images = series.instances[start : start + 3]
            block = b"".join(len(item.data).to_bytes(8, "little") + item.data for item in images)
            row = entry("https://film.aurora.test/blocks", as_base64(block), "application/octet-stream")
            asked = json.dumps({"after": images[0].sop_instance_uid})
            row["request"] |= {"method": "POST", "postData": {"text": asked}}
            rows.append(row)
    return rows


@pytest.mark.parametrize(
    ("starts", "code", "count"), [((0, 1, 2, 3), 0, 8), ((0, 3), 0, 8), ((1, 2, 3), 7, 6), ((3,), 7, 2)]
)
def test_images_that_came_in_blocks_have_their_places_in_the_list(tmp_path, capsys, starts, code, count):
    path = tmp_path / "film.har"
    path.write_bytes(har(in_blocks(*starts)))
    found, document = run(capsys, "grab", path, "-o", tmp_path / "out")
    assert (found, document["instances"]["saved"], document["instances"]["expected"]) == (code, count, 8), document
    assert len(saved(tmp_path / "out")) == count


# ---- as Chromium records it


@pytest.fixture(scope="module")
def world():
    with World(SITE) as running:
        yield running


def recorded(world: World, kind: str, path: Path, *, is_whole: bool = True) -> None:
    """Look through a viewer as a person does, in a browser that records; or look at its first image alone."""
    rules = [f"MAP {host} {address}" for host, _, address in (row.split(":", 2) for row in world.connect_to)]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_browser(), args=["--no-sandbox", f"--host-resolver-rules={','.join(rules)}"]
        )
        context = browser.new_context(
            ignore_https_errors=True, record_har_path=path, record_har_content="embed", record_har_mode="full"
        )
        page = context.new_page()
        page.goto(f"https://{HOST}/v/{kind}", wait_until="networkidle")
        page.mouse.move(300, 300)
        for button in page.locator("nav button").all() if is_whole else ():
            button.click()
            for _ in range(20):
                page.mouse.wheel(0, 120)
                page.wait_for_load_state("networkidle")
        page.wait_for_load_state("networkidle")
        context.close()
        browser.close()


@needs_browser
@pytest.mark.parametrize("kind", first_of(["socket", "wado", "post", "blocks", "base64"]))
@pytest.mark.thorough
def test_chromiums_own_recording_gives_what_the_live_capture_gives(world, tmp_path, capsys, kind):
    path = tmp_path / "film.har"
    recorded(world, kind, path)
    asked = len(world.requests())
    code, document = run(capsys, "grab", path, "-o", tmp_path / "har")
    assert len(world.requests()) == asked
    assert code == 0, document
    link = f"https://{HOST}/v/{kind}"
    code, document = run(capsys, "grab", link, "-o", tmp_path / "live", "--provider", "universal", *world.options)
    assert code == 0, document
    assert saved(tmp_path / "har") == saved(tmp_path / "live")
    assert len(saved(tmp_path / "har")) == sum(len(series.instances) for series in SITE.study.series)


@needs_browser
def test_a_viewer_that_was_not_looked_through_lacks_the_rest(world, tmp_path, capsys):
    path = tmp_path / "film.har"
    recorded(world, "wado", path, is_whole=False)
    code, document = run(capsys, "grab", path, "-o", tmp_path / "har")
    count = sum(len(series.instances) for series in SITE.study.series)
    assert (code, document["instances"]["expected"]) == (7, count)
    assert 0 < document["instances"]["saved"] < count
    code, document = run(capsys, "grab", path, "-o", tmp_path / "asked", "--fetch-missing", *world.options)
    assert (code, document["instances"]["saved"]) == (0, count), document


def test_what_the_site_gives_to_its_session_alone_stays_missing_and_no_cookie_is_sent(tmp_path, capsys):
    asked = []

    async def site(scope, receive, send):
        asked.append(dict(scope["headers"]))
        await send({"type": "http.response.start", "status": 403, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    addresses = [
        f"http://127.0.0.1:PORT/wado?requestType=WADO&studyUID={STUDY.study_instance_uid}&seriesUID={CT.uid}"
        f"&objectUID={item.sop_instance_uid}"
        for item in CT.instances
    ]
    rows = [
        entry("http://127.0.0.1:PORT/s/Ab12Cd34", {"text": "<html></html>"}, "text/html"),
        entry("http://127.0.0.1:PORT/list", {"text": json.dumps({"images": addresses})}, "application/json"),
        *(
            entry(address, as_base64(item.data), "application/dicom")
            for address, item in zip(addresses[:3], CT.instances, strict=False)
        ),
    ]
    for row in rows:
        row["request"]["headers"] = [{"name": "Cookie", "value": "id=secret"}, {"name": "X-Token", "value": "secret"}]
    with served(site) as port:
        path = tmp_path / "film.har"
        path.write_bytes(har(rows).replace(b"PORT", str(port).encode()))
        code, document = run(capsys, "grab", path, "-o", tmp_path / "out", "--fetch-missing")
    assert (code, document["instances"]["saved"], document["instances"]["expected"]) == (7, 3, 4)
    assert len(asked) >= 1
    assert not any(b"secret" in b"".join(headers.values()) for headers in asked)
