"""A folder, an archive or a recording on this computer, as a source without a site: nothing is asked but a password."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from scraper.contract import AsyncIterator, Package, Provider, Series, Session, ShareLink
from scraper.core.errors import CredentialsRequired
from scraper.core.model import Counts, Study, StudyResult
from scraper.core.questions import PASSWORD
from scraper.download import on_disk
from scraper.download.watcher import SilentWatcher
from scraper.pipeline.folder_verdict import judge_files
from scraper.pipeline.resources import SharedResources
from scraper.source import kinds
from scraper.verify import Files, opened


class WithoutSite(Provider):
    """Takes the place of a provider where no site is asked."""

    schemes = ("file", "listen")
    route = r".*"
    names_page = False


class LocalFiles(WithoutSite):
    """A folder or an archive."""

    name = "files"
    serves = "the files as they are"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Package]:
        """The one package that the source is."""
        del session
        yield Package(kinds.path_of(link), Study(key=link.path))


class Recording(WithoutSite):
    """A browser's recording (HAR)."""

    name = "har"
    serves = "what a person's own browser received"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Series]:
        """The series that were recognised in the recording."""
        from scraper.capture.har import series_in  # loaded where it is needed: it takes pydicom along

        is_asked = session.settings.fetch_missing
        on_page = session.turn_to if is_asked else _ask_nobody
        for series in await series_in(kinds.path_of(link), session.spool, fetch_missing=is_asked, on_page=on_page):
            yield series


def _ask_nobody(page: str) -> None:
    del page


class SavedPage(WithoutSite):
    """A viewer's page that a person saved, with images in it."""

    name = "page"
    serves = "what a person saved with the page"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Series]:
        """The series whose images lie in the page."""
        from scraper.capture.har import series_in_page

        for series in await series_in_page(kinds.path_of(link), session.spool):
            yield series


def of(link: ShareLink) -> Provider:
    """What takes the place of a provider for a ``file:`` link."""
    if kinds.path_of(link).suffix.lower() in kinds.PAGES:
        return SavedPage()
    return Recording() if kinds.is_har(kinds.path_of(link)) else LocalFiles()


async def opened_files(path: Path, session: Session, stack: ExitStack) -> Files:
    """The files of a folder or an archive, until ``stack`` closes; a person is asked for its password where it has one.

    Raises:
        CredentialsRequired: it has a password that was not given. CredentialsRefused: the password is wrong; no other is tried.
        UnreadableFile: it can't be unpacked. DiskFull: it does not fit.
    """
    given = session.given(PASSWORD)
    try:
        return await asyncio.to_thread(stack.enter_context, opened(path, given))
    except CredentialsRequired:
        try:
            given = session.answer(PASSWORD)
        except CredentialsRequired as err:
            raise CredentialsRequired(PASSWORD.name, host=path.name) from err
        return await asyncio.to_thread(stack.enter_context, opened(path, given))


async def surveyed(path: Path, session: Session, resources: SharedResources) -> list[StudyResult]:
    """The studies of a folder or an archive with their series and counts; nothing is saved.

    Raises:
        CloudfilmError: as for ``opened_files`` and ``on_disk.contents_of``.
    """
    with ExitStack() as stack:
        files = await opened_files(path, session, stack)
        if not any(not candidate.left_out for candidate in files.candidates):
            raise on_disk.without_dicom(path, files)
        watcher = SilentWatcher()
        watcher.series(path.name, "DICOM", None)
        judged = await judge_files(path.name, files, await resources.inspector())
    return [_announced(study) for study in judged.studies]


def _announced(study: StudyResult) -> StudyResult:
    """A study as a list shows it: what there is, counted, and none of it saved."""
    series = tuple(
        replace(row, expected=row.saved if row.expected is None else row.expected, saved=0) for row in study.series
    )
    there = study.counts.saved
    expected = there if study.counts.expected is None else study.counts.expected
    return replace(study, series=series, counts=Counts(expected, 0, 0, study.counts.failed))
