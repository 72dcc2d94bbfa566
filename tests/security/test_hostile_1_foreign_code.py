"""Row 1: a provider of one's own, and a plug-in, say that they are code."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = "from scraper.cli.commands import main; main()"
FILE = """from scraper.contract import Deployment, Provider


class Mine(Provider):
    name = "mine"
    route = r"/m/(?P<code>\\w+)"
    deployments = (Deployment("127.0.0.1", "Mine"),)
"""


def run(tmp_path: Path, *words: str, **more: str) -> str:
    environment = {
        **os.environ,
        "CLOUDFILM_DATA": str(tmp_path / "data"),
        "PYTHONPATH": str(ROOT),
        "LANG": "C.UTF-8",
        **more,
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    return done.stderr + done.stdout


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


def test_hostile_1_the_help_says_that_a_file_is_code(tmp_path):
    assert "code that runs as you" in " ".join(run(tmp_path, "grab", "--help", COLUMNS="200").split())
