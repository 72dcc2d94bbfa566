"""``batch``: many sources from a list or a folder, resumable, with one report at the end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from scraper.cli.batch_command import BatchCommand, Locations
from scraper.cli.options import Runs, takes
from scraper.core.messages import say
from scraper.core.output import complain
from scraper.core.settings import Settings

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
Pages = Annotated[
    bool | None,
    typer.Option(
        "--pages/--no-pages",
        help="Write a page to look at into each study's folder; by default for up to 20 studies and 1 GB.",
    ),
]
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
    @takes(
        *(
            "answer",
            "password",
            "provider",
            "browser",
            "headed",
            "series",
            "jobs",
            "rate",
            "timeout",
            "give_up",
            "name",
        ),
        *("insecure", "connect_to", "proxy", "as_json", "quiet", "verbose", "lang"),
    )
    def batch(
        links: Links,
        output: Place = "cloudfilm",
        parallel: Parallel = None,
        retry_failed: RetryFailed = False,
        only_failed: OnlyFailed = False,
        dry_run: DryRun = False,
        template: Template = False,
        limit: Limit = None,
        give_up: GiveUp = None,
        pages: Pages = None,
        scheduler: Scheduler = "",
        ledger: LedgerFolder = None,
        *,
        as_json: bool,
        settings: Settings,
    ) -> int:
        """Many sources from a file or a folder of photos; resumable; one report."""
        from scraper.batch.input.headings import write_template
        from scraper.batch.plan import Selection

        if template:
            write_template(links, settings.language)
            complain(say("batch.template", settings.language, path=links))
            return 0
        settings = replace(settings, output=_folder(output, ledger))
        choice = Selection(retry_failed, only_failed, limit)
        at_once = parallel or (MOST_AT_ONCE if scheduler else AT_ONCE)
        places = Locations(output if "://" in output else "", ledger or settings.output, scheduler, pages)
        command = BatchCommand(links, settings, choice, 1 if settings.headed else at_once, places, as_json=as_json)
        return command.rehearse() if dry_run else command.run(run, give_up)


def _folder(output: str, ledger: Path | None) -> Path:
    """Folder on this computer for files kept here, including the studies unless they go to a URL."""
    return Path(output) if "://" not in output else ledger or Path("cloudfilm")
