"""The READMEs against the program: commands, options, tables, and the map of modules."""

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from scraper.errors import ExitCode
from scraper.settings import Language
from tools import readme

ROOT = Path(__file__).resolve().parent.parent
EN, ZH = (path.read_text(encoding="utf-8") for path in readme.READMES.values())
CONTRACT = """
-o --output --answer --password --provider --browser --headed --series --jobs --rate --timeout --insecure --connect-to
--proxy --json -q -v
"""  # the options of `grab` that scripts rely on
PAGES = pytest.mark.parametrize("text", [EN, ZH], ids=["en", "zh"])


def words_of_help(text: str) -> str:
    """Help without colours and boxes."""
    return re.sub(r"\x1b\[[0-9;]*m|[│╭╮╰╯─]", " ", text)


@cache
def help_of(*command: str) -> str:
    told = {**os.environ, "COLUMNS": "240", "NO_COLOR": "1", "TERM": "dumb", "LC_ALL": "C.UTF-8"}
    code = "import sys; from scraper.cli import main; sys.argv[0] = 'cloudfilm'; main()"
    words = [sys.executable, "-c", code, *command, "--help"]
    done = subprocess.run(
        words, capture_output=True, text=True, encoding="utf-8", check=False, cwd=ROOT, env=told
    )
    assert done.returncode == 0, done.stderr
    return words_of_help(done.stdout)


def commands_of_help() -> set[str]:
    listed = help_of().partition("Commands")[2]
    return {found[1] for line in listed.splitlines() if (found := re.match(r"\s*([a-z]+)\s{2,}\S", line))}


def typed(text: str) -> list[str]:
    """What a reader may type: each line of the shell blocks that calls the tool, and the table of commands."""
    lines = [
        line
        for block in re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
    ]
    calls = [line.partition("  #")[0].removeprefix("$ ") for line in lines]
    calls += re.findall(r"`(cloudfilm [^`]+)`", text)
    return [call[call.index("cloudfilm ") :] for call in calls if re.match(r"(\w+=\S+ )?cloudfilm ", call)]


@PAGES
def test_every_command_shown_exists_with_its_options(text):
    assert len(typed(text)) > 10
    for call in typed(text):
        words = re.sub(r"'[^']*'", "TEXT", call.partition("|")[0]).split()[1:]
        command = words[0]
        if command.startswith("--"):
            assert command in help_of(), call
            continue
        assert command in commands_of_help(), call
        for option in (word for word in words[1:] if word.startswith("-") and word != "-"):
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", help_of(command)), call


@PAGES
def test_the_table_of_commands_is_the_help(text):
    assert set(re.findall(r"^\| `cloudfilm (\w+)", text, re.MULTILINE)) == commands_of_help()


@pytest.mark.parametrize("option", CONTRACT.split())
def test_the_options_that_scripts_rely_on(option):
    assert re.search(rf"(?<![\w-]){option}(?![\w-])", help_of("grab"))


def test_both_languages_show_the_same_commands():
    assert typed(EN) == typed(ZH)


@PAGES
def test_every_exit_code_is_told(text):
    told = re.findall(r"^\| (\d+) \| [^|`]+ \|$", text, re.MULTILINE)
    assert [int(code) for code in told] == [code.value for code in ExitCode]


@pytest.mark.parametrize("language", Language)
def test_tables_are_up_to_date(language):
    text = readme.READMES[language].read_text(encoding="utf-8")
    assert readme.renewed(text, language) == text, "run `make readme`"
    assert set(re.findall(r"<!-- table: (\w+) -->", text)) == set(readme.ROWS)


@PAGES
def test_the_map_names_what_is_there(text):
    named = re.findall(r"`((?:scraper|providers|fixtures)/[\w./]*)`", text)
    assert [name for name in named if not (ROOT / name).exists()] == []


@PAGES
def test_the_map_leaves_no_module_out(text):
    stages = {
        path.name.removesuffix(".py") for path in (ROOT / "scraper").iterdir() if path.suffix in ("", ".py")
    }
    told = set(re.findall(r"`scraper/(\w+)", text))
    assert {stage for stage in stages if not stage.startswith("_")} - told == set()


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_inside_the_tree_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = [
        target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target
    ]
    assert [target for target in targets if target and not (ROOT / target).exists()] == []


def test_make_knows_what_the_pages_call():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    pages = EN + ZH + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\bmake (demo|test|check|bench|readme|clean|setup)\b", pages)) <= targets
