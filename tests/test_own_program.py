"""The command of a child process: by the interpreter here, by the program itself where it is packaged."""

import subprocess
import sys

import pytest

from scraper.isolation import own_program

NAME = "scraper.isolation.own_program"


def test_the_interpreter_calls_the_function_with_its_arguments(tmp_path):
    (tmp_path / "scraper").mkdir()
    (tmp_path / "scraper" / "__init__.py").write_text(
        "raise SystemExit(9)"
    )  # the folder we are called in is not imported from
    words = own_program.child_command("json.tool", "main", "given.json")
    (tmp_path / "given.json").write_text('{"a":1}')
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, '{\n    "a": 1\n}\n')


def test_a_child_does_without_what_it_never_needs():
    words = own_program.child_command("json.tool", "main", "--help", without=("argparse",))  # which json.tool imports
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 1
    assert "import of argparse halted" in done.stderr


@pytest.fixture
def packaged(monkeypatch):
    """As PyInstaller's start leaves the interpreter."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", "/opt/cloudfilm/cloudfilm")
    return monkeypatch


def test_the_packaged_program_starts_itself_and_calls_the_function(packaged):
    words = own_program.child_command(NAME, "is_packaged", "one", "two")
    assert words[0] == "/opt/cloudfilm/cloudfilm"
    assert "-c" not in words
    packaged.setattr(sys, "argv", words)
    assert own_program.run_if_child()
    assert sys.argv == ["/opt/cloudfilm/cloudfilm", "one", "two"]


@pytest.mark.parametrize("words", [[], ["grab", "link"], ["--cloudfilm-child"], ["--cloudfilm-child", "os", "getcwd"]])
def test_other_words_start_no_child(packaged, words):
    packaged.setattr(sys, "argv", ["cloudfilm", *words])
    assert not own_program.run_if_child()
    assert sys.argv == ["cloudfilm", *words]
