"""Source → bytes: one instance, or one package, from the site into a file; with pace, patience and second tries."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, assert_never
from urllib.parse import urlsplit

from scraper import dicom
from scraper.core import sniff
from scraper.core.edge import reading_instance
from scraper.core.errors import (
    AsksToWait,
    CloudfilmError,
    CorruptInstance,
    MissingInstances,
    NotAnImage,
    NothingNew,
    SessionLapsed,
    SiteChanged,
    SiteUnreachable,
)
from scraper.core.model import (
    Captured,
    Instance,
    OnDemand,
    Origin,
    Package,
    PixelParts,
    Problem,
    Request,
    Tags,
    TagsAndPixels,
    WadoRs,
    WadoUri,
    ZipMember,
)
from scraper.core.reasons import Reason
from scraper.core.settings import LONGEST_RETRY_AFTER_S, MOST_PACKAGE_BYTES, MOST_PART_BYTES
from scraper.dicom.largest import largest
from scraper.download.resume import Resumable
from scraper.download.retry import Retries, most_for_instance, most_for_job, most_for_package
from scraper.protocols import zip_archive
from scraper.session import Response, Session
from scraper.session.http.status import NO_CONTENT, OVERLOADED

if TYPE_CHECKING:
    from scraper.download.wado_rs import WadoRsFetch

REFUSAL = 2**16  # bytes of a refusal's body that are read
MOST_OVERSIZED = 3  # answers that are far too large before the site is given up


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one instance turned out to be: original, or rebuilt with the problems that rebuilding met."""

    origin: Origin
    problems: tuple[Problem, ...] = ()


class Fetcher:
    """Fetches for one session; shared by all its series, so that an unreachable site is given up once and not per instance.

    Over 20 methods because each kind of source has one.


    Args:
        session: the link's conversation.
        on_bytes: called with the size of each piece that arrives.
    """

    def __init__(self, session: Session, on_bytes: Callable[[int], None] = lambda _: None) -> None:
        self._session = session
        self._tell_bytes = on_bytes
        self._lost: CloudfilmError | None = None
        self._given_up = 0
        self._oversized = 0
        self._refused: set[str] = set()
        self._blank: set[Path] = set()

    async def instance(self, instance: Instance, into: Path) -> Fetched:
        """Fetch one instance into the file ``into``, as Part 10; says whether it is original or rebuilt.

        Raises:
            MissingInstances: the site has it no more (404, 410), or has no pixels for it.
            CorruptInstance: what comes is no whole DICOM object, however often it is asked for.
            SessionLapsed: the token or cookie is no longer accepted.
            SiteUnreachable: no answer, however often it is asked.
            StoreError: the disk does not take it.
        """
        source = instance.source
        damaged_pause_s = source.pause_s if isinstance(source, TagsAndPixels) else None
        retries = Retries(self._session, damaged_pause_s)
        while True:
            if self._lost is not None:
                raise self._lost
            await self._session.unpaused()
            try:
                async with self._session.patience.bounded():
                    with reading_instance():
                        fetched = await self._once(instance, into)
            except NothingNew as err:
                into.unlink(missing_ok=True)
                self._lost = err
                raise
            except SiteChanged as err:
                self._oversized += err.reason is Reason.ANSWER_TOO_LARGE
                if self._oversized >= MOST_OVERSIZED:
                    self._lost = err
                raise
            except (SiteUnreachable, CorruptInstance) as err:
                into.unlink(missing_ok=True)
                if err.reason is Reason.CONSTANT_PICTURE and damaged_pause_s is None:
                    self._blank.add(into)  # given a second time, it is what the site has
                if retries.is_over(most_for_instance(err)):
                    self._note_failure(err)
                    if err.reason is Reason.EMPTY:  # a site that lacks an image may answer 200 and nothing
                        raise MissingInstances(why=Reason.EMPTY) from err
                    raise
                await retries.pause(err)
            else:
                self._given_up = 0
                self._session.patience.renew()
                return fetched

    def _on_bytes(self, size: int) -> None:
        self._session.patience.note_bytes(size)
        self._tell_bytes(size)

    async def package(self, package: Package, folder: Path) -> list[zip_archive.Member]:
        """Fetch and unpack one zip; see ``_package``."""
        with reading_instance():
            return await self._package(package, folder)

    async def _package(self, package: Package, folder: Path) -> list[zip_archive.Member]:
        """Fetch one zip and unpack it into ``folder``; a download that was cut short is resumed where it stopped.

        Raises:
            CorruptInstance: no sound zip. SiteUnreachable, SessionLapsed, StoreError: as for ``instance``.
        """
        archive = folder.with_name(folder.name + ".zip")
        try:
            if isinstance(package.zip, Request):
                return await self._whole(self._resumable(package.zip, archive), package, folder)
            assert not isinstance(package.zip, Path)  # noqa: S101  # the user's own are no download: on_disk
            for is_last in (False, True):
                made = await self._made(package.zip)
                if isinstance(made, Path):
                    try:
                        return await asyncio.to_thread(_unpacked, made, folder, salvage=is_last)
                    except CorruptInstance:  # damage on the way differs from try to try
                        if is_last:
                            raise
                        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
                        continue
                    finally:
                        made.unlink(missing_ok=True)
                try:
                    return await self._whole(self._resumable(made, archive), package, folder)
                except SessionLapsed:  # the address that the job gave has expired: run the job a second time
                    if is_last:
                        raise
        finally:
            for path in (archive, archive.with_name(archive.name + ".rest")):
                path.unlink(missing_ok=True)
        raise AssertionError  # the last turn returned or raised

    def _resumable(self, request: Request, archive: Path) -> Resumable:
        return Resumable(partial(self._session.request, limit=MOST_PACKAGE_BYTES), request, archive)

    async def _made(self, make: Callable[[], Awaitable[Request | Path]]) -> Request | Path:
        """Run the job that makes a package; if it says itself that it can't (SiteBusy), it is not retried."""
        retries = Retries(self._session)
        while True:
            await self._session.unpaused()
            try:
                return await make()
            except SiteUnreachable as err:
                if retries.is_over(most_for_job(err)):
                    raise
                await retries.pause(err)

    async def _whole(self, body: Resumable, package: Package, folder: Path) -> list[zip_archive.Member]:
        """Fetch one archive; retries are unlimited as long as each attempt makes progress.

        A damaged archive is fetched a second time; if it is damaged again, its sound objects are kept and the others named.
        """
        retries, most, is_damaged = Retries(self._session), 0, False
        while True:
            try:
                async with self._session.patience.bounded():
                    response = await body.attempt(self._on_bytes)
                self._judge_package(response, package)
                return await asyncio.to_thread(_unpacked, body.into, folder, salvage=is_damaged)
            except (NothingNew, AsksToWait):
                raise
            except (SiteUnreachable, CorruptInstance) as err:
                shutil.rmtree(folder, ignore_errors=True)
                if isinstance(err, CorruptInstance):
                    is_damaged = True
                    body.start_over()
                if body.size > most:
                    retries.start_over()
                most = max(most, body.size)
                if retries.is_over(most_for_package(err)):
                    raise
                await retries.pause(err)

    def _judge_package(self, response: Response, package: Package) -> None:
        """Raise the error that a refusal means, at this site or in general."""
        if not response.ok and package.refused is not None and response.path is not None:
            with response.path.open("rb") as stream:
                meant = package.refused(response.status, stream.read(REFUSAL))
            if meant is not None:
                raise meant
        self.judge(response, response.path)

    def _note_failure(self, err: CloudfilmError) -> None:
        """Treat the site as unreachable after ``jobs`` consecutive failures."""
        if isinstance(err, AsksToWait):
            self._lost = err
        elif isinstance(err, SiteUnreachable):
            self._given_up += 1
            if self._given_up >= self._session.settings.jobs:
                self._lost = err

    async def _once(self, instance: Instance, into: Path) -> Fetched:
        match instance.source:
            case WadoUri() as source:
                send = partial(self._wado_uri, source, into)
                await (source.token.carried(send) if source.token else send())
                await asyncio.to_thread(_ensure_object, into)
            case WadoRs() as source:
                return await self._wado_rs(source, into)
            case ZipMember() as source:
                packed = into.with_name(into.name + ".zip")
                try:
                    await self._download(Request(source.url, headers=source.headers), packed)
                    await asyncio.to_thread(_unzip_or_keep, packed, into)
                except MissingInstances:  # a new list may give another address (protocol page xa_data), once
                    if instance.name in self._refused:
                        raise
                    self._refused.add(instance.name)
                    raise SessionLapsed(host=urlsplit(source.url).hostname) from None
                finally:
                    packed.unlink(missing_ok=True)
                await asyncio.to_thread(dicom.ensure_part10, into)
            case Captured(path=path):
                await asyncio.to_thread(shutil.copyfile, path, into)
                await asyncio.to_thread(dicom.ensure_part10, into)
            case TagsAndPixels() as source:
                return await self._tags_and_pixels(source, into)
            case OnDemand() as source:
                return await self._asked(source, into)
            case _:
                assert_never(instance.source)
        return Fetched(instance.origin)

    async def _wado_uri(self, source: WadoUri, into: Path) -> None:
        try:
            await self._download(Request(source.url, headers=source.headers, sign=source.sign), into)
        except MissingInstances:
            if not source.fallback:
                raise
            await self._download(Request(source.fallback, headers=source.headers, sign=source.sign), into)

    async def _asked(self, source: OnDemand, into: Path) -> Fetched:
        answer = await source.ask()
        if isinstance(answer, PixelParts):
            return await self._rebuild(answer, into)
        if isinstance(answer, Path):
            await asyncio.to_thread(shutil.move, answer, into)
        else:
            await asyncio.to_thread(into.write_bytes, answer)
        self._on_bytes(into.stat().st_size)
        await asyncio.to_thread(dicom.ensure_part10, into)
        return Fetched(source.origin)

    @cached_property
    def _dicomweb(self) -> WadoRsFetch:
        from scraper.download.wado_rs import WadoRsFetch

        return WadoRsFetch(self, self._on_bytes)

    async def _wado_rs(self, source: WadoRs, into: Path) -> Fetched:
        """As a Part 10 file; where instances are refused, from metadata and frames."""
        rebuilt: list[Fetched] = []

        async def rebuild(parts: PixelParts) -> None:
            rebuilt.append(await self._rebuild(parts, into))

        is_file = await self._dicomweb.fetch(source, into, rebuild)
        return Fetched(Origin.ORIGINAL) if is_file else rebuilt[-1]

    async def _tags_and_pixels(self, source: TagsAndPixels, into: Path) -> Fetched:
        if isinstance(source.tags, Request):
            body = await self._bytes(source.tags)
            if source.read_tags is None:
                raise SiteChanged(host=urlsplit(source.tags.url).hostname, what=Reason.TAGS_UNREADABLE)
            tags = source.read_tags(body.body)
        else:
            tags = source.tags
        try:
            return await self._rebuild(await self._parts(tags, source.frames), into)
        except (CorruptInstance, MissingInstances, SiteUnreachable):
            if not source.otherwise:
                raise
            return await self._rebuild(await self._parts(tags, source.otherwise), into)

    async def _parts(self, tags: Tags, frames: Sequence[Request]) -> PixelParts:
        limit = min(largest(tags, len(frames)), MOST_PART_BYTES)
        return PixelParts(tags, tuple([(await self._bytes(request, limit)).body for request in frames]))

    async def _rebuild(self, parts: PixelParts, into: Path) -> Fetched:
        rebuilt = await asyncio.to_thread(dicom.rebuild, parts, may_be_blank=into in self._blank)
        await asyncio.to_thread(into.write_bytes, rebuilt.data)
        return Fetched(Origin.REBUILT, rebuilt.problems)

    async def _bytes(self, request: Request, limit: int = 0) -> Response:
        response = await self.send(request, None, limit)
        self.judge(response, None)
        self._on_bytes(len(response.body))
        return response

    async def _download(self, request: Request, into: Path) -> None:
        self.judge(await self.send(request, into), into)

    async def send(self, request: Request, into: Path | None, limit: int = 0) -> Response:
        """Send one request, its body into a file where one is given; the host's pace follows its answers.

        ``limit``: bytes of the body at most; 0: of any instance.
        """
        host = urlsplit(request.url).hostname or ""
        try:
            response = await self._session.request(
                request, into=into, limit=limit, on_bytes=self._on_bytes if into else None
            )
        except SiteUnreachable:
            self._session.http.pace.overloaded(host, 0.0)
            raise
        if response.status in OVERLOADED:
            pause_s = response.retry_after_s or 1.0
            self._session.http.pace.overloaded(host, pause_s if pause_s <= LONGEST_RETRY_AFTER_S else 0.0)
        elif response.ok:
            self._session.http.pace.went_well(host)
        return response

    def judge(self, response: Response, into: Path | None) -> None:
        """Raise the error that a response without success means."""
        if response.ok and response.status != NO_CONTENT:
            return
        if into is not None:
            into.unlink(missing_ok=True)
        raise response.instance_refusal


def _ensure_object(path: Path) -> None:
    """As ``dicom.ensure_part10``; a PDF in the place of an object raises NotAnImage."""
    if _kind(path) is sniff.Kind.PDF:
        raise NotAnImage
    dicom.ensure_part10(path)


def _unzip_or_keep(packed: Path, into: Path) -> None:
    """Unpack the one object of a zip, or keep a file that is not packed: some sites pack most objects, but not all."""
    kind = _kind(packed)
    if kind is sniff.Kind.ZIP:
        zip_archive.only_object(packed, into)
    elif kind in zip_archive.NO_OBJECTS:
        raise zip_archive.not_an_object([kind])
    else:
        packed.replace(into)


def _unpacked(archive: Path, folder: Path, *, salvage: bool) -> list[zip_archive.Member]:
    """The objects of a package; a study of one object may come without a zip around it."""
    kind = _kind(archive)
    if kind is not sniff.Kind.PART10:
        if kind is not sniff.Kind.ZIP and not zip_archive.is_whole(archive):
            raise CorruptInstance(what=sniff.NAMES.get(kind, sniff.NAMES[sniff.Kind.UNKNOWN]))
        return list(zip_archive.unpack(archive, folder, salvage=salvage))
    folder.mkdir(parents=True, exist_ok=True)
    return [zip_archive.Member(archive.stem, archive.replace(folder / "000001"))]


def _kind(path: Path) -> sniff.Kind:
    with path.open("rb") as stream:
        return sniff.sniff(stream.read(sniff.HEAD))
