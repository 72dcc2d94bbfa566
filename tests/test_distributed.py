"""``cloudfilm batch`` beyond one machine: a real Dask scheduler with two workers, one of which is killed, and an S3 server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.many import Many, share, up
from tests.test_batch import batch, listed, started, states, until
from tests.test_cli import environment

distributed = pytest.importorskip("distributed")
fsspec = pytest.importorskip("fsspec")
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
    address_file = folder / "scheduler.json"
    running: list[subprocess.Popen[bytes]] = []

    def start(name: str, *words: str) -> None:
        with (folder / f"{name}.log").open("wb") as log:
            module = [sys.executable, "-m", f"distributed.cli.dask_{name.rstrip('0123456789')}"]
            running.append(
                subprocess.Popen(
                    [*module, *words], stdout=log, stderr=log, env=environment() | more, cwd=folder
                )
            )

    try:
        start(
            "scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--no-dashboard",
            "--scheduler-file",
            str(address_file),
        )
        until(lambda: address_file.is_file() and address_file.read_text().rstrip().endswith("}"))
        address = json.loads(address_file.read_text())["address"]
        for number in range(workers):
            start(
                f"worker{number}", address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1",
                "--local-directory", str(folder / f"scratch{number}"),
            )  # fmt: skip
        with distributed.Client(address, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=60)
        yield Cluster(address, folder, running[1:])
    finally:
        for one in running:
            one.kill()
            one.wait()


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """The environment that leads to an S3 server with an empty bucket."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    reached = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "invented", "AWS_SECRET_ACCESS_KEY": "invented",
        "AWS_DEFAULT_REGION": "eu-west-1", "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    try:
        yield reached
    finally:
        server.stop()


def place(s3: dict[str, str]):
    files = fsspec.filesystem(
        "s3", key="invented", secret="invented", endpoint_url=s3["AWS_ENDPOINT_URL"], skip_instance_cache=True,
        client_kwargs={"region_name": "eu-west-1"},
    )  # fmt: skip
    files.invalidate_cache()
    return files


def assert_brought(files, root: str, *numbers: int) -> None:
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


def test_a_worker_is_killed_in_the_middle(tmp_path, s3):
    files, root = place(s3), f"{BUCKET}/killed"
    files.mkdir(BUCKET, create_parents=True)
    many = Many(6)
    many.hold = frozenset([0])
    output, kept = f"s3://{root}", tmp_path / "kept"
    links = listed(tmp_path, *(f"{many.link(number)} 密码：{SECRET}" for number in range(6)))
    with up(many), cluster(tmp_path, **s3) as work:
        run = started(many, links, output, "--scheduler", work.address, "--ledger", kept, "--parallel", 6)
        until(lambda: run.poll() is not None or (many.images[0] > 0 and states(kept).get("done") == 5))
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
        _, said = run.communicate(timeout=60)
        assert run.returncode == 0, said + work.logs
        assert dict(many.entered) == {0: 2, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1}
        assert states(kept) == {"done": 6}
        assert_brought(files, root, *range(6))
        for told in (work.logs, seen, said):
            assert SECRET not in told
            assert "/s/A0" not in told
        many.entered.clear()
        again = batch(many, links, output, "--scheduler", work.address, "--ledger", kept)
        assert again.returncode == 0, again.stderr
        assert not many.entered, "what is done is not done again"
