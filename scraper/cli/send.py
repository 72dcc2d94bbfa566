"""``send``: a folder's instances to an archive."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scraper.cli.options import Runs, takes
from scraper.core.errors import UsageError
from scraper.core.messages import describe, describe_problem, say
from scraper.core.output import complain, console, echo, echo_json
from scraper.core.settings import Language, Settings

if TYPE_CHECKING:
    from scraper.send import Sent

MOST_ASSOCIATIONS = 8


def register(app: typer.Typer, run: Runs) -> None:
    """Add the command; ``run`` is the one place where the event loop runs."""

    @app.command()
    @takes("answer", "password", "timeout", "insecure", "connect_to", "as_json", "quiet", "lang")
    def send(
        folders: Annotated[
            list[Path], typer.Argument(metavar="DIR...", help="Folders of DICOM files, or zips of them.")
        ],
        target: Annotated[
            str, typer.Argument(metavar="TARGET", help="pacs://AET@host:port?calling=TITLE, or https://host/…/studies.")
        ],
        changes: Annotated[
            list[str] | None,
            typer.Option("--set", metavar="TAG=VALUE", help="Send copies with this value, by keyword; repeatable."),
        ] = None,
        values: Annotated[
            Path | None,
            typer.Option(
                "--set-from",
                metavar="LIST",
                help="Values for each study, from a CSV file or workbook: columns study_uid or folder, and PatientID …",
            ),
        ] = None,
        convert: Annotated[
            bool, typer.Option("--convert", help="Send uncompressed what the archive refuses as it is.")
        ] = False,
        again: Annotated[
            bool, typer.Option("--again", help="Send what the archive took in an earlier run, too.")
        ] = False,
        associations: Annotated[
            int, typer.Option("--associations", min=1, max=MOST_ASSOCIATIONS, help="Associations at once.")
        ] = 1,
        authority: Annotated[
            Path | None, typer.Option("--ca", metavar="FILE", help="Certificates to trust instead of the system's.")
        ] = None,
        certificate: Annotated[
            Path | None, typer.Option("--cert", metavar="FILE", help="This computer's certificate (PEM).")
        ] = None,
        key: Annotated[Path | None, typer.Option("--key", metavar="FILE", help="Its key.")] = None,
        *,
        as_json: bool,
        settings: Settings,
    ) -> int:
        """Send studies to an archive, by C-STORE or STOW-RS; run again, it goes on where it ended."""
        settings = replace(settings, tls_authority=authority, tls_certificate=certificate, tls_key=key)
        options: dict[str, Any] = {"may_convert": convert, "again": again, "associations": associations}
        if values is not None:
            from scraper.batch.input import values as listed_values

            listed = listed_values.read(values)
            options |= {"by_uid": listed.by_uid, "by_folder": listed.by_folder}
        return _send(folders, target, settings, changes or [], options, run, as_json=as_json)


def _send(
    folders: list[Path],
    target: str,
    settings: Settings,
    changes: list[str],
    options: dict[str, Any],
    run: Runs,
    *,
    as_json: bool,
) -> int:
    from scraper.cli.bar import Bar
    from scraper.send import DicomTarget, send, target_of
    from scraper.send.run import SendOptions

    given = _changes(changes)
    archive = target_of(target, insecure=settings.insecure)
    if isinstance(archive, DicomTarget) and archive.tls is not None:
        own = archive.tls
        archive = replace(
            archive,
            tls=replace(
                own,
                authority=settings.tls_authority or own.authority,
                certificate=settings.tls_certificate or own.certificate,
                key=settings.tls_key or own.key,
            ),
        )
    language = settings.language
    with Bar(console(err=True, quiet=settings.verbosity < 0), say("send.bar", language)) as bar:
        made = run(send(folders, archive, settings, SendOptions(changes=given, **options), lambda _: bar.step()))
    _show(made, language, given, as_json=as_json)
    return int(made.exit_code)


def _changes(rows: list[str]) -> dict[str, str]:
    """Keyword → value.

    Raises:
        UsageError: not of the form TAG=VALUE, an attribute that is never changed, or a value that it can't have.
    """
    from scraper.dicom.outgoing import keyword_of, value_of

    given: dict[str, str] = {}
    for row in rows:
        name, equals, value = row.partition("=")
        if not equals:
            raise UsageError(f"--set {name}: TAG=VALUE")
        keyword = keyword_of(name)
        given[keyword] = value_of(keyword, value)
    return given


def _show(made: Sent, language: Language, changed: dict[str, str], *, as_json: bool) -> None:
    """How it ended: for scripts one document, for people the sums, then what is wrong."""
    if as_json:
        echo_json(made.to_dict(language))
    else:
        words = say("send.done", language, target=made.target, sent=made.sent, total=made.total, seconds=made.seconds)
        echo(words)
        if made.before:
            echo(say("send.before", language, count=made.before))
        if made.converted:
            echo(say("send.converted", language, count=made.converted))
        if made.changed:
            echo(say("send.changed", language, count=made.changed, what=", ".join(changed) or "--set-from"))
        if made.committed is not None:
            echo(say("send.committed", language, count=made.committed))
        for problem in made.problems:
            complain(describe_problem(problem, language, of_folder=True))
    if made.error is not None:
        complain(describe(made.error, language))
    if made.exit_code and made.sent + made.before < made.total:
        complain(say("send.go-on", language))
