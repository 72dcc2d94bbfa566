"""All that a provider may touch: its base class, the Session it speaks through, the nouns it gives, the errors it raises.

Over 400 lines because half is the list of the names that providers import from here, and from where.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import ClassVar, Protocol, TypeVar

from scraper.core.bounded_json import parse_json
from scraper.core.counts import stated_images
from scraper.core.discovered import DiscoveredItems, iterate
from scraper.core.errors import (
    CaptchaRequired,
    CloudfilmError,
    CorruptInstance,
    CredentialsError,
    CredentialsRefused,
    CredentialsRequired,
    DownloadNotPermitted,
    LinkExpired,
    MalformedArchiveLink,
    MiniProgramOnly,
    MissingInstances,
    NeedsBrowser,
    NoSuchStudy,
    NotAnImage,
    NotOriginalDicom,
    NotThereYet,
    PageBehindLink,
    QueryTooWide,
    SessionLapsed,
    ShareCancelled,
    SiteBusy,
    SiteChanged,
    SiteUnreachable,
    StudyGone,
    TooManyStudies,
    UnusableLink,
)
from scraper.core.html import Page, unescape_html
from scraper.core.link import ShareLink
from scraper.core.model import (
    ArchiveSeries,
    Captured,
    Deployment,
    Discovered,
    Instance,
    OnDemand,
    Origin,
    Package,
    PixelParts,
    Problem,
    Request,
    Series,
    Study,
    Tags,
    TagsAndPixels,
    WadoRs,
    WadoUri,
    ZipMember,
)
from scraper.core.questions import (
    ACCESS_CODE,
    ACCOUNT,
    CAPTCHA,
    ID_LAST4,
    ID_LAST6,
    NAME,
    PASSWORD,
    PHONE,
    PHONE_LAST4,
    SMS_CODE,
    TOKEN,
    Question,
)
from scraper.core.reasons import Reason
from scraper.core.refusals import refusal_error, refusal_kind
from scraper.core.rows import ImageRow, SeriesRow, StudyRow, in_order
from scraper.core.schema import (
    CheckedReply,
    Field,
    Number,
    Repaired,
    Reply,
    at_most,
    frame_count,
    none_last,
    parse_int,
    read,
)
from scraper.core.settings import LOOK_S, PERSON_S, QUIET_S
from scraper.core.shape import Shape
from scraper.core.text import GB, codec_of, decode_text
from scraper.protocols import j2k_json
from scraper.session import Cookie, Response, Session, encode_query, with_query
from scraper.session.call import Call
from scraper.session.websocket import Socket

WECHAT_PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 "
    "MicroMessenger/8.0.50(0x18003237) NetType/WIFI Language/zh_CN"
)
"""A phone's WeChat, for sites that give other pages to other browsers."""


P = TypeVar("P", bound="Provider")
C = TypeVar("C", bound=CheckedReply)
Way = Callable[[P, ShareLink, Session], Awaitable[Sequence[Discovered]]]


def route(*patterns: str) -> Callable[[Way[P]], Way[P]]:
    """Have a method discover the links whose ``path?query#fragment`` one of the patterns matches whole.

    A pattern is a regular expression; ``{name}`` in it stands for a part without ``/ ? # &``, which the method finds as
    ``link["name"]``. Of a provider's patterns the first that matches counts.
    """

    def mark(method: Way[P]) -> Way[P]:
        method.__dict__["routes"] = patterns
        return method

    return mark


class Gate(Protocol):
    """What stands between a link's page and its viewer; ``providers.toolkit.gate`` has the usual one."""

    async def enter(self, session: Session) -> None:
        """Pass it on the open page."""


class Provider:
    """One platform: what its links look like, what it asks, and how its site is spoken to.

    Attributes:
        name: unique, lower case.
        schemes: of its links; ``pacs`` for an archive, which no browser opens.
        route: one pattern, or several, as for the decorator ``route``, where ``discover`` is one method for all links.
        asks: what its page may ask of the user; ``when_asked`` says when.
        serves: what kind of files it gives, in words.
        verified: what it was tried on, and when.
        facts: where it is written what is known of the site; by default ``fixtures/sites/<module>/README.md``.
        deployments: the hosts known; ``*.example.cn`` stands for any name below it.
        hosts: others of this platform, to which what is a person's own may go, wherever the link lies.
        distinctive_routes: expressions like ``route`` by which a link is recognised on a host that no row lists, because no
            other platform's links look like it.
        user_agent: where the site gives other pages to other browsers.
        mobile: the page wants a phone's screen and touch; by default, where ``user_agent`` is a phone's WeChat.
        names_page: requests bear the link's page as ``Origin`` and ``Referer``, as a browser's do.
        behind: expressions for ``host/path?query#fragment`` of pages that a link of this platform leads to. Such an address
            which is no link itself, copied after the redirect, counts only in the session that opened it.
        example: an invented link, for the table of platforms.
        saved_page: an expression found in this platform's viewer page; such a page, saved by hand, is a source too, and
            reaches ``discover`` as ``link.saved`` of the link ``saved_from``, which ``route`` matches.
        entry: the call that everything begins with: ``discover`` sends it, ``watch`` waits for the page's own, and both hand
            the response to ``describe``.
        gate: what stands between the link's page and its viewer; ``open_viewer`` passes it.
        study_list_call: an expression found in the address of the call by which its viewer lists a study; ``watch`` hands
            the response to ``describe``. By default the entry's.
        on_any_host: a viewer on any host that makes such a call is read by ``watch``, which then looks at the link for
            nothing but its host.
    """

    name: ClassVar[str] = ""
    schemes: ClassVar[tuple[str, ...]] = ("http", "https")
    route: ClassVar[str | tuple[str, ...]] = ()
    asks: ClassVar[tuple[Question, ...]] = ()
    when_asked: ClassVar[str] = ""
    serves: ClassVar[str] = "Part 10 files, one GET each"
    verified: ClassVar[str] = "emulated site only"
    facts: ClassVar[str] = ""
    deployments: ClassVar[tuple[Deployment, ...]] = ()
    hosts: ClassVar[tuple[str, ...]] = ()
    distinctive_routes: ClassVar[tuple[str, ...]] = ()
    user_agent: ClassVar[str] = ""
    mobile: ClassVar[bool] = False
    names_page: ClassVar[bool] = True
    behind: ClassVar[tuple[str, ...]] = ()
    example: ClassVar[str] = ""
    saved_page: ClassVar[str] = ""
    saved_from: ClassVar[str] = ""
    entry: ClassVar[Call | None] = None
    gate: ClassVar[Gate | None] = None
    study_list_call: ClassVar[str] = ""
    on_any_host: ClassVar[bool] = False
    _ways: ClassVar[tuple[tuple[str, str], ...]] = ()  # pattern, name of the method

    def __init_subclass__(cls) -> None:
        """Collect the methods that ``route`` marks, in their order."""
        ways = [
            (pattern, name)
            for name, value in vars(cls).items()
            for pattern in getattr(value, "__dict__", {}).get("routes", ())
        ]
        cls._ways = tuple(ways) or cls._ways
        cls.mobile = cls.mobile or cls.user_agent == WECHAT_PHONE
        if cls.entry is not None and not cls.study_list_call:
            cls.study_list_call = cls.entry.pattern

    @classmethod
    def shape(cls) -> Shape:
        """What its links look like."""
        hosts = tuple(row.host for row in cls.deployments)
        given = (cls.route,) if isinstance(cls.route, str) else cls.route
        routes = given or [pattern for pattern, _ in cls._ways]
        return Shape(
            cls.name,
            tuple(cls.schemes),
            tuple(map(_expression, routes)),
            tuple(cls.distinctive_routes),
            hosts,
            tuple(cls.behind),
            cls.saved_page,
            cls.saved_from,
            cls.on_any_host,
            cls.__module__,
        )

    @classmethod
    def owns(cls, link: ShareLink) -> ShareLink | None:
        """The link with the route's named groups, where host and route are this platform's; else None."""
        return cls.shape().owns(link)

    @classmethod
    def recognises(cls, link: ShareLink) -> ShareLink | None:
        """The same on a host that no row lists, recognised by a distinctive route."""
        return cls.shape().recognises(link)

    @classmethod
    def reads(cls, link: ShareLink) -> ShareLink | None:
        """The same on any host, whether or not the address betrays the platform."""
        return cls.shape().reads(link)

    def discover(self, link: ShareLink, session: Session) -> DiscoveredItems:
        """Speak to the site and describe what there is; downloads nothing, and may be run again."""
        for pattern, name in self._ways:
            if link.matched(_expression(pattern)) is not None:
                found: DiscoveredItems = getattr(self, name)(link, session)
                return found
        return self._enter(link, session)

    async def _enter(self, link: ShareLink, session: Session) -> Sequence[Discovered]:
        if self.entry is None:
            raise NotImplementedError(self.name)
        return await self.describe(link, session, await self.entry.send(link, session))

    async def entered(self, link: ShareLink, session: Session, response: Response, reply: type[C]) -> C:
        """What the response to ``entry`` gives; the code or password that it asks for is given once. See ``Call.entered``."""
        if self.entry is None:
            raise NotImplementedError(self.name)
        return await self.entry.entered(link, session, response, reply)

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        """Open the viewer in the browser: by default, open the link, and pass the gate."""
        await session.open(link.url)
        if self.gate is not None:
            await self.gate.enter(session)

    def watch(self, link: ShareLink, session: Session) -> DiscoveredItems:
        """Describe the study that the open viewer shows: by default, what ``describe`` makes of its ``study_list_call``.

        Where the page makes no such call (it waits for a person, or says why not), the site is asked directly, and says so too.
        """
        return self._watch(link, session)

    async def _watch(self, link: ShareLink, session: Session) -> list[Discovered]:
        response = await session.captured_reply(self.study_list_call)
        if response is None:
            return [found async for found in iterate(self.discover(link, session))]
        return list(await self.describe(link, session, response))

    async def describe(self, link: ShareLink, session: Session, response: Response) -> Sequence[Discovered]:
        """What the response to ``study_list_call`` lists, whoever asked: ``discover`` or the page."""
        raise NotImplementedError(self.name)

    @classmethod
    def speaks_directly(cls) -> bool:
        """Can it discover without a browser."""
        return cls.discover is not Provider.discover or bool(cls._ways) or cls.entry is not None

    @classmethod
    def is_web(cls) -> bool:
        """Could a browser open its links."""
        return "https" in cls.schemes

    @classmethod
    def watches(cls) -> bool:
        """Does it describe what the open viewer shows; else the universal capture does."""
        return cls.watch is not Provider.watch or cls.describe is not Provider.describe

    @classmethod
    def asks_itself(cls) -> bool:
        """Does it ask its site anything itself; else the universal capture asks, and repeats what the viewer sent."""
        return cls.speaks_directly() or cls.watches()

    @classmethod
    def has_viewer(cls) -> bool:
        """Does it bring the viewer up itself; else the universal capture opens the link."""
        return cls.open_viewer is not Provider.open_viewer or cls.gate is not None or cls.watches()


def _expression(pattern: str) -> str:
    """A pattern as the regular expression that it stands for."""
    return re.sub(r"\{([a-z_]+)\}", r"(?P<\1>[^/?#&]+)", pattern)


__all__ = [
    "ACCESS_CODE",
    "ACCOUNT",
    "CAPTCHA",
    "ID_LAST4",
    "ID_LAST6",
    "LOOK_S",
    "NAME",
    "PASSWORD",
    "PERSON_S",
    "PHONE",
    "PHONE_LAST4",
    "QUIET_S",
    "SMS_CODE",
    "TOKEN",
    "WECHAT_PHONE",
    "Call",
    "CheckedReply",
    "OnDemand",
    "AsyncIterator",
    "CaptchaRequired",
    "Captured",
    "CloudfilmError",
    "Cookie",
    "CorruptInstance",
    "CredentialsError",
    "CredentialsRefused",
    "CredentialsRequired",
    "Deployment",
    "DownloadNotPermitted",
    "Field",
    "Discovered",
    "Gate",
    "DiscoveredItems",
    "ArchiveSeries",
    "Instance",
    "LinkExpired",
    "MalformedArchiveLink",
    "MiniProgramOnly",
    "MissingInstances",
    "NeedsBrowser",
    "NoSuchStudy",
    "NotAnImage",
    "NotOriginalDicom",
    "NotThereYet",
    "Number",
    "Origin",
    "Package",
    "Page",
    "PageBehindLink",
    "PixelParts",
    "Problem",
    "Provider",
    "QueryTooWide",
    "Question",
    "Reason",
    "Repaired",
    "Reply",
    "Request",
    "Response",
    "Series",
    "Session",
    "SessionLapsed",
    "ShareCancelled",
    "ShareLink",
    "SiteBusy",
    "SiteChanged",
    "SiteUnreachable",
    "Socket",
    "Study",
    "StudyGone",
    "Tags",
    "TagsAndPixels",
    "TooManyStudies",
    "UnusableLink",
    "WadoRs",
    "WadoUri",
    "ZipMember",
    "at_most",
    "codec_of",
    "decode_text",
    "GB",
    "ImageRow",
    "SeriesRow",
    "StudyRow",
    "in_order",
    "encode_query",
    "iterate",
    "frame_count",
    "refusal_error",
    "refusal_kind",
    "j2k_json",
    "parse_int",
    "parse_json",
    "none_last",
    "read",
    "route",
    "stated_images",
    "unescape_html",
    "with_query",
]
