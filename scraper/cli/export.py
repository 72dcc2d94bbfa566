"""``export``: what other people and programs need, from a folder of DICOM files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scraper.cli.options import Json, Lang, Runs
from scraper.core.errors import NoSuchFile, UsageError
from scraper.core.messages import describe_problem, say
from scraper.core.output import complain, echo, echo_json
from scraper.core.settings import BurnedIn, ExportUnit, Language, Retain, Target, language_from_environment

if TYPE_CHECKING:
    from scraper.export import Exported
    from scraper.export.deidentify import Deidentification

SMALLEST_PART = 2_000_000  # bytes


def register(app: typer.Typer, run: Runs) -> None:
    """Add the command; ``run`` is the one place where the event loop runs."""

    @app.command()
    def export(
        folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of DICOM files, or a zip of one.")],
        to: Annotated[Target, typer.Option("--to", help="What to make.")],
        output: Annotated[
            Path | None, typer.Option("-o", "--output", metavar="PATH", help="Where; by default next to DIR.")
        ] = None,
        deidentify: Annotated[
            bool, typer.Option("--deidentify", help="Take out who the patient is (PS3.15); a pseudonym stands in.")
        ] = False,
        retain: Annotated[
            list[Retain] | None, typer.Option("--retain", help="What PS3.15's option of this name retains; repeatable.")
        ] = None,
        pseudonyms: Annotated[
            Path | None, typer.Option("--pseudonyms", metavar="FILE", help="CSV with patient_id and pseudonym.")
        ] = None,
        key: Annotated[
            Path | None,
            typer.Option("--key", metavar="FILE", help="Secret that gives the same pseudonyms again; made if missing."),
        ] = None,
        key_table: Annotated[
            Path | None, typer.Option("--key-table", metavar="FILE", help="Write there who each pseudonym is.")
        ] = None,
        burned_in: Annotated[
            BurnedIn | None, typer.Option("--burned-in", help="Images that may show text; by default kept and named.")
        ] = None,
        each: Annotated[
            ExportUnit | None, typer.Option("--each", help="One export a study or a patient, in a folder.")
        ] = None,
        max_size: Annotated[
            str, typer.Option("--max-size", metavar="SIZE", help="Zips of at most this size, in parts: 100MB.")
        ] = "",
        no_page: Annotated[
            bool, typer.Option("--no-page", help="Put no page to look at into the zip or onto the disc.")
        ] = False,
        as_json: Json = False,
        lang: Lang = None,
    ) -> int:
        """What other people and programs ask for, from a folder on disk."""
        from scraper.core.disk import disk_errors
        from scraper.export import ExportOptions, beside
        from scraper.export import export as make

        language = lang or language_from_environment()
        if not folder.exists():
            raise NoSuchFile(path=str(folder))
        options = (retain, pseudonyms, key, key_table, burned_in)
        chosen = _identity(retain, pseudonyms, key, burned_in) if deidentify or any(options) else None
        wanted = ExportOptions(chosen, key_table, each, _bytes_of(max_size), page=None if no_page else language)
        target = output or beside(folder, to, deidentify=chosen is not None, each=each is not None)
        with disk_errors(target):
            made = run(make(folder, to, target, wanted))
        show_export(made, language, as_json=as_json)
        return int(made.exit_code)


def _bytes_of(size: str) -> int:
    """``100MB`` → bytes; 0 for nothing.

    Raises:
        UsageError: no such size, or one too small for an image.
    """
    if not size:
        return 0
    found = re.fullmatch(r"(\d{1,9})\s*([kmg]?)b?", size.strip(), re.IGNORECASE)
    most = int(found[1]) * {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}[found[2].lower()] if found else 0
    if most < SMALLEST_PART:
        raise UsageError(f"--max-size {size}: 100MB")
    return most


def _identity(
    retain: list[Retain] | None, pseudonyms: Path | None, key: Path | None, burned_in: BurnedIn | None
) -> Deidentification:
    from scraper.export.deidentify import Deidentification
    from scraper.export.persons import key_of, pseudonyms_of

    return Deidentification(
        key_of(key) if key else b"",
        pseudonyms_of(pseudonyms) if pseudonyms else {},
        frozenset(retain or ()),
        burned_in or BurnedIn.KEEP,
    )


def show_export(made: Exported, language: Language, *, as_json: bool) -> None:
    """What was made on standard output; what is missing or was left out on standard error."""
    from scraper.export.outcome import document_of, incomplete, shown_names

    whole = incomplete(made.source, language)
    if as_json:
        echo_json(document_of(made, language))
    elif made.files:
        echo(say("export.done", language, path=made.path, files=made.files))
        for part in made.parts if len(made.parts) > 1 else ():
            echo(f"  {part}")
    for problem in made.problems:
        complain(f"{describe_problem(problem, language, of_folder=True)} {shown_names(problem.instances)}".rstrip())
    if not made.files:
        complain(say("export.nothing", language))
    if whole:
        complain(str(whole["message"]))
