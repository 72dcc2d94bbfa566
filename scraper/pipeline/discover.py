"""Discover what one source holds: read its link, find the provider, open a session, and ask the site."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from scraper.contract import Discovered, Package, Provider, Session, ShareLink
from scraper.core.discovered import DiscoveredItems, iterate
from scraper.core.edge import reading_lists
from scraper.core.errors import (
    BrowserMissing,
    CloudfilmError,
    ForeignHost,
    NeedsBrowser,
    NoSuchStudy,
    NothingNew,
    SessionLapsed,
    SiteChanged,
    SiteUnreachable,
    UnknownViewer,
    UnsafeRedirect,
)
from scraper.core.link import parse_url
from scraper.core.model import Request, Via
from scraper.core.questions import FILM_LINK
from scraper.core.settings import BrowserUse, Settings
from scraper.download.watcher import Watcher
from scraper.pipeline import local_files
from scraper.pipeline.discovery import Discovery, marked, select
from scraper.pipeline.resources import SharedResources
from scraper.pipeline.yielded import checked
from scraper.registry import catalogue
from scraper.registry.catalogue import Owner
from scraper.session import Ask
from scraper.session.door import Door
from scraper.session.http.client import Http
from scraper.source import kinds, resolve

if TYPE_CHECKING:
    from scraper.session.browser import Window

SHORT_LINK_HOPS = 6
PRECHECK_TIMEOUT_S = 30.0


class Discoverer:
    """Opens the links of one run.

    Args:
        settings: the user's options.
        watcher: receives progress events.
        ask: asks the person at the terminal.
        stdin: gives the text of standard input, or a file with what came there.
        resources: what the run's links share.
    """

    def __init__(
        self,
        settings: Settings,
        watcher: Watcher,
        ask: Ask,
        stdin: Callable[[], str | Path],
        resources: SharedResources,
    ) -> None:
        self._settings = settings
        self._watcher = watcher
        self._ask = ask
        self._stdin = stdin
        self._resources = resources
        self._warned_of_sandbox = False

    async def read(self, source: str) -> ShareLink:
        """The link that a source holds; the first of several.

        Raises:
            CloudfilmError: no file, no picture, no link in it.
        """
        is_slow = kinds.is_file(source) or source == "-"
        held = await asyncio.to_thread(self.held, source) if is_slow else self.held(source)
        return held.links[0]

    def held(self, source: str) -> resolve.SourceLinks:
        """Every film's link that a source holds.

        Raises:
            CloudfilmError: no file, no picture, no link in it.
        """
        return resolve.read_all(source, self._settings, self._stdin, self._ask_which)

    def _ask_which(self, links: Sequence[str]) -> str | None:
        """Ask which of several equally likely links is the film's; its number, as the person types it."""
        options = tuple(parse_url(url).redacted for url in links)
        for number, option in enumerate(options, 1):
            self._watcher.say(f"{number}: {option}")
        return self._ask(replace(FILM_LINK, options=options), parse_url(links[0]).host, None)

    async def owner(self, share: ShareLink) -> Owner:
        """Find the provider of a link; fall back to the universal capture.

        Raises:
            UnknownViewer: no provider knows it, and a browser is forbidden. PageBehindLink, UnsafeRedirect: it can't be used.
        """
        if share.scheme == "file":
            return Owner(local_files.of(share), share)
        owner, answers = catalogue.find(share, self._settings.provider), share.answers
        if owner is None:
            catalogue.refuse_page_behind_link(share)
            share, owner = await self._follow_short_link(share)
        if owner is None:
            if self._settings.browser is BrowserUse.NEVER:
                raise UnknownViewer(link=share.redacted)
            owner = Owner(catalogue.universal(), share, listed=False)
        elif not owner.listed and not self._settings.provider:
            self._watcher.say(f"{share.host}: {owner.provider.name}")
        return Owner(owner.provider, replace(owner.link, answers=answers), owner.listed)

    async def discover(self, owner: Owner, session: Session) -> Discovery:
        """Ask the site what it has: directly if the provider can, else through the browser.

        Raises:
            CloudfilmError: the site refuses, or can't be reached.
        """
        provider, use = owner.provider, self._settings.browser
        via: Via | None = Via.DIRECT
        found = list[Discovered]()
        if isinstance(provider, local_files.WithoutSite):  # there is no site that could be silent
            via, found = None, checked(provider, [row async for row in iterate(provider.discover(owner.link, session))])
        elif not provider.is_web():
            found = await listed(provider, owner.link, session)
        elif provider.speaks_directly() and use is not BrowserUse.ALWAYS and not self._settings.headed:
            try:
                found = await listed(provider, owner.link, session)
            except SiteChanged as changed:
                if use is BrowserUse.NEVER:
                    raise
                via, found = Via.BROWSER, await self._through_its_page(owner, session, changed)
        elif use is BrowserUse.NEVER:
            raise NeedsBrowser(host=owner.link.host)
        else:
            via, found = Via.BROWSER, await self._watched(owner, session)
        session.patience.listed()
        return Discovery(owner, session, tuple(found), via)

    def chosen(self, discovery: Discovery) -> Discovery:
        """Select what ``--series`` asks for.

        Raises:
            NoSuchStudy: the site has nothing, or nothing that matches. NothingNew: the site was given up before it listed any.
        """
        host, found = discovery.owner.link.host, discovery.found
        ended = discovery.session.patience.ended
        chosen = tuple(marked(select(found, self._settings.series), ended))
        if ended is not None and not chosen:
            raise ended
        if not any(isinstance(series, Package) or series.instances or series.problems for series in found):
            raise NoSuchStudy(host=host)
        if not chosen:
            raise NoSuchStudy(f"--series {' '.join(self._settings.series)}", host=host)
        return replace(discovery, found=chosen)

    async def _follow_short_link(self, share: ShareLink) -> tuple[ShareLink, Owner | None]:
        """Follow an unknown link's redirects, one checked hop at a time, until a provider owns the address."""
        http = Http(
            replace(self._settings, timeout_s=min(self._settings.timeout_s, PRECHECK_TIMEOUT_S)),
            self._resources.pace,
            door=Door(self._settings, self._resources.network),
        )
        here = share
        try:
            for _ in range(SHORT_LINK_HOPS):
                response = await http.send(Request(here.url.partition("#")[0]), hops=0, limit=16 * 2**20)
                location = response.headers.get("location", "")
                if response.status not in (301, 302, 303, 307, 308) or not location:
                    break
                target = here.join(location)
                await http.check_hop(here.url, target)
                if "#" not in target and here.parts.fragment:
                    target += (
                        "#" + here.parts.fragment
                    )  # a fragment survives a redirect that names none (RFC 9110 10.2.2)
                here = replace(parse_url(target), answers=share.answers)
                owner = catalogue.find(here)
                if owner is not None:
                    return here, owner
        except UnsafeRedirect:
            raise
        except CloudfilmError:
            if self._settings.browser is BrowserUse.NEVER:
                raise
        finally:
            await http.close()
        return share, None

    async def session(self, owner: Owner, stack: AsyncExitStack) -> Session:
        """A session on the owner's link, closed by ``stack``."""
        provider = owner.provider
        spool = self._resources.spool / hashlib.sha256(owner.link.url.encode()).hexdigest()[:12]

        async def start_window() -> Window:
            browser = await self._resources.browser()
            window = await browser.window(
                user_agent=provider.user_agent, mobile=provider.mobile, door=http.door, settings=self._settings
            )
            if browser.unfenced_why and not self._warned_of_sandbox:
                self._warned_of_sandbox = True
                self._watcher.say(f"no-sandbox-{browser.unfenced_why}")
            window.on_blocked_host = lambda host: self._watcher.say("kept-out", host=host)
            return window

        door = Door(self._settings, self._resources.network)
        http = Http(self._settings, self._resources.pace, provider.user_agent, door)
        session = Session(
            owner.link,
            self._settings,
            http,
            start_window=start_window,
            ask=self._ask,
            spool=spool,
            tell=self._watcher.say,
            hosts=(*provider.shape().hosts, *provider.hosts),
            page=owner.link.url if provider.names_page and provider.asks_itself() else "",
        )
        stack.push_async_callback(_removed, spool)
        stack.push_async_callback(session.close)
        return session

    async def _through_its_page(self, owner: Owner, session: Session, changed: SiteChanged) -> list[Discovered]:
        """Read a changed site's own page: by the provider, else by the universal capture.

        Raises:
            SiteChanged: the first error, if neither finds anything. BrowserMissing: no browser is installed.
        """
        for is_universal in (False, True) if owner.provider.watches() else (False,):
            try:
                return await self._watched(owner, session, is_universal=is_universal)
            except BrowserMissing as missing:
                raise missing from changed
            except (UnknownViewer, SiteChanged):
                continue
        raise changed

    async def _watched(self, owner: Owner, session: Session, *, is_universal: bool = False) -> list[Discovered]:
        """Read what the viewer shows in the browser: by the provider's own steps, else by the universal capture.

        Args:
            owner: the link and its provider.
            session: the link's.
            is_universal: the provider opens the viewer, and the universal capture watches it.
        """
        self._watcher.say(owner.link.host)
        universal = catalogue.universal()
        opens = owner.provider if owner.provider.has_viewer() else universal
        watches = owner.provider if owner.provider.watches() and not is_universal else universal
        window = await session.window()
        found: list[object] = []
        try:
            async with window.guard(owner.link.host):
                if watches.name == universal.name:
                    await window.look_into_memory()
                    await window.leave()
                async with session.patience.bounded():
                    with reading_lists(owner.link.host):
                        await opens.open_viewer(owner.link, session)
                return await _all_of(watches, watches.watch(owner.link, session), session, found)
        except (SiteChanged, SiteUnreachable) as err:
            if not window.has_ended or isinstance(err, ForeignHost):
                raise
            # the page crashed, the browser took too much memory, or somebody closed its window: what came by then stays
            found += await session.patience.rest()
            if not found:
                raise
            session.patience.end_listing(err)
            return checked(watches, found)


async def _removed(spool: Path) -> None:
    if spool.exists():
        await asyncio.to_thread(shutil.rmtree, spool, ignore_errors=True)


async def listed_again(discovery: Discovery) -> list[Discovered]:
    """List again: directly if the provider can, else from the open viewer.

    Raises:
        SessionLapsed: the universal capture holds bodies, and can't ask again.
    """
    provider, link, session = discovery.owner.provider, discovery.owner.link, discovery.session
    if provider.speaks_directly():
        return await listed(provider, link, session)
    if not provider.watches():
        raise SessionLapsed(host=link.host)
    with reading_lists(link.host):
        return checked(provider, [found async for found in iterate(provider.watch(link, session))])


async def listed(provider: Provider, share: ShareLink, session: Session) -> list[Discovered]:
    """List what a provider finds without a browser, until the site sends nothing new for too long."""
    return await _all_of(provider, provider.discover(share, session), session)


async def _all_of(
    provider: Provider, given: DiscoveredItems, session: Session, found: list[object] | None = None
) -> list[Discovered]:
    """Collect what a provider yields; if it yields nothing new for too long, what it yielded until then.

    Args:
        provider: whose objects are checked.
        given: what it yields.
        session: the link's.
        found: where it is collected, for a caller that wants it after another error, too.

    Raises:
        NothingNew: it yielded nothing at all.
    """
    found = [] if found is None else found
    with reading_lists(session.link.host):
        try:
            async with session.patience.bounded():
                async for row in iterate(given):
                    found.append(row)  # what came stays where the rest does not come
        except NothingNew as err:
            found += await session.patience.rest()
            if not found:
                raise
            session.patience.end_listing(err)
        return checked(provider, found)
