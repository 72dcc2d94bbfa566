"""``view`` and ``app``: commands that show a study or the window, for people only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final

import typer

from scraper.cli.options import Json, Lang, Runs, takes
from scraper.core.errors import ExitCode, NoSuchFile
from scraper.core.messages import say
from scraper.core.output import complain, echo, echo_json
from scraper.core.settings import Language, Settings, language_from_environment


def register(app: typer.Typer, run: Runs) -> None:
    """Add the commands; ``run`` is the one place where the event loop runs."""

    @app.command(name="app")
    @takes("browser", "insecure", "connect_to", "proxy", "lang", interactive=False)
    def app_(
        output: Annotated[
            Path | None, typer.Option("-o", "--output", metavar="DIR", help="Where studies go; by default ~/cloudfilm.")
        ] = None,
        no_window: Annotated[bool, typer.Option("--no-window", help="Print the address, and open nothing.")] = False,
        *,
        settings: Settings,
    ) -> int:
        """The same jobs in a window, for people who use no terminal."""
        from scraper.app import start

        settings = replace(settings, output=output or Path.home() / "cloudfilm")
        show = _print_nothing if no_window else start.show_window
        address = start.running()
        if address and not no_window:
            complain(say("app.open-already", settings.language))
            show(address)
            return 0
        run(start.serve(settings, show, lambda where: echo(say("app.open", settings.language, address=where))))
        return 0

    @app.command()
    def view(
        folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of DICOM files, or a zip of one.")],
        output: Annotated[
            Path | None, typer.Option("-o", "--output", metavar="FILE", help="The page; by default index.html in DIR.")
        ] = None,
        as_json: Json = False,
        lang: Lang = None,
    ) -> int:
        """One self-contained page of a study, to look at without a viewer."""
        from scraper.core.disk import disk_errors
        from scraper.export.view import default_page
        from scraper.export.view import view as write

        language = lang or language_from_environment()
        if not folder.exists():
            raise NoSuchFile(path=str(folder))
        page = output or default_page(folder)
        with disk_errors(page):
            made = run(write(folder, page, language))
        is_short = bool(made.undecoded or made.unreadable)
        code = ExitCode.INCOMPLETE if is_short else ExitCode.COMPLETE
        if as_json:
            echo_json(
                {
                    "output": str(made.path),
                    "parts": [str(part) for part in made.parts],
                    "images": made.frames,
                    "undecoded": made.undecoded,
                    "unreadable": list(made.unreadable),
                    "exit_code": int(code),
                }
            )
        else:
            echo(say("view.done", language, path=made.path, frames=made.frames))
        if made.parts:
            complain(say("view.parts", language, folder=made.parts[0].parent))
        if is_short:
            complain(say("view.short", language, count=made.undecoded, files=len(made.unreadable)))
        return int(code)


def _print_nothing(address: str) -> None:
    """Open no window: whoever starts the program takes the address from its output."""
    del address


async def write_pages(output: Path, language: Language, bound: PageBound | None, since: float) -> None:
    """Write the pages of a batch's studies that have none yet, or an older one.

    Args:
        output: where the studies lie.
        language: that the pages open in.
        bound: of what is written without being asked for; None: all is written.
        since: with a bound, studies saved after this alone, in seconds of the epoch.
    """
    from scraper.export.view import missing_pages, write_pages_of

    reports = missing_pages(output, 0 if bound is None else since)
    chosen = reports if bound is None else bound.of(reports)
    if chosen:
        complain(say("batch.pages", language))
    for name in await write_pages_of(chosen, language):
        complain(say("batch.page-not-written", language, name=name))
    if len(chosen) < len(reports):
        complain(say("batch.pages-left", language, count=len(reports) - len(chosen)))


@dataclass(frozen=True, slots=True)
class PageBound:
    """How many studies, and how many bytes of instances, get a page that nobody asked for."""

    studies: int
    size: int

    def of(self, reports: list[Path]) -> list[Path]:
        """The first of these reports' studies that are within the bound."""
        chosen, used = list[Path](), 0
        for report in reports[: self.studies]:
            used += sum(path.stat().st_size for path in report.parent.glob("*/*") if path.is_file())
            if used > self.size:
                break
            chosen.append(report)
        return chosen


PAGES_BY_DEFAULT: Final = PageBound(20, 1 << 30)  # some 90 s of two cores, and half as many bytes as the instances have
