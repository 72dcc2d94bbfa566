"""Hosts and IP addresses: every notation read as a browser reads it, and how far from the open network an address lies.

Source: WHATWG URL 3.5 (host parsing, IPv4 numbers); IANA special-purpose registries for IPv4 and IPv6 (November 2026).
"""

from __future__ import annotations

import re
import unicodedata
from enum import Enum, auto
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from scraper.core.errors import UnusableLink

Address = IPv4Address | IPv6Address
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]*|[0-9]+")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\"#%/:<>?@\[\\\]^`{|}]")
_LAN = tuple(
    IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
)  # RFC 1918, and RFC 6598 (carrier-grade NAT)
_LAN_6 = tuple(IPv6Network(text) for text in ("fc00::/7", "fec0::/10"))  # unique local, and site-local of old
_FAKE = IPv4Network("198.18.0.0/15")  # benchmarks (RFC 2544); local proxies give every name an address of it
_NAT64 = IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")  # RFC 8215: a network's own, with a prefix of any length
_6TO4 = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")
_COMPATIBLE = IPv6Network("::/96")
_ISATAP = (0x5EFE, 0x0200_5EFE)  # RFC 5214 6.1: the third quarter of an address
LONGEST_NAME = 255  # RFC 1035 2.3.4; a longer one leads nowhere, and is remembered nowhere
_INSIDE_NAMES = (".localhost", ".local", ".internal", ".intranet", ".lan", ".home.arpa", ".localdomain")


class Zone(Enum):
    """Where an address lies."""

    PUBLIC = auto()
    LAN = auto()  # private, unique local, carrier-grade NAT
    LOOPBACK = auto()  # this computer
    LINK_LOCAL = auto()  # the same cable, and the metadata service of cloud machines
    FAKE = auto()  # what a local proxy puts in place of public addresses
    NEVER = auto()  # multicast, broadcast, unspecified, documentation, reserved


WITHIN_REACH = {
    Zone.PUBLIC: frozenset({Zone.PUBLIC}),
    Zone.LAN: frozenset({Zone.PUBLIC, Zone.LAN}),
    Zone.LOOPBACK: frozenset({Zone.PUBLIC, Zone.LAN, Zone.LOOPBACK}),
    Zone.LINK_LOCAL: frozenset({Zone.PUBLIC, Zone.LAN, Zone.LINK_LOCAL}),
    Zone.FAKE: frozenset({Zone.PUBLIC, Zone.FAKE}),
    Zone.NEVER: frozenset({Zone.PUBLIC}),
}
"""The zone of a link → the zones that whatever follows from it may reach."""


def canonical_host(host: str) -> str:
    """A host as it is asked for: ASCII, lower case, no dot at the end, numbers as four decimals, IPv6 without brackets.

    Raises:
        UnusableLink: no sound host.
    """
    if len(host) > LONGEST_NAME:
        raise UnusableLink(link=host[:80] + "…")
    return _canonical(host)


@lru_cache(maxsize=1024)
def _canonical(host: str) -> str:
    name = host.strip("[]") if host.startswith("[") and host.endswith("]") else host
    if ":" in name:
        try:
            address = ip_address(name.partition("%")[0])
        except ValueError:
            raise UnusableLink(link=host) from None
        return str(address)
    try:
        ascii_name = unicodedata.normalize("NFKC", name).encode("idna").decode("ascii").lower().rstrip(".")
    except UnicodeError:
        raise UnusableLink(link=host) from None
    if not ascii_name or _FORBIDDEN.search(ascii_name):
        raise UnusableLink(link=host)
    last = ascii_name.rpartition(".")[2]
    if _NUMBER.fullmatch(last):
        return str(_ipv4(ascii_name))
    return ascii_name


def _ipv4(text: str) -> IPv4Address:
    """One to four numbers, each decimal, octal or hexadecimal; the last fills what is left (WHATWG URL 3.5)."""
    parts = text.split(".")
    if len(parts) > 4 or not all(_NUMBER.fullmatch(part) for part in parts):
        raise UnusableLink(link=text)
    try:
        numbers = [_number(part) for part in parts]
        if any(number > 255 for number in numbers[:-1]) or numbers[-1] >= 256 ** (5 - len(numbers)):
            raise UnusableLink(link=text)
    except ValueError:
        raise UnusableLink(link=text) from None
    value = numbers[-1]
    for place, number in enumerate(numbers[:-1]):
        value += number << 8 * (3 - place)
    return IPv4Address(value)


def _number(text: str) -> int:
    if text[:2] in ("0x", "0X"):
        return int(text[2:] or "0", 16)
    return int(text, 8) if len(text) > 1 and text.startswith("0") else int(text)


def address_of(host: str) -> Address | None:
    """The address that a host is, in any notation; None for a name."""
    try:
        return ip_address(canonical_host(host))
    except (UnusableLink, ValueError):
        return None


def embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for (mapped, compatible, NAT64, 6to4, Teredo, ISATAP), else itself."""
    if isinstance(address, IPv4Address):
        return address
    number = int(address)
    lowest = IPv4Address(number & 0xFFFFFFFF)
    if address in _TEREDO:
        return IPv4Address(~number & 0xFFFFFFFF)
    if address in _6TO4:
        return IPv4Address(number >> 80 & 0xFFFFFFFF)
    if address in _LOCAL_NAT64:
        return _behind_local_nat64(number)
    holds_it_last = (
        address.ipv4_mapped is not None
        or address in _NAT64
        or (address in _COMPATIBLE and number > 0xFFFF)
        or number >> 32 & 0xFFFFFFFF in _ISATAP
    )
    return lowest if holds_it_last else address


def _behind_local_nat64(number: int) -> IPv4Address:
    """The IPv4 address behind a network's own translator: of the readings of RFC 6052 2.2, one that lies inside, if any does."""
    readings = [
        number & 0xFFFFFFFF,  # a prefix of 96 bits
        (number >> 64 & 0xFFFF) << 16 | number >> 40 & 0xFFFF,  # 48
        (number >> 64 & 0xFF) << 24 | number >> 32 & 0xFFFFFF,  # 56
        number >> 24 & 0xFFFFFFFF,  # 64
    ]
    addresses = [IPv4Address(reading) for reading in readings if reading] or [IPv4Address(0)]
    inside = (Zone.LAN, Zone.LOOPBACK, Zone.LINK_LOCAL)
    return next((address for address in addresses if zone_of(address) in inside), addresses[0])


def zone_of(address: Address) -> Zone:
    """Where an address lies; an IPv6 address that stands for an IPv4 one lies where that does."""
    address = embedded(address)
    if address.is_loopback:
        return Zone.LOOPBACK
    if address.is_link_local:
        return Zone.LINK_LOCAL
    if address.is_multicast or address.is_unspecified:
        return Zone.NEVER
    networks = _LAN if isinstance(address, IPv4Address) else _LAN_6
    if any(address in network for network in networks):
        return Zone.LAN
    if address in _FAKE:
        return Zone.FAKE
    return Zone.PUBLIC if address.is_global and not address.is_reserved else Zone.NEVER


def zone_of_name(name: str) -> Zone:
    """Where a name says that it lies; most say nothing, which counts as public until they are resolved."""
    name = name.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return Zone.LOOPBACK
    return Zone.LAN if not name or name.endswith(_INSIDE_NAMES) else Zone.PUBLIC
