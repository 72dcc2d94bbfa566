"""Writes the generated tables of the pages, in both languages: ``python -m tools.readme``, or only checks them: ``--check``.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end: NAME -->``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from scraper.core import errors
from scraper.core.errors import CloudfilmError
from scraper.core.messages import catalogue, question_label
from scraper.core.settings import Language
from scraper.registry import catalogue as registry
from scraper.ui import tables

ROOT = Path(__file__).resolve().parent.parent
SUFFIXES = {Language.EN: ".md", Language.ZH: ".zh-CN.md"}
WITH_TABLES = ("docs/platforms", "docs/problems")
HEADS: dict[str, dict[Language, tuple[str, ...]]] = {
    "problems": {Language.EN: ("code", "what it says"), Language.ZH: ("代码", "含义")},
    "errors": {Language.EN: ("exit code", "code", "what it says"), Language.ZH: ("退出码", "代码", "含义")},
    "providers": {
        Language.EN: ("name", "platform", "asks for", "gives", "hosts known", "verified on"),
        Language.ZH: ("名称", "平台", "需要提供", "给出的文件", "已知主机数", "验证情况"),
    },
}


ANY_HOST = {Language.EN: "any, by its links", Language.ZH: "任意（凭链接特征）"}


def spoken(sentence: str) -> str:
    """A message as a reader sees it: what is filled in stands in italics."""
    return re.sub(r"\{(\w+)\}", r"*\1*", sentence).replace("|", "\\|")


def problem_rows(language: Language) -> Iterator[tuple[str, ...]]:
    """Every problem, by code."""
    for name in sorted(catalogue()):
        kind, _, code = name.partition(".")
        if kind == "problem":
            yield f"`{code}`", spoken(catalogue()[name][language.value])


def every_error() -> list[type[CloudfilmError]]:
    """Every error class, by exit code."""
    classes = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, CloudfilmError) and value is not CloudfilmError
    ]
    return sorted(classes, key=lambda value: value.exit_code)


def error_rows(language: Language) -> Iterator[tuple[str, ...]]:
    """Every error, by exit code."""
    for error in every_error():
        code = error().code
        sentence = catalogue()[code][language.value]
        if sentence != "{detail}":
            yield str(int(error.exit_code)), f"`{code}`", spoken(sentence)


def provider_rows(language: Language) -> Iterator[tuple[str, ...]]:
    """Every provider in the tree, by name, with the words of its own header."""
    for row in tables.provider_rows():
        provider = registry.known().by_name.get(str(row["name"]))
        if provider is None or not provider.__module__.startswith("providers."):
            continue  # somebody's plug-in on this machine
        asked = ", ".join(question_label(question.name, language) for question in provider.asks)
        yield (
            f"`{row['name']}`",
            str(row["title"]),
            asked or "–",
            str(row["serves"]),
            str(len(provider.deployments) or ANY_HOST[language]),
            str(row["verified"]),
        )


ROWS: dict[str, Callable[[Language], Iterator[tuple[str, ...]]]] = {
    "problems": problem_rows,
    "errors": error_rows,
    "providers": provider_rows,
}


def pages(language: Language) -> list[Path]:
    """The pages that hold generated tables."""
    return [ROOT / f"{name}{SUFFIXES[language]}" for name in WITH_TABLES]


def table(name: str, language: Language) -> str:
    """One table in Markdown."""
    head = HEADS[name][language]
    lines = [head, ("---",) * len(head), *ROWS[name](language)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def renewed(text: str, language: Language) -> str:
    """A page's text with its tables as they should be.

    Raises:
        KeyError: a marker names a table that nobody makes.
    """
    return re.sub(
        r"(<!-- table: (\w+) -->\n).*?(<!-- end: \2 -->)",
        lambda found: f"{found[1]}{table(found[2], language)}\n{found[3]}",
        text,
        flags=re.DOTALL,
    )


def main(arguments: list[str]) -> int:
    """Write, or check; 1 where a table was out of date."""
    stale = 0
    for path, language in [(path, spoken_in) for spoken_in in Language for path in pages(spoken_in)]:
        text = path.read_text(encoding="utf-8")
        wanted = renewed(text, language)
        if wanted != text:
            stale = 1
            print(f"{path.name}: tables were out of date")
            if "--check" not in arguments:
                path.write_text(wanted, encoding="utf-8")
    return stale if "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
