"""Row 11: the window's server listens on 127.0.0.1, where every page in every browser of this computer can send requests."""

import http.client
import json
import socket
from urllib.parse import quote

import pytest

from scraper.session.browser import find_browser
from tests.test_window import window

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")


def spoken(started, data, *, patience_s=10.0):
    """What the server says to raw bytes; its first line."""
    with socket.create_connection(("127.0.0.1", started.port), timeout=patience_s) as line:
        line.sendall(data)
        line.settimeout(patience_s)
        try:
            return line.recv(1 << 16).partition(b"\r\n")[0]
        except (TimeoutError, ConnectionError):
            return b""


def answer(started, method, path, headers=None, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", started.port, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def head(started, *lines, path=None, method="GET"):
    path = path or f"/{started.token}/words.json"
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode("latin-1")


def test_hostile_11_what_any_page_can_send_to_the_window_changes_nothing(tmp_path):
    outside = tmp_path / "secret"
    outside.write_text("secret")
    with window(tmp_path) as started:
        own = f"127.0.0.1:{started.port}"
        origin = {"Origin": f"http://{own}", "Content-Type": "application/json"}
        token = f"/{started.token}"
        assert answer(started, "GET", f"{token}/words.json")[0] == 200

        # who is spoken to: a rebound name, another port, none, two of them, more than a name
        for host in (
            ["Host: evil.test"],
            [f"Host: evil.test:{started.port}"],
            ["Host: 127.0.0.1"],
            ["Host: 127.0.0.1:1"],
            [f"Host: localhost:{started.port}"],
            [f"Host: [::1]:{started.port}"],
            [f"Host: x@{own}"],
            [f"Host: {own}.evil.test"],
            [f"Host: {own}", "Host: evil.test"],
            ["Host: evil.test", f"Host: {own}"],
            ["X-Forwarded-Host: " + own, "Host: evil.test"],
            [],
        ):
            line = spoken(started, head(started, *host))
            assert line.split(b" ")[1:2] in ([b"403"], [b"400"]), (host, line)
        absolute = spoken(started, head(started, "Host: evil.test", path=f"http://{own}{token}/words.json"))
        assert b" 200" not in absolute

        # where it lies: no token, a part of it, one that is written otherwise, steps upwards
        for path in (
            "/",
            "/words.json",
            f"/{started.token[:-1]}/words.json",
            f"/{started.token}x/words.json",
            f"/{started.token.swapcase()}/words.json",
            f"/x/../{started.token}/words.json",
            f"{token}/../words.json",
            f"{token}/%2e%2e/%2e%2e/secret",
            f"{token}/..%2f..%2f..%2f{outside}",
            f"{token}/%00",
            f"{token}/{outside}",
            f"{token}/study/..%2f..%2fhome/index.json",
            f"{token}/study/{'0' * 16}/frame/whole/-1",
            f"{token}/item/99999999999999999999/preview",
            f"{token}/item/-1/preview",
            f"{token}/item/1/thumbnail/99999999999",
        ):
            line = spoken(started, head(started, f"Host: {own}", path=path))
            assert line.split(b" ")[1:2] in ([b"403"], [b"404"], [b"400"]), (path, line)

        # from where: another page, a frame, a form, no page at all
        for more in (
            {"Origin": "http://evil.test"},
            {"Origin": "null"},
            {"Origin": f"https://{own}"},
            {"Origin": f"http://{own}.evil.test"},
            {},
            {**origin, "Sec-Fetch-Site": "cross-site"},
            {**origin, "Sec-Fetch-Site": "same-site"},
        ):
            headers = {"Content-Type": "application/json", **more}
            assert answer(started, "POST", f"{token}/text", headers, b'{"text": "x"}')[0] == 403, more
        for method in ("PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "HEAD", "XYZ"):
            assert answer(started, method, f"{token}/text", origin)[0] in (400, 403, 405), method

        # sockets: no page gets one
        upgrade = (
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: aGFsbG8gd29ybGQgMTIzNA==",
        )
        for path in (f"{token}/events", f"{token}/", "/"):
            assert b" 101" not in spoken(started, head(started, f"Host: {own}", *upgrade, path=path))

        # what it says: of another kind, nested, endless, no characters
        for body, kind in (
            (b"[" * 200_000, "application/json"),
            (b'{"text": ' + b"[" * 100_000, "application/json"),
            (b'{"text": "x"}', "text/plain"),
            (b'{"text": "x"}', "application/x-www-form-urlencoded"),
            (b'["x"]', "application/json"),
            (b'{"text": ' + b"9" * 100_000 + b"}", "application/json"),
            (b"\xff\xfe", "application/json"),
            (b'{"text": "' + b"x" * (2 << 20) + b'"}', "application/json"),
        ):
            status, _ = answer(started, "POST", f"{token}/text", {**origin, "Content-Type": kind}, body)
            assert status in (400, 413, 415), (body[:20], status)
        for path in (f"{token}/folder/7/file?name=x", f"{token}/folder/7/whole", f"{token}/item/7/answer"):
            assert answer(started, "POST", path, origin, b"{}")[0] == 404, path
        status, _ = answer(
            started, "POST", f"{token}/text", origin, json.dumps({"text": "\ud800 x \x85\u2028"}).encode()
        )
        assert status == 200, "a lone surrogate can't be written, and ended the request with a fault"
        names = (
            "../../../x.sh",
            "..\\..\\x.exe",
            "/etc/passwd",
            "CON",
            "\0.zip",
            "x" * 5000,
            "a\u202egpj.exe",
            "\udced.jpg",
        )
        for name in names:
            path = f"{token}/give?name={quote(name.encode('utf-8', 'surrogateescape'))}"
            assert answer(started, "POST", path, origin, b"no photo at all")[0] == 200, name
        assert outside.read_text() == "secret"
        assert sorted(path.name for path in tmp_path.iterdir()) in (["home", "secret"], ["home", "out", "secret"])

        # noise, and lines that are held open
        for noise in (b"\0" * 1000, b"GET " + b"a" * 200_000, b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9.9\r\n\r\n"):
            assert b" 200" not in spoken(started, noise, patience_s=2.0)
        held = [socket.create_connection(("127.0.0.1", started.port), timeout=10) for _ in range(100)]
        try:
            for line in held:
                line.sendall(
                    b"POST " + token.encode() + b"/give?name=a.jpg HTTP/1.1\r\nHost: " + own.encode() + b"\r\n"
                )
            assert answer(started, "GET", f"{token}/words.json")[0] == 200
        finally:
            for line in held:
                line.close()
        assert started.process.poll() is None
