"""The help, usage errors, completion and the man page, in both languages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from scraper.cli import chinese
from scraper.cli.commands import app
from scraper.testing import first_of
from tests.programs import environment, ran
from tests.test_cli import cloudfilm
from tools import manual

ROOT: Any = typer.main.get_command(app)
HAN = re.compile(r"[\u4e00-\u9fff]")


def sentences() -> Iterator[str]:
    for command in (ROOT, *ROOT.commands.values()):
        yield command.help
        yield from (param.help for param in command.params if getattr(param, "help", None))


def test_every_sentence_of_the_help_has_a_chinese_one_and_no_other():
    assert set(sentences()) | {"Show this message and exit."} == set(chinese.texts())
    assert [text for text in chinese.texts().values() if not HAN.search(text) and "://" not in text] == []


@pytest.mark.parametrize(
    "words",
    first_of(
        [
            (("grab", "-h", "--lang=zh"),),
            (("--help", "--lang", "zh"),),
            (("--lang", "zh", "-h"),),
            (("--lang", "zh", "send", "--help"),),
        ]
    ),
    ids=" ".join,
)
def test_help_in_chinese(words):
    done = cloudfilm(*words)
    assert done.returncode == 0, done.stderr
    assert "用法：" in done.stdout
    assert "选项：" in done.stdout
    sentence = "显示本帮助后退出。"
    assert sentence in done.stdout
    english = [text for text in sentences() if text in done.stdout and "://" not in text]
    assert english == []


def test_help_in_english():
    done = cloudfilm("grab", "-h", "--lang", "en")
    assert done.stdout.startswith("Usage: cloudfilm grab")
    assert not HAN.search(done.stdout)


@pytest.mark.parametrize(
    ("words", "zh", "en"),
    first_of(
        [
            (("grab",), "缺少 source", "Missing argument 'source'"),
            (("grab", "x", "--nope"), "没有选项 --nope", "No such option: --nope"),
            (("grab", "x", "--jobs", "99"), "--jobs 的值不对，最大为 16", "Invalid value for '--jobs'"),
            (("grab", "x", "--expect", "0"), "--expect 的值不对，最小为 1", "Invalid value for '--expect'"),
            (("grab", "x", "--jobs", "a"), "--jobs 的值不对，应为整数", "Invalid value for '--jobs'"),
            (("grab", "x", "--rate", "a"), "--rate 的值不对，应为数字", "Invalid value for '--rate'"),
            (("grab", "x", "--jobs"), "选项 --jobs 需要一个值", "Option '--jobs' requires an argument"),
            (("export", "x", "--to", "tiff"), "--to 的值不对，可选：'zip'", "is not one of 'zip'"),
            (("doctor", "x"), "多余的参数：x", "unexpected extra argument"),
            (("verify", "x", "--json=1"), "选项 --json 不带值", "does not take a value"),
            (("nope",), "没有命令 nope", "No such command 'nope'"),
        ],
        2,
    ),
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_usage_errors(words, zh, en):
    for language, expected in (("zh", zh), ("en", en)):
        done = cloudfilm("--lang", language, *words)
        assert done.returncode == 2
        assert expected in done.stderr
        assert bool(HAN.search(done.stderr)) == (language == "zh")
        assert done.stdout == ""


def test_a_shell_completes_commands_and_options():
    for words, expected in (("cloudfilm gr", "grab"), ("cloudfilm grab --exp", "--expect")):
        asked = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")), "_CLOUDFILM_COMPLETE": "complete_bash"}
        done = ran(environment=environment(**asked), entry="scraper.cli.start")
        assert (done.returncode, done.stdout.split()) == (0, [expected.encode()])


def test_the_man_page_names_every_option():
    page = manual.page()
    for name, command in ROOT.commands.items():
        section = page.partition(f".SS {name}\n")[2].partition(".SS ")[0]
        for param in command.params:
            assert manual.escaped(param.opts[0]) in section if param.param_type_name == "option" else section
    assert not [line for line in page.splitlines() if line.startswith("'")]
    assert {line.split()[0] for line in page.splitlines() if line.startswith(".")} <= {".TH", ".SH", ".SS", ".TP", ".B"}
