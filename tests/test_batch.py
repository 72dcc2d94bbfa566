"""``cloudfilm batch`` as people use it: lists of old links, runs that are stopped or killed, and the report at the end."""

from __future__ import annotations

import base64
import contextlib
import csv
import io
import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from threading import Thread
from urllib.parse import unquote

import psutil
import pytest
from PIL import Image

from fixtures.dicom import chest_ct
from fixtures.sites.kayicloud.site import KayicloudSite
from fixtures.sites.shdc import site as shdc
from fixtures.world import World
from scraper.batch.ledger import Ledger, LedgerTooNew, LedgerUnreadable, State
from scraper.batch.workers.protocol import Outcome
from scraper.core.errors import ExitCode
from scraper.testing import first_of
from tests import aurora
from tests.many import Ends, Many, up
from tests.programs import PIPE, Program, environment, until
from tests.programs import started as program
from tests.test_cli import cloudfilm, documents, photo, site_of
from tests.test_cli import up as aurora_up

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals and rights are POSIX")


def batch(many: Many, links: Path, output: Path, *words: object, **more: str) -> subprocess.CompletedProcess[str]:
    return cloudfilm("batch", links, "-o", output, *many.options, *words, **more)


def started(many: Many, links: Path, output: Path, *words: object) -> Program | subprocess.Popen[str]:
    given = ("batch", links, "-o", output, *many.options, *words)
    return program(*given, environment=environment(), stdout=PIPE, stderr=PIPE, text=True)


def listed(folder: Path, *lines: str, name: str = "links.txt") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def states(output: Path) -> dict[str, int]:
    with sqlite3.connect(output / ".cloudfilm" / "batch.sqlite3") as db:
        found = dict(db.execute("SELECT state, count(*) FROM sources GROUP BY state").fetchall())
    db.close()
    return found


def rows(output: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((output / "report.csv").read_text(encoding="utf-8-sig"))))


def test_a_list_becomes_studies_and_a_report(tmp_path):
    many = Many(4)
    many.ends[2] = Ends.EXPIRED
    links = listed(
        tmp_path,
        "# old links",
        many.link(0),
        f"您的影像：{many.link(1)} 安全码：S3CRET",
        many.link(2),
        "missing.jpg",
        many.link(0),
        "张三的片子",
    )
    with up(many):
        done = batch(many, links, tmp_path / "out", "--json")
        assert done.returncode == ExitCode.GONE, done.stderr
        assert sorted(many.entered.items()) == [(0, 1), (1, 1), (2, 1)], "a link that stands there twice is done once"
        many.entered.clear()
        again = batch(many, links, tmp_path / "out", "--json")
        assert not many.entered, "what has ended is not asked for again"
        assert again.returncode == ExitCode.GONE
    found = documents(done)
    assert sorted(item["exit_code"] for item in found) == [0, 0, 2, 3, 6]
    assert sorted(map(json.dumps, documents(again))) == sorted(map(json.dumps, found))
    assert {item["source"] for item in found if item["exit_code"] in (2, 3)} == {"links.txt:5", "links.txt:7"}
    assert "Line 5:" in done.stderr
    report_rows = {row["line"]: row for row in rows(tmp_path / "out")}
    assert [report_rows[line]["status"] for line in ("2 6", "3", "4", "5", "7")] == ["complete"] * 2 + ["failed"] * 3
    assert report_rows["2 6"]["saved"] == report_rows["2 6"]["expected"] == "5"
    assert (tmp_path / "out" / report_rows["3"]["folder"] / "study.json").is_file()
    assert "--retry-failed" in again.stderr


def test_failed_ones_are_tried_again_when_asked_to(tmp_path):
    many = Many(3)
    many.ends[1] = Ends.CHANGED
    links = listed(tmp_path, *map(many.link, range(3)))
    with up(many):
        only = ("--limit", 2, "--parallel", 1)
        first = batch(many, links, tmp_path / "out", *only)
        assert first.returncode == ExitCode.SITE
        assert "Run the same command again" in first.stderr
        assert states(tmp_path / "out") == {"done": 1, "failed": 1, "queued": 1}
        assert [row["status"] for row in rows(tmp_path / "out")] == ["complete", "failed", "waiting"]
        many.ends.clear()
        many.entered.clear()
        assert batch(many, links, tmp_path / "out", "--only-failed").returncode == 0
        assert dict(many.entered) == {1: 1}
        assert states(tmp_path / "out") == {"done": 2, "queued": 1}
        assert batch(many, links, tmp_path / "out", "--retry-failed").returncode == 0
        assert dict(many.entered) == {1: 1, 2: 1}
    assert [row["attempts"] for row in rows(tmp_path / "out")] == ["1", "2", "1"]
    assert len(list((tmp_path / "out" / "diagnostics").iterdir())) == 1


def test_a_rehearsal_asks_nobody_and_makes_nothing(tmp_path):
    many = Many(2)
    links = listed(tmp_path, many.link(0), many.link(1), many.link(0))
    with up(many):
        done = batch(many, links, tmp_path / "out", "--dry-run", "--json")
        assert done.returncode == 0
        assert not (tmp_path / "out").exists()
        assert not many.entered
    report_rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["lines"], row["state"], row["would_run"]) for row in report_rows] == [
        ([1, 3], "queued", True),
        ([2], "queued", True),
    ]
    assert "A0000000" not in done.stdout + done.stderr


def test_an_incomplete_one_is_gone_on_with_and_a_deleted_one_fetched_anew(tmp_path):
    many = Many(2)
    many.ends[0] = Ends.INCOMPLETE
    links = listed(tmp_path, *map(many.link, range(2)))
    with up(many):
        assert batch(many, links, tmp_path / "out").returncode == ExitCode.INCOMPLETE
        assert states(tmp_path / "out") == {"done": 1, "incomplete": 1}
        many.ends.clear()
        many.images.clear()
        (whole,) = (row["folder"] for row in rows(tmp_path / "out") if row["status"] == "complete")
        for path in (tmp_path / "out" / whole).rglob("*.*"):
            path.unlink()
        assert batch(many, links, tmp_path / "out").returncode == 0
        assert dict(many.images) == {0: 1, 1: 5}
    assert states(tmp_path / "out") == {"done": 2}


@POSIX
@pytest.mark.parametrize("after", first_of([1, 5]))
def test_killed_in_the_middle_and_run_again(tmp_path, after):
    many = Many(8, latency_s=0.05)
    links = listed(tmp_path, *map(many.link, range(8)))
    with up(many):
        running = started(many, links, tmp_path / "out", "-q")
        until(lambda: sum(many.images.values()) >= 5 * after)
        running.send_signal(signal.SIGKILL)
        running.communicate()
        until(lambda: many.connections == 0)  # what it had sent is answered, and counted
        before = dict(many.entered)
        done_before = states(tmp_path / "out").get("done", 0)
        assert done_before < 8
        many.latency_s = 0
        again = batch(many, links, tmp_path / "out", "--json")
    assert again.returncode == 0, again.stderr
    assert len(documents(again)) == 8
    assert states(tmp_path / "out") == {"done": 8}
    repeated = [number for number, count in many.entered.items() if count > 1]
    assert len(repeated) <= 3, (
        "entered again are the two that used their sites, and the one whose files were being placed"
    )
    assert sum(many.images.values()) <= 8 * 5 + 2 * 5, (
        "images are asked for again of those two alone: the third's were saved"
    )
    assert sum(many.entered.values()) - sum(before.values()) <= 8 - done_before
    assert len({row["study_uid"] for row in rows(tmp_path / "out")}) == 8


@POSIX
def test_stopped_by_the_user_it_says_how_to_go_on(tmp_path):
    many = Many(4, hold=frozenset([1]))
    links = listed(tmp_path, *map(many.link, range(4)))
    with up(many):
        # a shell's background job ignores it
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        running = started(many, links, tmp_path / "out", "--parallel", 1)
        signal.signal(signal.SIGINT, before)
        until(lambda: many.images[1] > 0)
        running.send_signal(signal.SIGINT)
        _, stderr = running.communicate(timeout=600)
        assert running.returncode == ExitCode.INTERRUPTED
        assert "Run the same command again" in stderr
        assert "Traceback" not in stderr
        assert states(tmp_path / "out") == {"done": 1, "queued": 3}
        assert [row["status"] for row in rows(tmp_path / "out")] == ["complete"] + ["waiting"] * 3
        many.hold = frozenset()
        assert batch(many, links, tmp_path / "out").returncode == 0
    assert not list((tmp_path / "out" / ".cloudfilm").glob("batch-*.lock"))


@POSIX
@pytest.mark.thorough
def test_two_processes_share_the_work(tmp_path):
    many = Many(10, latency_s=0.05)
    links = listed(tmp_path, *map(many.link, range(10)))
    with up(many):
        both = [started(many, links, tmp_path / "out", "--json", "-q") for _ in range(2)]
        ended = [process.communicate(timeout=600) for process in both]
    for process, (out, stderr) in zip(both, ended, strict=True):
        assert process.returncode == 0, stderr
        assert len(out.splitlines()) == 10, "each tells of all, whoever did it"
    assert states(tmp_path / "out") == {"done": 10}
    assert set(many.entered.values()) == {1}


def test_a_link_that_hangs_and_a_bug_cost_only_themselves(tmp_path):
    many = Many(3, hold=frozenset([1]))
    bugs = [f"http://film.dusk.test/dusk/{name}" for name in ("s3cr3tt0ken", "cancels")]
    links = listed(tmp_path, *map(many.link, range(3)), *bugs)
    with up(many):
        done = batch(many, links, tmp_path / "out", "--give-up", 20, "--json")
    found = {document["exit_code"]: document for document in documents(done)}
    assert done.returncode == ExitCode.SITE
    assert sorted(document["exit_code"] for document in documents(done)) == [0, 0, 1, 1, 9]
    assert [item["code"] for item in found[1]["problems"]] == ["bug"]
    assert [item["code"] for item in found[9]["problems"]] == ["nothing-new"], found[9]
    assert "20 seconds" in found[9]["problems"][0]["message"]
    assert "Traceback" not in done.stderr
    assert "s3cr3tt0ken" not in done.stdout + done.stderr
    assert len(list((tmp_path / "out" / "diagnostics").iterdir())) == 3


def test_no_host_is_asked_faster_than_by_one(tmp_path):
    many = Many(8, latency_s=0.03)
    links = listed(tmp_path, *map(many.link, range(8)))
    with up(many):
        assert batch(many, links, tmp_path / "out", "--parallel", 4, "--jobs", 3).returncode == 0
    assert max(many.most_in_flight.values()) <= 3


def test_answers_of_the_list_open_sites_and_stay_out_of_the_folder(tmp_path):
    """Two platforms; a secret is given in the list, where one of them may ask for it."""
    kayi, report = KayicloudSite(), shdc.ShdcSite()
    links = tmp_path / "links.csv"
    table = "source;label;access_code\r\n{0};张三;{2}\r\n{1};<script>alert(1)</script>;\r\n"
    asks, opens = shdc.REPORT, kayi.link("A1")
    links.write_bytes(table.format(asks, opens, "geheim99").encode("gb18030"))
    with World(kayi, report) as world:
        words = ("-o", tmp_path / "out", "--browser", "never", *world.options)
        done = cloudfilm("batch", links, *words)
    assert done.returncode == 0, done.stderr + done.stdout
    assert not world.unexpected
    report_rows = rows(tmp_path / "out")
    assert [row["provider"] for row in report_rows] == ["shdc", "kayicloud"]
    assert report_rows[0]["label"] == "张三"
    secrets = {"geheim99", *re.findall(r"=([\w%+/-]{8,})", asks + " " + opens)}
    assert len(secrets) > 2
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file() and path.suffix not in (".dcm",):
            body = path.read_bytes()
            assert [secret for secret in secrets if secret.encode() in body] == [], path
    assert [secret for secret in secrets if secret in done.stdout + done.stderr] == []
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


@pytest.mark.thorough
def test_a_refused_answer_is_not_sent_twice_and_a_new_one_is(tmp_path):
    from fixtures.dicom import chest_ct
    from tests.test_cli import site_of
    from tests.test_cli import up as aurora_up

    links = tmp_path / "links.csv"
    with aurora_up(site_of(chest_ct(slices=3, size=32, seed=7))) as site:

        def run(answer: str) -> int:
            links.write_text(f"source,phone_last4\n{aurora.ASKS},{answer}\n")
            where = ("--connect-to", site.connect_to[0])
            return cloudfilm("batch", links, "-o", tmp_path / "out", "--browser", "never", *where).returncode

        assert run("") == ExitCode.CREDENTIALS
        assert run("9999") == ExitCode.CREDENTIALS
        site.requests.clear()
        assert run("9999") == ExitCode.CREDENTIALS
        assert not site.requests
        assert run(aurora.PHONE) == 0


@POSIX
@pytest.mark.thorough
def test_a_person_at_the_terminal_is_asked_where_one_source_is_done_at_a_time(tmp_path):
    import pty
    import termios

    with aurora_up(site_of(chest_ct(slices=3, size=32, seed=7))) as site:
        links = listed(tmp_path, aurora.ASKS)
        near, far = pty.openpty()
        words = ("batch", links, "-o", tmp_path / "out", "--browser", "never", "--parallel", 1)
        to_site = ("--connect-to", site.connect_to[0])
        running = program(
            *words, *to_site, environment=environment(), stdin=far, stderr=far, stdout=PIPE, new_session=True
        )
        os.close(far)
        received = b""
        while "手机号后四位".encode() not in received:
            received += os.read(near, 4096)
        until(lambda: not termios.tcgetattr(near)[3] & termios.ECHO)  # what is typed before is thrown away
        os.write(near, aurora.PHONE.encode() + b"\n")
        drain = Thread(target=lambda: suppressed_read(near), daemon=True)
        drain.start()
        assert running.wait(60) == 0
        running.stdout.close()
        drain.join(10)
        os.close(near)
    assert aurora.PHONE.encode() not in received
    assert states(tmp_path / "out") == {"done": 1}


def suppressed_read(terminal: int) -> None:
    """Take what a terminal says until nobody holds its other end."""
    with contextlib.suppress(OSError):
        while os.read(terminal, 4096):
            pass


@POSIX
@pytest.mark.thorough
def test_a_browser_that_dies_costs_its_own_source_only(tmp_path):
    kayi, report = KayicloudSite(), shdc.ShdcSite()
    links = listed(tmp_path, shdc.VIEWER, kayi.link("A1"))
    with World(kayi, report) as world:
        words = ("batch", links, "-o", tmp_path / "out", "--browser", "always", *world.options)
        running = program(*words, "--json", "-q", environment=environment(), stdout=PIPE, stderr=PIPE, text=True)
        until(lambda: len(world.seen) > 0)
        killed = [
            child
            for child in psutil.Process(running.pid).children(recursive=True)
            if "chrom" in child.name() and not any(word.startswith("--type=") for word in child.cmdline())
        ]
        killed[0].kill()
        out, stderr = running.communicate(timeout=600)
        assert running.returncode == ExitCode.SITE, stderr
        assert sorted(json.loads(line)["exit_code"] for line in out.splitlines()) == [0, 9]
        again = cloudfilm(*words, "--retry-failed")
        assert again.returncode == 0, again.stderr
    assert states(tmp_path / "out") == {"done": 2}


def test_two_photos_of_one_film_are_done_once(tmp_path):
    many = Many(1)
    folder = tmp_path / "photos"
    for name in ("front", "back"):
        (folder / name).mkdir(parents=True)
        taken = photo(folder / name, many.link(0))
        Image.open(taken).rotate(180 if name == "back" else 0).save(taken)  # two photos, not one file twice
    with up(many):
        done = batch(many, folder, tmp_path / "out", "--json", "--parallel", 1)
    assert done.returncode == 0, done.stderr
    assert dict(many.entered) == {0: 1}
    first, second = documents(done)
    assert first["output"] == second["output"]
    assert {Path(item["source"]).parent.name for item in (first, second)} == {"front", "back"}


class _Page(HTMLParser):
    """What a report refers to, and the words in it."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.mark.parametrize(("lang", "word"), first_of([("en", "incomplete"), ("zh", "不完整")]))
def test_the_page_opens_offline_and_shows_each_series(tmp_path, lang, word):
    many = Many(3)
    many.ends[1] = Ends.INCOMPLETE
    with up(many):
        batch(many, listed(tmp_path, *map(many.link, range(3))), tmp_path / "out", "--lang", lang)
    page = _Page()
    page.feed((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert word in page.words
    assert "测试甲" in page.words
    assert {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "form"} == set()
    pictures = [attrs["src"] or "" for tag, attrs in page.tags if tag == "img"]
    assert len(pictures) == 3
    for picture in pictures:
        head, _, data = picture.partition(",")
        assert head == "data:image/jpeg;base64"
        drawn = Image.open(io.BytesIO(base64.b64decode(data)))
        assert max(drawn.size) <= 96
        assert drawn.getextrema() != ((0, 0),) * 3, "not black all over"
    links = [attrs["href"] or "" for tag, attrs in page.tags if tag == "a"]
    named = {attrs["id"] for tag, attrs in page.tags if tag == "section"}
    assert {link.removeprefix("#") for link in links if link.startswith("#")} == named == {"incomplete-7", "complete-0"}
    targets = [unquote(link) for link in links if not link.startswith("#")]
    folders = {target for target in targets if not target.endswith("index.html")}
    assert len(folders) == 3
    assert all((tmp_path / "out" / folder / "study.json").is_file() for folder in folders)
    pages = {target.removesuffix("index.html").rstrip("/") for target in targets if target.endswith("index.html")}
    assert pages == {folder.rstrip("/") for folder in folders}  # each study's own page to look at
    assert all((tmp_path / "out" / folder / "index.html").is_file() for folder in folders)


def test_an_output_folder_that_was_moved_is_known_again(tmp_path):
    many = Many(2)
    links = listed(tmp_path, *map(many.link, range(2)))
    with up(many):
        assert batch(many, links, tmp_path / "out").returncode == 0
        (tmp_path / "out").rename(tmp_path / "elsewhere")
        many.entered.clear()
        again = batch(many, links, tmp_path / "elsewhere", "--json")
        assert not many.entered
    assert {Path(document["output"]).parent for document in documents(again)} == {tmp_path / "elsewhere"}
    assert all((Path(document["output"]) / "study.json").is_file() for document in documents(again))


@POSIX
def test_only_the_owner_may_read_ledger_and_report(tmp_path):
    many = Many(1)
    with up(many):
        batch(many, listed(tmp_path, many.link(0)), tmp_path / "out")
    out = tmp_path / "out"
    for name in ("report.csv", "report.html", ".cloudfilm/batch.sqlite3", ".cloudfilm/batch.key"):
        assert stat.S_IMODE((out / name).stat().st_mode) == 0o600, name


def test_a_ledger_of_a_newer_version_and_a_broken_one_are_left_alone(tmp_path):
    with Ledger(tmp_path):
        pass
    path = tmp_path / ".cloudfilm" / "batch.sqlite3"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(LedgerTooNew), Ledger(tmp_path):
        pass
    for left in path.parent.glob("batch.sqlite3*"):
        left.unlink()
    path.write_bytes(b"no ledger at all, but a text " * 100)
    with pytest.raises(LedgerUnreadable), Ledger(tmp_path):
        pass
    done = cloudfilm("batch", listed(tmp_path, aurora.LINK), "-o", tmp_path)
    assert done.returncode == ExitCode.STORE
    assert "batch.sqlite3" in done.stderr


def outcome(code: int = 0) -> Outcome:
    return Outcome({"status": "complete" if not code else "failed", "exit_code": code}, "words", "", {"1.2": b"jpeg"})


def test_a_source_has_one_owner_until_that_is_gone(tmp_path):
    with Ledger(tmp_path) as first:
        key = first.hashed("link:1")
        first.enroll([(key, "https://a.test/…", "")])
        with Ledger(tmp_path) as second:
            assert second.hashed("link:1") == key
            assert first.claim(key, (), 0)
            assert not second.claim(key, (), 0)
            assert second.take_up() == 0, "its owner lives"
            second.finish(key, outcome())
            assert first.record(key).state is State.RUNNING, "only its owner ends it"
            assert first.thumbnails(key) == {}
        first.finish(key, outcome())
    with Ledger(tmp_path) as third:
        record = third.record(key)
        assert (record.state, record.attempts, record.outcome.exit_code) == (State.DONE, 1, 0)
        assert third.thumbnails(key) == {"1.2": b"jpeg"}
        assert not third.claim(key, (), 1)
        assert not third.claim(key, (State.DONE,), 0), "another process tried it meanwhile"
        assert third.claim(key, (State.DONE,), 1)


def test_what_a_dead_process_was_at_is_free_again(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from scraper.batch.ledger import Ledger\n"
        "ledger = Ledger(Path(sys.argv[1])).__enter__(); key = ledger.hashed('x'); ledger.enroll([(key, 'x', '')])\n"
        "assert ledger.claim(key, (), 0); os._exit(9)"
    )
    subprocess.run(
        [sys.executable, "-c", code, tmp_path], env=environment(), cwd=Path(__file__).parent.parent, check=False
    )
    with Ledger(tmp_path) as ledger:
        key = ledger.hashed("x")
        assert ledger.record(key).state is State.RUNNING
        assert ledger.take_up() == 1
        assert ledger.claim(key, (), 1)
        ledger.release(key)
        assert ledger.record(key).state is State.QUEUED


def test_one_link_of_two_sources_belongs_to_the_one_that_runs_or_is_done(tmp_path):
    with Ledger(tmp_path) as ledger:
        a, b, link = (ledger.hashed(name) for name in ("a", "b", "link"))
        ledger.enroll([(a, "a", ""), (b, "b", "")])
        ledger.claim(a, (), 0)
        assert ledger.own_link(link, a) == a
        assert ledger.own_link(link, b) == a
        ledger.finish(a, outcome(9))
        assert ledger.own_link(link, b) == b, "it failed there"
        ledger.claim(b, (), 0)
        ledger.finish(b, outcome())
        assert ledger.own_link(link, a) == b


def test_a_list_that_does_not_exist_is_wrong_usage(tmp_path):
    assert cloudfilm("batch", tmp_path / "none.txt").returncode == ExitCode.USAGE
