"""Work through the sources of ``grab`` and ``list``, film by film, and print each result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from scraper.cli import interrupt
from scraper.cli.options import ask_for_count
from scraper.core.errors import CloudfilmError, ExitCode, UsageError
from scraper.core.log import log_result
from scraper.core.messages import describe, say
from scraper.core.output import complain, console, echo, echo_json
from scraper.core.settings import Settings

if TYPE_CHECKING:
    from scraper.core.model import Result
    from scraper.pipeline.result import Film, Films
    from scraper.pipeline.run import Run
    from scraper.session import Ask


class SourceRunner:
    """One call of ``grab`` or ``list``.

    Args:
        settings: the user's options.
        ask: asks the person at the terminal.
        stdin: returns the text of standard input, or a file with what came there.
        as_json: print one JSON document for each film.
        listing: print what there is, and download nothing.
        only: the film to take of a source that holds several, from 1; 0: all.
    """

    def __init__(
        self,
        settings: Settings,
        ask: Ask,
        stdin: Callable[[], str | Path],
        *,
        as_json: bool,
        listing: bool,
        only: int = 0,
    ) -> None:
        self._settings = settings
        self._ask = ask
        self._stdin = stdin
        self._as_json = as_json
        self._listing = listing
        self._only = only
        self._codes: list[int] = []

    async def run(self, sources: Sequence[str]) -> int:
        """Work through the sources one after another; the highest exit code wins."""
        for source in sources:
            await self._run_source(source)
        return max(self._codes, default=0)

    async def run_film(self, source: str, film: Film) -> int:
        """Work through one film whose provider is known; gives its exit code."""
        from scraper.pipeline.run import Run
        from scraper.ui.report import Display

        quiet = self._settings.verbosity < 0
        with Display(console(err=True), self._settings.language, quiet=quiet) as display:
            async with Run(self._settings, display, self._ask, self._stdin) as run:
                result = await run.grab(source, film=film)
        if run.may_ask(result):
            count = ask_for_count(self._settings, result.counts.saved)
            result = run.expected(result, count) if count else result
        self._show(result, run)
        return max(self._codes)

    async def _run_source(self, source: str) -> None:
        from scraper.pipeline.run import Run
        from scraper.ui.report import Display

        quiet = self._settings.verbosity < 0
        is_first, left = True, [None]
        films: list[Film | None] = []
        while left or films:
            with Display(console(err=True), self._settings.language, quiet=quiet) as display:
                async with Run(self._settings, display, self._ask, self._stdin) as run:
                    if is_first:
                        is_first, left = False, []
                        found = await run.films(source)
                        if found.error is not None:
                            self._show(run.refused(source, found.error), run)
                            return
                        films += self._chosen(source, found)
                    film = films.pop(0)
                    result = await (run.survey(source, film=film) if self._listing else run.grab(source, film=film))
            if not self._listing and run.may_ask(result):
                count = ask_for_count(self._settings, result.counts.saved)
                result = run.expected(result, count) if count else result
            self._show(result, run)

    def _chosen(self, source: str, found: Films) -> list[Film]:
        """The chosen films: that of ``--only``, the one that a person picks, or all.

        Raises:
            UsageError: no film has that number.
        """
        films, language = list(found.films), self._settings.language
        number = self._only
        if len(films) > 1 and not number:
            shown = source if "://" not in source else films[0].share.redacted
            complain(say("source.several", language, source=shown, count=len(films)))
            if self._settings.interactive:
                number = self._picked(films)
        if number > len(films):
            raise UsageError(f"--only {number}: 1–{len(films)}")
        return films[number - 1 : number] if number else films

    def _picked(self, films: Sequence[Film]) -> int:
        for number, film in enumerate(films, start=1):
            echo(f"  {number}: {film.share.redacted}", err=True)
        words = say("source.choose", self._settings.language, count=len(films))
        with interrupt.prompting():
            complain(words)
            try:
                given = input().strip()
            except EOFError:
                return 0
        return int(given) if given.isdecimal() and 1 <= int(given) <= len(films) else 0

    def _show(self, result: Result, run: Run) -> None:
        from scraper.pipeline import document
        from scraper.ui.report import show, show_traceback, traffic, write_diagnostic

        settings, stderr = self._settings, console(err=True)
        if result.exit_code in (ExitCode.SITE, ExitCode.BUG) and isinstance(result.error, CloudfilmError):
            path = write_diagnostic(settings.output, result.error, result.link, result.provider, run.log)
            result = replace(result, diagnostic=path)
        if settings.verbosity > 0:
            traffic(run.log, stderr)
        if settings.verbosity > 1 and result.error is not None:
            show_traceback(result.error)
        self._codes.append(result.exit_code)
        log_result(result)
        if not self._as_json:
            show(result, console(), stderr, settings.language, listing=self._listing)
            return
        echo_json(document.of(result, settings.language))
        if isinstance(result.error, CloudfilmError):
            complain(describe(result.error, settings.language))
