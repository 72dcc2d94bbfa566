"""What an export came to, for people and for scripts."""

from __future__ import annotations

from scraper.core.messages import describe_problem, say
from scraper.core.output import complain, echo, echo_json
from scraper.core.settings import Language
from scraper.export import Exported
from scraper.export.outcome import document_of, incomplete, shown_names


def show_export(made: Exported, language: Language, *, as_json: bool) -> None:
    """What was made on standard output; what is missing or was left out on standard error."""
    whole = incomplete(made.source, language)
    if as_json:
        echo_json(document_of(made, language))
    elif made.files:
        echo(say("export.done", language, path=made.path, files=made.files))
    for problem in made.problems:
        complain(f"{describe_problem(problem, language, of_folder=True)} {shown_names(problem.instances)}".rstrip())
    if not made.files:
        complain(say("export.nothing", language))
    if whole:
        complain(str(whole["message"]))
