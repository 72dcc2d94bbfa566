"""``cloudfilm app`` in a real browser, over an emulated hospital: from a dropped photo to a zip; and attacks on its server."""

import base64
import contextlib
import http.client
import re
import signal
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from fixtures.dicom import chest_ct
from fixtures.faults import Fault
from fixtures.sites.shdc import site
from fixtures.sites.tdcloud import site as tdcloud
from fixtures.world import World
from scraper.session.browser import find_browser
from tests import aurora
from tests.programs import PIPE, Program, environment, ran, started
from tests.tabs import PATIENCE_MS, browser_page, expect
from tests.test_cli import cloudfilm, photo, site_of, up
from tests.test_send import STUDY, SmallArchive, uids

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")
PHOTO = Path(__file__).parents[1] / "fixtures" / "report.jpg"
AXE = Path(__file__).parents[1] / ".cache" / "axe" / "package" / "axe.min.js"
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/[\w-]+/")


@dataclass
class Started:
    """A running window: its address, its process, and where its studies go."""

    address: str
    process: Program | subprocess.Popen[str]
    output: Path
    home: Path

    @property
    def port(self) -> int:
        return int(self.address.split(":")[2].partition("/")[0])

    @property
    def token(self) -> str:
        return self.address.rstrip("/").rpartition("/")[2]


def variables_of(home):
    """Of a window whose address is to be read."""
    return environment(CLOUDFILM_DATA=str(home), PYTHONUNBUFFERED="1")


@contextlib.contextmanager
def window(tmp_path, world=None, language="zh"):
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    words = ("app", "--no-window", "--lang", language, "-o", tmp_path / "out", *(world.options if world else ()))
    process = started(*words, environment=variables_of(home), stdout=PIPE, text=True)
    try:
        found = ADDRESS.search(process.stdout.readline())
        yield Started(found[0], process, tmp_path / "out", home)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        process.stdout.close()


def drop(page, path):
    """Drop a file as a person does."""
    data = base64.b64encode(path.read_bytes()).decode()
    page.evaluate(
        """([data, name]) => {
          const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0)), dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([bytes], name, { type: "image/jpeg" }));
          const event = new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true });
          document.querySelector("#drop").dispatchEvent(event);
        }""",
        [data, path.name],
    )


def paste(page, text):
    page.fill("#text", text)
    page.click("#text-form button")


def says(page, selector, text):
    expect(page.locator(selector).first).to_contain_text(text, timeout=PATIENCE_MS)


WORDS = {
    "zh": ("需要您填写", "网站不接受", "完整", "把这个文件发给医生"),
    "en": ("asks a question", "refused the answer", "Complete", "Send this file to the doctor"),
}


BUTTONS = {"zh": ("暂停", "已暂停", "继续", "归档系统"), "en": ("Pause", "Paused", "Go on", "archive")}


@contextlib.contextmanager
def asked_directly(tmp_path, study):
    """A photo of a link whose site asks for an answer without a browser, the answer, and the served site."""
    with up(site_of(study)) as served:
        options = ("--connect-to", served.connect_to[0], "--browser", "never")
        yield SimpleNamespace(options=options), photo(tmp_path, aurora.ASKS), aurora.PHONE


@contextlib.contextmanager
def asked_in_its_page(tmp_path, study):
    """The same of the embedded hospital, whose own page takes the answer."""
    with World(site.ShdcSite(study)) as world:
        yield world, PHOTO, site.SECURITY_CODE


@pytest.mark.parametrize(
    ("language", "hospital"),
    [("zh", asked_directly), pytest.param("en", asked_in_its_page, marks=pytest.mark.thorough)],
)
def test_from_a_dropped_photo_to_a_zip(tmp_path, language, hospital):
    asks, refused, complete, made = WORDS[language]
    study = chest_ct(slices=12, size=64, seed=11)
    with hospital(tmp_path, study) as (world, taken, answer), window(tmp_path, world, language) as started:
        with browser_page(started.address) as page:
            drop(page, taken)
            says(page, ".doing", asks)
            page.wait_for_selector(".photo img")
            assert page.locator(".photo li.film").count() == 1
            page.fill(".ask input", answer[::-1])
            page.press(".ask input", "Enter")
            says(page, ".wrong", refused)
            page.reload()
            says(page, ".wrong", refused)
            page.fill(".ask input", answer)
            page.press(".ask input", "Enter")
            says(page, ".verdict", complete)
            page.click(".card .row .main:visible")
            page.wait_for_selector("#viewer canvas[data-shown]")
            page.click("#back")
            page.click(".study summary")
            page.click(".study details .row button")
            says(page, ".note.done", made)
        archives = list((started.output / "handed-on").glob("*.zip"))
        with zipfile.ZipFile(archives[0]) as archive:
            saved = {archive.read(name) for name in archive.namelist() if name.endswith(".dcm")}
        assert saved == {instance.data for instance in study.instances}
        assert answer not in "".join(
            path.read_text(errors="replace") for path in started.home.rglob("*") if path.is_file()
        )


@pytest.mark.parametrize(
    "text, words",
    [
        pytest.param(site.REPORT_EXPIRED, "过期", id="expired"),
        pytest.param("https://u.wechat.com/abc", "微信", id="WeChat"),
        pytest.param("/etc/passwd", "链接", id="a path is a text without a link"),
    ],
)
@pytest.mark.thorough
def test_a_refusal_is_told_in_words(tmp_path, text, words):
    with (
        World(site.ShdcSite(chest_ct(slices=5, size=64))) as world,
        window(tmp_path, world) as started,
        browser_page(started.address) as page,
    ):
        paste(page, text)
        says(page, ".verdict", "未取到")
        says(page, ".doing", words)


@pytest.mark.thorough
def test_stop_and_go_on(tmp_path):
    study = chest_ct(slices=12, size=64, seed=11)
    with World(site.ShdcSite(study)) as world, window(tmp_path, world) as started:
        with browser_page(started.address) as page:
            paste(page, site.REPORT_WITH_CODE)
            says(page, ".doing", "需要您填写")
            page.click(".card button:has-text('停止')")
            says(page, ".doing", "已停止")
            page.click(".card button:has-text('继续')")
            says(page, ".doing", "需要您填写")
            page.fill(".ask input", site.SECURITY_CODE)
            page.press(".ask input", "Enter")
            says(page, ".verdict", "完整")
            again = page.context.new_page()  # before the first goes: the window ends with its last page
            again.goto(started.address)
            page.close()
            says(again, ".verdict", "完整")
            again.click(".study .row button:has-text('删除')")
            again.click("dialog .danger")
            expect(again.locator(".study")).to_have_count(0, timeout=PATIENCE_MS)
        assert not list(started.output.glob("*/study.json"))


@pytest.mark.thorough
def test_a_person_reads_the_captcha(tmp_path):
    with (
        World(tdcloud.TdcloudSite()) as world,
        window(tmp_path, world) as started,
        browser_page(started.address) as page,
    ):
        paste(page, tdcloud.TdcloudSite().link())
        page.wait_for_selector(".ask img.captcha")
        page.fill(".ask input", "0000")
        page.press(".ask input", "Enter")
        says(page, ".wrong", "网站不接受")
        page.wait_for_selector(".ask img.captcha")
        page.fill(".ask input", tdcloud.CODE)
        page.press(".ask input", "Enter")
        says(page, ".verdict", "完整")


@pytest.mark.parametrize(
    ("language", "width"),
    [("en", 400), ("zh", 1200)],  # each once; the longer words where there is the least room
)
@pytest.mark.thorough
def test_axe_finds_nothing(tmp_path, language, width):
    if not AXE.is_file():
        pytest.skip("axe-core is not there: tools/setup.py fetches it")
    asks, _, complete, _ = WORDS[language]
    pause, paused, go_on, archive = BUTTONS[language]
    with (
        World(site.ShdcSite(chest_ct(slices=40, size=64))) as world,
        window(tmp_path, world, language) as started,
        browser_page(started.address, width=width) as page,
    ):
        world.faults.plan("/rawdata/", Fault.SLOW, 1000)  # until it is paused
        drop(page, PHOTO)
        says(page, ".doing", asks)
        found = faults(page)
        page.fill(".ask input", site.SECURITY_CODE)
        page.press(".ask input", "Enter")
        page.click(f".card button:has-text('{pause}')")
        says(page, ".doing", paused)
        found += faults(page)
        world.faults.clear()
        page.click(f".card button:has-text('{go_on}')")
        says(page, ".verdict", complete)
        found += faults(page)
        page.click(".study summary")
        page.click(f".study button:has-text('{archive}')")
        page.fill("dialog input", "https://archive.test/studies")
        found += faults(page)
        page.keyboard.press("Escape")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.click(".card .row .main:visible")
        page.wait_for_selector("#viewer canvas[data-shown]")
        found += faults(page)
        assert found == [], chr(10).join(found)


def faults(page) -> list[str]:
    """What axe-core finds, where tools/setup.py could fetch it."""
    if not AXE.is_file():
        return []
    page.evaluate(AXE.read_text(encoding="utf-8") + "; undefined")
    shown = page.evaluate("axe.run({ resultTypes: ['violations'] })")
    return [f"{rule['id']}: {node['html'][:160]}" for rule in shown["violations"] for node in rule["nodes"]]


def fetch(tmp_path, study) -> None:
    """Put a study where the window looks."""
    with up(site_of(study)) as served:
        words = ("--browser", "never", "--connect-to", served.connect_to[0], "-o", tmp_path / "out")
        done = cloudfilm("grab", aurora.LINK, *words)
    assert done.returncode == 0, done.stderr


def hand_to_archive(page, address):
    page.click(".study button:has-text('归档系统')")
    page.fill("dialog input", address)
    page.press("dialog input", "Enter")


@pytest.mark.thorough
def test_a_study_is_sent_to_an_archive(tmp_path):
    fetch(tmp_path, STUDY)
    with SmallArchive() as archive, window(tmp_path) as started, browser_page(started.address) as page:
        page.click(".study summary")
        hand_to_archive(page, "ftp://archive.test")
        says(page, ".note.failed", "pacs://")
        hand_to_archive(page, f"{archive.link}?tls=yes&ca=/etc/passwd")
        says(page, ".note.failed", "pacs://")
        hand_to_archive(page, archive.link)
        count = len(STUDY.instances)
        says(page, ".note.done", f"已有 {count} 幅中的 {count} 幅")
        assert sorted(uids(archive)) == sorted(item.sop_instance_uid for item in STUDY.instances)
        hand_to_archive(page, "pacs://ARCHIVE@127.0.0.1:9")
        says(page, ".note.failed", f"已有 {count} 幅中的 0 幅")


@pytest.mark.thorough
def test_a_thumbnail_appears_for_each_series_that_arrives(tmp_path):
    study = chest_ct(slices=12, thin=4, size=64, seed=11, dose_report=False)
    with (
        World(site.ShdcSite(study)) as world,
        window(tmp_path, world) as started,
        browser_page(started.address) as page,
    ):
        drop(page, PHOTO)
        page.fill(".ask input", site.SECURITY_CODE)
        page.press(".ask input", "Enter")
        says(page, ".verdict", "完整")
        expect(page.locator(".series-list img")).to_have_count(len(study.series), timeout=PATIENCE_MS)
        widths = page.evaluate(
            """Promise.all([...document.querySelectorAll(".series-list img")].map(
              (image) => image.decode().then(() => image.naturalWidth)))"""
        )
        assert len(widths) == len(study.series)
        assert min(widths) > 0
        assert asked(started, "GET", f"/{started.token}/item/1/thumbnail/99")[0] == 404


# ---- attacks on the server


def asked(started, method, path, headers=None, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", started.port, timeout=20)
    own = {"Host": f"127.0.0.1:{started.port}", **(headers or {})}
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in own.items():
        connection.putheader(name, value)
    data = (body or "").encode()
    connection.putheader("Content-Length", str(len(data)))
    connection.endheaders(data)
    response = connection.getresponse()
    answer = response.status, response.read(), dict(response.getheaders())
    connection.close()
    return answer


def test_only_its_own_page_is_answered(tmp_path):
    with window(tmp_path) as started:
        home, own = f"/{started.token}/", f"http://127.0.0.1:{started.port}"
        status, _, headers = asked(started, "GET", home)
        assert status == 200
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        refused = {
            "no token": ("GET", "/", {}),
            "another token": ("GET", "/" + "x" * len(started.token) + "/", {}),
            "part of the token": ("GET", f"/{started.token[:-1]}/", {}),
            "a rebound name": ("GET", home, {"Host": f"evil.test:{started.port}"}),
            "localhost by name": ("GET", home, {"Host": f"localhost:{started.port}"}),
            "another port": ("GET", home, {"Host": "127.0.0.1:80"}),
            "a page of another site reads": ("GET", home + "words.json", {"Sec-Fetch-Site": "cross-site"}),
            "a page on this computer reads": ("GET", home + "words.json", {"Sec-Fetch-Site": "same-site"}),
            "no origin": ("POST", home + "text", {}),
            "a foreign origin": ("POST", home + "text", {"Origin": "https://evil.test"}),
            "no origin at all": ("POST", home + "text", {"Origin": "null"}),
            "a form": ("POST", home + "text", {"Origin": own, "Content-Type": "text/plain"}),
            "another method": ("PUT", home + "text", {"Origin": own}),
            "a path": ("GET", home + "..%2f..%2fetc%2fpasswd", {}),
            "a path in full": ("GET", home + "../../../../etc/passwd", {}),
            "a module": ("GET", home + "start.py", {}),
            "a study of a path": ("GET", home + "study/..%2f..%2fetc/index.json", {}),
            "an unknown study": ("POST", home + "study/0123456789abcdef/delete", {"Origin": own}),
        }
        for name, (method, path, headers) in refused.items():
            status, content, _ = asked(started, method, path, headers, '{"text":"x"}' if method == "POST" else None)
            assert status in (400, 403, 404, 405, 415), name
            assert b"root:" not in content
        status, content, _ = asked(started, "GET", home + "words.json")
        assert status == 200


def test_a_name_that_is_a_path_is_a_name(tmp_path):
    with window(tmp_path) as started:
        headers = {"Origin": f"http://127.0.0.1:{started.port}"}
        path = f"/{started.token}/give?name=..%2F..%2F..%2Fhome%2Fevil.sh"
        status, _, _ = asked(started, "POST", path, headers, "#!/bin/sh")
        assert status == 200
        assert not list(tmp_path.rglob("evil*"))


@pytest.mark.thorough
def test_a_second_call_shows_the_first_window(tmp_path):
    with window(tmp_path) as started:
        variables = environment(CLOUDFILM_DATA=str(started.home), BROWSER="true")
        second = ran("app", "--lang", "en", "-o", tmp_path / "out", environment=variables)
        assert second.returncode == 0
        assert b"open already" in second.stderr
        assert (started.home / "window.json").stat().st_mode & 0o077 == 0
    assert not (started.home / "window.json").exists()


@pytest.mark.thorough
def test_it_ends_with_its_page(tmp_path):
    with window(tmp_path) as started:
        with browser_page(started.address) as page:
            says(page, "#none-kept", "还没有")
        started.process.wait(60)
        assert started.process.returncode == 0


def test_it_ends_quietly_under_an_open_page(tmp_path):
    """The page's stream of news does not hold the server up."""
    words = ("app", "--no-window", "-o", tmp_path / "out")
    variables = variables_of(tmp_path / "home")
    with started(*words, environment=variables, stdout=PIPE, stderr=PIPE, text=True) as process:
        address = ADDRESS.search(process.stdout.readline())[0]
        connection = http.client.HTTPConnection("127.0.0.1", int(address.split(":")[2].partition("/")[0]), timeout=30)
        connection.request("GET", f"/{address.rstrip('/').rpartition('/')[2]}/events")
        assert connection.getresponse().readline().startswith(b"data: ")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=600)
        connection.close()
    assert "Traceback" not in errors
