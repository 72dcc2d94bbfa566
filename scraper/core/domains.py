"""Which hosts belong to one site: the registrable domain, by the public suffix list that a library includes."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from scraper.core.addresses import LONGEST_NAME, address_of, canonical_host
from scraper.core.errors import UnusableLink

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

SECURE = ("https", "wss")


@lru_cache(maxsize=1)
def _rules() -> tuple[str, ...]:
    """The rules of the list, one a line, in lower case; nothing is fetched."""
    from publicsuffixlist import ENCODING, PSLFILE

    lines = Path(PSLFILE).read_text(encoding=ENCODING).lower().splitlines()
    return tuple(line.split(" ")[0].rstrip() for line in lines if line and not line.startswith("//"))


@lru_cache(maxsize=256)
def _suffixes(top: str) -> PublicSuffixList:
    """The list for names under one top-level domain: all its 10,000 rules would take a fifth of a short run to prepare."""
    from publicsuffixlist import PublicSuffixList

    end, in_other_letters = f".{top}", top.startswith("xn--")  # the list writes those as they are read
    return PublicSuffixList(
        [rule for rule in _rules() if rule.endswith(end) or rule == top or (in_other_letters and not rule.isascii())]
    )


def site_of(host: str) -> str:
    """The registrable domain of a host (``a.film.example.com.cn`` → ``example.com.cn``); an address or a bare name is its own."""
    return host.lower() if len(host) > LONGEST_NAME else _site_of(host)


@lru_cache(maxsize=4096)
def _site_of(host: str) -> str:
    try:
        name = canonical_host(host)
    except UnusableLink:
        return host.lower()
    if address_of(name) is not None:
        return name
    return str(_suffixes(name.rpartition(".")[2]).privatesuffix(name) or name)


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
