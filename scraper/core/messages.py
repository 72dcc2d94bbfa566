"""What people read, in Chinese and English: looks a message up by its name and fills it in."""

from __future__ import annotations

import re
import string
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files

from scraper.core.errors import CloudfilmError
from scraper.core.model import Problem
from scraper.core.questions import QUESTIONS
from scraper.core.reasons import Because, Cause, Reason, as_cause
from scraper.core.safe_text import one_line, visible
from scraper.core.settings import Language

_ADDRESS = re.compile(r"[a-z]{2,8}://[^\s,;]+", re.IGNORECASE)
# at least two steps; the last one says what it was
_PATH = re.compile(r"(?<![\w/])/[^\s,;]*/([^\s/,;?]*)[^\s,;]*")
_UID = re.compile(r"\b\d+(?:\.\d+){4,}\b")


@cache
def catalogue() -> dict[str, dict[str, str]]:
    """``messages.toml``: name → {``en``, ``zh``, and for errors ``hint_en``, ``hint_zh``}."""
    text = files("scraper.core").joinpath("messages.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


class _Lenient(string.Formatter):
    """Leaves a name that has no value empty: a message about a failure must not fail itself; values are made visible."""

    def get_value(self, key: int | str, args: object, kwargs: object) -> object:
        return kwargs.get(key, "") if isinstance(kwargs, dict) else ""

    def format_field(self, value: object, format_spec: str) -> str:
        return visible(super().format_field(value, format_spec))


def words_of(value: object, language: Language) -> object:
    """A reason in words of the language, its values among them; anything else as it is."""
    if isinstance(value, tuple) and value and all(isinstance(item, Because) for item in value):
        return ("、" if language is Language.ZH else ", ").join(str(words_of(item, language)) for item in value)
    cause = as_cause(value) if isinstance(value, (str, Because, Mapping)) else value
    if isinstance(cause, Because):
        return say(cause.reason, language, **{name: words_of(inner, language) for name, inner in cause.values})
    if isinstance(cause, str) and cause.startswith("reason.") and cause in catalogue():
        return say(cause, language)
    return value


def _worded(values: Mapping[str, object], language: Language) -> dict[str, object]:
    return {name: words_of(value, language) for name, value in values.items()}


def say(name: str, language: Language, /, **values: object) -> str:
    """The message ``name`` with ``values`` filled in.

    Raises:
        KeyError: no such message; a test holds every name that the code uses.
    """
    return _Lenient().vformat(catalogue()[name][language.value], (), values)


def question_label(field: str, language: Language) -> str:
    """A question's own wording on the sites' forms."""
    for question in QUESTIONS:
        if question.name == field:
            return question.zh if language is Language.ZH else f"{question.en} ({question.zh})"
    return field


def describe(error: CloudfilmError, language: Language, *, in_window: bool = False) -> str:
    """Two sentences: what happened (with the site's own words), and what the user can do.

    Args:
        error: to be described.
        language: of the words.
        in_window: the reader sees no command line: advice that names options or commands is left out.
    """
    values = _worded(error.values, language)
    if "field" in values and "label" not in values:
        values["label"] = question_label(str(values["field"]), language)
    entry = catalogue()[error.code]
    fill = _Lenient()
    sentence = fill.vformat(entry[language.value], (), {"detail": one_line(error.detail), **values})
    detail = visible(one_line(error.detail))
    if detail and detail not in sentence:
        sentence += f"（{detail}）" if language is Language.ZH else f" ({detail})"
    hint = entry.get(f"hint_{language.value}", "")
    if in_window and ("--" in hint or "cloudfilm " in hint):
        hint = ""
    return " ".join(part for part in (sentence, fill.vformat(hint, (), values)) if part)


def describe_problem(problem: Problem, language: Language, *, of_folder: bool = False) -> str:
    """One problem in words: what was found and what the user can do.

    Args:
        problem: to be described.
        language: of the words.
        of_folder: it was found in files on the disk; nothing was fetched, so other advice applies.
    """
    entry = catalogue()[f"problem.{problem.code}"]
    fill = _Lenient()
    values = {"count": len(problem.instances), **_worded(problem.values, language)}
    hint = entry.get(f"hint_{language.value}", "")
    if of_folder:
        hint = entry.get(f"hint_folder_{language.value}", hint)
    parts = (entry[language.value], hint)
    return " ".join(fill.vformat(part, (), values) for part in parts if part)


def without_addresses(cause: Cause) -> Cause:
    """A cause without addresses and UIDs, so that the same of many instances is one."""
    if isinstance(cause, Because):
        values = ((name, without_addresses(inner) if isinstance(inner, str) else inner) for name, inner in cause.values)
        return Because(cause.reason, tuple(values))
    if isinstance(cause, Reason):
        return cause
    shown = _ADDRESS.sub("…", cause[:1000])
    shown = _PATH.sub(lambda path: f"…/{path[1]}" if not path[1][:1].isdigit() else "…", shown)
    return _UID.sub("…", shown)


def merge_equal(problems: Iterable[Problem]) -> list[tuple[Problem, int]]:
    """Problems whose sentences are equal, each once with all its instances, and how often it was found."""
    grouped: dict[tuple[str, str, bool], list[Problem]] = {}
    for problem in problems:
        grouped.setdefault((problem.code, repr(problem.values), problem.fatal), []).append(problem)
    return [
        (replace(equal[0], instances=tuple(name for problem in equal for name in problem.instances)), len(equal))
        for equal in grouped.values()
    ]
