"""The library's calls, each for programs with an event loop of their own (``…_async``) and, by the plain name, without one.

None of them raises for a fault of the source: that is in the result. ``UsageError`` says that the call itself is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from scraper.api.loop import blocking, in_thread
from scraper.api.options import Options, settings_of
from scraper.api.results import CodesResult, ExportResult, SourceResult
from scraper.core.errors import NoSuchFile, UsageError
from scraper.core.link import redact
from scraper.core.log import log_result, logger
from scraper.core.model import Result
from scraper.core.questions import Question
from scraper.core.settings import Language, Settings
from scraper.download.watcher import SilentWatcher, Watcher

if TYPE_CHECKING:
    from scraper.export.deidentify import Deidentification
    from scraper.send import Sent

Ask = Callable[[Question, str, Path | None], str | None]
"""Is asked for what a site wants and ``answers`` lacks: the question, the host, a picture to look at; None: not known."""
SILENT = SilentWatcher()


def _nobody(*_: object) -> None:
    return None


# ---- grab and list


@in_thread
async def grab_async(
    source: str | Path,
    *,
    settings: Settings | None = None,
    only: int = 1,
    ask: Ask = _nobody,
    watcher: Watcher = SILENT,
    **options: Unpack[Options],
) -> SourceResult:
    """Fetch the study behind a photo, a PDF, a link or a text; verify it; store it.

    Args:
        source: a file's path, a link, or a text that contains one.
        settings: the options together; those given by keyword go before.
        only: of a source that holds several films, which one, from 1.
        ask: is asked for what the site wants and ``answers`` lacks.
        watcher: receives progress events.
        options: see ``Options``.

    Raises:
        UsageError: an option that can't be, or there is no film of that number.
    """
    return (await _films(source, settings_of(settings, options), only, ask, watcher))[0]


@in_thread
async def grab_all_async(
    source: str | Path,
    *,
    settings: Settings | None = None,
    ask: Ask = _nobody,
    watcher: Watcher = SILENT,
    **options: Unpack[Options],
) -> tuple[SourceResult, ...]:
    """``grab`` every film that a source holds; one result each."""
    return await _films(source, settings_of(settings, options), 0, ask, watcher)


@in_thread
async def list_async(
    source: str | Path,
    *,
    settings: Settings | None = None,
    only: int = 1,
    ask: Ask = _nobody,
    **options: Unpack[Options],
) -> SourceResult:
    """Say which series a source has, and how many instances; download nothing."""
    return (await _films(source, settings_of(settings, options), only, ask, SILENT, is_listing=True))[0]


grab, grab_all, list_studies = blocking(grab_async), blocking(grab_all_async), blocking(list_async)


async def _films(
    source: str | Path, settings: Settings, only: int, ask: Ask, watcher: Watcher, *, is_listing: bool = False
) -> tuple[SourceResult, ...]:
    """The result of each film of a source, or of one of them."""
    from scraper.pipeline.run import Run

    given = str(source)
    shown = redact(given) if "://" in given else Path(given).suffix.lstrip(".") or "text"
    logger.info("begin: %s", shown)
    results: list[SourceResult] = []
    async with Run(settings, watcher, ask) as run:
        found = await run.films(given)
        if found.error is not None:
            return (_ended(run.refused(given, found.error), settings, 0),)
        films = found.films
        if only > len(films):
            raise UsageError(f"only={only}: 1–{len(films)}")
        for film in films[only - 1 : only] if only else films:
            result = await (run.survey(given, film=film) if is_listing else run.grab(given, film=film))
            results.append(_ended(result, settings, len(films) - 1 if only else 0))
    return tuple(results)


def _ended(result: Result, settings: Settings, further: int) -> SourceResult:
    log_result(result)
    if further:
        logger.warning("the source holds %d more films", further)
    return SourceResult(result, settings.language, further)


# ---- decode


def decode(file: str | Path, *, timeout_s: float = 20.0, password: str = "") -> CodesResult:
    """Read the codes on a photo, scan, screenshot or PDF, and say which is the film's link.

    Args:
        file: its path.
        timeout_s: for one image.
        password: of a locked PDF.

    Raises:
        NoSuchFile, UnreadableFile: there is no such file, or it can't be read.
    """
    from scraper.source import film_codes
    from scraper.source.qr import reader as qr

    path = Path(file)
    if not path.exists():
        raise NoSuchFile(path=str(path))
    with qr.Reader(password=password) as reader:
        return CodesResult(film_codes.decode(path, Settings(decode_timeout_s=timeout_s), reader))


async def decode_async(file: str | Path, *, timeout_s: float = 20.0, password: str = "") -> CodesResult:
    """``decode`` for a program that runs an event loop."""
    import asyncio

    return await asyncio.to_thread(decode, file, timeout_s=timeout_s, password=password)


# ---- verify


@in_thread
async def verify_async(folder: str | Path, *, language: str = "en", watcher: Watcher = SILENT) -> SourceResult:
    """Check any folder, or zip, of DICOM files; changes nothing.

    Raises:
        NoSuchFile: nothing there. UnreadableFile: neither a folder nor a zip.
    """
    from scraper.pipeline.folder_verdict import verify_folder

    chosen = replace(Settings(), language=Language(language))
    return _ended(await verify_folder(Path(folder), watcher), chosen, 0)


verify = blocking(verify_async)


# ---- export


@in_thread
async def export_async(
    folder: str | Path,
    to: str,
    output: str | Path | None = None,
    *,
    deidentify: bool | Deidentification = False,
    language: str = "en",
) -> ExportResult:
    """Make a zip, a CD's layout, pictures or NIfTI of a folder of DICOM files.

    Args:
        folder: it, or a zip of it.
        to: ``zip``, ``dicomdir``, ``iso``, ``png``, ``jpg``, ``nifti``, ``table``.
        output: where; by default next to ``folder``.
        deidentify: take out who the patient is (PS3.15); ``Deidentification`` says how.
        language: of the sentences.

    Raises:
        UsageError: no such target, or ``output`` exists. NoSuchFile, NoDicomHere: nothing to export.
    """
    from scraper.core.disk import disk_errors
    from scraper.export import ExportOptions, Target, beside
    from scraper.export import export as make
    from scraper.export.deidentify import Deidentification

    folder = Path(folder)
    if to not in list(Target):
        raise UsageError(f"to: {', '.join(Target)}")
    if not folder.exists():
        raise NoSuchFile(path=str(folder))
    target = Path(output) if output is not None else beside(folder, Target(to), deidentify=bool(deidentify))
    with disk_errors(target):
        wanted = ExportOptions(Deidentification() if deidentify is True else deidentify or None)
        made = await make(folder, Target(to), target, wanted)
    logger.info("exported: %s, %d files", to, made.files)
    return ExportResult(made, Language(language))


export = blocking(export_async)


# ---- send


@in_thread
async def send_async(
    folders: str | Path | Sequence[str | Path],
    target: str,
    *,
    changes: Mapping[str, str] | None = None,
    may_convert: bool = False,
    again: bool = False,
    **options: Unpack[Options],
) -> Sent:
    """Send studies to an archive, by C-STORE or STOW-RS; run again, it goes on where it ended.

    Args:
        folders: one or several, of DICOM files, or zips of them.
        target: ``pacs://AET@host:port?calling=…``, or ``https://…/studies``.
        changes: keyword → value that copies get.
        may_convert: what is refused in its own Transfer Syntax may be sent uncompressed.
        again: send what the archive took in an earlier run, too.
        options: ``answers`` (``token``, ``account``, ``password``), ``timeout_s``, ``connect_to``, ``insecure``.

    Raises:
        UsageError: the target or a change can't be. NoSuchFile, NoDicomHere: nothing to send.
    """
    from scraper.dicom.outgoing import keyword_of, value_of
    from scraper.send import send as run
    from scraper.send import target_of
    from scraper.send.run import SendOptions

    settings = settings_of(None, options)
    paths = [Path(folders)] if isinstance(folders, (str, Path)) else [Path(folder) for folder in folders]
    named = {(keyword := keyword_of(name)): value_of(keyword, value) for name, value in (changes or {}).items()}
    archive = target_of(target, insecure=settings.insecure)
    made = await run(paths, archive, settings, SendOptions(named, may_convert, again))
    logger.info("sent: %d of %d instances, %d before", made.sent, made.total, made.before)
    return made


send = blocking(send_async)
