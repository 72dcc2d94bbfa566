"""The command line as a user's script sees it: exit codes, JSON, languages, and nothing lost when it is killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import jsonschema
import pytest
import segno

from fixtures.dicom import SyntheticStudy, chest_ct
from scraper.core.errors import ExitCode
from scraper.testing import first_of
from tests import aurora
from tests.aurora import Fault, Site
from tests.programs import ROOT, environment, ran, started

RESULT = {
    "type": "object",
    "additionalProperties": False,
    "required": [
        "source",
        "status",
        "exit_code",
        "provider",
        "via",
        "link",
        "output",
        "study",
        "series",
        "instances",
        "bytes",
        "seconds",
        "problems",
    ],
    "properties": {
        "source": {"type": "string"},
        "status": {"enum": ["complete", "incomplete", "failed"]},
        "exit_code": {"type": "integer", "minimum": 0, "maximum": 10},
        "provider": {"type": ["string", "null"]},
        "via": {"enum": ["direct", "browser", None]},
        "link": {"type": ["string", "null"]},
        "output": {"type": ["string", "null"]},
        "study": {"type": ["object", "null"], "required": ["uid", "date", "modality", "description", "patient_name"]},
        "series": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": [
                    "uid",
                    "number",
                    "description",
                    "modality",
                    "expected",
                    "saved",
                    "origin",
                    "status",
                    "problems",
                ],
                "properties": {
                    "uid": {"type": "string"},
                    "number": {"type": ["integer", "null"]},
                    "description": {"type": "string"},
                    "modality": {"type": "string"},
                    "expected": {"type": ["integer", "null"]},
                    "saved": {"type": "integer"},
                    "origin": {"enum": ["original", "rebuilt"]},
                    "status": {"enum": ["ok", "incomplete"]},
                    "problems": {"$ref": "#/$defs/problems"},
                },
            },
        },
        "instances": {
            "type": "object",
            "additionalProperties": False,
            "required": ["expected", "saved", "reused", "failed"],
            "properties": {
                "expected": {"type": ["integer", "null"]},
                "saved": {"type": "integer"},
                "reused": {"type": "integer"},
                "failed": {"type": "integer"},
            },
        },
        "bytes": {"type": "integer"},
        "seconds": {"type": "number"},
        "problems": {"$ref": "#/$defs/problems"},
        "studies": {"type": "array", "minItems": 2},
    },
    "$defs": {
        "problems": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["code", "message", "instances"],
                "properties": {
                    "code": {"type": "string", "pattern": "^[a-z0-9-]+$"},
                    "message": {"type": "string", "minLength": 4},
                    "instances": {"type": "array", "items": {"type": "string"}},
                },
            },
        }
    },
}


@pytest.fixture(scope="module")
def study() -> SyntheticStudy:
    return chest_ct(slices=10, size=64, seed=7)


def site_of(study: SyntheticStudy) -> Site:
    series = {item.uid: {i.sop_instance_uid: i.data for i in item.instances} for item in study.series}
    return Site(study.study_instance_uid, series)


@contextmanager
def up(site: Site) -> Iterator[Site]:
    """The site in a thread of its own, while the command runs in a process of its own."""
    ready, stop = Event(), []

    async def serve() -> None:
        async with aurora.serving(site):
            loop, done = asyncio.get_running_loop(), asyncio.Event()
            stop.append(lambda: loop.call_soon_threadsafe(done.set))
            ready.set()
            await done.wait()

    thread = Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield site
    finally:
        stop[0]()
        thread.join(10)


def cloudfilm(
    *words: object, text: str = "", cwd: Path = ROOT, before: str = "", **more: str
) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own."""
    done = ran(*words, given=text.encode(), environment=environment(**more), cwd=cwd, before=before)
    out, err = (stream.decode().replace("\r\n", "\n") for stream in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


def grab(site: Site, *words: object, **more: str) -> subprocess.CompletedProcess[str]:
    return cloudfilm("grab", *words, "--browser", "never", *("--connect-to", site.connect_to[0]), **more)


def documents(done: subprocess.CompletedProcess[str]) -> list[dict]:
    found = [json.loads(line) for line in done.stdout.splitlines()]
    for item in found:
        jsonschema.validate(item, RESULT)
    return found


def photo(folder: Path, payload: str) -> Path:
    path = folder / "照片.png"
    segno.make(payload, error="m").save(str(folder / "code.png"), scale=8, border=8)
    (folder / "code.png").rename(path)
    return path


def test_exit_0_a_photo_becomes_a_verified_study(study, tmp_path):
    with up(site_of(study)) as site:
        done = grab(site, photo(tmp_path, aurora.LINK), "-o", tmp_path / "out", "--json")
    assert done.returncode == ExitCode.COMPLETE, done.stderr
    (document,) = documents(done)
    assert document["source"].endswith("照片.png")
    assert document["provider"] == "aurora"
    assert document["via"] == "direct"
    assert document["instances"] == {"expected": 13, "saved": 13, "reused": 0, "failed": 0}
    assert document["output"].endswith("_CT_测试甲_胸部CT平扫")
    report = json.loads((Path(document["output"]) / "study.json").read_text(encoding="utf-8"))
    schema = (ROOT / "docs" / "study.schema.json").read_text(encoding="utf-8")
    jsonschema.validate(report, json.loads(schema))
    assert report["made"]["options"]["browser"] == "never"
    assert len(report["instances_saved"]) == 13
    checked = cloudfilm("verify", document["output"], "--json")
    assert checked.returncode == 0, checked.stdout
    assert documents(checked)[0]["instances"]["saved"] == 13


def test_exit_1_a_bug_leaves_a_diagnostic_without_the_link(tmp_path):
    places = os.pathsep.join(map(str, (ROOT / "tests" / "plugins", ROOT)))
    done = cloudfilm("grab", "http://film.dusk.test/dusk/s3cr3tt0ken", cwd=tmp_path, PYTHONPATH=places)
    assert done.returncode == ExitCode.BUG
    (diagnostic,) = tmp_path.rglob("cloudfilm-diagnostic-*.json")
    assert diagnostic.name in done.stderr
    assert "ZeroDivisionError" in diagnostic.read_text(encoding="utf-8")
    assert "s3cr3tt0ken" not in diagnostic.read_text(encoding="utf-8") + done.stderr + done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("grab", "missing.jpg"),
        ("grab", aurora.LINK, "--no-such-option"),
        ("grab",),
        ("verify", "nowhere/at/all"),
        ("grab", aurora.LINK, "--answer", "shoe_size=44"),
        ("grab", aurora.LINK, "--connect-to", "x"),
        ("grab", aurora.LINK, "--provider", "nobody"),
        ("nonsense",),
        ("grab", aurora.LINK, "--jobs", "17"),
    ],
    ids=lambda words: " ".join(words[:3])[:40],
)
def test_exit_2_wrong_usage(words, tmp_path):
    done = cloudfilm(*words)
    assert done.returncode == ExitCode.USAGE, done.stderr
    assert done.stdout == "" or "Usage" in done.stdout
    assert "Traceback" not in done.stderr


def test_exit_3_a_photo_without_a_code_and_a_text_without_a_link(tmp_path):
    from PIL import Image

    Image.effect_noise((400, 300), 90).save(tmp_path / "noise.png")
    done = cloudfilm("grab", tmp_path / "noise.png", "--timeout", 3)
    assert done.returncode == ExitCode.NO_LINK
    assert "noise.png" in done.stdout + done.stderr
    done = cloudfilm("grab", "-", "--lang", "en", text="没有链接")
    assert done.returncode == ExitCode.NO_LINK
    assert "no link in the text" in done.stderr


def test_exit_4_a_code_that_only_wechat_opens(tmp_path):
    path = photo(tmp_path, "http://weixin.qq.com/r/AbCdEfGhIjKl")
    for words in (("grab", path), ("decode", path)):
        done = cloudfilm(*words)
        assert done.returncode == ExitCode.UNUSABLE_LINK
        assert "copy link" in done.stdout + done.stderr


def test_exit_4_an_unknown_viewer_without_a_browser(study):
    with up(site_of(study)) as site:
        done = cloudfilm(
            "grab",
            "http://film.nobody.test/x/1",
            "--browser",
            "never",
            "--connect-to",
            f"film.nobody.test:80:127.0.0.1:{site.port}",
        )
    assert done.returncode in (ExitCode.UNUSABLE_LINK, ExitCode.SITE)


def test_exit_5_asked_and_not_given_then_refused_once(study, tmp_path):
    with up(site_of(study)) as site:
        missing = grab(site, aurora.ASKS, "-o", tmp_path)
        assert missing.returncode == ExitCode.CREDENTIALS
        assert "--answer phone_last4" in missing.stdout + missing.stderr
        site.requests.clear()
        wrong = grab(site, aurora.ASKS, "-o", tmp_path, "--answer", "phone_last4=9999")
        assert wrong.returncode == ExitCode.CREDENTIALS
        assert site.requests["/api/enter"] == 2, "a refused answer is not tried again"
        right = grab(site, aurora.ASKS, "-o", tmp_path, "--answer", f"phone_last4={aurora.PHONE}")
        assert right.returncode == 0
    assert "手机号后四位不正确" in wrong.stdout + wrong.stderr


def test_exit_6_an_expired_link_in_the_sites_own_words(study, tmp_path):
    with up(site_of(study)) as site:
        done = grab(site, aurora.EXPIRED, "-o", tmp_path)
    assert done.returncode == ExitCode.GONE
    assert "分享已过期" in done.stderr


def test_exit_7_an_instance_is_lost_and_the_rest_is_kept(study, tmp_path):
    uid = study.series[1].instances[4].sop_instance_uid
    with up(site_of(study).fail(uid, *[Fault.GONE_404] * 4)) as site:
        done = grab(site, aurora.LINK, "-o", tmp_path, "--json")
        assert done.returncode == ExitCode.INCOMPLETE
        (document,) = documents(done)
        assert document["status"] == "incomplete"
        assert document["instances"]["saved"] == 12
        named = {name for row in document["series"] for item in row["problems"] for name in item["instances"]}
        assert uid in named
        site.faults.clear()
        site.requests.clear()
        again = grab(site, aurora.LINK, "-o", tmp_path, "--json")
    assert again.returncode == 0
    assert [path for path in site.requests if path.startswith("/image/")] == [f"/image/{uid}"]
    assert documents(again)[0]["output"] == document["output"]


def test_exit_8_only_pictures(study, tmp_path):
    with up(site_of(study)) as site:
        assert grab(site, aurora.PICTURES, "-o", tmp_path).returncode == ExitCode.NOT_ORIGINAL


def test_exit_9_a_site_that_changed_and_one_that_is_down(study, tmp_path):
    with up(site_of(study)) as site:
        changed = grab(site, aurora.CHANGED, "-o", tmp_path)
        assert changed.returncode == ExitCode.SITE
        assert "/api/enter" in changed.stderr
    (diagnostic,) = tmp_path.glob("cloudfilm-diagnostic-*.json")
    assert "Changed0" not in diagnostic.read_text(encoding="utf-8")
    down = cloudfilm(
        "grab", aurora.LINK, "-o", tmp_path, "--browser", "never", "--connect-to", f"{aurora.HOST}:80:127.0.0.1:1"
    )
    assert down.returncode == ExitCode.SITE


def test_exit_10_a_folder_that_cannot_be_written(study, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with up(site_of(study)) as site:
        done = grab(site, aurora.LINK, "-o", tmp_path / "file")
    assert done.returncode == ExitCode.STORE
    assert "--output" in done.stderr
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX")
def test_exit_10_a_disk_that_takes_no_more(tmp_path):
    """A file may not grow beyond 100 KB here, which the system reports as it reports a full disk."""
    big = chest_ct(slices=4, size=256, seed=8)
    limited = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
    )
    with up(site_of(big)) as site:
        words = ["grab", aurora.LINK, "-o", tmp_path, "--browser", "never", "--connect-to", site.connect_to[0]]
        done = cloudfilm(*words, before=limited)
        assert done.returncode == ExitCode.STORE, done.stdout + done.stderr
        again = grab(site, aurora.LINK, "-o", tmp_path, "--json")
    assert again.returncode == 0


def test_several_sources_the_highest_code_wins_and_each_has_its_line(study, tmp_path):
    with up(site_of(study)) as site:
        done = grab(site, aurora.LINK, aurora.EXPIRED, "missing.jpg", "-o", tmp_path, "--json")
    assert done.returncode == ExitCode.GONE
    assert [document["exit_code"] for document in documents(done)] == [0, 6, 2]


def test_a_share_text_on_standard_input(study, tmp_path):
    with up(site_of(study)) as site:
        done = cloudfilm(
            "grab",
            "-",
            "-o",
            tmp_path,
            "--browser",
            "never",
            "--connect-to",
            site.connect_to[0],
            text=f"请查看影像 {aurora.LINK} ，7天有效",
        )
    assert done.returncode == 0, done.stderr


def test_list_downloads_nothing(study, tmp_path):
    with up(site_of(study)) as site:
        done = cloudfilm("list", aurora.LINK, "--json", "--browser", "never", "--connect-to", site.connect_to[0])
    (document,) = documents(done)
    assert done.returncode == 0
    assert [row["expected"] for row in document["series"]] == [2, 10, 1]
    assert not [path for path in site.requests if path.startswith("/image/")]


def test_only_the_series_asked_for(study, tmp_path):
    with up(site_of(study)) as site:
        done = grab(site, aurora.LINK, "-o", tmp_path, "--series", "2", "--json")
    assert done.returncode == 0
    assert documents(done)[0]["instances"]["saved"] == 10


@pytest.mark.parametrize(("lang", "words"), first_of([("zh", "已过期"), ("en", "has expired")]))
def test_both_languages(study, tmp_path, lang, words):
    with up(site_of(study)) as site:
        assert words in grab(site, aurora.EXPIRED, "-o", tmp_path, "--lang", lang).stderr
        assert words in grab(site, aurora.EXPIRED, "-o", tmp_path, LANG=f"{lang}_XX.UTF-8").stderr


def test_the_password_may_come_from_the_environment():
    from scraper.cli.options import settings_of

    os.environ["CLOUDFILM_PASSWORD"] = "from-outside"
    try:
        settings = settings_of({"as_json": True})
        assert settings.answers == {"password": "from-outside"}
        assert "from-outside" not in repr(settings)
    finally:
        del os.environ["CLOUDFILM_PASSWORD"]


def test_nothing_of_the_patient_or_the_link_reaches_standard_error(study, tmp_path):
    with up(site_of(study)) as site:
        done = grab(site, aurora.ASKS, "-o", tmp_path, "-v", "--answer", f"phone_last4={aurora.PHONE}")
    assert done.returncode == 0
    assert "AsksMe00" not in done.stderr
    assert "测试" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
@pytest.mark.parametrize("after", first_of([4, 1, 9]))
def test_killed_in_the_middle_and_run_again(study, tmp_path, after):
    site = site_of(study)
    site.latency_s = 0.15
    with up(site):
        words = ("grab", aurora.LINK, "-o", tmp_path, "--jobs", 1, "--browser", "never")
        running = started(*words, "--connect-to", site.connect_to[0], environment=environment())
        give_up = time.monotonic() + 60
        while len(list(tmp_path.rglob("*.dcm"))) < after and time.monotonic() < give_up and running.poll() is None:
            time.sleep(0.01)
        running.send_signal(signal.SIGKILL)
        running.wait()
        there = len(list(tmp_path.rglob("*.dcm")))
        assert there >= after
        site.requests.clear()
        site.latency_s = 0
        done = grab(site, aurora.LINK, "-o", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    fetched = sum(count for path, count in site.requests.items() if path.startswith("/image/"))
    assert fetched <= 13 - there + 1
    assert documents(done)[0]["instances"]["reused"] >= there - 1
    assert len(list(tmp_path.rglob("*.dcm"))) == 13
