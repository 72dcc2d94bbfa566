"""The help and the usage errors of the command line in Chinese.

Typer has one text for an option. In Chinese each is looked up in ``help.zh.toml`` by the English sentence; a test finds those
that lack. What typer itself says of a wrong command line is recognised by its words.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib import resources
from typing import Any, Final

from typer.exceptions import TyperException

_HEADINGS: Final = {"Usage:": "用法：", "Arguments:": "参数：", "Options:": "选项：", "Commands:": "命令："}
_NOTES: Final = (
    ("[required]", "[必填]"),
    ("[default: ", "[默认："),
    ("; required]", "；必填]"),
    ("; default: ", "；默认："),
)
_ERRORS: Final = (  # what typer says → what stands in its place
    (r"Missing (?:argument|option|parameter) '?([^'.]+)'?\..*", r"缺少 {0}。"),
    (r"Missing command\.", "缺少命令。"),
    (r"No such option: (\S+) \(Possible options: (.+)\)", r"没有选项 {0}。相近的选项：{1}。"),
    (r"No such option: (\S+).*", r"没有选项 {0}。"),
    (r"No such command '(.+)'\.?(?: Did you mean (.+)\?)?", r"没有命令 {0}。"),
    (r"Got unexpected extra arguments? ?(?:\(s\) )?\((.+)\)", r"多余的参数：{0}。"),
    (r"Option '(.+)' requires an argument\.", r"选项 {0} 需要一个值。"),
    (r"Option '(.+)' does not take a value\.", r"选项 {0} 不带值。"),
    (r"Invalid value for '?([^':]+)'?:.* is not one of (.+)\.", r"{0} 的值不对，可选：{1}。"),
    (r"Invalid value for '?([^':]+)'?:.*(?:less than or equal to|at most) (\S+)", r"{0} 的值不对，最大为 {1}。"),
    (r"Invalid value for '?([^':]+)'?:.*(?:greater than or equal to|at least) (\S+)", r"{0} 的值不对，最小为 {1}。"),
    (r"Invalid value for '?([^':]+)'?:.*valid integer.*", r"{0} 的值不对，应为整数。"),
    (r"Invalid value for '?([^':]+)'?:.*valid number.*", r"{0} 的值不对，应为数字。"),
    (r"Invalid value for '?([^':]+)'?:.*", r"{0} 的值不对。"),
)


@cache
def texts() -> dict[str, str]:
    """English sentence → Chinese sentence."""
    source = resources.files("scraper.cli").joinpath("help.zh.toml").read_text(encoding="utf-8")
    return {str(english): str(chinese) for english, chinese in tomllib.loads(source).items()}


def translate(command: Any) -> None:
    """Put the Chinese sentences into a command, its options, and its sub-commands."""
    found = texts()
    command.help = found.get(command.help, command.help)
    usual = command.get_help
    command.get_help = lambda ctx: headings(usual(ctx))
    for param in command.params:
        text = getattr(param, "help", None)
        if text:
            param.help = found.get(text, text)
    for inner in getattr(command, "commands", {}).values():
        translate(inner)


def headings(help_text: str) -> str:
    """The help with its headings and the notes of its options in Chinese."""
    lines = []
    for line in help_text.splitlines():
        word = line.partition(" ")[0]
        new = _HEADINGS[word] + line[len(word) :] if word in _HEADINGS else line
        for english, chinese in _NOTES:
            new = new.replace(english, chinese)
        new = new.replace("Show this message and exit.", texts()["Show this message and exit."])
        lines.append(new)
    return "\n".join(lines)


def error(wrong: TyperException) -> str:
    """What is wrong with the command line, in Chinese; typer's own words where they are not known."""
    message = wrong.format_message()
    for pattern, words in _ERRORS:
        found = re.fullmatch(pattern, message, re.S)
        if found:
            return words.format(*(value or "" for value in found.groups())) + " 用 --help 查看用法。"
    return message
