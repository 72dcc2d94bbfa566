"""Row 1: a provider of one's own, and a plug-in, say that they are code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scraper.testing import first_of
from tests.programs import ROOT, ran

FILE = """from scraper.contract import Deployment, Provider


class Mine(Provider):
    name = "mine"
    route = r"/m/(?P<code>\\w+)"
    deployments = (Deployment("127.0.0.1", "Mine"),)
"""


def variables_of(tmp_path: Path, **more: str) -> dict[str, str]:
    own = {"CLOUDFILM_DATA": str(tmp_path / "data"), "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}
    return {**os.environ, **own, **more}


def run(tmp_path: Path, *words: str, **more: str) -> str:
    done = ran(*words, environment=variables_of(tmp_path, **more), cwd=tmp_path)
    return (done.stderr + done.stdout).decode()


def test_hostile_1_a_file_of_ones_own_says_that_it_is_code_once_and_again_when_it_changed(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE, encoding="utf-8")
    words = ("list", "https://127.0.0.1:9/other", "--provider", str(path), "--browser", "never", "--lang", "en")
    assert "code that runs with your rights" in run(tmp_path, *words)
    assert "code that runs with your rights" not in run(tmp_path, *words)
    path.write_text(FILE + "\n# changed\n", encoding="utf-8")
    assert "code that runs with your rights" in run(tmp_path, *words)


def test_hostile_1_a_plug_in_says_that_it_is_code(tmp_path):
    places = os.pathsep.join((str(ROOT), str(ROOT / "tests" / "plugins")))
    output = run(tmp_path, "list", "no link at all", "--browser", "never", "--lang", "zh", PYTHONPATH=places)
    assert "aurora" in output and "以你的权限" in output


PLUG_IN = """from scraper.contract import Deployment, Provider


class Other(Provider):
    name = "aurora-strange"
    route = r"/m/(?P<code>\\w+)"
    deployments = (Deployment("127.0.0.2", "Other"),)
"""


def installed(folder: Path, source: str) -> str:
    """A plug-in as it lies in site-packages; gives ``PYTHONPATH``."""
    about = folder / "strange-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[cloudfilm.providers]\nstrange = strange.inner.code:Other\n")
    (folder / "strange" / "inner").mkdir(parents=True)
    for place in ("strange", "strange/inner"):
        (folder / place / "__init__.py").write_text("")
    (folder / "strange" / "inner" / "code.py").write_text(source)
    return os.pathsep.join((str(ROOT), str(folder)))


def test_hostile_1_a_plug_in_says_so_again_when_its_code_changed(tmp_path):
    """Its entry point stays the same: until now, new code of it was never announced."""
    places = installed(tmp_path / "site", PLUG_IN)
    words = ("list", "no link at all", "--browser", "never", "--lang", "en")
    assert "code that runs with your rights" in run(tmp_path, *words, PYTHONPATH=places)
    assert "code that runs with your rights" not in run(tmp_path, *words, PYTHONPATH=places)
    (tmp_path / "site" / "strange" / "inner" / "helper.py").write_text("x = 1\n")
    assert "code that runs with your rights" in run(tmp_path, *words, PYTHONPATH=places)


def test_hostile_1_a_plug_in_under_the_name_of_a_built_in_provider_is_named(tmp_path):
    places = installed(tmp_path / "site", PLUG_IN.replace("aurora-strange", "zy91"))
    output = run(tmp_path, "list", "no link at all", "--browser", "never", "--lang", "en", PYTHONPATH=places)
    assert "takes the place of cloudfilm's own provider zy91" in output


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX")
@pytest.mark.parametrize("way", first_of(["file", "folder", "link"], 3))
def test_hostile_1_a_file_that_anybody_may_change_is_named(way, tmp_path):
    path = tmp_path / "open" / "mine.py"
    path.parent.mkdir()
    path.write_text(FILE, encoding="utf-8")
    named = path
    if way == "file":
        path.chmod(0o666)
    elif way == "folder":
        path.parent.chmod(0o777)
    else:
        path.chmod(0o666)
        named = tmp_path / "link.py"
        named.symlink_to(path)
    words = ("list", "https://127.0.0.1:9/other", "--provider", str(named), "--browser", "never", "--lang", "en")
    for _ in range(2):  # not once: it stays true
        assert "Anybody who uses this computer can change" in run(tmp_path, *words)


@pytest.mark.skipif(sys.platform == "win32", reason="such files are POSIX")
def test_hostile_1_what_is_no_file_is_not_read_as_one(tmp_path):
    """A pipe without a writer, and a device without an end, were read to their end."""
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "zero.py").symlink_to("/dev/zero")
    (tmp_path / "folder.py").mkdir()
    for name in ("pipe.py", "zero.py", "folder.py"):
        words = ("list", "https://127.0.0.1:9/other", "--provider", tmp_path / name)
        done = ran(*words, environment=variables_of(tmp_path), cwd=tmp_path, timeout_s=60)
        assert done.returncode == 2, done.stderr


def test_hostile_1_a_folder_that_the_program_is_called_in_is_no_place_to_import_from(tmp_path):
    for name in ("typer", "json", "pydicom", "providers", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w').close()\n")
    script = Path(sys.executable).with_name("cloudfilm")
    subprocess.run([script, "decode", "https://film.test/1"], env=variables_of(tmp_path), cwd=tmp_path, timeout=60)
    assert not (tmp_path / "ran").exists()


def test_hostile_1_the_help_says_that_a_file_is_code(tmp_path):
    assert "code that runs as you" in " ".join(run(tmp_path, "grab", "--help", COLUMNS="200").split())
