"""Row 3: what a link's own host becomes, and addresses that translate to others: neither opens the way inside."""

import pytest

from scraper.core.addresses import Zone, address_of, zone_of
from scraper.core.errors import UnsafeRedirect
from scraper.core.settings import Settings
from scraper.session.door import Door
from tests.security.played import LAN, PUBLIC, Played

ROUTER = "192.168.77.1"


async def test_hostile_3_a_link_that_moves_from_inside_to_outside_reaches_nothing_inside():
    """Its name had a private address, where nobody answered, until the attacker gave it his own."""
    door = Door(Settings(), Played({"film.test": [["192.168.77.9"], [PUBLIC]]}))
    door.belongs_to("http://film.test/")
    assert (await door.route("http://film.test/")).addresses == (LAN,)
    assert (await door.route(f"http://{ROUTER}/")).addresses == (LAN,)
    door._resolved.clear()  # the name is asked for again after a minute
    assert (await door.route("http://film.test/")).addresses == ("127.0.0.1",)
    with pytest.raises(UnsafeRedirect):
        await door.route(f"http://{ROUTER}/")


async def test_hostile_3_a_link_that_moves_to_both_keeps_the_outer_address():
    door = Door(Settings(), Played({"film.test": [["192.168.77.9"], [ROUTER, PUBLIC]]}))
    door.belongs_to("http://film.test/")
    await door.route("http://film.test/")
    door._resolved.clear()
    assert (await door.route("http://film.test/")).addresses == ("127.0.0.1",)


@pytest.mark.parametrize(
    "text",
    [
        "64:ff9b:1:c0a8:4d:100::",  # RFC 6052 2.2, a prefix of 48 bits
        "64:ff9b:1:c0a8:4d:100:5db8:d822",  # the same with a public address where 96 bits would have it
        "64:ff9b:1:c0:a8:4d01::",  # 56
        "64:ff9b:1:0:c0:a84d:100:0",  # 64
        "64:ff9b:1:7f00:0:100::",
        "64:ff9b:1:a9fe:a9:fe00::",
        "::ffff:0:c0a8:4d01",  # RFC 2765: translated
        "::ffff:0:7f00:1",
    ],
)
def test_hostile_3_what_translates_to_an_inner_address_lies_inside(text):
    address = address_of(f"[{text}]")
    assert address is not None
    assert zone_of(address) is not Zone.PUBLIC


@pytest.mark.parametrize("text", ["64:ff9b:1::5db8:d822", "64:ff9b::5db8:d822", "64:ff9b:1:5db8:d8:2200::"])
def test_hostile_3_what_translates_to_an_outer_address_stays_open(text):
    address = address_of(f"[{text}]")
    assert address is not None
    assert zone_of(address) is Zone.PUBLIC


@pytest.mark.parametrize("host", ["fe80::1%25eth0", "fe80::1%eth0", "::1%25lo", "::ffff:127.0.0.1%lo"])
async def test_hostile_3_a_zone_of_an_address_hides_nothing(host):
    door = Door(Settings(), Played({"film.test": [PUBLIC]}))
    door.belongs_to("http://film.test/")
    with pytest.raises(UnsafeRedirect):
        await door.route(f"http://[{host}]/")


async def test_hostile_2_a_link_that_lands_on_a_public_suffix_trusts_nobody_below_it():
    door = Door(Settings(), Played({}))
    door.belongs_to("https://short.test/a")
    door.lands("https://short.test/a", "https://com.cn/film")
    assert door.trusts("https://com.cn/film")
    assert not door.trusts("https://stranger.com.cn/")


async def test_hostile_2_a_link_that_lands_on_a_site_trusts_all_of_it():
    door = Door(Settings(), Played({}))
    door.belongs_to("https://short.test/a")
    door.lands("https://short.test/a", "https://film.hospital.com.cn/s/1")
    assert door.trusts("https://api.hospital.com.cn/")
    assert not door.trusts("http://api.hospital.com.cn/")
