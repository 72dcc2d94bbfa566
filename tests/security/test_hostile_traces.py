"""Planted answers, tokens, names, numbers and dates are searched for wherever a run may leave something, in many disguises."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pydicom
import pytest

from fixtures.dicom import chest_ct
from scraper.session.browser.discovery import find_browser
from scraper.testing import first_of
from tests import aurora
from tests.aurora import Fault
from tests.programs import PIPE, Program, environment, ran, started, until
from tests.test_cli import site_of, up

ANSWER, TOKEN, CODE = "86420975311", 918273645546372, "Zq7Kp3Xw"
LINK = f"http://{aurora.HOST}/s/{CODE}"
NAME, PINYIN = "欧阳^德海", ("ouyang", "dehai")
ROOT = Path(__file__).parents[2]
SECRETS = (ANSWER, str(TOKEN), CODE)
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes and signals are POSIX")


def disguises(value: str) -> Iterator[bytes]:
    """A value as it may stand in a file."""
    forms = {value, value[::-1], value.lower(), value.upper(), value.replace("^", ""), value.replace("^", " ")}
    if value == NAME:
        first, last = PINYIN
        for gap in ("", " ", "^", "-", "_", "%20"):
            forms |= {f"{first}{gap}{last}", f"{first}{gap}{last}".upper(), f"{first.title()}{gap}{last.title()}"}
    for form in forms:
        for encoding in ("utf-8", "gb18030", "utf-16-le", "utf-16-be"):
            raw = form.encode(encoding)
            yield raw
            yield quote(raw, safe="").encode()
            for lead in range(3):  # wherever it stands in what was encoded
                text = base64.b64encode(bytes(lead) + raw)
                yield text[(lead * 8 + 5) // 6 : -4]
                yield base64.urlsafe_b64encode(bytes(lead) + raw)[(lead * 8 + 5) // 6 : -4]
        yield form.encode("unicode-escape")
        yield form.encode().hex().encode()


def found_in(body: bytes, values: tuple[str, ...]) -> set[str]:
    return {value for value in values if any(len(form) > 4 and form in body for form in set(disguises(value)))}


def bodies(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file with its name, and what is packed in it."""
    for path in folder.rglob("*"):
        yield path, str(path.relative_to(folder)).encode()
        if not path.is_file() or path.is_symlink():
            continue
        body = path.read_bytes()
        yield path, body
        if zipfile.is_zipfile(io.BytesIO(body)):
            with zipfile.ZipFile(io.BytesIO(body)) as archive:
                for member in archive.namelist():
                    yield path, member.encode() + archive.read(member)


def is_named_by_a_process(words: str) -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if words.encode() in path.read_bytes() and path.parent.name != str(os.getpid()):
                return True
        except OSError:  # it has just ended
            continue
    return False


def nothing_in(folder: Path, values: tuple[str, ...]) -> None:
    for path, body in bodies(folder):
        assert not found_in(body, values), path


def owner_alone(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.lstat().st_mode
            assert mode & 0o077 == 0, (path, oct(mode))
            assert not (stat.S_ISREG(mode) and mode & 0o100), (path, oct(mode))


class Home:
    """The folders that a run may write to."""

    def __init__(self, folder: Path) -> None:
        self.output, self.temporary, self.home, self.work = (folder / name for name in ("out", "tmp", "home", "work"))
        for made in (self.temporary, self.home, self.work):
            made.mkdir(mode=0o700)

    def start(self, *words: object, **more: str) -> Program | subprocess.Popen[bytes]:
        variables = self.environment(**more)
        return started(*words, environment=variables, cwd=self.work, stdout=PIPE, stderr=PIPE, new_session=True)

    def environment(self, **more: str) -> dict[str, str]:
        """Of a run that writes into these folders alone."""
        own = {"TMPDIR": str(self.temporary), "HOME": str(self.home), "CLOUDFILM_DATA": str(self.home / "data")}
        paths = os.pathsep.join((str(ROOT), str(ROOT / "tests" / "plugins")))
        return environment(**own, **more) | {"PYTHONPATH": paths}

    def run(self, *words: object, code: int, **more: str) -> bytes:
        done = ran(*words, environment=self.environment(**more), cwd=self.work)
        out, err = done.stdout, done.stderr
        assert done.returncode == code, err
        assert not found_in(out, SECRETS), out
        assert not found_in(err, SECRETS + self.of_the_patient), err
        return out

    of_the_patient: tuple[str, ...] = ()

    def check(self, *outputs: Path) -> None:
        """Nothing but the study's own folder names the patient, and nothing at all the secrets."""
        for folder in (self.temporary, self.home, self.work):
            nothing_in(folder, SECRETS + self.of_the_patient)
            owner_alone(folder)
        for output in outputs:
            nothing_in(output, SECRETS)
            owner_alone(output)


@pytest.fixture(scope="module")
def study():
    return chest_ct(slices=4, size=16, seed=11, localizers=0, dose_report=False, patient_name=NAME)


@pytest.fixture
def site(study):
    made = site_of(study)
    made.token = TOKEN

    def enter(asked):
        if asked.get("phone") == ANSWER:
            return {"code": "OK", "token": f"t{TOKEN}"}
        return {"code": "PHONE", "message": f"手机号 {asked.get('phone', '')} 不正确"}

    made._enter = enter
    with up(made):
        yield made


@pytest.fixture
def home(tmp_path, study):
    made = Home(tmp_path)
    header = pydicom.dcmread(io.BytesIO(study.series[0].instances[0].data), stop_before_pixels=True)
    numbers = (str(header.PatientID), str(header.get("AccessionNumber", "")), str(header.get("PatientBirthDate", "")))
    made.of_the_patient = (NAME, *(number for number in numbers if len(number) > 5))
    return made


def words(site, *more: object) -> list[object]:
    return ["--browser", "never", "--connect-to", site.connect_to[0], *more]


def given(answer: str = ANSWER) -> list[str]:
    return ["--answer", f"phone_last4={answer}"]


def test_hostile_11_the_search_finds_every_disguise():
    for value in (*SECRETS, NAME):
        for form in disguises(value):
            if len(form) > 4:
                assert found_in(b"\x00" + form + b"\xff", (value,)) == {value}
        for lead in range(3):
            packed = base64.b64encode(b"abc"[:lead] + value.encode() + b"tail")
            assert found_in(packed, (value,)) == {value}
    assert found_in("欧阳 OUYANG 2026".encode(), (*SECRETS, NAME)) == set()


def test_hostile_11_after_success(site, home):
    home.run("grab", LINK, *given(), *words(site, "-o", home.output, "-v"), code=0)
    home.run("grab", LINK, *given(), *words(site, "-o", home.output, "--json"), code=0)
    home.run("list", LINK, *given(), *words(site), code=0)
    home.run("verify", home.output, code=0)
    home.check(home.output)
    assert list(home.temporary.iterdir()) == []


@pytest.mark.parametrize("answers", first_of([given(ANSWER[::-1] + "1"), []]))
def test_hostile_11_after_a_refusal(site, home, answers):
    refused = ANSWER[::-1] + "1"
    running = home.start("grab", LINK, *answers, *words(site, "-o", home.output, "-v", "--json"))
    out, err = running.communicate(timeout=600)
    assert running.returncode == 5
    assert not found_in(out + err, (CODE, str(TOKEN)))
    home.check()
    for folder in (home.temporary, home.home, home.work):
        nothing_in(folder, (refused,))


def test_hostile_11_in_a_batch(site, home):
    (home.work.parent / "list").mkdir()
    table = home.work.parent / "list" / "links.csv"
    table.write_text(f"source,phone_last4\n{LINK},{ANSWER}\n{LINK}?,{ANSWER}9\n", encoding="utf-8")
    home.run("batch", table, *words(site, "-o", home.output), code=0)
    home.check(home.output)


def test_hostile_11_after_a_crash(site, home, study):
    provider = home.work.parent / "provider.py"
    provider.write_text(
        '"""Crash."""\n'
        "from scraper.contract import PHONE_LAST4, Provider\n"
        "class Crash(Provider):\n"
        "    name = 'crash'\n"
        "    route = r'.*'\n"
        "    asks = (PHONE_LAST4,)\n"
        "    async def discover(self, link, session):\n"
        "        secret = session.answer(PHONE_LAST4)\n"
        f"        raise RuntimeError(f'{{link.url}} {{secret}} t{TOKEN} {NAME}')\n"
        "        yield\n",
        encoding="utf-8",
    )
    home.run("grab", LINK, "--provider", provider, *given(), *words(site, "-o", home.output), code=1)
    assert list(home.output.glob("cloudfilm-diagnostic-*"))
    nothing_in(home.output, SECRETS + home.of_the_patient)
    home.check(home.output)


def test_hostile_11_after_kill_9(site, home, study):
    last = list(site.originals)[-1]
    site.fail(last, Fault.SILENT, Fault.SILENT)
    running = home.start("grab", LINK, *given(), *words(site, "-o", home.output, "--jobs", "1"))
    until(lambda: f"/image/{last}" in site.requests or running.poll() is not None)
    assert running.poll() is None
    os.killpg(running.pid, signal.SIGKILL)
    out, err = running.communicate()
    assert not found_in(out + err, SECRETS + home.of_the_patient)
    for folder in (home.temporary, home.home, home.work, home.output):
        nothing_in(folder, SECRETS)
        owner_alone(folder)
    site.faults.clear()
    home.run("grab", LINK, *given(), *words(site, "-o", home.output, "--json"), code=0)
    home.check(home.output)
    assert list(home.temporary.iterdir()) == []


@pytest.mark.skipif(find_browser() is None or sys.platform != "linux", reason="no browser, or no /proc")
def test_hostile_11_the_browsers_profile_and_spool_are_the_owners_alone_and_are_gone_after_the_next_run():
    from fixtures.sites.generic_viewer.site import HOST, GenericViewer
    from fixtures.world import World

    # a short path: a browser puts a socket there, whose name has 107 characters at most
    with tempfile.TemporaryDirectory(prefix="t-") as short, World(GenericViewer()) as world:
        home = Home(Path(short))
        more = {"CLOUDFILM_BROWSER": str(find_browser())}  # HOME is another here
        running = home.start("grab", f"https://{HOST}/v/signed", "-o", home.output, *world.options, **more)
        profile = "cloudfilm-*/browser/*profile*/Default"  # the browser writes it
        until(lambda: any(home.temporary.glob(profile)) or running.poll() is not None)
        assert running.poll() is None, running.communicate()
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
        until(lambda: not is_named_by_a_process(short))  # a browser ends by itself when its driver is gone
        owner_alone(home.temporary)
        assert [path.name for path in home.temporary.iterdir() if not path.name.startswith("cloudfilm-")] == []
        home.run(
            "list",
            f"http://{aurora.HOST}/s/{CODE}",
            "--browser",
            "never",
            "--connect-to",
            f"{aurora.HOST}:80:127.0.0.1:9",
            code=9,
        )
        assert not list(home.temporary.glob("cloudfilm-*"))
        for path, body in bodies(home.temporary):
            assert not found_in(body, SECRETS), path


def test_hostile_11_a_diagnostic_holds_no_value(tmp_path):
    from scraper.core.errors import SiteChanged
    from scraper.ui.report import write_diagnostic

    path = write_diagnostic(tmp_path / "d", SiteChanged(f"{NAME} {ANSWER}", host="h"), "https://h/…", "p", [])
    assert not found_in(path.read_bytes(), (NAME, ANSWER))
    assert json.loads(path.read_text(encoding="utf-8"))["error"] == "SiteChanged"
    owner_alone(tmp_path / "d")


@pytest.mark.skipif(find_browser() is None or sys.platform != "linux", reason="no browser, or no /proc")
@pytest.mark.parametrize(
    "command_name", ["record", pytest.param("learn", marks=pytest.mark.thorough)], ids=["record", "learn"]
)
@pytest.mark.thorough
def test_hostile_11_what_record_and_learn_write(command_name):
    """The bundle and the provider hold no answer, no code of the link, no token, no identifier and no patient."""
    from fixtures.world import World
    from tests import lists

    site = lists.Lists()
    planted = tuple(value for value in site.secrets if len(value) > 5)
    assert {lists.CODE, lists.PASSWORD} <= set(planted)
    header = pydicom.dcmread(io.BytesIO(next(iter(site.originals.values()))), stop_before_pixels=True)
    patient = tuple(
        text for name in ("PatientName", "PatientID", "AccessionNumber") if len(text := str(header.get(name, ""))) > 2
    )
    assert patient
    with tempfile.TemporaryDirectory(prefix="t-") as short, World(site) as world:
        home = Home(Path(short))
        home.of_the_patient = ()
        home.output.mkdir(mode=0o700)
        made = home.output / ("bundle.zip" if command_name == "record" else "provider.py")
        link = f"https://{lists.HOST}/login/{lists.CODE}"
        more = {"CLOUDFILM_BROWSER": str(find_browser())}  # HOME is another here
        running = home.start(
            command_name, link, "-o", made, "--answer", f"password={lists.PASSWORD}", *world.options, **more
        )
        out, err = running.communicate(timeout=600)
        assert running.returncode == 0, err
        assert made.stat().st_size > 500
        for body in (out, err):
            assert not found_in(body, (*planted, *patient))
        for folder in (home.output, home.temporary, home.home, home.work):
            nothing_in(folder, (*planted, *patient))
        assert made.lstat().st_mode & 0o077 == 0
        assert not list(home.temporary.glob("cloudfilm-*"))
