"""``learn`` and ``record``: the commands that watch a viewer without a provider."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from scraper.cli.options import OneSource, Runs, asker, takes
from scraper.core.errors import UsageError
from scraper.core.messages import describe, say
from scraper.core.output import complain, console, echo
from scraper.core.settings import BrowserUse, Settings

InferredProvider = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="The file; by default the platform's name.")
]

Save = Annotated[
    bool, typer.Option("--save", help="Where a known site has changed a key: keep the new one as a local override.")
]

Files = Annotated[
    Path | None,
    typer.Option(
        "--files",
        metavar="DIR",
        help="Write provider, emulated site, its facts and tests there: a checkout, or a package of your own.",
    ),
]

Bundle = Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The bundle, a zip.")]


def register(app: typer.Typer, run: Runs) -> None:
    """Add the commands; ``run`` is the one place where the event loop runs."""
    site = ("answer", "password", "headed", "timeout", "insecure", "connect_to", "proxy", "quiet", "lang")

    @app.command()
    @takes(*site)
    def learn(
        source: OneSource,
        output: InferredProvider = None,
        files: Files = None,
        save: Save = False,
        *,
        settings: Settings,
    ) -> int:
        """Watch an unknown viewer once, and write a small provider for it; or find what a known site has changed."""
        settings = replace(settings, keep_programs=files is not None)
        if output is not None and files is not None:
            raise UsageError("-o, --files: one of them")
        if output is not None and output.exists():
            raise UsageError(f"-o {output}: it is there already")
        return int(run(_learn(source, output, files, settings, is_saving=save)))

    @app.command()
    @takes(*site, browser=BrowserUse.ALWAYS, keep_programs=True)
    def record(source: OneSource, output: Bundle, *, settings: Settings) -> int:
        """Record a link's traffic with every person's value, token and pixel replaced: for a bug report or a new provider."""
        return int(run(_record(source, output, settings)))


async def _record(source: str, output: Path, settings: Settings) -> int:
    from scraper.authoring.record import record_link

    async with _running(settings) as job:
        made = await record_link(job, source, output)
    counts = {"path": made.path, "requests": made.requests, "messages": made.messages, "values": made.values}
    echo(say("record.done", settings.language, **counts))
    if made.error is not None:
        complain(describe(made.error, settings.language))
    complain(say("record.look", settings.language, path=made.path))
    return 0


async def _learn(source: str, output: Path | None, files: Path | None, settings: Settings, *, is_saving: bool) -> int:
    from scraper.authoring.from_har import learn_har
    from scraper.authoring.learn import learn_link
    from scraper.core.disk import disk_errors
    from scraper.core.leftovers import RunFolder
    from scraper.source import kinds

    is_recording = kinds.is_file(source) and kinds.is_har(Path(source))
    done = "learn.recorded" if is_recording else "learn.done"
    with RunFolder() as folder:
        bundle = Path(folder) / "bundle.zip" if files is not None else None
        if is_recording:
            written = await learn_har(Path(source), Path(folder), settings.answers, bundle)
        else:
            async with _running(settings) as job:
                written = await learn_link(job, source, bundle)
        if files is not None and bundle is not None and written.source:
            paths = await _platform_files(written.name, bundle, written.source, files)
            counts = {"instances": written.instances, "proofs": written.proofs}
            echo(say(done, settings.language, path=paths[0], **counts))
            for path in paths:
                echo(str(path))
            return 0
    if written.served_by:
        if not is_recording and await _heal(source, settings, is_saving=is_saving):
            return 0
        complain(say("learn.served", settings.language, host=written.host, provider=written.served_by))
        return 0
    path = output or Path(f"{written.name}.py")
    if path.exists():
        raise UsageError(f"{path}: it is there already; -o FILE")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(written.source, encoding="utf-8")
    about = {"path": path, "instances": written.instances, "proofs": written.proofs}
    echo(say("learn.watched" if written.is_watched else done, settings.language, **about))
    complain(say("learn.next", settings.language, path=path))
    return 0


async def _platform_files(name: str, bundle: Path, source: str, files: Path) -> list[Path]:
    from scraper.authoring.platform_files import ScaffoldError, new_platform, write
    from scraper.core.disk import disk_errors

    try:
        platform = await new_platform(name, bundle, source)
        if platform.learnt is None:
            raise ScaffoldError(platform.why_not)
        with disk_errors(files):
            return write(platform, files)
    except ScaffoldError as err:
        raise UsageError(f"--files {files}: {err}") from err


async def _heal(source: str, settings: Settings, *, is_saving: bool) -> bool:
    """Whether the link's provider did not work any more and was mended: the difference is shown, and saved where asked."""
    from scraper.authoring.heal import heal_link
    from scraper.registry import overrides

    async with _running(replace(settings, keep_programs=True)) as job:
        healed = await heal_link(job, source)
    if healed is None:
        return False
    provider, language = healed.provider.name, settings.language
    for name, (old, new) in healed.changes.items():
        shown = {"old": _shown(old), "new": _shown(new)}
        echo(say("learn.change", language, provider=provider, name=name, **shown))
    counts = {"provider": provider, "instances": healed.instances}
    if is_saving:
        healed.save()
        echo(say("learn.saved", language, path=overrides.path(), **counts))
    else:
        complain(say("learn.healed", language, host=healed.host, **counts))
    return True


def _shown(value: str | bytes) -> str:
    """A constant's value for people: its text, or hexadecimal where it is no text."""
    if isinstance(value, str):
        return value
    return value.decode("ascii") if value.isascii() and value.decode("ascii").isprintable() else value.hex()


def _running(settings: Settings) -> Any:
    """One run that shows its progress on standard error."""
    from contextlib import asynccontextmanager

    from scraper.pipeline.run import Run
    from scraper.ui.report import Display

    @asynccontextmanager
    async def opened() -> Any:
        with Display(console(err=True), settings.language, quiet=settings.verbosity < 0) as display:
            async with Run(settings, display, asker(settings)) as job:
                yield job

    return opened()
