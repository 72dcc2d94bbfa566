"""Row 13: a worker that a hostile file has taken over reaches nothing: network, programs, files, memory, the parent's code."""

import ast
import json
import os
import pickle
import sys
from pathlib import Path

import pytest

from fixtures.dicom import chest_ct
from scraper.core.model import Origin
from scraper.isolation import process
from scraper.isolation.plain import from_plain, to_plain
from scraper.verify import Checked, Inspector
from scraper.verify.instance import check_instance
from tests.security import captured

ROOT = Path(__file__).parents[2]
IS_LINUX = sys.platform == "linux"
only_linux = pytest.mark.skipif(not IS_LINUX, reason="the fences are the kernel's")


@pytest.fixture(autouse=True)
def secret_in_the_environment(monkeypatch):
    monkeypatch.setenv("CLOUDFILM_PASSWORD", "film-pass-9")


@only_linux
@pytest.mark.usefixtures("started_children")
async def test_hostile_13_a_worker_reaches_nothing(tmp_path):
    existing_file = tmp_path / "kept"
    existing_file.write_bytes(b"as it was")
    async with Inspector(1, timeout_s=60) as inspector:
        assert await inspector.apart(captured.open_socket) == "refused"
        assert await inspector.apart(captured.start_program) == "refused"
        for path in (tmp_path / "new", existing_file, Path.home() / ".cloudfilm-test"):
            assert await inspector.apart(captured.write_file, path) == "refused"
        assert await inspector.apart(captured.kill_parent) == "refused"
        assert await inspector.apart(captured.take_memory) == "refused"
        names = await inspector.apart(captured.environment)
        assert names is not None and not {"CLOUDFILM_PASSWORD", "HOME", "HTTP_PROXY"} & set(names)
    assert existing_file.read_bytes() == b"as it was"


@only_linux
async def test_hostile_13_a_worker_that_draws_writes_into_its_folder_alone(tmp_path):
    folder = tmp_path / "drawn"
    folder.mkdir()
    async with Inspector(1, timeout_s=60, writable=(folder,)) as inspector:
        assert await inspector.apart(captured.write_file, folder / "a.png") == "written"
        assert await inspector.apart(captured.write_file, folder / "b.png") == "written"
        assert await inspector.apart(captured.write_file, tmp_path / "c.png") == "refused"
        assert await inspector.apart(captured.open_socket) == "refused"


class Code:
    """What a pickle would run."""

    def __reduce__(self):
        return os.mkdir, ("/tmp/cloudfilm-was-here",)  # noqa: S108  # must not come to be


@only_linux
async def test_hostile_13_what_a_worker_says_never_becomes_code(tmp_path):
    packed = pickle.dumps(Code())
    reply = (
        captured.length_of(len(packed)) + packed,
        captured.length_of(2**32 - 1) + b"{",
        captured.length_of(20_000) + b"[" * 20_000,
    )
    async with Inspector(1, timeout_s=60) as inspector:
        for message in reply:
            assert await inspector.apart(captured.lie, message) is None
        assert await inspector.apart(captured.wrong_kind) is None
        path = tmp_path / "good.dcm"
        path.write_bytes(chest_ct(slices=1, size=64).images[0].data)
        assert (await inspector.inspect(path, Origin.ORIGINAL)).problems == ()
    assert not Path("/tmp/cloudfilm-was-here").exists()  # noqa: S108


def test_hostile_13_an_answer_is_held_against_the_functions_type(tmp_path):
    path = tmp_path / "good.dcm"
    path.write_bytes(chest_ct(slices=1, size=64).images[0].data)
    checked = check_instance(path, Origin.ORIGINAL)
    again = from_plain(Checked, json.loads(json.dumps(to_plain(checked))))
    assert again == checked
    plain = to_plain(checked)
    for change in (
        {"size": "1"},
        {"path": 3},
        {"header": []},
        {"origin": "worse"},
        {"problems": [[]]},
        {"facts": {"planes": 1}},
    ):
        with pytest.raises((TypeError, ValueError)):
            process.answer_of(check_instance, json.dumps({**plain, **change}).encode())


def test_hostile_13_nothing_reads_pickles():
    """Beside the extra that works with Dask, whose own machines speak so; they are the user's."""
    readers = {"pickle", "marshal", "shelve", "dill", "multiprocessing"}
    for path in set((ROOT / "scraper").rglob("*.py")) - {ROOT / "scraper" / "batch" / "workers" / "cluster.py"}:
        text = path.read_text(encoding="utf-8")
        if not any(name in text for name in readers):  # to take all modules apart costs seconds
            continue
        for node in ast.walk(ast.parse(text)):
            names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not readers & set(names), path


@only_linux
def test_hostile_13_the_reader_of_codes_is_behind_the_same_fences(tmp_path):
    import subprocess

    program = (
        "from scraper.source.qr import worker_process; import io, sys;"
        "sys.stdin = io.TextIOWrapper(io.BytesIO());"
        "worker_process.main(); from tests.security import captured; from pathlib import Path;"
        f"print(captured.open_socket(), captured.start_program(), captured.write_file(Path({str(tmp_path / 'x')!r})),"
        "captured.take_memory())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=process.bare_environment(), cwd=ROOT
    )
    assert done.stdout.split() == ["refused"] * 4, done.stderr
