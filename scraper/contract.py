"""All that a recipe may touch: the Provider it is, the Session it speaks through, the nouns it yields, the errors it raises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar

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
    gone,
)
from scraper.core.html import Page, unescaped
from scraper.core.link import ShareLink
from scraper.core.model import (
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
    Asked,
    Captured,
    Deployment,
    Found,
    Held,
    Instance,
    Origin,
    Package,
    PixelParts,
    Problem,
    Question,
    Request,
    Series,
    Study,
    Tags,
    TagsAndPixels,
    WadoRs,
    WadoUri,
    ZipMember,
)
from scraper.core.reasons import Reason
from scraper.core.schema import (
    Field,
    Reply,
    at_most,
    decode_text,
    frame_count,
    mended,
    parse_json,
    read,
    whole,
)
from scraper.core.shape import Shape
from scraper.protocols import j2k_json
from scraper.session import Cookie, Response, Session, encode_query, with_query
from scraper.session.websocket import Socket

WECHAT_PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 "
    "MicroMessenger/8.0.50(0x18003237) NetType/WIFI Language/zh_CN"
)
"""A phone's WeChat, for sites that give other pages to other browsers."""


class Provider:
    """One platform: what its links look like, what it asks, and how its site is spoken to.

    Attributes:
        name: unique, lower case.
        schemes: of its links; ``pacs`` for an archive, which no browser opens.
        route: matches ``path?query#fragment`` whole; named groups reach the recipe as ``link["name"]``.
        asks: what its page may ask of the user.
        deployments: the hosts known; ``*.example.cn`` stands for any name below it.
        hosts: others of this platform, to which what is a person's own may go, wherever the link lies.
        marks: expressions like ``route`` that betray the platform on a host that no row lists.
        user_agent: where the site gives other answers to other browsers.
        behind: expressions for ``host/path?query#fragment`` of pages that a link of this platform leads to. Such an address
            which is no link itself, copied after the redirect, counts only in the session that opened it.
        mobile: the page wants a phone's screen and touch.
        example: an invented link, for the README's table.
        saved_page: an expression found in this platform's viewer page; such a page, saved by hand, is a source too, and
            reaches ``discover`` as ``link.saved`` of the link ``saved_from``, which ``route`` matches.
        calls: an expression found in the address of the call by which its viewer lists a study. A viewer on any host that makes
            such a call is read by ``watch``, which then looks at the link for nothing but its host.
    """

    name: ClassVar[str] = ""
    schemes: ClassVar[tuple[str, ...]] = ("http", "https")
    route: ClassVar[str] = ""
    asks: ClassVar[tuple[Question, ...]] = ()
    deployments: ClassVar[tuple[Deployment, ...]] = ()
    hosts: ClassVar[tuple[str, ...]] = ()
    marks: ClassVar[tuple[str, ...]] = ()
    user_agent: ClassVar[str] = ""
    behind: ClassVar[tuple[str, ...]] = ()
    mobile: ClassVar[bool] = False
    example: ClassVar[str] = ""
    saved_page: ClassVar[str] = ""
    saved_from: ClassVar[str] = ""
    calls: ClassVar[str] = ""

    @classmethod
    def shape(cls) -> Shape:
        """What its links look like."""
        hosts = tuple(row.host for row in cls.deployments)
        return Shape(cls.name, tuple(cls.schemes), cls.route, tuple(cls.marks), hosts)

    @classmethod
    def owns(cls, link: ShareLink) -> ShareLink | None:
        """The link with the route's named groups, where host and route are this platform's; else None."""
        return cls.shape().owns(link)

    @classmethod
    def recognises(cls, link: ShareLink) -> ShareLink | None:
        """The same on a host that no row lists, where the address betrays the platform by its marks."""
        return cls.shape().recognises(link)

    @classmethod
    def reads(cls, link: ShareLink) -> ShareLink | None:
        """The same on any host, whether or not the address betrays the platform."""
        return cls.shape().reads(link)

    def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        """Speak to the site and describe what there is; downloads nothing, and may be run again."""
        raise NotImplementedError(self.name)

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        """Bring the viewer up in the browser."""
        raise NotImplementedError(self.name)

    def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        """Describe what the open viewer's own calls said; where a recipe has none, the universal capture watches."""
        raise NotImplementedError(self.name)

    @classmethod
    def speaks_directly(cls) -> bool:
        """Has the recipe a ``discover``."""
        return cls.discover is not Provider.discover

    @classmethod
    def is_web(cls) -> bool:
        """Could a browser open its links."""
        return "https" in cls.schemes

    @classmethod
    def has_viewer(cls) -> bool:
        """Has the recipe an ``open_viewer``."""
        return cls.open_viewer is not Provider.open_viewer

    @classmethod
    def watches(cls) -> bool:
        """Has the recipe a ``watch``."""
        return cls.watch is not Provider.watch


__all__ = [
    "ACCESS_CODE",
    "ACCOUNT",
    "CAPTCHA",
    "ID_LAST4",
    "ID_LAST6",
    "NAME",
    "PASSWORD",
    "PHONE",
    "PHONE_LAST4",
    "SMS_CODE",
    "TOKEN",
    "WECHAT_PHONE",
    "Asked",
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
    "Found",
    "Held",
    "Instance",
    "LinkExpired",
    "MalformedArchiveLink",
    "MiniProgramOnly",
    "MissingInstances",
    "NoSuchStudy",
    "NotAnImage",
    "NotOriginalDicom",
    "NotThereYet",
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
    "decode_text",
    "encode_query",
    "frame_count",
    "gone",
    "j2k_json",
    "mended",
    "parse_json",
    "read",
    "unescaped",
    "whole",
    "with_query",
]
