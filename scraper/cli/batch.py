"""``batch``: many sources from a list or a folder, resumable, with one report at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scraper.cli.batch_command import BatchCommand, Locations, Runs
from scraper.cli.options import (
    Answer,
    Browser,
    ConnectToOption,
    Headed,
    Insecure,
    Jobs,
    Json,
    Lang,
    Name,
    Pages,
    Password,
    ProviderName,
    Proxy,
    Quiet,
    Rate,
    SeriesPattern,
    Timeout,
    Verbose,
    settings_of,
)
from scraper.core.messages import say
from scraper.core.output import complain
from scraper.core.settings import GIVE_UP_S, BrowserUse, language_from_environment

MOST_AT_ONCE = 32
AT_ONCE = 2
Links = Annotated[
    Path, typer.Argument(metavar="LINKS", help="A .txt, .csv, .xlsx or .jsonl file of sources, or a folder of photos.")
]
Place = Annotated[
    str,
    typer.Option("-o", "--output", metavar="DIR", help="Where studies go: a folder, or a URL like s3://bucket/prefix."),
]
Parallel = Annotated[
    int | None,
    typer.Option(min=1, max=MOST_AT_ONCE, help="Sources at once; 2 by default, with --scheduler as many as it takes."),
]
Scheduler = Annotated[
    str, typer.Option(metavar="URL", help="Do the work on a Dask cluster: tcp://host:port of its scheduler.")
]
LedgerFolder = Annotated[
    Path | None,
    typer.Option(
        "--ledger", metavar="DIR", help="Where the ledger is kept; by default where studies go, for a URL ./cloudfilm."
    ),
]
Template = Annotated[
    bool, typer.Option("--template", help="Write an empty list LINKS (.csv or .xlsx) to fill in, and leave.")
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Try those that failed once more, too.")]
OnlyFailed = Annotated[bool, typer.Option("--only-failed", help="Try only those that failed.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; ask no site.")]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="Do at most N sources this time.")]
GiveUp = Annotated[
    float | None,
    typer.Option(
        min=1,
        metavar="SECONDS",
        help="Give up on a source without a sign of life for this long; by default 30 times --timeout.",
    ),
]


def register(app: typer.Typer, run: Runs) -> None:
    """Add the command; ``run`` is the one place where the event loop runs."""

    @app.command()
    def batch(
        links: Links,
        output: Place = "cloudfilm",
        parallel: Parallel = None,
        retry_failed: RetryFailed = False,
        only_failed: OnlyFailed = False,
        dry_run: DryRun = False,
        template: Template = False,
        limit: Limit = None,
        answer: Answer = None,
        password: Password = None,
        provider: ProviderName = "",
        browser: Browser = BrowserUse.AUTO,
        headed: Headed = False,
        series: SeriesPattern = None,
        jobs: Jobs = 6,
        rate: Rate = None,
        timeout: Timeout = None,
        give_up: GiveUp = None,
        name: Name = "",
        pages: Pages = None,
        scheduler: Scheduler = "",
        ledger: LedgerFolder = None,
        insecure: Insecure = False,
        connect_to: ConnectToOption = None,
        proxy: Proxy = "",
        as_json: Json = False,
        quiet: Quiet = False,
        verbose: Verbose = 0,
        lang: Lang = None,
    ) -> int:
        """Many sources from a file or a folder of photos; resumable; one report."""
        from scraper.batch.input.headings import write_template
        from scraper.batch.plan import Selection

        if template:
            chosen = lang or language_from_environment()
            write_template(links, chosen)
            complain(say("batch.template", chosen, path=links))
            return 0
        settings = settings_of(
            answers=answer,
            password=password,
            connect_to=connect_to,
            language=lang,
            as_json=as_json,
            output=_folder(output, ledger),
            provider=provider,
            browser=browser,
            headed=headed,
            series=tuple(series or ()),
            jobs=jobs,
            rate=rate,
            timeout_s=timeout or 60.0,
            decode_timeout_s=timeout or 20.0,
            insecure=insecure,
            proxy=proxy,
            folder_name=name,
            give_up_s=give_up or GIVE_UP_S,
            verbosity=-1 if quiet else verbose,
        )
        choice = Selection(retry_failed, only_failed, limit)
        at_once = parallel or (MOST_AT_ONCE if scheduler else AT_ONCE)
        places = Locations(output if "://" in output else "", ledger or settings.output, scheduler, pages)
        command = BatchCommand(links, settings, choice, 1 if headed else at_once, places, as_json=as_json)
        return command.rehearse() if dry_run else command.run(run, give_up)


def _folder(output: str, ledger: Path | None) -> Path:
    """Folder on this computer for files kept here, including the studies unless they go to a URL."""
    return Path(output) if "://" not in output else ledger or Path("cloudfilm")
