"""Row 14: whoever speaks to the proxy of ``listen``: other devices, pages in the person's browser, and the sites behind it."""

import asyncio
import gzip
import os
import socket
import ssl
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from scraper.session.proxy import bodies
from scraper.session.proxy.bodies import Body, Room
from scraper.session.proxy.program import Recorder
from tests.serving import served
from tests.test_listen import UID, asked, proxied, tls_server, trusting_both

needs_proxy = pytest.mark.skipif(find_spec("mitmproxy") is None, reason="without the extra")

# ---- another device


def connected(peer: str, host: str, port: int = 443) -> SimpleNamespace:
    """What becomes of a connection: asked of the addon itself, since no second device is at hand."""
    recorder = Recorder(Path(), lambda **_: None, [])
    server = SimpleNamespace(address=(host, port), error=None, id=host)
    asyncio.run(recorder.server_connect(SimpleNamespace(server=server, client=SimpleNamespace(peername=(peer, 5)))))
    return server


@pytest.mark.parametrize(
    "host",
    [
        "127.1",
        "2130706433",
        "0x7f000001",
        "0",
        "::1",
        "::ffff:127.0.0.1",
        "::",
        "localhost.",
        "fe80::1",
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "224.0.0.1",
        "a..b",
        "x" * 70 + ".test",
        "",
        "evil\x00.test",
        "[::1]",
    ],
)
@pytest.mark.parametrize("peer", ["192.168.1.9", "fe80::9%eth0", "::ffff:192.168.1.9", "not an address"])
def test_hostile_14_another_device_reaches_nothing_of_this_computers_own(peer, host):
    assert connected(peer, host).error


def test_hostile_14_what_is_judged_is_what_is_connected_to(monkeypatch):
    """A name that leads elsewhere at its second resolution."""
    server = connected("192.168.1.9", "192.168.1.20")
    assert (server.address, server.error) == (("192.168.1.20", 443), None)


# ---- which hosts are decrypted


@pytest.mark.parametrize(
    ("sni", "asked_for"),
    [
        ("cloudflare-ech.com", "www.icbc.com.cn"),  # the outer name of an encrypted greeting
        ("www.icbc.com.cn", "203.0.113.7"),
        ("film.test", "WWW.ICBC.COM.CN."),
        (None, "mclient.alipay.com"),
    ],
)
def test_hostile_14_a_bank_is_not_decrypted_under_another_name(sni, asked_for):
    recorder = Recorder(Path(), lambda **_: None, [])
    context = SimpleNamespace(server=SimpleNamespace(address=(asked_for, 443)))
    data = SimpleNamespace(client_hello=SimpleNamespace(sni=sni), context=context, ignore_connection=False)
    recorder.tls_clienthello(data)
    assert data.ignore_connection


def test_hostile_14_a_name_that_only_looks_like_a_banks_gets_no_banks_peace():
    """Whoever imitates a bank is looked at as any host; nothing on the list is bypassed by letters alone."""
    from scraper.session.proxy.hosts import is_untouched

    assert is_untouched("icbc.com.cn..")
    assert not is_untouched("xn--icb-e1c.com.cn")
    assert not is_untouched("www.icbc.com.cn.evil.test")


# ---- bodies


def test_hostile_14_members_without_end_cost_no_time(tmp_path):
    body = Body(tmp_path / "0000001", "gzip")
    body.take(gzip.compress(b"") * 400_000)
    assert not body.end()
    assert not list(tmp_path.iterdir())


def test_hostile_14_little_brotli_is_unpacked_in_little_pieces(tmp_path):
    brotli = pytest.importorskip("brotli")
    path = tmp_path / "packed"
    path.write_bytes(brotli.compress(bytes(192 << 20), quality=1))
    with path.open("rb") as source:
        assert max(map(len, bodies._of_brotli(source))) <= 64 << 20


def test_hostile_14_many_small_bodies_leave_the_disks_reserve(tmp_path, monkeypatch):
    monkeypatch.setattr(bodies, "RESERVE_BYTES", 1 << 62)
    monkeypatch.setattr(bodies, "RESERVE_EVERY_BYTES", 1000)
    room, ended = Room(tmp_path), []
    for number in range(1, 30):
        body = Body(tmp_path / f"{number:07d}", "", room)
        body.take(b"x" * 100)
        ended.append(body.end())
    assert ended == [True] * 10 + [False] * 19
    assert body.is_full


@pytest.mark.parametrize("encoding", ["gzip, br", "compress", "\x1b[31m", "../../x", "GZIP", "aes128gcm"])
def test_hostile_14_an_encoding_nobody_knows_leaves_no_file(tmp_path, encoding):
    body = Body(tmp_path / "0000001", encoding)
    body.take(b"x" * 100)
    assert not body.end()
    assert not list(tmp_path.iterdir())


def test_hostile_14_a_large_message_of_a_socket_is_within_the_disks_reserve(tmp_path, monkeypatch):
    monkeypatch.setattr(bodies, "RESERVE_BYTES", 1 << 62)
    monkeypatch.setattr(bodies, "RESERVE_EVERY_BYTES", 1000)
    lines = []
    recorder = Recorder(tmp_path, lambda **line: lines.append(line), [])
    message = SimpleNamespace(content=b"x" * 2000, from_client=False, is_text=False)
    request = SimpleNamespace(pretty_host="film.test", pretty_url="https://film.test/", headers={})
    recorder.websocket_message(SimpleNamespace(request=request, websocket=SimpleNamespace(messages=[message])))
    assert lines == [{"full": True}]
    assert not list(tmp_path.iterdir())


# ---- on the wire


def sent(port: int, *pieces: bytes) -> bytes:
    """What the proxy answers to bytes; an end without an answer is one, too."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        try:
            for piece in pieces:
                client.sendall(piece)
            client.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := client.recv(65536):
                answer += piece
                if len(answer) > 1 << 20:
                    break
        except ConnectionError:
            return b""
    return answer


WIRE = {
    "to itself": (b"GET http://127.0.0.1:PORT/ HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nConnection: close\r\n\r\n",),
    "to itself by CONNECT": (b"CONNECT 127.0.0.1:PORT HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "origin form, as another tab sends": (
        b"POST /listen HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nOrigin: https://evil.test\r\nContent-Length: 2\r\n\r\n{}",
    ),
    "two lengths": (
        b"POST http://film.test/ HTTP/1.1\r\nHost: film.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\nGET http://film.test/smuggled HTTP/1.1\r\nHost: film.test\r\n\r\n",
    ),
    "a control character in a host": (b"CONNECT ev\x1bil\x07.test:443 HTTP/1.1\r\n\r\n",),
    "a host that is none": (b"CONNECT [::1:443 HTTP/1.1\r\n\r\n",),
    "a giant header": (b"GET http://film.test/ HTTP/1.1\r\nX: ", b"x" * (32 << 20), b"\r\n\r\n"),
    "no HTTP": (os.urandom(4096),),
    "HTTP/2 without TLS": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" * 1000,),
    "a greeting of TLS that is none": (
        b"CONNECT film.test:443 HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\xff\xff" + b"\1" * 70_000,
    ),
}


@needs_proxy
async def test_hostile_14_the_proxy_lives_on_and_passes_nothing_on(tmp_path):
    paths = []

    async def site(scope, receive, send):
        paths.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with tls_server("film.test", UID) as (film, _), served(site) as plain:
        rules = f"film.test:443:127.0.0.1:{film}", f"film.test:80:127.0.0.1:{plain}"
        async with proxied(tmp_path, *rules) as (proxy, got):
            for pieces in WIRE.values():
                data = [piece.replace(b"PORT", str(proxy.port).encode()) for piece in pieces]
                await asyncio.to_thread(sent, proxy.port, *data)
            idle = [socket.create_connection(("127.0.0.1", proxy.port), timeout=60) for _ in range(100)]
            body, issuer = await asyncio.to_thread(
                asked, proxy.port, "film.test", trusting_both(proxy, ssl.create_default_context())
            )
            for client in idle:
                client.close()
            assert (body, issuer) == (UID, proxy.authority.name)
            exchanges = await got.after(0, timeout_s=20)
    assert "/smuggled" not in paths
    assert "https://film.test/" in {item.url for item in exchanges}
    assert {item.url for item in exchanges} <= {"https://film.test/", "http://film.test/"}
