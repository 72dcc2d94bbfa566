"""``import cloudfilm``: what other programs call, with and without an event loop of their own, and the examples of its page."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import segno

import cloudfilm
from fixtures.dicom import chest_ct
from scraper.core.errors import MissingInstances, UsageError
from scraper.download.watcher import SilentWatcher
from tests import aurora
from tests.aurora import Fault, Site
from tests.programs import ran
from tests.test_cli import RESULT, site_of, up

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "python.md"


@pytest.fixture(scope="module")
def study():
    return chest_ct(slices=6, size=64, seed=7)


@pytest.fixture
def site(study, plugged_in):
    with up(site_of(study)) as running:
        yield running


def options(site: Site, output: Path) -> dict:
    return {"connect_to": site.connect_to, "browser": "never", "output": output}


def test_grab_gives_files_data_sets_rows_and_the_document(site, study, tmp_path):
    result = cloudfilm.grab(aurora.LINK, **options(site, tmp_path))
    assert result.is_complete, result.sentences()
    assert result.status is cloudfilm.Status.COMPLETE
    jsonschema.validate(result.to_dict(), RESULT)
    assert {path.read_bytes() for path in result.files} == {item.data for item in study.instances}
    datasets = list(result.datasets())
    assert {str(item.SOPInstanceUID) for item in datasets} == {item.sop_instance_uid for item in study.instances}
    assert all(item.pixel_array.any() for item in datasets if "PixelData" in item)
    assert [row["saved"] for row in result.rows()] == [len(series.instances) for series in study.series]
    assert "测试" not in repr(result)
    assert "<table>" in result._repr_html_()
    assert not result.further_films
    result.raise_for_status()


def test_a_frame_of_series(site, tmp_path):
    pytest.importorskip("pandas")
    frame = cloudfilm.grab(aurora.LINK, **options(site, tmp_path)).frame()
    assert list(frame["status"]) == ["ok"] * len(frame)


def test_list_downloads_nothing(site, study, tmp_path):
    result = cloudfilm.list(aurora.LINK, **options(site, tmp_path))
    assert [row["expected"] for row in result.rows()] == [len(series.instances) for series in study.series]
    assert not any(path.startswith("/image/") for path in site.requests)


def test_what_is_missing_can_be_raised(site, study, tmp_path):
    site.fail(study.series[1].instances[2].sop_instance_uid, *[Fault.GONE_404] * 4)
    result = cloudfilm.grab(aurora.LINK, **options(site, tmp_path))
    assert (result.status, result.exit_code) == (cloudfilm.Status.INCOMPLETE, 7)
    with pytest.raises(MissingInstances):
        result.raise_for_status()


def test_an_error_of_the_source_is_no_exception(site, tmp_path):
    result = cloudfilm.grab(aurora.EXPIRED, **options(site, tmp_path), language="zh")
    assert result.exit_code == 6
    assert any("分享已过期" in sentence for sentence in result.sentences())
    with pytest.raises(cloudfilm.CloudfilmError):
        result.raise_for_status()


@pytest.mark.parametrize(
    "wrong",
    [{"answers": {"shoe_size": "44"}}, {"browser": "perhaps"}, {"connect_to": ["x"]}, {"colour": "red"}, {"only": 2}],
    ids=str,
)
def test_a_wrong_call_is_a_usage_error(wrong, site, tmp_path):
    with pytest.raises(UsageError):
        cloudfilm.grab(aurora.LINK, **{**options(site, tmp_path), **wrong})


def test_a_person_of_the_program_is_asked(site, tmp_path):
    asked = []

    def ask(question, host, picture):
        asked.append((question.name, host))
        return aurora.PHONE

    assert cloudfilm.grab(aurora.ASKS, ask=ask, **options(site, tmp_path)).is_complete
    assert asked == [("phone_last4", aurora.HOST)]


def test_several_films_of_one_text(site, tmp_path):
    text = f"链接1：{aurora.LINK} 链接2：{aurora.EXPIRED}"
    first = cloudfilm.grab(text, **options(site, tmp_path))
    assert (first.exit_code, first.further_films) == (0, 1)
    assert cloudfilm.grab(text, only=2, **options(site, tmp_path)).exit_code == 6
    assert [result.exit_code for result in cloudfilm.grab_all(text, **options(site, tmp_path))] == [0, 6]


async def test_where_a_loop_runs_already(site, study, tmp_path):
    # as in Jupyter: the plain function within a running loop, then the one that is awaited
    plain = cloudfilm.grab(aurora.LINK, **options(site, tmp_path / "plain"))
    awaited = await cloudfilm.grab_async(aurora.LINK, **options(site, tmp_path / "awaited"))
    assert plain.is_complete
    assert awaited.is_complete
    checked = await cloudfilm.verify_async(awaited.folders[0])
    assert checked.is_complete
    assert checked.folders == awaited.folders
    assert len(checked.files) == len(study.instances)


async def test_a_cancelled_task_closes_what_is_open(site, study, tmp_path):
    site.fail(study.series[0].instances[0].sop_instance_uid, Fault.SILENT)
    loop, arrived = asyncio.get_running_loop(), asyncio.Event()

    class Recording(SilentWatcher):
        def arrived(self, series: str, *, reused: bool) -> None:
            loop.call_soon_threadsafe(arrived.set)

    task = asyncio.create_task(cloudfilm.grab_async(aurora.LINK, watcher=Recording(), **options(site, tmp_path)))
    await arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await cloudfilm.grab_async(aurora.LINK, **options(site, tmp_path))).is_complete


def test_the_log_names_neither_link_nor_patient(site, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    cloudfilm.grab(aurora.LINK, **options(site, tmp_path))
    messages = [record.getMessage() for record in caplog.records if record.name == "cloudfilm"]
    assert any(text.startswith("end: complete (0), aurora by direct") for text in messages)
    assert not any(word in caplog.text for word in ("Ab12Cd34", "测试甲"))


def test_loggers_of_other_libraries_stay_as_the_program_set_them(tmp_path):
    code = (
        "import logging, pydicom, pynetdicom, cloudfilm\n"
        "def told(): return [\n"
        "    (n, logging.getLogger(n).propagate, logging.getLogger(n).level, logging.getLogger(n).handlers[:])\n"
        "    for n in ('pydicom', 'pynetdicom', None)]\n"
        "before = told()\n"
        "cloudfilm.grab('pacs://A@127.0.0.1:1?PatientID=1', output='out'), cloudfilm.verify('.')\n"
        "print(told() == before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment())
    assert done.stdout == "True\n", done.stderr


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_python_m_cloudfilm_is_the_program(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "cloudfilm", "--version"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(),
    )
    assert (done.returncode, done.stdout.strip()) == (0, f"cloudfilm {cloudfilm.__version__}")


def test_every_public_name_is_there_and_documented():
    page = PAGE.read_text(encoding="utf-8")
    assert sorted(cloudfilm.__all__) == dir(cloudfilm)
    for name in cloudfilm.__all__:
        value = getattr(cloudfilm, name)
        assert isinstance(value, str) or value.__doc__, name
    for name in ("grab", "list", "decode", "verify", "export", "send", "grab_all", "grab_async", "Settings"):
        assert f"cloudfilm.{name}" in page, name
    with pytest.raises(AttributeError):
        cloudfilm.nothing_of_that_name  # noqa: B018  the access itself is what is tried


def test_import_is_cheap(tmp_path):
    code = "import sys, cloudfilm; print(*(name for name in sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, env=environment()
    ).stdout.split()
    assert "cloudfilm" in loaded
    assert not {name.partition(".")[0] for name in loaded} & {"scraper", "providers", "asyncio", "typing", "numpy"}


def test_the_examples_of_the_page(site, tmp_path):
    segno.make(aurora.LINK, error="m").save(str(tmp_path / "report.png"), scale=8, border=8)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 7
    world = f"connect_to=[{site.connect_to[0]!r}], browser='never'"
    code = "\n".join(blocks).replace('answers={"phone_last4": "1234"}', 'answers={"phone_last4": "1234"}, **WORLD')
    code = code.replace("ask=ask", "ask=ask, **WORLD").replace("cloudfilm.Settings(", "cloudfilm.Settings(**ROWS, ")
    code = code.replace(
        'cloudfilm.Settings(**ROWS, answers={"phone_last4": "1234"}, **WORLD', "cloudfilm.Settings(**ROWS, answers={}"
    )
    begin = (
        f"WORLD = dict({world})\nfrom scraper.core.settings import BrowserUse, ConnectTo\n"
        "ROWS = dict(connect_to=tuple(map(ConnectTo.parse, WORLD['connect_to'])), browser=BrowserUse.NEVER)\n"
    )
    variables = {**environment(), "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests" / "plugins")))}
    (tmp_path / "examples.py").write_text(
        "import warnings\nwarnings.simplefilter('error')\n" + begin + code + "\ndef main():\n    pass\n"
    )
    variables["PYTHONPATH"] += os.pathsep + str(tmp_path)
    done = ran(entry="examples", environment=variables, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    out = done.stdout.decode()
    assert out.splitlines()[:2] == ["complete", "0"]
    assert "complete complete" in out
    assert (tmp_path / "for-the-doctor.zip").exists()
    assert (
        json.loads(next((tmp_path / "studies").rglob("study.json")).read_text(encoding="utf-8"))["status"] == "complete"
    )


@pytest.mark.thorough
def test_the_notebook_runs(site, tmp_path, monkeypatch):
    """docs/notebook.ipynb from its first cell to its last, in a kernel of its own: where an event loop runs already."""
    import nbformat
    from nbclient import NotebookClient

    segno.make(aurora.LINK, error="m").save(str(tmp_path / "report.png"), scale=8, border=8)
    book = nbformat.read(ROOT / "docs" / "notebook.ipynb", as_version=4)
    place = next(place for place, cell in enumerate(book.cells) if "parameters" in cell.metadata.get("tags", ()))
    options = f"options = dict(connect_to=[{site.connect_to[0]!r}], browser='never')"
    book.cells.insert(place + 1, nbformat.v4.new_code_cell(options))
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT), str(ROOT / "tests" / "plugins"))))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    client = NotebookClient(book, timeout=180, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}})
    made = client.execute()
    shown = [output for cell in made.cells for output in cell.get("outputs", ())]
    assert not [output for output in shown if output.output_type == "error"]
    assert any("text/html" in output.get("data", {}) for output in shown)
    assert (tmp_path / "without-names.zip").exists()
