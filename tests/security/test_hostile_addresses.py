"""The local network is out of a public link's reach, whatever names it and however it is written."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from scraper.core import domains
from scraper.core.addresses import canonical_host
from scraper.core.errors import SiteUnreachable, UnsafeRedirect, UnusableLink
from scraper.core.link import parse_url
from scraper.core.model import Request
from scraper.core.settings import ConnectTo, Settings
from scraper.session import Session
from scraper.session.door import Door
from scraper.session.http.client import Http
from scraper.session.http.pace import Pace
from scraper.session.websocket import opened
from tests.security.played import LAN, OTHER, PUBLIC, Played, Trap

Handler = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
INSIDE = (
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "017700000001",
    "localhost",
    "LOCALHOST.",
    "x.localhost",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.77.1",
    "192.168.77.1.",
    "192.168.19713",
    "3232255233",
    "0xc0a84d01",
    "0300.0250.0115.1",
    "[::ffff:192.168.77.1]",
    "[64:ff9b::c0a8:4d01]",
    "[64:ff9b:1::c0a8:4d01]",
    "[2002:c0a8:4d01::1]",
    "[2001:0:53aa:64c:0:0:3f57:b2fe]",
    "[fe80::5efe:c0a8:4d01]",
    "[2001:db8::1]",
    "169.254.169.254",
    "[fe80::1]",
    "[fd00::1]",
    "[fc00::1]",
    "[fec0::1]",
    "100.64.0.1",
    "100.127.255.254",
    "224.0.0.1",
    "239.255.255.250",
    "[ff02::1]",
    "255.255.255.255",
    "240.0.0.1",
    "0.0.0.0",  # noqa: S104  # asked for, not bound
    "0",
    "[::]",
    "198.18.0.1",
    "192.0.2.1",
    "１２７.0.0.1",
    "①②⑦.⓪.⓪.①",
    "192。168。77。1",
    "router.lan",
    "nas.local",
    "metadata.google.internal",
    "box.home.arpa",
)


@asynccontextmanager
async def server(handler: Handler, address: str = "127.0.0.1") -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            await handler(head, writer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    running = await asyncio.start_server(serve, address, 0)
    async with running:
        yield running.sockets[0].getsockname()[1]


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def redirecting(target: Callable[[], str], seen: list[bytes]) -> Handler:
    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(head)
        if b"GET /go" in head:
            writer.write(answer(b"", f"Location: {target()}", status="302 Found"))
        else:
            writer.write(answer(b"there"))

    return handler


@asynccontextmanager
async def client(network: Played, *rows: str, **options: object) -> AsyncIterator[Http]:
    settings = Settings(connect_to=tuple(ConnectTo.parse(row) for row in rows), timeout_s=5, **options)
    http = Http(settings, Pace(4, None), door=Door(settings, network))
    try:
        yield http
    finally:
        await http.close()


@pytest.mark.parametrize("host", INSIDE)
async def test_hostile_3_no_notation_of_an_inner_address_is_opened(host):
    settings = Settings()
    door = Door(settings, Played({"film.test": [PUBLIC]}))
    door.belongs_to("http://film.test/")
    with pytest.raises((UnsafeRedirect, SiteUnreachable, UnusableLink)) as caught:
        await door.route(f"http://{host}:8080/x")
    # names that nobody knows are refused as such; whatever is an address is refused for what it is
    assert isinstance(caught.value, UnsafeRedirect) or not host[-1].isdigit()


def test_hostile_7_names_of_a_megabyte_are_no_hosts_and_are_not_remembered():
    """Until now each of them stayed in memory, as the key of what its site is."""
    before = domains._site_of.cache_info().currsize
    for number in range(3):
        name = f"{number}" + "a." * 500_000 + "test"
        with pytest.raises(UnusableLink):
            canonical_host(name)
        assert domains.site_of(name) == name
    assert domains._site_of.cache_info().currsize == before


@pytest.mark.parametrize("host", ["93.184.216.34", "0x5db8d822", "[2606:2800:220:1::1]", "[64:ff9b::5db8:d822]"])
async def test_hostile_3_the_open_network_stays_open(host):
    door = Door(Settings(), Played({"film.test": [PUBLIC]}))
    door.belongs_to("http://film.test/")
    assert (await door.route(f"http://{host}/x")).addresses


@pytest.mark.parametrize(
    "address", ["192.168.77.1", "169.254.169.254", "127.0.0.1", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"]
)
async def test_hostile_3_a_name_is_judged_by_what_it_resolves_to(address):
    seen: list[bytes] = []
    with Trap() as trap:
        network = Played({"film.test": [PUBLIC], "evil.test": [address]})
        async with (
            server(redirecting(lambda: f"http://evil.test:{trap.port}/admin", seen)) as port,
            client(network) as http,
        ):
            with pytest.raises(UnsafeRedirect):
                await http.send(Request(f"http://film.test:{port}/go"))
            for url in (f"http://evil.test:{trap.port}/manifest/1", f"http://EVIL.test.:{trap.port}/2"):
                with pytest.raises(UnsafeRedirect):
                    await http.send(Request(url))
        assert len(seen) == 1
    assert trap.lines == []


async def test_hostile_3_of_several_addresses_the_inner_ones_are_left_out():
    door = Door(Settings(), Played({"film.test": [PUBLIC], "both.test": ["192.168.77.1", OTHER]}))
    door.belongs_to("http://film.test/")
    assert (await door.route("http://both.test/")).addresses == ("127.0.0.1",)  # where OTHER lies


async def test_hostile_3_a_name_that_changes_after_it_was_judged_leads_nowhere_else():
    """Rebinding: the second answer of the resolver is never asked for; the connection goes to the judged address."""
    seen: list[bytes] = []
    network = Played({"film.test": [[PUBLIC], ["192.168.77.1"]]})
    async with server(redirecting(lambda: "/other", seen)) as port:
        with Trap(LAN, port) as trap:
            async with client(network) as http:
                for _ in range(3):
                    assert (await http.send(Request(f"http://film.test:{port}/go"))).ok
        assert trap.lines == []
    assert len(seen) == 6
    assert network.asked == ["film.test"]


async def test_hostile_3_a_name_that_changes_later_is_judged_again(monkeypatch):
    monkeypatch.setattr("scraper.session.door.door.REMEMBERED_S", -1.0)
    network = Played({"film.test": [[PUBLIC], [PUBLIC], ["192.168.77.1"]]})
    async with server(redirecting(lambda: "/other", [])) as port, client(network) as http:
        assert (await http.send(Request(f"http://film.test:{port}/"))).ok
        with pytest.raises(UnsafeRedirect):
            await http.send(Request(f"http://film.test:{port}/"))


async def test_hostile_3_a_socket_is_judged_like_a_request():
    settings = Settings(timeout_s=5)
    door = Door(settings, Played({"film.test": [PUBLIC], "evil.test": ["192.168.77.1"]}))
    door.belongs_to("http://film.test/")
    with Trap() as trap:
        for host in ("evil.test", "192.168.77.1", "0xc0a84d01"):
            with pytest.raises(UnsafeRedirect):
                async with opened(f"ws://{host}:{trap.port}/x", settings, headers={}, door=door):
                    pass
    assert trap.lines == []


async def test_hostile_3_what_the_user_maps_is_trusted_and_nothing_beside_it():
    seen: list[bytes] = []
    with Trap() as trap:
        async with server(redirecting(lambda: "http://cdn.test/x", seen)) as port:
            rows = (f"film.test:80:127.0.0.1:{port}", f"cdn.test:80:127.0.0.1:{port}")
            async with client(Played({"evil.test": ["10.0.0.1"]}), *rows) as http:
                assert (await http.send(Request("http://film.test/go"))).body == b"there"
                for url in (f"http://127.0.0.1:{port}/", f"http://evil.test:{trap.port}/"):
                    with pytest.raises(UnsafeRedirect):
                        await http.send(Request(url))
            async with client(Played({}), f"::127.0.0.1:{port}") as http:
                assert (await http.send(Request("http://film.test/x"))).ok
                with pytest.raises(UnsafeRedirect):  # a row for any host is no word about an inner address
                    await http.send(Request("http://192.168.77.1/"))
    assert trap.lines == []


async def test_hostile_3_behind_a_proxy_inner_addresses_stay_out():
    proxied = Settings(proxy="http://127.0.0.1:1")
    door = Door(proxied, Played({}))
    door.belongs_to("http://film.test/")
    assert (await door.route("http://anything.test/")).proxy == "http://127.0.0.1:1"
    for host in ("192.168.77.1", "0x7f.1", "[::1]", "localhost", "nas.local"):
        with pytest.raises(UnsafeRedirect):
            await door.route(f"http://{host}/")


@pytest.mark.parametrize(
    ("first", "second"), [("192.168.77.1", "10.1.2.3"), ("127.0.0.1", "127.0.0.1"), ("10.0.0.1", "fd00::5")]
)
async def test_verdicts_b10_a_hospitals_own_hosts_lead_to_each_other(first, second):
    """Host A resolves to a private address and redirects to host B, which does, too; it is said once."""
    seen: list[bytes] = []
    hosts: list[str] = []
    address = LAN if first != "127.0.0.1" else "127.0.0.1"
    async with server(redirecting(lambda: f"http://b.hospital.test:{port}/study", seen), address) as port:
        network = Played({"a.hospital.test": [first], "b.hospital.test": [second]})
        async with client(network) as http:
            http.door.on_inside = hosts.append
            for _ in range(2):
                assert (await http.send(Request(f"http://a.hospital.test:{port}/go"))).body == b"there"
            await http.check_hop(f"http://a.hospital.test:{port}/", f"http://b.hospital.test:{port}/")
    assert network.asked == ["a.hospital.test", "b.hospital.test"]
    assert hosts == ["a.hospital.test"]


async def test_hostile_3_a_private_link_reaches_no_further_than_its_own_kind():
    door = Door(Settings(), Played({"pacs.test": ["10.0.0.1"]}))
    door.belongs_to("http://pacs.test/")
    assert (await door.route("http://192.168.1.1/")).addresses
    for host in ("169.254.169.254", "127.0.0.1", "224.0.0.1", "[::1]"):
        with pytest.raises(UnsafeRedirect):
            await door.route(f"http://{host}/")


SCHEMES = (
    "dict://film.test:{port}/d:x",
    "telnet://film.test:{port}/",
    "file:///etc/passwd",
    "ftp://film.test:{port}/x",
    "gopher://film.test:{port}/_x",
    "ldap://film.test:{port}/x",
    "smb://film.test/x/y",
    "tftp://film.test:{port}/x",
    "scp://film.test/x",
    "mqtt://film.test:{port}/x",
    "rtsp://film.test:{port}/x",
    "imap://film.test:{port}/x",
    "data:text/plain,x",
    "javascript:1",
    "blob:http://film.test/x",
    "jar:http://film.test!/x",
    "view-source:http://film.test/",
)


@pytest.mark.parametrize("target", SCHEMES)
async def test_hostile_4_no_other_scheme_is_opened(target):
    seen: list[bytes] = []
    with Trap("127.0.0.1") as trap:
        url = target.format(port=trap.port)
        async with (
            server(redirecting(lambda: url, seen)) as port,
            client(Played({}), f"film.test::127.0.0.1:{port}") as http,
        ):
            with pytest.raises(UnusableLink):
                await http.send(Request("http://film.test/go"))
            with pytest.raises(UnusableLink):
                await http.send(Request(url))
            with pytest.raises(UnusableLink):
                await http.door.route(url)
    assert trap.lines == []
    assert len(seen) == 1


@pytest.mark.parametrize("scheme", ["dict", "telnet", "gopher", "ftp"])
async def test_hostile_4_libcurl_itself_opens_no_other_scheme(scheme):
    """Past the door: the client's own list."""
    from curl_cffi.requests.exceptions import RequestException

    with Trap("127.0.0.1") as trap:
        async with client(Played({})) as http:
            with pytest.raises(RequestException):
                await http._client.get(f"{scheme}://127.0.0.1:{trap.port}/x", timeout=3)
    assert trap.lines == []


@pytest.mark.parametrize(
    "url", ["http://u:p@film.test/", "http://film.test\\@evil.test/", "http://film.test:0/", "http:///x"]
)
async def test_hostile_3_addresses_that_clients_read_differently_are_refused(url):
    async with client(Played({"film.test": [PUBLIC], "evil.test": [OTHER]})) as http:
        with pytest.raises(UnusableLink):
            await http.send(Request(url))


async def test_hostile_3_a_manifest_that_names_the_local_network_reaches_none_of_it(tmp_path):
    with Trap() as trap:
        settings = Settings(timeout_s=5)
        http = Http(settings, Pace(4, None), door=Door(settings, Played({"film.test": [PUBLIC]})))

        async def no_window() -> None:
            raise AssertionError

        session = Session(
            parse_url("http://film.test/s/1"),
            settings,
            http,
            start_window=no_window,
            ask=lambda *_: None,
            spool=tmp_path,
        )
        for number in range(7):
            with pytest.raises(UnsafeRedirect):
                await session.request(
                    Request(f"http://192.168.77.1:{trap.port}/dicom/{number}"), into=tmp_path / str(number)
                )
        await session.close()
    assert trap.lines == []
