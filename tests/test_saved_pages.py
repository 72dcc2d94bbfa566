"""A viewer's page that a person saved: what lies in it is taken, else the address that it came from is opened."""

import base64
import hashlib
import json
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path

import pytest

from fixtures.dicom import chest_ct
from fixtures.sites.generic_viewer.site import HOST, GenericViewer
from fixtures.world import World
from scraper.cli import commands
from scraper.core.errors import NoLinkInText
from scraper.core.settings import Settings
from scraper.session.browser import find_browser
from scraper.source import resolve
from scraper.testing import first_of, wait_in_browser_loop
from tests.recorders import context_in

needs_browser = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")
STUDY = chest_ct(slices=4, size=32, localizers=0)
CT = STUDY.series[0]
ADDRESS = "https://film.aurora.test/v/Ab12Cd34"
LIST = json.dumps(
    {
        "studyInstanceUID": STUDY.study_instance_uid,
        "series": [
            {
                "seriesInstanceUID": CT.uid,
                "instances": [{"sopInstanceUID": item.sop_instance_uid} for item in CT.instances],
            }
        ],
    }
)
WANTED = {hashlib.sha256(item.data).hexdigest() for item in CT.instances}


def run(capsys, *words: object) -> tuple[int, dict]:
    code = commands.run([*map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out or "{}")


def saved(folder: Path) -> set[str]:
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.dcm")}


def as_mhtml(path: Path, count: int = 4) -> Path:
    """As Chromium's "web page, single file": a part each, with its address."""
    message = MIMEMultipart("related", type="text/html")
    message["From"] = "<Saved by Blink>"
    message["Snapshot-Content-Location"] = ADDRESS
    page = MIMEText("<html><body>影像</body></html>", "html", "utf-8")
    page["Content-Location"] = ADDRESS
    listed = MIMEApplication(LIST.encode(), "json")
    listed["Content-Location"] = "https://film.aurora.test/api/list"
    message.attach(page)
    message.attach(listed)
    for number, item in enumerate(CT.instances[:count], 1):
        image = MIMEApplication(item.data, "octet-stream")
        image["Content-Location"] = f"https://film.aurora.test/image/{number}"
        message.attach(image)
    path = path / "影像.mhtml"
    path.write_bytes(message.as_bytes())
    return path


def as_single_file(path: Path, count: int = 4) -> Path:
    """As SingleFile: everything inside, as ``data:`` addresses."""
    images = "".join(
        f'<embed src="data:application/dicom;base64,{base64.b64encode(item.data).decode()}">'
        for item in CT.instances[:count]
    )
    listed = base64.b64encode(LIST.encode()).decode()
    path = path / "film.html"
    path.write_text(
        f"<!DOCTYPE html><html><!--\n Page saved with SingleFile \n url: {ADDRESS} \n saved date: Sun Nov 29 2026\n-->"
        f'<body><link href="data:application/json;base64,{listed}">{images}</body></html>',
        encoding="utf-8",
    )
    return path


def as_folder(path: Path, count: int = 4) -> Path:
    """As "web page, complete": the page, and a folder beside it."""
    folder = path / "film_files"
    folder.mkdir()
    (folder / "list.json").write_text(LIST, encoding="utf-8")
    for number, item in enumerate(CT.instances[:count], 1):
        (folder / f"image({number})").write_bytes(item.data)
    path = path / "film.html"
    path.write_text(f"<!-- saved from url=({len(ADDRESS):04}){ADDRESS} -->\n<html></html>", encoding="utf-8")
    return path


KINDS = {"mhtml": as_mhtml, "single file": as_single_file, "with its folder": as_folder}


@pytest.mark.parametrize("kind", KINDS)
def test_what_lies_in_the_page_is_saved(tmp_path, capsys, kind):
    code, document = run(capsys, "grab", KINDS[kind](tmp_path), "-o", tmp_path / "out")
    assert code == 0, document
    assert saved(tmp_path / "out") == WANTED
    assert (document["provider"], document["via"], document["link"]) == ("page", None, None)


@pytest.mark.parametrize("kind", first_of(KINDS))
def test_what_its_list_names_and_the_page_lacks_is_missing(tmp_path, capsys, kind):
    code, document = run(capsys, "grab", KINDS[kind](tmp_path, 3), "-o", tmp_path / "out")
    assert (code, document["instances"]["saved"], document["instances"]["expected"]) == (7, 3, 4)


@pytest.mark.parametrize("kind", first_of(KINDS))
def test_a_page_without_images_is_a_link_to_where_it_came_from(tmp_path, kind):
    link = resolve.read(str(KINDS[kind](tmp_path, 0)), Settings(), str)
    assert link.url == ADDRESS


def test_a_page_that_says_nothing_of_itself_is_a_text(tmp_path):
    path = tmp_path / "page.html"
    path.write_text(f"<html><a href='{ADDRESS}'>film</a></html>", encoding="utf-8")
    assert resolve.read(str(path), Settings(), str).url == ADDRESS
    path.write_text("<html>nothing</html>", encoding="utf-8")
    with pytest.raises(NoLinkInText):
        resolve.read(str(path), Settings(), str)


@pytest.mark.parametrize(
    "content",
    [
        b"MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=x\r\n\r\n--x\r\nContent-Type: multipart/mixed",
        b"MIME-Version: 1.0\r\nContent-Type: multipart/related\r\n\r\n",
        b"\xff\xfe" + "MIME-Version: 1.0".encode("utf-16-le"),
        b"multipart/related" * 1000,
        b"<!-- saved from url=(0014)https://[::1 -->",
        b"data:;base64," * 1000,
    ],
)
def test_a_broken_page_gets_a_sentence(tmp_path, capsys, content):
    path = tmp_path / "film.mhtml"
    path.write_bytes(content)
    assert commands.run(["grab", str(path), "-o", str(tmp_path / "out"), "--lang", "en"]) in (2, 3, 4)
    assert capsys.readouterr().err.strip()


def test_links_out_of_the_pages_folder_are_not_followed(tmp_path, capsys):
    path = as_folder(tmp_path, 3)
    secret = tmp_path / "secret.dcm"
    secret.write_bytes(CT.instances[3].data)
    (tmp_path / "film_files" / "image(4)").symlink_to(secret)
    _, document = run(capsys, "grab", path, "-o", tmp_path / "out")
    assert document["instances"]["saved"] == 3


@needs_browser
def test_what_chromium_saves_leads_back_to_the_film(tmp_path, capsys):
    async def save() -> str:
        async with context_in(world.connect_to) as context:
            page = await context.new_page()
            await page.goto(f"https://{HOST}/v/wado", wait_until="networkidle")
            devtools = await context.new_cdp_session(page)
            return (await devtools.send("Page.captureSnapshot", {"format": "mhtml"}))["data"]

    with World(GenericViewer()) as world:
        snapshot = wait_in_browser_loop(save)
        path = tmp_path / "film.mhtml"
        path.write_bytes(snapshot.encode())
        assert resolve.read(str(path), Settings(), str).url == f"https://{HOST}/v/wado"
