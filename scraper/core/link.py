"""Text → share link: finds the link in what a person pasted, takes it apart, and hides its secrets."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from scraper.core import apps, launchers, spelling
from scraper.core.addresses import Zone, address_of, zone_of, zone_of_name
from scraper.core.errors import AppOnly, MalformedArchiveLink, MisspeltLink, NoLinkInText, UnusableLink

CJK = "\u3000-\u303f\u3400-\u9fff\uf900-\ufaff\uff00-\uffef"
# A Chinese word belongs to a link only as a parameter's value (``title=…``), never glued to its end (``…/abc密码：1``).
_LINK = re.compile(rf"(?i:https?)://(?:[!-;=?-~]|(?<==)[{CJK}]+|[{CJK}]+(?=[!-~]*&[\w-]+=))+")
_BARE_LINK = re.compile(r"(?:[\w-]+\.)+[a-z]{2,}(?::\d{1,5})?/[!-~]*|(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?/[!-~]*", re.I)
_GAP = r"\s*+(?:(?:是|为|is)\s*+)?(?:[:：=]\s*+)?"
_ACCESS_CODE = re.compile(
    rf"(?:安全码|提取码|访问码|分享码|授权码|查看码|access\s*code){_GAP}[「“\"'【\[]?([0-9A-Za-z]{{3,12}})", re.I
)
_PASSWORD = re.compile(
    rf"(?i:(?:密码|口令|password|pwd){_GAP})[「“\"'【\[]?([!-~]{{3,32}}?)(?=[\s」”\"'】\],;]|$|[{CJK}])"
)
# Path segments made of plain words stay readable in a redacted link; anything else may be a token.
_WORDS = re.compile(r"(?:[A-Z]*+[a-z]{3,}+|[A-Z]{2,}+)(?:[-_.]?(?:[A-Z]*+[a-z]{3,}+|[A-Z]{2,}+|\d++))*+")
_SHORT = re.compile(r"[A-Za-z]\w{0,2}|[A-Za-z]+[-_][A-Za-z]+")
_PLAIN_LAST = frozenset(
    [
        "viewer",
        "index",
        "share",
        "shared",
        "film",
        "study",
        "detail",
        "image",
        "images",
        "view",
        "mobile",
        "home",
        "report",
        "open",
        "app",
    ]
)
_GOES_ON = re.compile(r"^[/?&#=%][!-~]*$|^(?>[^:：]*&[\w-]+=)[!-~]*$")  # what follows a blank within an address
_ARCHIVE = re.compile(r"pacs://\S+", re.IGNORECASE)
# PS3.5 6.2, VR AE: no backslash, no control characters
_AE_TITLE = re.compile(r"(?! )[ -\[\]-~]{1,16}(?<! )")
PORTS = {
    "http": 80,
    "https": 443,
    "pacs": 104,
    "file": 0,
    "listen": 0,
}  # where none is written; PS3.8 9.1.1 has 104 for DICOM
MAX_LINK = 8192


class Kind(StrEnum):
    """What a code's payload is; the words of ``decode --json``."""

    FILM_LINK = "film-link"
    LINK = "link"
    WECHAT_FOLLOW = "wechat-follow"
    WECHAT_MINI_PROGRAM = "wechat-mini-program"
    WECHAT_OAUTH = "wechat-oauth"
    BARCODE = "barcode"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class ShareLink:
    """One link, taken apart. ``url`` may hold secrets: show ``redacted`` only.

    ``named`` are the named groups of the route that matched; ``answers`` are those that the share text states.
    ``saved`` is the viewer's page itself, where a person saved it by hand and gave the file.
    """

    url: str = field(repr=False)
    named: Mapping[str, str] = field(default_factory=dict, repr=False)
    answers: Mapping[str, str] = field(default_factory=dict, repr=False)
    saved: str = field(default="", repr=False)

    @property
    def parts(self) -> SplitResult:
        """The link as ``urllib`` splits it."""
        return urlsplit(self.url)

    @property
    def scheme(self) -> str:
        """``http`` or ``https``; ``pacs`` where the link names an archive."""
        return self.parts.scheme

    @property
    def host(self) -> str:
        """The host alone, lower case."""
        return self.parts.hostname or ""

    @property
    def port(self) -> int:
        """The port, the scheme's own where none is written."""
        return self.parts.port or PORTS[self.scheme]

    @property
    def ae_title(self) -> str:
        """The AE title that a ``pacs://`` link calls; nothing in a web address."""
        return unquote(self.parts.username or "")

    @property
    def host_and_port(self) -> str:
        """``host:port``, always with the port."""
        return f"{self.host}:{self.port}"

    @property
    def origin(self) -> str:
        """``scheme://host[:port]`` as a browser writes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = self.parts.port
        usual = port in (None, PORTS[self.scheme])
        return f"{self.scheme}://{host}" + ("" if usual else f":{port}")

    @property
    def path(self) -> str:
        """The path, as written in the link."""
        return self.parts.path or "/"

    @property
    def target(self) -> str:
        """``path?query#fragment``: what a provider's ``route`` must match as a whole."""
        query, fragment = self.parts.query, self.parts.fragment
        return self.path + (f"?{query}" if query else "") + (f"#{fragment}" if fragment else "")

    @property
    def without_fragment(self) -> str:
        """The address as a browser sends it: all but the fragment."""
        return self.url.partition("#")[0]

    @property
    def params(self) -> dict[str, str]:
        """The parameters of the query and of the fragment's own query, decoded once; the fragment's win.

        A plus sign stays a plus sign: these links carry Base64, not forms.
        """
        fragment = self.parts.fragment
        tail = fragment.partition("?")[2] or (
            fragment if "=" in fragment.partition("&")[0] else fragment.partition("&")[2]
        )
        found: dict[str, str] = {}
        for query in (self.parts.query, tail):
            for pair in query.split("&"):
                name, equals, value = pair.partition("=")
                if equals:
                    found[unquote(name)] = unquote(value)
        return found

    def param(self, name: str) -> str:
        """The route's group or the parameter of that name, decoded; the exact spelling first, then any capitals; else nothing."""
        if name in self.named:
            return unquote(self.named[name])
        params = self.params
        folded = name.casefold()
        return params.get(name) or next((value for key, value in params.items() if key.casefold() == folded), "")

    def __getitem__(self, name: str) -> str:
        """A named group of the route."""
        return self.named[name]

    def join(self, path: str) -> str:
        """``path`` (or an address) as seen from the link's page; the fragment left out."""
        return urljoin(self.url.partition("#")[0], path)

    def matched(self, route: str) -> ShareLink | None:
        """This link with the route's named groups, or None where the route does not match it whole."""
        match = re.fullmatch(route, self.target)
        if match is None:
            return None
        return replace(self, named={name: value for name, value in match.groupdict().items() if value is not None})

    @property
    def redacted(self) -> str:
        """The link without anything that opens it: tokens in the path, query values and the fragment become ``…``.

        Empty for a file of this computer: a path may hold a name, and leads nobody anywhere.
        """
        if self.scheme in ("file", "listen"):
            return ""
        segments = self.path.split("/")
        shown = [
            segment if _is_plain(segment, last=place == len(segments) - 1) else "…"
            for place, segment in enumerate(segments)
        ]
        query = "&".join(pair.partition("=")[0] + "=…" if "=" in pair else "…" for pair in self.parts.query.split("&"))
        # an archive's name is no secret
        called = f"://{self.parts.username}@" if self.parts.username else "://"
        return (
            self.origin.replace("://", called, 1)
            + "/".join(shown)
            + (f"?{query}" if self.parts.query else "")
            + ("#…" if self.parts.fragment else "")
        )


def _is_plain(segment: str, *, last: bool) -> bool:
    if not segment or _SHORT.fullmatch(segment) or (not last and re.fullmatch(r"[a-z]\w{0,3}", segment)):
        return True
    if len(segment) > 40 or not _WORDS.fullmatch(segment):
        return False
    if last and "." not in segment and any(char.isdigit() for char in segment):
        return False
    stem = segment.partition(".")[0]
    is_one_lower_word = stem.isascii() and stem.islower() and stem.isalpha()
    return not (last and is_one_lower_word and "." not in segment and stem not in _PLAIN_LAST)


def redact(url: str) -> str:
    """Any address without its secrets; for logs and diagnostics."""
    try:
        return parse_url(url).redacted
    except UnusableLink:
        return "…"


def parse_url(url: str) -> ShareLink:
    """The link that ``url`` is.

    Raises:
        UnusableLink: not a sound http(s) address.
    """
    url = "".join(url.split())
    if "&amp;" in url:
        url = html.unescape(url)
    try:
        parts = urlsplit(url)
        sound = parts.scheme.lower() in ("http", "https") and bool(parts.hostname) and parts.port != 0
        if sound:
            (parts.hostname or "").encode("idna")
    except (ValueError, UnicodeError):
        sound = False
    if not sound or len(url) > MAX_LINK or parts.username is not None or not _is_host(parts.hostname or ""):
        raise UnusableLink(link="…" if len(url) > 80 or "@" in url else url.partition("?")[0].partition("#")[0])
    return ShareLink(parts._replace(scheme=parts.scheme.lower(), netloc=parts.netloc.lower()).geturl())


def of_archive(url: str) -> ShareLink:
    """The link that ``pacs://AET@host:port?…`` is. Only a person gives one: no page, code or redirect leads to an archive.

    Raises:
        MalformedArchiveLink: no AE title, or no sound address.
    """
    try:
        parts = urlsplit(url)
        title, host, port = unquote(parts.username or ""), parts.hostname or "", parts.port
    except ValueError:
        raise MalformedArchiveLink(part="host:port") from None
    if not _AE_TITLE.fullmatch(title) or parts.password is not None:
        raise MalformedArchiveLink(part="AET")
    if not _is_host(host) or port == 0 or len(url) > MAX_LINK:
        raise MalformedArchiveLink(part="host:port")
    user, _, place = parts.netloc.rpartition("@")
    return ShareLink(parts._replace(scheme="pacs", netloc=f"{user}@{place.lower()}").geturl())


def _is_host(host: str) -> bool:
    if ":" in host:
        return is_address(host)
    return re.fullmatch(r"\w(?:[\w-]*\w)?(?:\.\w(?:[\w-]*\w)?)*\.?", host) is not None


def parse(text: str, *, source: str = "") -> ShareLink:
    """The link in a text: the link alone, or a share message pasted whole, with the code or password it mentions.

    Raises:
        NoLinkInText: no link in it.
        UnusableLink: what looks like one is not a sound address.
    """
    text = spelling.mended(text).strip().lstrip("\ufeff")
    if _ARCHIVE.fullmatch(text):
        return of_archive(text)
    if launchers.is_launcher(text):
        address = launchers.address_in(text)
        if address is None:
            raise UnusableLink(link=text.partition(":")[0] + "://…")
        return parse_url(address)
    found = [match.group().rstrip(".,;:!?)]}>'\"") for match in _LINK.finditer(text)]
    if not found and (bare := _BARE_LINK.fullmatch(text)):
        found = ["https://" + bare.group()]
    if not found and (app := apps.app_in(text)):
        if inside := apps.address_in(text):
            return parse_url(inside)
        raise AppOnly(app=app)
    if not found and (others := links_in(spelling.corrected(text))):
        raise MisspeltLink(link=redact(others[0]))
    if not found:
        raise NoLinkInText(source=source)
    return replace(parse_url(found[0]), answers=answers_in_text(found[0], text))


def answers_in_text(address: str, text: str) -> dict[str, str]:
    """The code or password that a text states next to an address."""
    rest = text.replace(address, " ")
    answers = {}
    if code := _ACCESS_CODE.search(rest):
        answers["access_code"] = code.group(1)
    if password := _PASSWORD.search(rest):
        answers["password"] = password.group(1)
    return answers


def links_in(text: str) -> list[str]:
    """Every address in a text, in order."""
    return [match.group().rstrip(".,;:!?)]}>'\"") for match in _LINK.finditer(text)]


def addresses(payload: str) -> list[str]:
    """The addresses that a code's payload is or mentions, in order.

    A payload that is an address is taken whole, blanks within its parameters too (``name=ZHANG SAN&id=1``), unless words
    about a code or a password are glued to it.
    """
    payload = payload.strip()
    found = links_in(payload)
    if re.match(r"https?://", payload, re.I):
        _, *rest = payload.split(maxsplit=1)
        goes_on = not rest or _GOES_ON.search(rest[0])
        if goes_on and not (found and answers_in_text(found[0], payload)):
            return ["".join(payload.split())]
    return found


_BY_HOST = {
    "open.weixin.qq.com": Kind.WECHAT_OAUTH,
    "wxaurl.cn": Kind.WECHAT_MINI_PROGRAM,
    "wxmpurl.cn": Kind.WECHAT_MINI_PROGRAM,
    "servicewechat.com": Kind.WECHAT_MINI_PROGRAM,
    "weixin.qq.com": Kind.WECHAT_FOLLOW,
    "u.wechat.com": Kind.WECHAT_FOLLOW,
    "work.weixin.qq.com": Kind.WECHAT_FOLLOW,
}


def kind_of(text: str, symbology: str = "") -> Kind:
    """The kind of a payload, or of the first address in it, by its text alone; only the registry knows ``film-link``.

    Source: WeChat's public address forms (follow codes ``weixin.qq.com/r|q|x``, enterprise ``work.weixin.qq.com``,
    mini programs ``mp.weixin.qq.com/a``, ``wxaurl.cn``, OAuth ``open.weixin.qq.com/connect``).
    """
    payload = text.strip()
    if payload.lower().startswith(("wxp://", "weixin://wxpay/")):
        return Kind.TEXT  # a payment
    if payload.lower().startswith(("weixin://", "#小程序://")):
        return Kind.WECHAT_MINI_PROGRAM
    if found := addresses(payload):
        return _kind_of_address(found[0])
    if "qr" not in symbology.lower() and symbology and re.fullmatch(r"[!-~]{1,64}", payload):
        return Kind.BARCODE
    return Kind.TEXT


def _kind_of_address(payload: str) -> Kind:
    try:
        found = parse_url(payload)
    except UnusableLink:
        return Kind.TEXT
    if found.host == "mp.weixin.qq.com" and found.path.startswith("/a/"):
        return Kind.WECHAT_MINI_PROGRAM
    return _BY_HOST.get(found.host, Kind.LINK)


def unwrap_oauth(text: str) -> str | None:
    """The address that a WeChat OAuth wrapper leads to (its ``redirect_uri``), if it names one."""
    try:
        inner = parse_url(text).params.get("redirect_uri", "")
    except UnusableLink:
        return None
    return inner if re.match(r"https?://", inner, re.I) else None


def is_address(host: str) -> bool:
    """Is the host an IP address, not a name."""
    return address_of(host) is not None


def is_private(host: str) -> bool:
    """Is the host loopback, link-local or of a private range; names count where they say so themselves."""
    address = address_of(host)
    return (zone_of(address) if address is not None else zone_of_name(host)) is not Zone.PUBLIC
