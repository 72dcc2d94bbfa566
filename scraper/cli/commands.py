"""The commands: parse, call, print. The one place where an error becomes an exit code."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from scraper.cli import authoring, batch, config, export, interrupt, listen, send, tools, window
from scraper.cli.options import OneSource, Source, announce_code, asker, takes
from scraper.cli.quick_start import QuickGroup, command_for
from scraper.core.errors import CloudfilmError, ExitCode, single_errors
from scraper.core.log import quiet_libraries
from scraper.core.messages import describe, say
from scraper.core.output import complain, console, echo, echo_json, leave, streams
from scraper.core.questions import PASSWORD
from scraper.core.settings import Language, Settings, language_from_environment

MOST_TEXT = 1 << 20  # bytes of a text on standard input
BATCH_GRACE_S = 5.0  # several browsers close, and what has ended is reported
app = typer.Typer(
    name="cloudfilm",
    cls=QuickGroup,
    help="From the QR code on a hospital's film or report to a verified DICOM study on disk. 从影像二维码到经校验的 DICOM。",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(wanted: bool) -> None:  # as typer calls it
    if wanted:
        from scraper import __version__

        echo(f"cloudfilm {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and leave.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    del version


def main() -> None:
    """The entry point: runs the command and exits with the contract's exit code."""
    interrupt.guard(sys.argv[1:])
    quiet_libraries()
    os.umask(0o077)  # whatever a command or its browser writes is the user's alone
    streams.guard()
    interrupt.loaded()
    code = streams.ended(run(sys.argv[1:]))
    if interrupt.was_announced():
        leave(code)  # nothing that is still being closed has anything to add
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command line; returns its exit code."""
    chosen = _value_of(arguments, "--lang")
    language = Language(chosen) if chosen in (Language.ZH, Language.EN) else language_from_environment()
    try:
        given = config.taken(arguments)
        chosen = chosen or str(given.defaults.get("lang", ""))
        language = Language(chosen) if chosen in (Language.ZH, Language.EN) else language
        if given.log_file is not None:
            config.log_to(given.log_file)
        command = command_for(app, given.words)
        if language is Language.ZH and (not given.words or not {"-h", "--help"}.isdisjoint(given.words)):
            from scraper.cli import chinese

            chinese.translate(command)
        outcome = command(
            given.words, standalone_mode=False, prog_name="cloudfilm", default_map=given.default_map(), obj=given
        )
    except typer.Exit as left:
        return left.exit_code
    except TyperException as wrong:
        from scraper.cli import chinese

        complain(chinese.error(wrong) if language is Language.ZH else wrong.format_message())
        return int(ExitCode.USAGE)
    except (KeyboardInterrupt, typer.Abort):
        if not interrupt.was_announced():
            complain(say("interrupted", language))
        return int(ExitCode.INTERRUPTED)
    except CloudfilmError as err:
        complain(describe(err, language))
        return int(err.exit_code)
    except Exception as err:  # noqa: BLE001  # the one place: anything unforeseen is a bug of ours, reported without its values
        return _unforeseen(err, arguments, language)
    return outcome if isinstance(outcome, int) else 0


def _unforeseen(err: Exception, arguments: list[str], language: Language) -> int:
    """Report an error that nothing caught; our own errors inside a group by their own sentence."""
    from scraper.ui.report import show_traceback, write_diagnostic

    every = single_errors(err)
    known = [error_inside for error_inside in every if isinstance(error_inside, CloudfilmError)]
    if len(known) == len(every):
        complain(describe(known[0], language))
        return max(int(error_inside.exit_code) for error_inside in known)
    path = write_diagnostic(Path(_value_of(arguments, "-o", "--output") or "cloudfilm"), err, "", "", [])
    names = ", ".join(dict.fromkeys(type(error_inside).__name__ for error_inside in every))
    complain(say("bug", language, name=names), say("report.diagnostic", language, path=path))
    if "-vv" in arguments or arguments.count("-v") + arguments.count("--verbose") > 1:
        show_traceback(err)
    return int(ExitCode.BUG)


def _value_of(arguments: list[str], *names: str) -> str:
    """An option's raw value on the command line, for what must be known although the command failed."""
    for place, word in enumerate(arguments):
        if word in names and place + 1 < len(arguments):
            return arguments[place + 1]
        name, equals, value = word.partition("=")
        if equals and name in names:
            return value
    return ""


class _StandardInput:
    """Standard input: its text, or a temporary file with the picture or document that came; removed at the end."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> _StandardInput:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def read(self) -> str | Path:
        """What came there."""
        from scraper.source.picture_kind import MAX_BYTES, is_picture_or_document

        head = sys.stdin.buffer.read(MOST_TEXT)
        if not is_picture_or_document(head):
            return head.decode("utf-8", errors="replace")
        from scraper.core.leftovers import RunFolder

        path = Path(self._stack.enter_context(RunFolder())) / "standard-input"
        path.write_bytes(head + sys.stdin.buffer.read(MAX_BYTES + 1 - len(head)))
        return path


@app.command()
@takes(
    *("output", "answer", "password", "provider", "browser", "headed", "series", "jobs", "rate", "timeout", "give_up"),
    *(
        "insecure",
        "connect_to",
        "proxy",
        "only",
        "expect",
        "name",
        "fetch_missing",
        "as_json",
        "quiet",
        "verbose",
        "lang",
    ),
)
def grab(source: Source, *, only: int | None, as_json: bool, settings: Settings) -> int:
    """Photo, scan, PDF, share text or link in; a verified study on disk out."""
    return _sources(source, settings, as_json=as_json, listing=False, only=only)


@app.command(name="list")
@takes(
    *("answer", "password", "provider", "browser", "headed", "series", "rate", "timeout", "give_up", "insecure"),
    *("connect_to", "proxy", "only", "expect", "as_json", "quiet", "verbose", "lang"),
)
def list_(source: OneSource, *, only: int | None, as_json: bool, settings: Settings) -> int:
    """Open the link and print the study's series and counts; download nothing."""
    return _sources([source], settings, as_json=as_json, listing=True, only=only)


def _sources(sources: list[str], settings: Settings, *, as_json: bool, listing: bool, only: int | None) -> int:
    """Work through sources one after another; the highest exit code wins."""
    from scraper.cli.sources import SourceRunner

    announce_code(settings)
    with _StandardInput() as given:
        runner = SourceRunner(settings, asker(settings), given.read, as_json=as_json, listing=listing, only=only or 0)
        return interrupt.run(runner.run(sources))


tools.register(app, interrupt.run)
batch.register(app, partial(interrupt.run, grace_s=BATCH_GRACE_S))
authoring.register(app, interrupt.run)
send.register(app, interrupt.run)
window.register(app, interrupt.run)
listen.register(app, interrupt.run)


@app.command()
@takes("answer", "password", "as_json", "quiet", "verbose", "lang")
def verify(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Any folder of DICOM files, or an archive of one: zip, 7z, tar, ISO.")
    ],
    *,
    as_json: bool,
    settings: Settings,
) -> int:
    """Check any folder of DICOM files, downloaded by this tool or not."""
    from scraper.pipeline import document
    from scraper.pipeline.run import verify_folder
    from scraper.ui.report import Display, show_folder

    language, known, quiet = settings.language, settings.answers.get(PASSWORD.name, ""), settings.verbosity < 0
    with Display(console(err=True, quiet=quiet), language, quiet=quiet) as display:
        result = interrupt.run(verify_folder(folder, display, known))
    if as_json:
        echo_json(document.of(result, language))
    else:
        show_folder(result, console(), language)
    return result.exit_code


export.register(app, interrupt.run)
