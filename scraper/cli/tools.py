"""``decode``, ``providers``, ``doctor``: commands that download nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scraper.cli import config
from scraper.cli.options import Json, Lang, Output, Proxy, Runs, check_proxy, takes
from scraper.cli.quick_start import Quick
from scraper.core.errors import CloudfilmError, ExitCode, NotWritable, SiteChanged, SiteUnreachable, UsageError
from scraper.core.messages import describe, say
from scraper.core.output import complain, echo, echo_json
from scraper.core.settings import Settings, browser_from_environment, language_from_environment

if TYPE_CHECKING:
    from scraper.source.qr.reader import Reader


def register(app: typer.Typer, run: Runs) -> None:
    """Add the commands; ``run`` is the one place where the event loop runs."""

    @app.command(cls=Quick)
    @takes("answer", "password", "as_json", "quiet", "verbose", "lang")
    def decode(
        file: Annotated[list[Path], typer.Argument(help="Photo, scan, screenshot or PDF.")],
        annotate: Annotated[Path | None, typer.Option(metavar="OUT.png", help="Draw every code found.")] = None,
        timeout: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="Time for one image.")] = 20.0,
        *,
        as_json: bool,
        settings: Settings,
    ) -> int:
        """Only read the codes on a photo, scan, screenshot or PDF, and say which is the film's link."""
        settings = replace(settings, decode_timeout_s=timeout)
        return _decode(file, settings, annotate, as_json=as_json)

    @app.command()
    def providers(
        name: Annotated[str, typer.Argument(metavar="[WORD]", help="A name, or a part of a hospital or host.")] = "",
        as_json: Json = False,
        lang: Lang = None,
    ) -> int:
        """The platforms known, their link shapes, and what each asks of the user."""
        from scraper.registry import catalogue
        from scraper.ui.tables import matches, provider_rows, provider_table

        rows = provider_rows(name)
        if name and not rows and (found := matches(name)):
            for match in found:
                echo_json(match) if as_json else echo("  ".join(match[key] for key in ("provider", "host", "hospital")))
            return 0
        if name and not rows:
            raise UsageError(f"{name}: {', '.join(sorted(catalogue.known().by_name))}")
        if as_json:
            for row in rows:
                echo_json(row)
        else:
            provider_table(rows, lang or language_from_environment())
        return 0

    @app.command()
    def doctor(
        fetch_models: Annotated[
            bool, typer.Option("--fetch-models", help="Download the WeChat detector's model files.")
        ] = False,
        install_browser: Annotated[
            bool, typer.Option("--install-browser", help="Download Playwright's Chromium.")
        ] = False,
        output: Output = Path("cloudfilm"),
        proxy: Proxy = "",
        as_json: Json = False,
        lang: Lang = None,
    ) -> int:
        """What is installed and what is missing, with the command that mends it."""
        check_proxy(proxy)
        settings = Settings(
            output=output,
            proxy=proxy,
            language=lang or language_from_environment(),
            browser_path=browser_from_environment(),
        )
        if fetch_models:
            _fetch_models(settings, run)
        if install_browser:
            from scraper.ui.doctor import install_browser as install

            complain(say("doctor.installing", settings.language))
            complain(f"→ {install(settings)}")
        return _examine(settings, as_json=as_json)


def _decode(files: list[Path], settings: Settings, annotate: Path | None, *, as_json: bool) -> int:
    """Print every file's codes; an unreadable file gets its line, too, and does not end the others."""
    from scraper.source.qr import reader as qr
    from scraper.ui.tables import unreadable_json

    codes: list[int] = []
    with qr.Reader(password=settings.answers.get("password", "")) as reader:
        for path in files:
            try:
                refusal = _decode_one(path, settings, reader, annotate, as_json=as_json)
            except CloudfilmError as err:
                refusal = err
                if as_json:
                    echo_json(unreadable_json(path, err, settings.language))
            if refusal is not None:
                complain(describe(refusal, settings.language))
                codes.append(int(refusal.exit_code))
    return max(codes, default=0)


def _decode_one(
    path: Path, settings: Settings, reader: Reader, annotate: Path | None, *, as_json: bool
) -> CloudfilmError | None:
    """Print what is on one picture; returns why it has no link."""
    from scraper.source import film_codes
    from scraper.ui.tables import decoded_json, decoded_words

    with _on_disk(path) as picture:
        found = film_codes.decode(picture, settings, reader)
        refusal = found.refusal()
        shown = replace(found, path=path)
        if as_json:
            echo_json(decoded_json(shown))
        else:
            echo(decoded_words(shown, settings.language))
        is_wanted = refusal is not None and settings.verbosity > 0
        drawn = annotate or (_suspects_picture(path) if is_wanted else None)
        if drawn is not None:
            film_codes.annotate(found, drawn, reader)
            complain(say("decode.annotated", settings.language, path=drawn))
    return refusal


@contextmanager
def _on_disk(path: Path) -> Iterator[Path]:
    """The file, or a temporary one with standard input's bytes for ``-``."""
    if str(path) != "-":
        yield path
        return
    from scraper.core.leftovers import RunFolder
    from scraper.source.picture_kind import MAX_BYTES

    with RunFolder() as folder:
        copy = Path(folder) / "standard-input"
        copy.write_bytes(sys.stdin.buffer.read(MAX_BYTES + 1))
        yield copy


def _suspects_picture(path: Path) -> Path:
    """Path of the picture of detections that ``-v`` writes: in the working folder, never over a file."""
    number, picture = 1, Path(f"{path.stem}-codes.png")
    while picture.exists():
        number += 1
        picture = Path(f"{path.stem}-codes-{number}.png")
    return picture


def _fetch_models(settings: Settings, run: Runs) -> None:
    from scraper.source.qr import reader as qr

    try:
        for path in qr.fetch_models(lambda url: bytes(run(_download(settings, url)))):
            complain(f"→ {path}")
    except qr.WrongSum as err:
        raise SiteChanged(host="raw.githubusercontent.com", what=str(err)) from err
    except OSError as err:
        raise NotWritable(path=str(qr.default_folder())) from err


async def _download(settings: Settings, url: str) -> bytes:
    from scraper.core.model import Request
    from scraper.session.http import client as http
    from scraper.session.http import pace

    async with http.opened(settings, pace.Pace(1, None)) as client:
        response = await client.send(Request(url))
    if not response.ok:
        raise SiteUnreachable(host="raw.githubusercontent.com", why=f"HTTP {response.status}")
    return response.body


def _examine(settings: Settings, *, as_json: bool) -> int:
    from scraper.ui import doctor as clinic
    from scraper.ui.tables import findings_table

    findings = clinic.examine(settings)
    if not as_json:
        path = config.default_file()
        echo(say("doctor.config" if path.is_file() else "doctor.no-config", settings.language, path=path))
    if as_json:
        for finding in findings:
            echo_json(finding.as_json())
    else:
        findings_table(findings, settings.language)
    return 0 if clinic.sound(findings) else int(ExitCode.BUG)
