"""The outcome of an export, as the document of ``export --json``."""

from __future__ import annotations

from scraper.core.errors import ExitCode
from scraper.core.messages import describe_problem, say, words_of
from scraper.core.model import Problem, Result
from scraper.core.settings import Language
from scraper.export.targets import Exported

NAMED_AT_MOST = 20  # files shown with a problem; the JSON has them all


def document_of(made: Exported, language: Language) -> dict[str, object]:
    """The document, with what of the study is missing first."""
    whole = incomplete(made.source, language)
    return {
        "output": str(made.path) if made.files else None,
        "files": made.files,
        "parts": [str(part) for part in made.parts],
        "status": "complete" if made.exit_code == ExitCode.COMPLETE else "incomplete",
        "exit_code": int(made.exit_code),
        "problems": [*([whole] if whole else []), *(_row(problem, language) for problem in made.problems)],
    }


def _row(problem: Problem, language: Language) -> dict[str, object]:
    return {
        "code": problem.code,
        "message": describe_problem(problem, language, of_folder=True),
        "instances": list(problem.instances),
    }


def shown_names(names: tuple[str, ...]) -> str:
    """Some of the names, in brackets."""
    more = f" … (+{len(names) - NAMED_AT_MOST})" if len(names) > NAMED_AT_MOST else ""
    return f"[{', '.join(names[:NAMED_AT_MOST])}{more}]" if names else ""


def incomplete(source: Result, language: Language) -> dict[str, object] | None:
    """In one sentence what of the study is missing or broken; None where it is whole."""
    if source.exit_code == ExitCode.COMPLETE:
        return None
    problems = [problem for study in source.studies for problem in study.problems]
    problems += [item for study in source.studies for series in study.series for item in series.problems]
    problems = [problem for problem in (*source.problems, *problems) if problem.fatal]
    parts = []
    counts = source.counts
    if counts.expected is not None and counts.saved < counts.expected:
        parts.append(say("export.short", language, saved=counts.saved, expected=counts.expected))
    for problem in problems:
        if problem.code != "missing-instances":
            parts.append(f"{_sentence(problem, language)} {shown_names(problem.instances)}".rstrip())
    what = ("；" if language is Language.ZH else "; ").join(parts)
    names = tuple(dict.fromkeys(name for problem in problems for name in problem.instances))
    message = say("export.incomplete", language, what=what)
    return {"code": "study-incomplete", "message": message, "instances": list(names)}


def _sentence(problem: Problem, language: Language) -> str:
    """What was found, without the advice and the full stop."""
    values = {name: words_of(value, language) for name, value in problem.values.items()}
    return say(f"problem.{problem.code}", language, count=len(problem.instances), **values).rstrip(".。")
