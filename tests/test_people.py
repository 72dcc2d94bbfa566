"""What a person at the terminal meets: every film of a source, any code page, Ctrl-C, full disks, missing browsers."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import segno

from fixtures.dicom import chest_ct
from scraper.cli import commands, interrupt_words
from scraper.cli.options import check_proxy
from scraper.contract import Instance, Provider, Request, Series, WadoUri
from scraper.core import leftovers, messages, output
from scraper.core.errors import (
    BrowserMissing,
    DiskFull,
    EmptyFile,
    FolderGiven,
    MalformedProxy,
    MisspeltLink,
    NoSuchFile,
    NotWritable,
    PagesUnread,
    RecipeFault,
    SiteUnreachable,
    single_errors,
)
from scraper.core.messages import describe
from scraper.core.reasons import Reason
from scraper.core.settings import Language, Settings
from scraper.isolation.own_program import child_command
from scraper.pipeline import discover as opening
from scraper.pipeline import resources
from scraper.pipeline.yielded import checked
from scraper.source import film_codes, resolve
from scraper.testing import first_of
from scraper.ui import doctor
from tests import aurora
from tests.programs import PIPE, Program, environment, from_nothing, ran, started
from tests.test_cli import cloudfilm, site_of, up

SETTINGS = Settings(decode_timeout_s=20)
LAKE = "http://film.lakeside.test/s/Ab12Cd34"
OTHER = "http://other.test/v?a="
ROOT = Path(__file__).parent.parent
ENTRY = "scraper.cli.start"  # what `cloudfilm` runs
# what a shell does: the terminal's keys signal this process
OWN_TERMINAL = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)"
thorough = pytest.mark.thorough
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")


@pytest.fixture(scope="module")
def study():
    return chest_ct(slices=3, size=16, seed=7, localizers=0, dose_report=False)


def code(text: str):
    import io

    from PIL import Image

    drawn = io.BytesIO()
    segno.make(text, error="m").save(drawn, kind="png", scale=8)
    return Image.open(drawn).convert("L")


def sheet(*rows: tuple[str, ...]):
    """A page: rows of codes, side by side."""
    from PIL import Image

    page = Image.new("L", (600 * max(map(len, rows)), 600 * len(rows)), 255)
    for y, row in enumerate(rows):
        for x, text in enumerate(row):
            page.paste(code(text), (600 * x + 30, 600 * y + 30 + 20 * x))
    return page


def nothing() -> str:
    return ""


def urls(held: resolve.SourceLinks) -> list[str]:
    return [share.url for share in held.links]


# ---- row 6: every film of a source


@pytest.mark.usefixtures("plugged_in")
def test_verdicts_6_two_films_on_one_photo_in_reading_order(tmp_path):
    sheet(
        ("http://weixin.qq.com/r/AbC", LAKE), (aurora.EXPIRED, aurora.LINK), ("https://hospital.test/", "barcode 1")
    ).save(tmp_path / "photo.png")
    assert urls(resolve.read_all(str(tmp_path / "photo.png"), SETTINGS, nothing)) == [LAKE, aurora.EXPIRED, aurora.LINK]


@pytest.mark.usefixtures("plugged_in")
@pytest.mark.parametrize("suffix", first_of(["pdf", "tif"]))
def test_verdicts_6_the_second_page_counts_and_the_same_film_twice_is_one(tmp_path, suffix):
    pages = [sheet((text,)) for text in (aurora.LINK, "https://hospital.test/", LAKE, aurora.LINK)]
    path = tmp_path / f"report.{suffix}"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    found = film_codes.decode(path, SETTINGS)
    assert found.links == (aurora.LINK, LAKE)
    assert found.unread == ()
    assert found.link == aurora.LINK


def broken_pdf(path: Path, *texts: str, broken: int) -> None:
    """A PDF whose page ``broken`` (from 1) names an object that is none."""
    pages = [sheet((text,)) for text in texts]
    pages[0].save(path, save_all=True, append_images=pages[1:], resolution=300)  # a small paper, soon read
    body = path.read_bytes()
    found = re.search(rb"/Kids \[ (.+?) \]", body)
    assert found is not None
    names = found.group(1).split(b" R")
    names[broken - 1] = b" 0 0" if broken > 1 else b"0 0"  # object 0 is always free (ISO 32000-1 7.5.4)
    path.write_bytes(body.replace(found.group(1), b" R".join(names)))


@pytest.mark.usefixtures("plugged_in")
def test_verdicts_6_a_page_that_could_not_be_read_is_named_as_unread(tmp_path):
    path = tmp_path / "report.pdf"
    broken_pdf(path, aurora.LINK, LAKE, broken=2)
    done = cloudfilm("decode", path)
    assert aurora.LINK in done.stdout
    assert "page 2 could not be read" in done.stdout
    assert json.loads(cloudfilm("decode", path, "--json").stdout)["unread_pages"] == [2]
    broken_pdf(path, "no link", LAKE, broken=2)
    with pytest.raises(PagesUnread) as refused:
        resolve.read_all(str(path), SETTINGS, nothing)
    assert "page 2" in describe(refused.value, Language.EN)
    assert "第 2 页" in describe(refused.value, Language.ZH)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"片一 {aurora.LINK} 密码1111；片二 {LAKE} 密码2222", [("1111", aurora.LINK), ("2222", LAKE)]),
        (f"密码1111 {aurora.LINK}\n密码2222 {LAKE}", [("1111", aurora.LINK), ("2222", LAKE)]),
        (f"{aurora.LINK}\n{LAKE}\n密码：3333", [("3333", aurora.LINK), ("3333", LAKE)]),
        (f"{aurora.LINK} {LAKE} {aurora.LINK}", [(None, aurora.LINK), (None, LAKE)]),
        (f"公众号 http://weixin.qq.com/r/AbC 影像 {LAKE}", [(None, LAKE)]),
        (f"医院 https://hospital.test/ 影像 {LAKE} 说明 https://help.test/a?b=1", [(None, LAKE)]),
        (f"{OTHER}1 和 {OTHER}2", [(None, f"{OTHER}1"), (None, f"{OTHER}2")]),
        ("https://hospital.test/ http://other.test/v?a=1", [(None, "http://other.test/v?a=1")]),
    ],
)
@pytest.mark.usefixtures("plugged_in")
def test_verdicts_6_every_link_of_a_message_with_its_own_password(text, expected):
    held = resolve.read_all(text, SETTINGS, nothing)
    assert [(share.answers.get("password"), share.url) for share in held.links] == expected


def test_verdicts_6_each_film_is_a_result_of_its_own(study, tmp_path):
    sheet((aurora.LINK,), (aurora.EXPIRED,)).save(tmp_path / "photo.png")
    site = site_of(study)
    with up(site):
        fixed = ("--browser", "never", "--connect-to", site.connect_to[0], "-o", tmp_path / "out")
        done = cloudfilm("grab", tmp_path / "photo.png", "--json", *fixed)
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert [(row["status"], row["exit_code"]) for row in rows] == [("complete", 0), ("failed", 6)]
        assert done.returncode == 6
        for number, exit_code in (("1", 0), ("2", 6)):
            done = cloudfilm("grab", tmp_path / "photo.png", "--json", "--only", number, *fixed)
            assert (done.returncode, len(done.stdout.splitlines())) == (exit_code, 1)
        assert cloudfilm("grab", tmp_path / "photo.png", "--only", "3", *fixed).returncode == 2
        done = cloudfilm("list", "-", "--json", *fixed[:-2], text=f"{aurora.LINK} {aurora.EXPIRED}")
        assert [json.loads(line)["exit_code"] for line in done.stdout.splitlines()] == [0, 6]


@pytest.mark.thorough
def test_verdicts_6_a_photo_with_two_films_gives_two_rows_in_a_batch(study, tmp_path):
    (tmp_path / "photos").mkdir()
    sheet((aurora.LINK,), (aurora.EXPIRED,)).save(tmp_path / "photos" / "one.png")
    site = site_of(study)
    words = ("batch", tmp_path / "photos", "-o", tmp_path / "out", "--json", "--browser", "never")
    with up(site):
        for _ in range(2):  # the second time from the ledger
            done = cloudfilm(*words, "--connect-to", site.connect_to[0])
            rows = [json.loads(line) for line in done.stdout.splitlines()]
            assert [(row["status"], row["exit_code"]) for row in rows] == [("complete", 0), ("failed", 6)]
            assert done.returncode == 6
            table = (tmp_path / "out" / "report.csv").read_text(encoding="utf-8-sig").splitlines()
            assert [row.split(",")[3] for row in table[1:]] == ["complete", "failed"]


def test_verdicts_6_decode_prints_a_line_for_every_file(tmp_path):
    code(aurora.LINK).save(tmp_path / "good.png")
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (tmp_path / "empty.png").touch()
    names = ("gone.png", "torn.png", "empty.png", "good.png")
    done = cloudfilm("decode", "--json", *(tmp_path / name for name in names))
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(row["file"]).name for row in rows] == list(names)
    assert [row.get("error", {}).get("code") for row in rows] == ["no-such-file", "unreadable-file", "empty-file", None]
    assert done.returncode == 2


# ---- row 29: any code page


COMMANDS = (
    (["decode", "{tmp}/good.png"], 0),
    (["decode", "{tmp}/gone.png"], 2),
    (["list", "{link}"], 0),
    (["grab", "{link}", "-o", "{tmp}/out"], 0),
    (["grab", "{expired}", "-o", "{tmp}/out"], 6),
    (["verify", "{tmp}/out"], 0),
    (["batch", "{tmp}/links.txt", "-o", "{tmp}/b"], 6),
    (["batch", "{tmp}/links.txt", "-o", "{tmp}/b", "--dry-run"], 0),
    (["export", "{tmp}/out", "--to", "zip", "-o", "{tmp}/x.zip"], 0),
    (["providers"], 0),
    (["doctor"], 0),
    (["--help"], 0),
    (["grab", "--help"], 0),
    (["learn", "{tmp}/gone.png"], 2),
    (["record", "{tmp}/gone.png", "-o", "{tmp}/r.zip"], 2),
)


@pytest.mark.parametrize(
    "encoding", ["gbk", pytest.param("cp1252", marks=thorough), pytest.param("ascii", marks=thorough)]
)
@pytest.mark.thorough
def test_verdicts_29_every_command_ends_with_its_own_code(study, tmp_path, encoding):
    code(aurora.LINK).save(tmp_path / "good.png")
    (tmp_path / "links.txt").write_text(f"{aurora.LINK}\n{aurora.EXPIRED}\n", encoding="utf-8")
    site = site_of(study)
    values = {"tmp": str(tmp_path), "link": aurora.LINK, "expired": aurora.EXPIRED}
    with up(site):
        for words, expected in COMMANDS:
            given = [word.format(**values) for word in words]
            if given[0] in ("grab", "list", "batch") and "--help" not in given:
                given += ["--browser", "never", "--connect-to", site.connect_to[0]]
            chinese = [] if "--help" in given else ["--lang", "zh"]
            done = ran(*given, *chinese, environment=environment(PYTHONIOENCODING=encoding))
            assert done.returncode == expected, (given, done.stderr)
            done.stdout.decode(encoding)
            done.stderr.decode(encoding)
            assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "encoding", ["gbk", pytest.param("cp1252", marks=thorough), pytest.param("ascii", marks=thorough)]
)
@pytest.mark.thorough
def test_verdicts_29_json_is_utf8_whatever_the_code_page(study, tmp_path, encoding):
    site = site_of(study)
    with up(site):
        for words in (["grab", aurora.LINK, "-o", tmp_path / "检查"], ["list", aurora.LINK]):
            done = ran(
                *words,
                *("--json", "--browser", "never", "--connect-to", site.connect_to[0]),
                environment=environment(PYTHONIOENCODING=encoding),
            )
            assert done.returncode == 0
            assert json.loads(done.stdout.decode("utf-8"))["exit_code"] == 0
    done = ran("verify", tmp_path / "检查", "--json", environment=environment(PYTHONIOENCODING=encoding))
    assert "检查" in done.stdout.decode("utf-8")


def test_verdicts_29_text_falls_back_to_signs_that_can_be_written():
    fallen = "✓ 张 → …".encode("cp1252", output.FALLBACK).decode("cp1252")
    assert fallen == "OK \\u5f20 -> …"
    assert "✗ ␛\ud800".encode("ascii", output.FALLBACK) == b"X ^[?"
    assert "张三 → ✓".encode("gbk", output.FALLBACK).decode("gbk") == "张三 → OK"


@pytest.mark.thorough
def test_verdicts_29_english_where_chinese_cannot_be_written():
    for encoding, words in (("cp1252", "There is no file"), ("gbk", "找不到文件"), ("utf-8", "找不到文件")):
        done = subprocess.run(
            from_nothing("grab", "gone.jpg"),
            capture_output=True,
            cwd=ROOT,
            env=environment(PYTHONIOENCODING=encoding, PYTHONUTF8="0", LANG="zh_CN.GBK"),
        )
        assert words in done.stderr.decode(encoding)


# ---- row 30: Ctrl-C


def test_verdicts_30_the_sentences_are_the_catalogues():
    for language, words in interrupt_words.SENTENCES.items():
        assert words == messages.say("interrupted", Language(language))


class Silence:
    """A server that takes a connection and says nothing; ``reached`` is set by the first byte of a request."""

    def __enter__(self) -> Silence:
        self.reached = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._take, daemon=True).start()
        return self

    def _take(self) -> None:
        while True:
            try:
                line, _ = self._server.accept()
            except OSError:
                return
            self._open.append(line)
            threading.Thread(target=self._read, args=(line,), daemon=True).start()

    def _read(self, line: socket.socket) -> None:
        try:
            if line.recv(1):
                self.reached.set()
        except OSError:
            return

    def __exit__(self, *_: object) -> None:
        self._server.close()
        for line in self._open:
            line.close()


def in_session(*words: object, **more: str) -> Program | subprocess.Popen[bytes]:
    """The program, in a session of its own."""
    variables = environment(**more)
    return started(*words, environment=variables, stdout=PIPE, stderr=PIPE, new_session=True, entry=ENTRY)


def interrupted(running: Program | subprocess.Popen[bytes], *, times: int = 1) -> str:
    """What the command says after Ctrl-C at its terminal, which reaches all of its processes."""
    for _ in range(times):
        try:
            os.killpg(running.pid, signal.SIGINT)
        except ProcessLookupError:
            break
    _, complaints = running.communicate(timeout=60)  # the silent site would be waited for longer
    assert running.returncode == 130, complaints
    assert b"Traceback" not in complaints
    assert b"Exception" not in complaints
    return complaints.decode()


@posix
@pytest.mark.parametrize(
    ("job", "times", "language"),
    first_of([("grab", 1, "zh"), ("list", 3, "en"), ("batch", 1, "en"), ("batch", 3, "zh"), ("grab", 3, "en")], 2),
)
def test_verdicts_30_ends_at_once_and_says_that_the_same_command_goes_on(tmp_path, job, times, language):
    (tmp_path / "links.txt").write_text(aurora.LINK, encoding="utf-8")
    words = [job, tmp_path / "links.txt" if job == "batch" else aurora.LINK]
    words += ["--browser", "never", "--lang", language] + ([] if job == "list" else ["-o", tmp_path / "out"])
    with Silence() as site:
        running = in_session(*words, "--connect-to", f"{aurora.HOST}:80:127.0.0.1:{site.port}")
        assert site.reached.wait(60)
        complaints = interrupted(running, times=times)
    assert complaints.count(interrupt_words.SENTENCES[language]) == 1


@posix
@pytest.mark.parametrize(
    "words", first_of([["decode", *[ROOT / "fixtures" / "report.jpg"] * 50], ["providers"]]), ids=lambda words: words[0]
)
def test_verdicts_30_decode_and_the_time_before_anything_runs(words):
    running = subprocess.Popen(
        from_nothing(*words, entry=ENTRY),
        stdin=subprocess.DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env=environment(),
        cwd=ROOT,
        start_new_session=True,
    )
    # the program's own first act: the handler is in place where the process ignores nothing and catches SIGINT
    status = Path(f"/proc/{running.pid}/status")
    while status.exists() and running.poll() is None:
        caught = next((row for row in status.read_text().splitlines() if row.startswith("SigCgt")), "")
        if caught and int(caught.split()[1], 16) & 1 << (signal.SIGINT - 1) and _is_loading(running.pid):
            break
    if running.poll() is None:
        interrupted(running)
    running.communicate()


def _is_loading(pid: int) -> bool:
    """Whether the process has begun to load this program: site is done, some library of a wheel's is mapped."""
    try:
        return "site-packages" in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return True


@posix
def test_verdicts_30_at_a_password_prompt(study, tmp_path):
    import pty

    site = site_of(study)
    leader, follower = pty.openpty()
    with up(site):
        words = ("grab", aurora.ASKS, "-o", tmp_path, "--lang", "zh", "--browser", "never")
        running = started(
            *words,
            *("--connect-to", site.connect_to[0]),
            environment=environment(),
            stdin=follower,
            stdout=follower,
            stderr=follower,
            new_session=True,
            entry=ENTRY,
            before=OWN_TERMINAL,
        )
        os.close(follower)
        seen = b""
        while "要求输入".encode() not in seen:
            seen += os.read(leader, 4096)
        os.write(leader, b"\x03")  # as the key does it: the terminal sends the signal
        while True:
            try:
                piece = os.read(leader, 4096)
            except OSError:
                break
            if not piece:
                break
            seen += piece
        assert running.wait(30) == 130
    os.close(leader)
    assert interrupt_words.SENTENCES["zh"] in seen.decode()
    assert b"Traceback" not in seen


@posix
def test_verdicts_30_what_a_killed_run_left_is_removed_by_the_next(tmp_path):
    temporary = tmp_path / "t"
    temporary.mkdir()
    for name in ("cloudfilm-of-another", "other"):  # no lock of ours in them
        (temporary / name).mkdir()
        (temporary / name / "file").touch()
    with Silence() as site:
        words = ("list", aurora.LINK, "--browser", "never", "--connect-to", f"{aurora.HOST}:80:127.0.0.1:{site.port}")
        running = in_session(*words, TMPDIR=str(temporary))
        assert site.reached.wait(60)
        (left,) = [folder for folder in temporary.glob("cloudfilm-*") if (folder / leftovers.LOCK).exists()]
        assert left.stat().st_mode & 0o777 == 0o700
        (left / "browser").mkdir()
        (left / "browser" / "body").write_bytes(bytes(1000))
        site.reached.clear()
        second = in_session(*words, TMPDIR=str(temporary))
        assert site.reached.wait(60)
        assert left.exists(), "of a run that lives"
        for process in (running, second):
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        site.reached.clear()
        third = in_session(*words, TMPDIR=str(temporary))
        assert site.reached.wait(60)
        assert len([folder for folder in temporary.glob("cloudfilm-*") if (folder / leftovers.LOCK).exists()]) == 1
        interrupted(third)
    assert not left.exists()
    assert sorted(path.name for path in temporary.iterdir() if path.name in ("cloudfilm-of-another", "other")) == [
        "cloudfilm-of-another",
        "other",
    ]


# ---- rows 31 and 32: what is not installed


@pytest.mark.parametrize("error", [OSError("libzbar.so.0: cannot open"), RuntimeError("x"), AttributeError("y")])
@pytest.mark.parametrize("name", ["_python", "_browser", "_decoders", "_codecs", "_space"])
def test_verdicts_31_a_check_that_fails_is_a_line(monkeypatch, error, name):
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(doctor, name, fails)
    findings = doctor.examine(Settings())
    (failed,) = [finding for finding in findings if type(error).__name__ in finding.costs]
    assert not failed.ok
    assert len(findings) >= 6 - 1


def test_verdicts_31_a_library_that_does_not_load(tmp_path):
    for package, module in (("pyzbar", "pyzbar"), ("cv2", None)):
        folder = tmp_path / package / package
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("" if module else "raise OSError('wrong ELF class')")
        if module:
            (folder / f"{module}.py").write_text("raise OSError('libzbar.so.0: wrong ELF class')")
        path = os.pathsep.join((str(tmp_path / package), str(ROOT / "tests" / "plugins")))
        done = cloudfilm("doctor", "--json", PYTHONPATH=path)
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert "disk-space" in {row["name"] for row in rows}, done.stderr
        assert done.returncode in (0, 1)
        assert "bug" not in done.stderr


def test_verdicts_32_no_browser_is_named_with_a_command_that_works(tmp_path):
    link = "http://viewer.unknown.test/v/abc?d=1"
    with Silence() as site:
        done = cloudfilm(
            "grab",
            link,
            "-o",
            tmp_path,
            "--timeout",
            "1",
            "--connect-to",
            f":80:127.0.0.1:{site.port}",
            CLOUDFILM_BROWSER="/nowhere/chrome",
        )
    assert done.returncode == 9
    assert "cloudfilm doctor --install-browser" in done.stderr
    assert "browser is needed" in done.stderr


async def test_verdicts_32_a_changed_site_without_a_browser_says_so_too(monkeypatch):
    from scraper.core.errors import SiteChanged
    from scraper.registry.catalogue import Owner

    class Direct(Provider):
        name = "direct"

        async def discover(self, link, session):
            raise SiteChanged(host="h", what="a key")
            yield

    async def missing(*_: object, **__: object) -> None:
        raise BrowserMissing

    opener = opening.Discoverer(Settings(), None, None, nothing, None)
    monkeypatch.setattr(opener, "_watched", missing)
    share = SimpleNamespace(host="h")
    session = SimpleNamespace(patience=SimpleNamespace(bounded=nullcontext), link=share)
    with pytest.raises(BrowserMissing):
        await opener.discover(Owner(Direct(), share), session)


def test_verdicts_32_the_installer_is_this_interpreters(monkeypatch, tmp_path):
    installed = []

    def run(words: list[str], **more: object) -> subprocess.CompletedProcess[bytes]:
        installed.append((words, more))
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr(doctor.subprocess, "run", run)
    monkeypatch.setattr(doctor, "find_browser", lambda *_: tmp_path / "chrome")
    monkeypatch.setattr(doctor, "_stderr_descriptor", lambda: 2)
    assert doctor.install_browser(Settings(proxy="http://p.test:1")) == str(tmp_path / "chrome")
    ((words, more),) = installed
    assert words == child_command("playwright.__main__", "main", "install", "chromium")
    assert more["env"]["HTTPS_PROXY"] == "http://p.test:1"


# ---- row 33: a provider's mistake


class Tiny(Provider):
    name = "tiny"


def of(*instances: Instance, uid: str = "1.2") -> Series:
    return Series("1", uid, instances)


def image(uid: str = "", key: str = "") -> Instance:
    return Instance(uid, WadoUri(Request("http://a.test/")), key=key)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([of(image("1"), image())], "Tiny: instance 2 of series 1 has neither a UID nor a key"),
        (
            [of(image("1")), of(image("2"), image("3"), image(), uid="1.3")],
            "Tiny: instance 3 of series 2 has neither a UID nor a key",
        ),
        ([of(image("1"), uid=""), of(image("2"), uid="")], "Tiny: series 2 has neither a UID nor a key"),
        ([of(image(key="a"), image(key="a"))], "Tiny: instance 2 of series 1 has the key of one before it: a"),
        (
            [of(image(key="a")), of(image(key="b"), image(key="a"))],
            "Tiny: instance 2 of series 2 has the key of one before it: a",
        ),
        ([None], "Tiny: a NoneType is neither a Series nor a Package"),
        ([of(None)], "Tiny: instance 1 of series 1 is a NoneType, no Instance"),
    ],
)
def test_verdicts_33_what_a_provider_yields_is_looked_over(found, words):
    with pytest.raises(RecipeFault) as fault:
        checked(Tiny(), found)
    assert describe(fault.value, Language.EN).startswith(words)
    assert "Tiny" in describe(fault.value, Language.ZH)
    assert "neither" not in describe(fault.value, Language.ZH)


def test_verdicts_33_what_is_sound_passes():
    found = [of(image("1"), image("2"), image("2")), of(image(key="a"), uid="1.3"), of(image(key="a"), uid="1.4")]
    assert checked(Tiny(), found) == found


def test_verdicts_33_the_command_names_it(study, tmp_path):
    (tmp_path / "tiny.py").write_text(
        '"""Tiny.\n\nasks: –\n"""\n'
        "from scraper.contract import Instance, Provider, Request, Series, WadoUri\n"
        "class Tiny(Provider):\n"
        "    name = 'tiny'\n"
        "    route = r'.*'\n"
        "    async def discover(self, link, session):\n"
        "        a = WadoUri(Request(link.join('/x')))\n"
        "        yield Series('1', '1.2', (Instance('1.2.3', a), Instance('', a)))\n"
    )
    words = ["grab", "http://film.tiny.test/a", "--provider", tmp_path / "tiny.py", "-o", tmp_path / "o"]
    done = cloudfilm(*words, "-vv")
    assert "Tiny: instance 2 of series 1 has neither a UID nor a key" in done.stderr
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "Traceback" not in cloudfilm(*words).stderr
    assert list((tmp_path / "o").glob("cloudfilm-diagnostic-*.json"))


def test_verdicts_33_groups_are_unfolded(tmp_path):
    from scraper.ui.report import write_diagnostic

    def inner() -> None:
        raise ValueError("a name of a patient")

    try:
        inner()
    except ValueError as err:
        group = ExceptionGroup("g", [ExceptionGroup("h", [err]), KeyError("x")])
    assert [type(nested) for nested in single_errors(group)] == [ValueError, KeyError]
    written = json.loads(write_diagnostic(tmp_path, group, "", "", []).read_text(encoding="utf-8"))
    assert [row["error"] for row in written["inner"]] == ["ValueError", "KeyError"]
    assert any("inner" in frame for frame in written["inner"][0]["frames"])
    assert "patient" not in json.dumps(written)


# ---- row 35: pipes, disks, proxies


@posix
@pytest.mark.parametrize("words", first_of([["providers"], ["--help"], ["decode", "--json", "{good}", "{good}"]]))
def test_verdicts_35_a_closed_pipe_is_no_bug(tmp_path, words):
    code(aurora.LINK).save(tmp_path / "good.png")
    given = [word.format(good=tmp_path / "good.png") for word in words]
    reading, writing = os.pipe()
    os.close(reading)
    running = started(*given, environment=environment(), stdout=writing, stderr=PIPE)
    os.close(writing)
    _, complaints = running.communicate(timeout=600)
    assert running.returncode in (0, 141), complaints
    assert b"bug" not in complaints


@posix
@pytest.mark.thorough
def test_verdicts_35_a_study_is_brought_home_though_nobody_reads(study, tmp_path):
    site = site_of(study)
    with up(site):
        reading, writing = os.pipe()
        os.close(reading)
        words = ("grab", aurora.LINK, aurora.LINK, "-o", tmp_path, "--browser", "never")
        running = started(*words, "--connect-to", site.connect_to[0], environment=environment(), stdout=writing)
        os.close(writing)
        assert running.wait(600) == 0
    assert len(list(tmp_path.rglob("*.dcm"))) == len(site.originals)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("words", first_of([["providers"], ["--help"], ["decode", "--json", "{good}"]]))
def test_verdicts_35_a_full_disk_behind_standard_output_is_10(tmp_path, words):
    code(aurora.LINK).save(tmp_path / "good.png")
    given = [word.format(good=tmp_path / "good.png") for word in words]
    with open("/dev/full", "w") as full:  # noqa: PTH123
        running = started(*given, environment=environment(), stdout=full, stderr=PIPE)
    _, complaints = running.communicate(timeout=600)
    assert running.returncode == 10, complaints


def test_verdicts_35_an_unwritable_output_is_noticed_before_the_site_is_entered(study, tmp_path):
    (tmp_path / "file").touch()
    site = site_of(study)
    with up(site):
        done = cloudfilm(
            "grab",
            aurora.LINK,
            "-o",
            tmp_path / "file" / "below",
            "--browser",
            "never",
            "--connect-to",
            site.connect_to[0],
        )
    assert done.returncode == 10
    assert not site.requests


@pytest.mark.parametrize("proxy", ["foo://x", "http://", "socks9://a:1", "http://a:99999", "ftp://user:secret@h:1"])
def test_verdicts_35_a_proxy_of_an_unknown_scheme_is_wrong_usage(proxy):
    with pytest.raises(MalformedProxy) as wrong:
        check_proxy(proxy)
    assert "secret" not in describe(wrong.value, Language.EN)
    assert wrong.value.exit_code == 2
    for words in (["grab", aurora.LINK], ["list", aurora.LINK], ["batch", "x"], ["doctor"], ["learn", aurora.LINK]):
        if proxy == "foo://x":
            assert commands.run([*words, "--proxy", proxy]) == 2


@pytest.mark.parametrize(
    "proxy", ["", "http://a:1", "https://u:p@a", "socks5h://[::1]:1080", "127.0.0.1:8080", "HTTP://a"]
)
def test_verdicts_35_an_ordinary_proxy_passes(proxy):
    check_proxy(proxy)


def test_verdicts_35_a_refused_connection_is_not_an_unknown_name(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    words = ("grab", aurora.LINK, "-o", tmp_path, "--browser", "never", "--connect-to")
    done = cloudfilm(*words, f"{aurora.HOST}:80:127.0.0.1:{port}")
    assert "the connection was refused" in done.stderr
    done = cloudfilm(*words, f"{aurora.HOST}:80:no-such-host.invalid:80")
    assert "its name is not known" in done.stderr


def test_verdicts_35_a_full_temporary_folder_is_the_disks_fault(monkeypatch, tmp_path):
    ended = SiteUnreachable(host="", why=Reason.BROWSER_ENDED)
    other = SiteUnreachable(host="h", why=Reason.CONNECTION_REFUSED)
    assert resources.explained(ended) is ended
    usage = type("Usage", (), {"free": 1000})()
    monkeypatch.setattr(resources.shutil, "disk_usage", lambda _: usage)
    assert isinstance(resources.explained(ended), DiskFull)
    assert isinstance(resources.explained(BrowserMissing("x")), DiskFull)
    assert resources.explained(other) is other
    monkeypatch.setattr(resources.tempfile, "gettempdir", lambda: (_ for _ in ()).throw(FileNotFoundError()))
    with pytest.raises(DiskFull):
        resources.temporary_folder()


def test_verdicts_35_a_folder_that_takes_no_file(tmp_path):
    resources.probe(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(NotWritable):
        resources.probe(tmp_path / "file")


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ("htps://film.aurora.test/s/Ab12Cd34", MisspeltLink),
        ("看 http//film.aurora.test/s/1", MisspeltLink),
        ("{tmp}", FolderGiven),
        ("{tmp}/empty.pdf", EmptyFile),
        ("{tmp}/empty.txt", EmptyFile),
        ("photo.jpg", NoSuchFile),
    ],
)
def test_verdicts_35_what_is_wrong_with_a_source_is_named(tmp_path, given, error):
    for name in ("empty.pdf", "empty.txt"):
        (tmp_path / name).touch()
    with pytest.raises(error) as wrong:
        resolve.read_all(given.format(tmp=tmp_path), SETTINGS, nothing)
    assert "Ab12" not in describe(wrong.value, Language.EN)


@pytest.mark.parametrize("scheme", ["ｈttps：//", "https：／／", "ＨＴＴＰＳ://", "https: //"])
def test_verdicts_35_full_width_signs_are_put_right(scheme):
    (share,) = resolve.read_all(f"影像 {scheme}film.aurora.test/s/Ab12Cd34", SETTINGS, nothing).links
    assert share.url == "https://film.aurora.test/s/Ab12Cd34"
