"""``cloudfilm batch`` beyond one machine: a real Dask scheduler with two workers, one of which is killed, and an S3 server."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from scraper.batch.target import Target, folder_name, shown
from scraper.core.errors import ExitCode, ExtraMissing, NotWritable, UsageError
from tests.many import Ends, Many, share, up
from tests.programs import environment, until
from tests.test_batch import batch, listed, started, states

# they cost seconds to load: in the tests that use them, not in every process that collects tests
pytestmark = pytest.mark.skipif(not (find_spec("distributed") and find_spec("fsspec")), reason="the extra is missing")
BUCKET = "films"
SECRET = "S3CRET-of-the-link"


@dataclass
class Cluster:
    """A scheduler and its workers, each a process of its own; ``logs`` is what they all wrote."""

    address: str
    folder: Path
    workers: list[subprocess.Popen[bytes]]

    @property
    def logs(self) -> str:
        return "".join(path.read_text(errors="replace") for path in self.folder.glob("*.log"))


@contextmanager
def cluster(folder: Path, workers: int = 2, **more: str) -> Iterator[Cluster]:
    import distributed

    address_file = folder / "scheduler.json"
    running: list[subprocess.Popen[bytes]] = []
    variables = environment() | {"DASK_TEMPORARY_DIRECTORY": str(folder)} | more

    def start(name: str, *words: str) -> None:
        with (folder / f"{name}.log").open("wb") as log:
            module = [sys.executable, "-m", f"distributed.cli.dask_{name.rstrip('0123456789')}"]
            running.append(subprocess.Popen([*module, *words], stdout=log, stderr=log, env=variables, cwd=folder))

    try:
        start(
            "scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--dashboard-address",
            "127.0.0.1:0",
            "--scheduler-file",
            str(address_file),
        )
        until(lambda: address_file.is_file() and address_file.read_text().rstrip().endswith("}"))
        address = json.loads(address_file.read_text())["address"]
        for number in range(workers):
            start(
                f"worker{number}",
                address,
                "--nthreads",
                "1",
                "--no-nanny",
                "--no-dashboard",
                "--host",
                "127.0.0.1",
                "--local-directory",
                str(folder / f"scratch{number}"),
            )
        with distributed.Client(address, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=60)
        yield Cluster(address, folder, running[1:])
    finally:
        for process in running:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """The environment that leads to an S3 server with an empty bucket."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    reached = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "invented",
        "AWS_SECRET_ACCESS_KEY": "invented",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    try:
        yield reached
    finally:
        server.stop()


def place(s3: dict[str, str]):
    import fsspec

    files = fsspec.filesystem(
        "s3",
        key="invented",
        secret="invented",
        endpoint_url=s3["AWS_ENDPOINT_URL"],
        skip_instance_cache=True,
        client_kwargs={"region_name": "eu-west-1"},
    )
    files.invalidate_cache()
    return files


def assert_uploaded(files, root: str, *numbers: int) -> None:
    """Each share's study lies there once, whole, every image bit for bit."""
    reports = [json.loads(files.cat_file(path)) for path in files.glob(f"{root}/*/study.json")]
    by_study = {report["study"]["uid"]: report for report in reports}
    assert len(reports) == len(numbers)
    for number in numbers:
        report = by_study[share(number).study_uid]
        folder = report["output"].rpartition("/")[2]
        images = {row["sop_instance_uid"]: row["file"] for row in report["instances_saved"]}
        for uid, data in share(number).images:
            assert files.cat_file(f"{root}/{folder}/{images[uid]}") == data
    assert len(files.glob(f"{root}/*/*/*.dcm")) == 5 * len(numbers)


@pytest.mark.thorough
def test_a_worker_is_killed_in_the_middle(tmp_path, s3):
    import distributed

    files, root = place(s3), f"{BUCKET}/killed"
    files.mkdir(BUCKET, create_parents=True)
    many = Many(4)
    many.hold = frozenset([0])
    output, home = f"s3://{root}", tmp_path / "kept"
    links = listed(tmp_path, *(f"{many.link(number)} 密码：{SECRET}" for number in range(4)))
    with up(many), cluster(tmp_path, **s3) as work:
        run = started(many, links, output, "--scheduler", work.address, "--ledger", home, "--parallel", 4)
        until(lambda: run.poll() is not None or (many.images[0] > 0 and states(home).get("done") == 3))
        with distributed.Client(work.address, set_as_default=False) as client:
            [busy] = [address for address, keys in client.processing().items() if keys]
            pid = client.run(os.getpid)[busy]
            seen = client.run_on_scheduler(
                lambda dask_scheduler: repr(
                    [dask_scheduler.transition_log, dask_scheduler.tasks, dict(dask_scheduler.get_events())]
                )
            )
        many.hold = frozenset()
        os.kill(pid, signal.SIGKILL)
        _, complaints = run.communicate(timeout=600)
    assert run.returncode == 0, complaints + work.logs
    assert dict(many.entered) == {0: 2, 1: 1, 2: 1, 3: 1}
    assert states(home) == {"done": 4}
    assert_uploaded(files, root, *range(4))
    for text in (work.logs, seen, complaints):
        assert SECRET not in text
        assert "/s/A0" not in text


@pytest.mark.thorough
def test_a_source_over_which_worker_after_worker_is_lost(tmp_path):
    import distributed

    many, output = Many(1, hold=frozenset([0])), tmp_path / "out"
    with up(many), cluster(tmp_path, 1) as work:
        run = started(many, listed(tmp_path, many.link(0)), output, "--scheduler", work.address)
        until(lambda: run.poll() is not None or many.images[0] > 0)
        with distributed.Client(work.address, set_as_default=False) as client:
            [keys] = client.processing().values()
            named = client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.worker_plugins))
            [topic] = [name for name in named if name.startswith("cloudfilm-")]
            for _ in range(2):  # as the second and the third worker would say when they begin
                client.log_event(topic, keys[0])
            _, complaints = run.communicate(timeout=600)
            assert client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)) == 0
            assert topic not in client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.worker_plugins))
    assert run.returncode == ExitCode.SITE, complaints
    assert states(output) == {"failed": 1}


@pytest.mark.thorough
def test_workers_without_this_tool(tmp_path):
    (tmp_path / "other" / "scraper").mkdir(parents=True)
    (tmp_path / "other" / "scraper" / "__init__.py").write_text("")
    links = listed(tmp_path, Many(1).link(0))
    with cluster(tmp_path, 1, PYTHONPATH=str(tmp_path / "other")) as work:
        done = batch(Many(1), links, tmp_path / "out", "--scheduler", work.address)
    assert done.returncode == ExitCode.USAGE, done.stderr
    assert "cloudfilm[distributed]" in done.stderr
    assert states(tmp_path / "out") == {"queued": 1}


def test_no_scheduler_answers(tmp_path):
    links = listed(tmp_path, Many(1).link(0))
    done = batch(Many(1), links, tmp_path / "out", "--scheduler", "tcp://127.0.0.1:1", "--timeout", "1")
    assert done.returncode == ExitCode.SITE
    assert "127.0.0.1:1" in done.stderr
    assert states(tmp_path / "out") == {"queued": 1}


def test_what_is_missing_at_a_target_comes_with_the_next_run(tmp_path):
    import fsspec

    many, target, home = Many(2), tmp_path / "far" / "away", tmp_path / "kept"
    many.ends[0] = Ends.INCOMPLETE
    links = listed(tmp_path, many.link(0), many.link(1))
    with up(many):
        first = batch(many, links, target.as_uri(), "--ledger", home)
        assert first.returncode == ExitCode.INCOMPLETE, first.stderr
        assert states(home) == {"done": 1, "incomplete": 1}
        many.ends.clear()
        many.images.clear()
        again = batch(many, links, target.as_uri(), "--ledger", home, "--json")
        assert again.returncode == 0, again.stderr
        assert dict(many.images) == {0: 1}, "what lies there is not fetched again"
    assert_uploaded(fsspec.filesystem("file"), str(target), 0, 1)
    outputs = [json.loads(line)["output"] for line in again.stdout.splitlines()]
    assert all(output.startswith(target.as_uri() + "/") for output in outputs)
    assert not list(home.rglob("*.dcm"))


# ---- a target by itself


def study(folder: Path, status: str = "complete", **files: bytes) -> Path:
    """A study's folder as ``grab`` leaves it."""
    rows = []
    for name, data in files.items():
        path = folder / "001_axial" / f"{name}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        rows.append({"file": f"001_axial/{name}.dcm", "sha256": hashlib.sha256(data).hexdigest()})
    report = {"key": "1.2.3", "status": status, "instances_saved": rows}
    (folder / "study.json").write_text(json.dumps(report))
    return folder


@pytest.fixture
def far(tmp_path) -> Target:
    return Target((tmp_path / "far").as_uri())


def files_at(tmp_path: Path) -> dict[str, bytes]:
    folder = tmp_path / "far" / "film"
    return {path.stem: path.read_bytes() for path in sorted(folder.rglob("*.dcm"))}


def test_the_report_comes_last(tmp_path, far):
    local = study(tmp_path / "a", a=b"1", b=b"2")
    (local / "001_axial" / "b.dcm").unlink()
    with pytest.raises(NotWritable):
        far.upload(local, "film")
    assert far.report("film") == {}
    assert far.upload(study(tmp_path / "a", a=b"1", b=b"2"), "film") == (tmp_path / "far" / "film").as_uri()
    assert far.report("film")["output"].endswith("/film")
    assert files_at(tmp_path) == {"a": b"1", "b": b"2"}


def test_a_whole_study_is_not_replaced_by_a_part_of_it(tmp_path, far):
    far.upload(study(tmp_path / "a", a=b"1", b=b"2"), "film")
    far.upload(study(tmp_path / "b", "incomplete", a=b"1"), "film")
    assert far.report("film")["status"] == "complete"
    assert files_at(tmp_path) == {"a": b"1", "b": b"2"}


def test_a_part_is_replaced_and_nothing_of_it_is_left(tmp_path, far):
    far.upload(study(tmp_path / "a", "incomplete", a=b"1", old=b"3"), "film")
    (tmp_path / "far" / "film" / "001_axial" / "a.dcm").write_bytes(b"there")
    far.upload(study(tmp_path / "b", a=b"1", b=b"2"), "film")
    assert files_at(tmp_path) == {"a": b"there", "b": b"2"}, "what has the same hash is not sent again"


def test_a_report_that_leads_elsewhere(tmp_path, far):
    folder = study(tmp_path / "far" / "film", a=b"1")
    report = json.loads((folder / "study.json").read_text())
    rows = [{"file": name, "sha256": ""} for name in ("../x.dcm", "/etc/passwd", "a/../b", "..\\x/y", "c:/x")]
    (folder / "study.json").write_text(json.dumps(report | {"instances_saved": rows}))
    (tmp_path / "here").mkdir()
    far.fetch("film", tmp_path / "here")
    assert [path.name for path in (tmp_path / "here").rglob("*") if path.is_file()] == ["study.json"]


def test_two_studies_of_one_name():
    names = {folder_name("20260101_CT_甲", key) for key in ("1.2.3", "1.2.4")}
    assert len(names) == 2
    once = folder_name("20260101_CT_甲", "1.2.3")
    assert folder_name(once, "1.2.3") == once


def test_a_place_that_can_not_be_written(tmp_path):
    (tmp_path / "far").write_text("a file, no folder")
    with pytest.raises(NotWritable):
        Target((tmp_path / "far").as_uri()).upload(study(tmp_path / "a", a=b"1"), "film")


@pytest.mark.parametrize(("url", "error"), [("carrier-pigeon://x/y", UsageError), ("gs://bucket/x", ExtraMissing)])
def test_a_place_of_no_kind_that_is_known(url, error):
    with pytest.raises(error):
        Target(url)


def test_without_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ExtraMissing):
        Target(tmp_path.as_uri())


def test_what_opens_a_place_is_not_shown():
    assert shown("s3://key:secret@bucket/prefix/?x=secret") == "s3://bucket/prefix"
