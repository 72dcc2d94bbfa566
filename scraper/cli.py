"""The commands: parse, call, print. The one place where an error becomes an exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Coroutine
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.exceptions import TyperException

from scraper import cli_batch, cli_capture
from scraper.cli_options import (
    Answer,
    Browser,
    ConnectToOption,
    Expect,
    Headed,
    Insecure,
    Jobs,
    Json,
    Lang,
    OneSource,
    Output,
    Password,
    ProviderName,
    Proxy,
    Quiet,
    Rate,
    SeriesPattern,
    Source,
    Timeout,
    Verbose,
    ask_for_count,
    asker,
    complain,
    settings_of,
)
from scraper.cli_quick import Quick, QuickGroup
from scraper.errors import CloudfilmError, ExitCode, NotWritable, SiteChanged, SiteUnreachable, UsageError
from scraper.lang import describe, describe_problem, say
from scraper.model import Result
from scraper.settings import (
    BrowserUse,
    Language,
    Settings,
    browser_from_environment,
    language_from_environment,
)

if TYPE_CHECKING:
    from scraper.qr import Reader

T = TypeVar("T")
app = typer.Typer(
    name="cloudfilm",
    cls=QuickGroup,
    help="From the QR code on a hospital's film or report to a verified DICOM study on disk. 从影像二维码到经校验的 DICOM。",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(wanted: bool) -> None:  # as typer calls it
    if wanted:
        from scraper import __version__

        typer.echo(f"cloudfilm {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and leave.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    del version


def main() -> None:
    """The entry point: runs the command and leaves with the contract's exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line; gives its exit code."""
    chosen = _value_of(arguments, "--lang")
    language = Language(chosen) if chosen in (Language.ZH, Language.EN) else language_from_environment()
    try:
        outcome = app(arguments, standalone_mode=False, prog_name="cloudfilm")
    except typer.Exit as left:
        return left.exit_code
    except TyperException as wrong:
        complain(wrong.format_message())
        return int(ExitCode.USAGE)
    except (KeyboardInterrupt, typer.Abort):
        complain(say("interrupted", language))
        return int(ExitCode.INCOMPLETE)
    except CloudfilmError as err:
        complain(describe(err, language))
        return int(err.exit_code)
    except Exception as err:  # noqa: BLE001  # the one place: anything unforeseen is a bug of ours, told without its values
        from scraper.report import write_diagnostic

        path = write_diagnostic(Path(_value_of(arguments, "-o", "--output") or "cloudfilm"), err, "", "", [])
        complain(say("bug", language, name=type(err).__name__), say("report.diagnostic", language, path=path))
        return int(ExitCode.BUG)
    return outcome if isinstance(outcome, int) else 0


def _value_of(arguments: list[str], *names: str) -> str:
    """An option's value as the words stand; for what must be known although the command failed."""
    for place, word in enumerate(arguments):
        if word in names and place + 1 < len(arguments):
            return arguments[place + 1]
        name, equals, value = word.partition("=")
        if equals and name in names:
            return value
    return ""


def _stdin_text() -> str:
    return sys.stdin.buffer.read(1 << 20).decode("utf-8", errors="replace")


def _run(work: Coroutine[Any, Any, T]) -> T:
    """The one place where the event loop runs."""
    import asyncio  # a tenth of a second that ``--help`` does not need

    return asyncio.run(work)


@app.command()
def grab(
    source: Source, output: Output = Path("cloudfilm"), answer: Answer = None, password: Password = None,
    provider: ProviderName = "", browser: Browser = BrowserUse.AUTO, headed: Headed = False, series: SeriesPattern = None,
    jobs: Jobs = 6, rate: Rate = None, timeout: Timeout = None, insecure: Insecure = False,
    connect_to: ConnectToOption = None, proxy: Proxy = "", expect: Expect = None, as_json: Json = False,
    quiet: Quiet = False, verbose: Verbose = 0, lang: Lang = None,
) -> int:  # fmt: skip
    """Photo, scan, PDF, share text or link in; a verified study on disk out."""
    settings = settings_of(
        answers=answer, password=password, connect_to=connect_to, language=lang, as_json=as_json, output=output,
        provider=provider, browser=browser, headed=headed, series=tuple(series or ()), jobs=jobs, rate=rate,
        timeout_s=timeout or 60.0, decode_timeout_s=timeout or 20.0, insecure=insecure, proxy=proxy, expect=expect,
        verbosity=-1 if quiet else verbose,
    )  # fmt: skip
    return _sources(source, settings, as_json=as_json, listing=False)


@app.command(name="list")
def list_(
    source: OneSource, answer: Answer = None, password: Password = None, provider: ProviderName = "",
    browser: Browser = BrowserUse.AUTO, headed: Headed = False, series: SeriesPattern = None, rate: Rate = None,
    timeout: Timeout = None, insecure: Insecure = False, connect_to: ConnectToOption = None, proxy: Proxy = "",
    expect: Expect = None, as_json: Json = False, quiet: Quiet = False, verbose: Verbose = 0, lang: Lang = None,
) -> int:  # fmt: skip
    """Open the link and print the study's series and counts; download nothing."""
    settings = settings_of(
        answers=answer, password=password, connect_to=connect_to, language=lang, as_json=as_json, provider=provider,
        browser=browser, headed=headed, series=tuple(series or ()), rate=rate, timeout_s=timeout or 60.0,
        decode_timeout_s=timeout or 20.0, insecure=insecure, proxy=proxy, expect=expect,
        verbosity=-1 if quiet else verbose,
    )  # fmt: skip
    return _sources([source], settings, as_json=as_json, listing=True)


def _sources(sources: list[str], settings: Settings, *, as_json: bool, listing: bool) -> int:
    """Work through sources one after another; the highest exit code wins."""
    from rich.console import Console

    from scraper.pipeline import Run
    from scraper.report import Display, json_line, show, traffic, write_diagnostic

    talk = Console(stderr=True)
    results_to = Console()
    if settings.insecure:
        complain(say("insecure-warning", settings.language))
    codes: list[int] = []

    async def all_of_them() -> None:
        for source in sources:
            with Display(talk, settings.language, quiet=settings.verbosity < 0) as display:
                async with Run(settings, display, asker(settings), _stdin_text) as run:
                    result = await (run.survey(source) if listing else run.grab(source))
                    if result.exit_code == ExitCode.SITE and isinstance(result.error, CloudfilmError):
                        path = write_diagnostic(
                            settings.output, result.error, result.link, result.provider, run.log
                        )
                        result = replace(result, diagnostic=path)
                    if settings.verbosity > 0:
                        traffic(run.log, talk)
            if not listing and run.may_ask(result):
                received = ask_for_count(settings, result.counts.saved)
                result = run.expected(result, received) if received else result
            codes.append(result.exit_code)
            _print(result)

    def _print(result: Result) -> None:
        if as_json:
            typer.echo(json_line(result, settings.language))
            if isinstance(result.error, CloudfilmError):
                complain(describe(result.error, settings.language))
        else:
            show(result, results_to, talk, settings.language, listing=listing)

    _run(all_of_them())
    return max(codes, default=0)


cli_batch.register(app, _run)
cli_capture.register(app, _run)


@app.command(cls=Quick)
def decode(
    file: Annotated[list[Path], typer.Argument(help="Photo, scan, screenshot or PDF.")],
    annotate: Annotated[Path | None, typer.Option(metavar="OUT.png", help="Draw every code found.")] = None,
    timeout: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="Time for one image.")] = 20.0,
    as_json: Json = False, quiet: Quiet = False, verbose: Verbose = 0, lang: Lang = None,
) -> int:  # fmt: skip
    """Only read the codes on a photo, scan, screenshot or PDF, and say which is the film's link."""
    from scraper import qr

    settings = Settings(
        decode_timeout_s=timeout,
        language=lang or language_from_environment(),
        verbosity=-1 if quiet else verbose,
    )
    codes: list[int] = []
    with qr.Reader() as reader:
        for path in file:  # one that can't be read does not end the others
            try:
                refusal = _decode_one(path, settings, reader, annotate, as_json=as_json)
            except CloudfilmError as err:
                refusal = err
            if refusal is not None:
                complain(describe(refusal, settings.language))
                codes.append(int(refusal.exit_code))
    return max(codes, default=0)


def _decode_one(
    path: Path, settings: Settings, reader: Reader, annotate: Path | None, *, as_json: bool
) -> CloudfilmError | None:
    """Prints what is on one picture; gives why there is no link on it."""
    from scraper import source
    from scraper.words import decoded_json, decoded_words

    found = source.decode(path, settings, reader)
    refusal = found.refusal()
    typer.echo(decoded_json(found) if as_json else decoded_words(found, settings.language))
    is_wanted = refusal is not None and settings.verbosity > 0
    drawn = annotate or (_suspects_picture(path) if is_wanted else None)
    if drawn is not None:
        source.annotate(found, drawn)
        complain(say("decode.annotated", settings.language, path=drawn))
    return refusal


async def _download(settings: Settings, url: str) -> bytes:
    from scraper.model import Request
    from scraper.session import http, pace

    async with http.opened(settings, pace.Pace(1, None)) as client:
        response = await client.send(Request(url))
    if not response.ok:
        raise SiteUnreachable(host="raw.githubusercontent.com", why=f"HTTP {response.status}")
    return response.body


def _suspects_picture(path: Path) -> Path:
    """Where ``-v`` puts the picture of what was seen: in the working folder, never over a file."""
    number, picture = 1, Path(f"{path.stem}-codes.png")
    while picture.exists():
        number += 1
        picture = Path(f"{path.stem}-codes-{number}.png")
    return picture


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Any folder of DICOM files, or a zip of one.")],
    as_json: Json = False, quiet: Quiet = False, verbose: Verbose = 0, lang: Lang = None,
) -> int:  # fmt: skip
    """Check any folder of DICOM files, downloaded by this tool or not."""
    from rich.console import Console

    from scraper.pipeline import verify_folder
    from scraper.report import Display, json_line, show

    del verbose
    language = lang or language_from_environment()
    with Display(Console(stderr=True, quiet=quiet), language, quiet=quiet) as display:
        result = _run(verify_folder(folder, display))
    if as_json:
        typer.echo(json_line(result, language))
    else:
        show(result, Console(), Console(stderr=True), language)
    return result.exit_code


class ExportTarget(StrEnum):
    """``export --to``."""

    ZIP = "zip"
    DICOMDIR = "dicomdir"
    PNG = "png"
    JPG = "jpg"
    NIFTI = "nifti"


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of DICOM files, or a zip of one.")],
    to: Annotated[ExportTarget, typer.Option("--to", help="What to make.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="PATH", help="Where; by default beside DIR.")] = None,
    deidentify: Annotated[bool, typer.Option("--deidentify", help="Take out who the patient is (PS3.15).")] = False,
    as_json: Json = False, lang: Lang = None,
) -> int:  # fmt: skip
    """What other people and programs ask for, from a folder on disk."""
    from scraper.errors import NoSuchFile
    from scraper.export import Target
    from scraper.export import export as make
    from scraper.store import disk

    language = lang or language_from_environment()
    if not folder.exists():
        raise NoSuchFile(path=str(folder))
    suffix = ".zip" if to is ExportTarget.ZIP else f"-{to.value}"
    target = output or folder.with_name(folder.name.removesuffix(".zip") + suffix)
    with disk(target):
        made = make(folder, Target(to.value), target, deidentify=deidentify)
    if as_json:
        problems = [{"code": one.code, "instances": list(one.instances)} for one in made.problems]
        typer.echo(
            json.dumps(
                {"output": str(made.path), "files": made.files, "problems": problems}, ensure_ascii=False
            )
        )
    else:
        typer.echo(say("export.done", language, path=made.path, files=made.files))
    for problem in made.problems:
        complain(describe_problem(problem, language))
    return 0


@app.command()
def providers(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Only this one.")] = "",
    as_json: Json = False,
    lang: Lang = None,
) -> int:
    """The platforms known, their link shapes, and what each asks of the user."""
    from scraper import registry
    from scraper.words import provider_rows, provider_table

    rows = provider_rows(name)
    if name and not rows:
        raise UsageError(f"{name}: {', '.join(sorted(registry.known().by_name))}")
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row, ensure_ascii=False))
    else:
        provider_table(rows, lang or language_from_environment())
    return 0


@app.command()
def doctor(
    fetch_models: Annotated[bool, typer.Option("--fetch-models", help="Download the WeChat detector's model files.")] = False,
    output: Output = Path("cloudfilm"), proxy: Proxy = "", as_json: Json = False, lang: Lang = None,
) -> int:  # fmt: skip
    """What is installed and what is missing, with the command that mends it."""
    from scraper import doctor as clinic
    from scraper.words import findings_table

    settings = Settings(
        output=output,
        proxy=proxy,
        language=lang or language_from_environment(),
        browser_path=browser_from_environment(),
    )
    if fetch_models:
        from scraper import qr

        try:
            for path in qr.fetch_models(lambda url: _run(_download(settings, url))):
                complain(f"→ {path}")
        except qr.WrongSum as err:
            raise SiteChanged(host="raw.githubusercontent.com", what=str(err)) from err
        except OSError as err:
            raise NotWritable(path=str(qr.default_folder())) from err
    findings = clinic.examine(settings)
    if as_json:
        for finding in findings:
            typer.echo(json.dumps(finding.as_json(), ensure_ascii=False))
    else:
        findings_table(findings, settings.language)
    return 0 if clinic.sound(findings) else int(ExitCode.BUG)
