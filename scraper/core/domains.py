"""Which hosts belong to one site: the registrable domain, by the public suffix list that a library includes."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from scraper.core.addresses import address_of, canonical_host
from scraper.core.errors import UnusableLink

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

SECURE = ("https", "wss")


@lru_cache(maxsize=1)
def _suffixes() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList  # reads its list of some 10,000 rules; nothing is fetched

    return PublicSuffixList()


@lru_cache(maxsize=4096)
def site_of(host: str) -> str:
    """The registrable domain of a host (``a.film.example.com.cn`` → ``example.com.cn``); an address or a bare name is its own."""
    try:
        name = canonical_host(host)
    except UnusableLink:
        return host.lower()
    if address_of(name) is not None:
        return name
    return str(_suffixes().privatesuffix(name) or name)


def same_site(one: str, other: str) -> bool:
    """Whether two hosts belong to one site."""
    return site_of(one) == site_of(other)


def is_secure(url: str) -> bool:
    """Whether an address is reached by TLS."""
    return urlsplit(url).scheme.lower() in SECURE


def host_of(url: str) -> str:
    """The host of an address, nothing where it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
