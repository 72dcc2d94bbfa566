"""A browser's recording (HAR) as a source: what it holds is saved byte for byte, what its lists name besides is missing."""

import base64
import gzip
import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.dicom import chest_ct
from fixtures.sites.generic_viewer.site import HOST, GenericViewer
from fixtures.world import World
from scraper.cli import commands
from scraper.session.browser import find_browser
from scraper.testing import first_of
from tests.recorders import by_chromium, by_mitmproxy
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


@pytest.mark.parametrize("content", first_of([as_base64, as_latin_1]))
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


# ---- bodies in files of their own, as Playwright attaches them


def attached(rows: list[dict]) -> tuple[bytes, dict[str, bytes]]:
    """The recording, and the files of its bodies."""
    files = {}
    for row in rows:
        content = row["response"]["content"]
        data = base64.b64decode(content.pop("text")) if content.pop("encoding", "") else content.pop("text").encode()
        content["_file"] = f"{hashlib.sha1(data, usedforsecurity=False).hexdigest()}.dat"
        files[content["_file"]] = data
    return har(rows), files


@pytest.mark.parametrize("name", ["film.zip", "影像.har"])
def test_attached_bodies_are_read(tmp_path, capsys, name):
    data, files = attached(entries(as_base64))
    if name.endswith(".zip"):
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, body in files.items():
                archive.writestr(member, body)
            archive.writestr("影像.har", data)
    else:
        (tmp_path / name).write_bytes(data)
        for member, body in files.items():
            (tmp_path / member).write_bytes(body)
    code, document = run(capsys, "grab", tmp_path / name, "-o", tmp_path / "out")
    assert (code, document["provider"]) == (0, "har"), document
    assert set(saved(tmp_path / "out")) == WANTED


@pytest.mark.parametrize("kind", ["other name", "link", "folder above"])
def test_no_file_but_a_body_is_opened(tmp_path, capsys, kind):
    """A recording of somebody else's names files of the person's own."""
    (tmp_path / "in").mkdir()
    rows = entries(as_base64)
    digest = "0" * 40
    name = {"other name": "private.dcm", "link": f"{digest}.dcm", "folder above": f"../{digest}.dcm"}[kind]
    (tmp_path / "private.dcm").write_bytes(CT.instances[3].data)
    (tmp_path / f"{digest}.dcm").write_bytes(CT.instances[3].data)
    (tmp_path / "in" / "private.dcm").write_bytes(CT.instances[3].data)
    if kind == "link":
        try:
            (tmp_path / "in" / name).symlink_to(tmp_path / "private.dcm")
        except OSError:
            pytest.skip("no symbolic links here")
    rows[-1]["response"]["content"] = {"size": 9, "_file": name}
    (tmp_path / "in" / "film.har").write_bytes(har(rows))
    code, document = run(capsys, "grab", tmp_path / "in" / "film.har", "-o", tmp_path / "out")
    assert (code, document["instances"]["saved"]) == (7, 3), document


def test_a_zip_without_a_recording_is_an_archive(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "film.zip", "w") as archive:
        archive.writestr("notes/film.har", har([]))
        for item in CT.instances:
            archive.writestr(item.sop_instance_uid, item.data)
    code, document = run(capsys, "grab", tmp_path / "film.zip", "-o", tmp_path / "out")
    assert (code, document["provider"], document["instances"]["saved"]) == (0, "files", 4), document


# ---- other programs' manners


def test_a_form_that_stands_as_pairs_alone_tells_images_apart(tmp_path, capsys):
    """Firefox and Charles write ``params`` and no ``text``."""
    rows = entries(as_base64, count=0)
    for item in CT.instances:
        row = entry("https://film.aurora.test/image", as_base64(item.data), "application/octet-stream")
        pair = {"name": "uid", "value": item.sop_instance_uid}
        row["request"] |= {"method": "POST", "postData": {"mimeType": "x-www-form-urlencoded", "params": [pair]}}
        rows.append(row)
    path = tmp_path / "film.har"
    path.write_bytes(har(rows))
    code, document = run(capsys, "grab", path, "-o", tmp_path / "out")
    assert (code, document["instances"]["saved"], document["instances"]["expected"]) == (0, 4, 4), document


def test_bytes_that_are_no_text_come_back_as_they_were(tmp_path, capsys):
    """mitmproxy writes what looks like text as text, its other bytes as lone surrogates."""
    rows = entries(as_base64)
    for row, item in zip(rows[2:], CT.instances, strict=True):
        text = item.data.decode("utf-8", "surrogateescape")
        row["response"] |= {
            "content": {"size": 9, "mimeType": "text/plain", "text": text},
            "headers": [{"name": "Content-Type", "value": "text/plain"}],
        }
    path = tmp_path / "film.har"
    path.write_bytes(har(rows))
    code, document = run(capsys, "grab", path, "-o", tmp_path / "out")
    assert code == 0, document
    assert set(saved(tmp_path / "out")) == WANTED


def test_bytes_that_a_program_replaced_are_no_image(tmp_path, capsys):
    rows = entries(as_base64)
    rows[-1]["response"]["content"] = {
        "size": 9,
        "text": CT.instances[3].data.decode("utf-8", "replace"),
        "mimeType": "text/plain",
    }
    path = tmp_path / "film.har"
    path.write_bytes(har(rows))
    code, document = run(capsys, "grab", path, "-o", tmp_path / "out")
    assert (code, document["instances"]["saved"]) == (7, 3), document
    assert "har-bodies-left-out" in json.dumps(document)


# ---- as Chromium records it


@pytest.fixture(scope="module")
def world():
    with World(SITE) as running:
        yield running


def recorded(world: World, kind: str, path: Path, *, is_whole: bool = True) -> None:
    """In a browser that records."""
    by_chromium(world.connect_to, f"https://{HOST}/v/{kind}", path.parent, is_whole=is_whole, name=path.name)


NAMES = {"embedded": "film.har", "in a zip": "film.zip", "beside it": "attached.har"}
RECORDED = [
    *((name, kind) for name in NAMES for kind in ("socket", "wado", "post", "blocks", "base64")),
    *(("mitmproxy", kind) for kind in ("wado", "socket", "post", "blocks", "base64")),
]


@needs_browser
@pytest.mark.parametrize(("recorder", "kind"), RECORDED)
@pytest.mark.thorough
def test_a_recording_gives_what_the_live_capture_gives(world, tmp_path, capsys, recorder, kind):
    link = f"https://{HOST}/v/{kind}"
    if recorder == "mitmproxy":
        pytest.importorskip("mitmproxy")
        path = by_mitmproxy(world.connect_to, link, tmp_path)
    else:
        path = by_chromium(world.connect_to, link, tmp_path, name=NAMES[recorder])
    asked = len(world.requests())
    code, document = run(capsys, "grab", path, "-o", tmp_path / "har")
    assert len(world.requests()) == asked
    assert code == 0, document
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
