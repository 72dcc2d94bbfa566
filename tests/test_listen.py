"""``listen``: what a person's own browser or phone receives becomes a study; nothing else is decrypted."""

import asyncio
import base64
import gzip
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import threading
import time
import urllib.request
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.async_api import Browser, BrowserContext, BrowserType, Page

from fixtures.archives import free_port
from fixtures.sites.generic_viewer.site import HOST, GenericViewer
from fixtures.world import World
from scraper.cli import commands
from scraper.core.settings import ConnectTo, Settings
from scraper.session.browser import find_browser
from scraper.session.browser.process import FLAGS
from scraper.session.browser.traffic import Traffic
from scraper.session.proxy import bodies, certificate
from scraper.session.proxy.bodies import Body
from scraper.session.proxy.hosts import FIRST_LOOK_EXCHANGES, FIRST_LOOK_S, Hosts, is_untouched
from scraper.session.proxy.proxy import Proxy
from scraper.session.proxy.recognise import brings
from scraper.testing import borrowed_browser, wait_in_browser_loop
from tests.programs import PIPE, environment
from tests.programs import started as program
from tests.recorders import look_through

needs_browser = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")
needs_proxy = pytest.mark.skipif(find_spec("mitmproxy") is None, reason="without the extra")
SITE = GenericViewer()
COUNT = sum(len(series.instances) for series in SITE.study.series)
UID = b'{"studyInstanceUID": "1.2.840.113619.2.55.3.604688119.868.1.2"}'


def saved(folder: Path) -> dict[str, bytes]:
    return {hashlib.sha256(path.read_bytes()).hexdigest(): path.read_bytes() for path in folder.rglob("*.dcm")}


@pytest.fixture(scope="module")
def world():
    with World(SITE) as running:
        yield running


# ---- which hosts


@pytest.mark.parametrize(
    "host", ["mail.qq.com", "szextshort.weixin.qq.com", "www.icbc.com.cn", "WWW.ICBC.COM.CN.", "mclient.alipay.com"]
)
def test_banks_chats_and_mail_are_never_decrypted(host):
    hosts = Hosts()
    hosts.found(host, {})
    assert is_untouched(host)
    assert not hosts.is_decrypted(host)


@pytest.mark.parametrize("host", ["film.aurora.test", "qq.com.aurora.test", "notalipay.com", "www.qq.com"])
def test_other_hosts_are_looked_at_once(host):
    assert Hosts().is_decrypted(host)


def test_what_brings_no_film_is_left_alone_after_its_first_look():
    now = 100.0
    hosts = Hosts(lambda: now)
    hosts.note("news.test")
    hosts.note("film.aurora.test")
    hosts.found("film.aurora.test", {"referer": "https://hospital.test/page"})
    assert hosts.is_decrypted("news.test")
    now += FIRST_LOOK_S
    assert not hosts.is_decrypted("news.test")
    assert hosts.is_decrypted("film.aurora.test")
    assert hosts.is_decrypted("images.aurora.test")  # the same site
    assert hosts.is_decrypted("hospital.test")  # whose page asked for it


def test_a_busy_host_is_left_alone_before_its_time():
    hosts = Hosts(lambda: 0.0)
    for _ in range(FIRST_LOOK_EXCHANGES):
        assert hosts.is_decrypted("news.test")
        hosts.note("news.test")
    assert not hosts.is_decrypted("news.test")


def test_a_page_of_a_bank_is_not_decrypted_because_it_asked_for_a_film():
    hosts = Hosts()
    hosts.found("film.aurora.test", {"referer": "https://www.icbc.com.cn/"})
    assert not hosts.is_decrypted("www.icbc.com.cn")


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b"\0" * 128 + b"DICM", {}, True),
        (UID, {}, True),
        (b"x", {"content-type": "multipart/related; type=application/dicom"}, True),
        (b"<html>1.2.3</html>", {}, False),
        (b"\x89PNG\r\n\x1a\n", {"content-type": "image/png"}, False),
        (b"", {}, False),
    ],
)
def test_what_looks_like_a_film(body, headers, expected):
    assert brings(body, headers) is expected


# ---- bodies


def brotli_of(data: bytes) -> bytes:
    return pytest.importorskip("brotli").compress(data)


def zstd_of(data: bytes) -> bytes:
    return pytest.importorskip("zstandard").compress(data)


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACKERS = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli_of,
    "zstd": zstd_of,
}


@pytest.mark.parametrize("encoding", PACKERS)
def test_a_body_is_unpacked(tmp_path, encoding):
    data = os.urandom(1000) * 700
    packed = PACKERS[encoding](data)
    body = Body(tmp_path / "0000001", encoding)
    for start in range(0, len(packed), 7001):
        assert body.take(packed[start : start + 7001]) == packed[start : start + 7001]
    body.take(b"")
    assert body.end()
    assert (tmp_path / "0000001").read_bytes() == data
    assert body.size == len(data)
    assert [path.name for path in tmp_path.iterdir()] == ["0000001"]


def test_raw_deflate_and_gzip_in_members_are_unpacked(tmp_path):
    for encoding, packed in (("deflate", raw_deflate(UID)), ("gzip", gzip.compress(UID[:9]) + gzip.compress(UID[9:]))):
        body = Body(tmp_path / "body", encoding)
        body.take(packed)
        assert body.end()
        assert (tmp_path / "body").read_bytes() == UID


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate"])
def test_a_damaged_body_is_no_body_and_the_client_gets_it_all_the_same(tmp_path, encoding):
    body = Body(tmp_path / "0000001", encoding)
    assert body.take(b"no such thing" * 50) == b"no such thing" * 50
    assert not body.end()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
def test_a_bomb_is_let_go(tmp_path, encoding, monkeypatch):
    monkeypatch.setattr(bodies, "MOST_UNPACKED", 1 << 20)
    body = Body(tmp_path / "0000001", encoding)
    body.take(PACKERS[encoding](bytes(8 << 20)))
    assert not body.end()
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_said_and_the_client_gets_it_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(bodies, "RESERVE_BYTES", 1 << 62)
    monkeypatch.setattr(bodies, "RESERVE_EVERY_BYTES", 10)
    body = Body(tmp_path / "0000001")
    assert body.take(b"x" * 20) == b"x" * 20
    assert not body.end()
    assert body.is_full


# ---- the certificate authority


def test_the_authority_is_good_for_a_day_and_its_key_for_nobody_else(tmp_path):
    made, other = certificate.make(tmp_path / "a"), certificate.make(tmp_path / "b")
    found = x509.load_der_x509_certificate(made.der)
    assert found.not_valid_after_utc - found.not_valid_before_utc <= certificate.LIFE + certificate.BEFORE
    assert found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    key = found.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert made.key_digest == base64.b64encode(hashlib.sha256(key).digest()).decode() != other.key_digest
    assert made.name != other.name
    assert b"PRIVATE" not in made.pem + made.der
    if os.name == "posix":
        assert [path.stat().st_mode & 0o777 for path in (tmp_path / "a").iterdir()] == [0o600]


# ---- the proxy itself


@contextmanager
def tls_server(host: str, body: bytes = b"hello") -> Iterator[tuple[int, ssl.SSLContext]]:
    """A site with a certificate of its own; its port, and a context that trusts it alone."""
    authority = trustme.CA()
    served, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(host).configure_cert(served)
    authority.configure_trust(trusting)
    listening = socket.create_server(("127.0.0.1", 0))
    is_over = threading.Event()

    def answer(plain: socket.socket) -> None:
        try:
            with served.wrap_socket(plain, server_side=True) as client:
                while client.recv(65536):
                    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        except OSError:
            plain.close()

    def serve() -> None:
        while not is_over.is_set():
            try:
                client, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(client,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listening.getsockname()[1], trusting
    finally:
        is_over.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def asked(port: int, host: str, context: ssl.SSLContext, times: int = 1) -> tuple[bytes, str]:
    """The body through the proxy, and the name of who issued the certificate that the client saw."""
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=120)
    connection.set_tunnel(host)
    try:
        for _ in range(times):
            connection.request("GET", "/")
            body = connection.getresponse().read()
        issuer = dict(pair[0] for pair in connection.sock.getpeercert()["issuer"])
    finally:
        connection.close()
    return body, issuer.get("commonName", "")


@asynccontextmanager
async def proxied(folder: Path, *rules: str, **more: object):
    """A proxy for those ``--connect-to`` rules, and what it received."""
    traffic = Traffic(folder / "bodies")
    settings = Settings(connect_to=tuple(map(ConnectTo.parse, rules)), insecure=True, **more)
    async with Proxy(traffic, settings) as proxy:
        yield proxy, traffic


def trusting_both(proxy: Proxy, own: ssl.SSLContext) -> ssl.SSLContext:
    """A client that has our certificate installed, too."""
    own.load_verify_locations(cadata=proxy.authority.pem.decode())
    return own


@needs_proxy
async def test_a_film_is_read_and_a_bank_passes_untouched(tmp_path):
    with tls_server("film.test", UID) as (film, _), tls_server("www.icbc.com.cn", b"money") as (bank, of_bank):
        rules = [f"film.test:443:127.0.0.1:{film}", f"www.icbc.com.cn:443:127.0.0.1:{bank}"]
        async with proxied(tmp_path, *rules) as (proxy, traffic):
            trusting = trusting_both(proxy, ssl.create_default_context())
            body, issuer = await asyncio.to_thread(asked, proxy.port, "film.test", trusting)
            assert (body, issuer) == (UID, proxy.authority.name)
            body, issuer = await asyncio.to_thread(asked, proxy.port, "www.icbc.com.cn", trusting_both(proxy, of_bank))
            assert body == b"money"
            assert issuer != proxy.authority.name
            exchanges = await traffic.after(0, timeout_s=20)
        assert [(item.url, item.read()) for item in exchanges] == [("https://film.test/", UID)]
        assert b"money" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@needs_proxy
@pytest.mark.thorough
async def test_after_its_first_look_a_host_without_a_film_passes_untouched(tmp_path):
    with tls_server("news.test", b"news") as (news, own):
        async with proxied(tmp_path, f"news.test:443:127.0.0.1:{news}") as (proxy, _):
            trusting = trusting_both(proxy, own)
            _, issuer = await asyncio.to_thread(asked, proxy.port, "news.test", trusting, FIRST_LOOK_EXCHANGES)
            assert issuer == proxy.authority.name
            body, issuer = await asyncio.to_thread(asked, proxy.port, "news.test", trusting)
            assert body == b"news"
            assert issuer != proxy.authority.name


@needs_proxy
async def test_one_connection_serves_any_number_of_requests(tmp_path):
    with tls_server("film.test", UID) as (film, _):
        async with proxied(tmp_path, f"film.test:443:127.0.0.1:{film}") as (proxy, traffic):
            trusting = trusting_both(proxy, ssl.create_default_context())
            body, _ = await asyncio.to_thread(asked, proxy.port, "film.test", trusting, 12)
            assert body == UID
            while len(traffic.exchanges) < 12:
                await traffic.after(len(traffic.exchanges), timeout_s=20)
        assert {item.url for item in traffic.exchanges} == {"https://film.test/"}


@needs_proxy
async def test_an_app_that_refuses_the_certificate_works_at_its_next_try(tmp_path):
    with tls_server("app.test", b"mine") as (port, own):
        async with proxied(tmp_path, f"app.test:443:127.0.0.1:{port}") as (proxy, traffic):
            with pytest.raises(ssl.SSLError):
                await asyncio.to_thread(asked, proxy.port, "app.test", own)
            body, issuer = b"", proxy.authority.name
            for _ in range(20):  # the proxy learns of the refusal a moment after the client does
                try:
                    body, issuer = await asyncio.to_thread(asked, proxy.port, "app.test", own)
                    break
                except ssl.SSLError:
                    await asyncio.sleep(0.05)
            assert body == b"mine"
            assert issuer != proxy.authority.name
        assert not traffic.exchanges


@needs_proxy
@pytest.mark.thorough
async def test_a_port_that_is_taken_is_named(tmp_path):
    from scraper.core.errors import PortTaken

    with socket.create_server(("127.0.0.1", 0)) as taken:
        traffic = Traffic(tmp_path)
        with pytest.raises(PortTaken):
            async with Proxy(traffic, Settings(), port=taken.getsockname()[1]):
                pass


def test_another_device_reaches_nothing_that_only_this_computer_should():
    """Asked of the addon itself: no second device is at hand."""
    from types import SimpleNamespace

    from scraper.session.proxy.program import Recorder

    recorder = Recorder(Path(), lambda **_: None, [("moved.test", 443, "127.0.0.1", 7)])

    def connect(peer: str, host: str) -> SimpleNamespace:
        server = SimpleNamespace(address=(host, 443), error=None, id=host)
        data = SimpleNamespace(server=server, client=SimpleNamespace(peername=(peer, 5)))
        asyncio.run(recorder.server_connect(data))
        return server

    assert connect("192.168.1.9", "localhost").error
    assert connect("192.168.1.9", "127.0.0.1").error
    assert connect("192.168.1.9", "169.254.169.254").error
    assert connect("192.168.1.9", "192.168.1.20").error is None
    assert connect("127.0.0.1", "localhost").error is None
    moved = connect("192.168.1.9", "moved.test")
    assert moved.address == ("127.0.0.1", 7)
    recorder.server_connected(SimpleNamespace(server=moved))
    assert moved.address == ("moved.test", 443)


def test_without_the_extra_the_command_says_how_to_install_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("scraper.session.proxy.proxy.is_installed", lambda: False)
    assert commands.run(["listen", "-o", str(tmp_path), "--lang", "en"]) == 2
    assert "cloudfilm[proxy]" in capsys.readouterr().err


def test_other_devices_are_let_in_only_after_a_yes(tmp_path, capsys):
    assert commands.run(["listen", "--lan", "-o", str(tmp_path), "--lang", "en"]) == 2
    assert "Nothing was opened" in capsys.readouterr().err


# ---- the whole way


class Listening:
    """The command in a process of its own."""

    def __init__(self, output: Path, *words: str) -> None:
        given = ("listen", "-o", output, "--json", "--lang", "en", *words)
        self.process = program(*given, environment=environment(), stdout=PIPE, stderr=PIPE, text=True)
        self.printed = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stderr:
            self.printed += line

    def wait_for(self, pattern: str) -> str:
        """The first group of what it says."""
        give_up = time.monotonic() + 240
        while not (match := re.search(pattern, self.printed)):
            assert time.monotonic() < give_up, self.printed
            assert self.process.poll() is None, self.printed
            time.sleep(0.05)
        return match[1]

    def ended(self) -> tuple[int, dict]:
        """Its exit code and its JSON."""
        out = self.process.stdout.read()
        code = self.process.wait(240)
        self._reader.join()
        return code, json.loads(out or "{}")

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stdout.close()
        self.process.stderr.close()


@contextmanager
def started(start: Callable[[BrowserType], Awaitable[Browser | BrowserContext]]) -> Iterator[Page]:
    """A tab of a browser that is started with arguments of its own."""
    stack = AsyncExitStack()

    async def open_tab() -> Page:
        browser = await start(await (await stack.enter_async_context(borrowed_browser(Settings()))).kind())
        stack.push_async_callback(browser.close)
        return await browser.new_page()

    try:
        yield wait_in_browser_loop(open_tab)
    finally:
        wait_in_browser_loop(stack.aclose)


def tab(listening: Listening) -> AbstractContextManager[Page]:
    """A tab of a browser that uses the proxy, and trusts its authority."""
    port, key = listening.wait_for(r"port (\d+)"), listening.wait_for(r"spki-list=(\S+)")
    arguments = ["--no-sandbox", *FLAGS, f"--ignore-certificate-errors-spki-list={key}"]
    proxy = {"server": f"http://127.0.0.1:{port}"}
    return started(lambda chromium: chromium.launch(executable_path=find_browser(), args=arguments, proxy=proxy))


def look(page: Page, link: str, **more: object) -> None:
    wait_in_browser_loop(lambda: look_through(page, link, **more))


@needs_browser
@needs_proxy
@pytest.mark.parametrize(
    "kind",
    ["wado", *(pytest.param(kind, marks=pytest.mark.thorough) for kind in ("socket", "post", "blocks", "base64"))],
)
def test_what_the_browser_receives_is_the_sites_study(world, tmp_path, kind):
    with Listening(tmp_path / "listened", *world.options) as listening, tab(listening) as page:
        look(page, f"https://{HOST}/v/{kind}")
        code, document = listening.ended()  # by itself: all that the list names is there
    assert code == 0, (document, listening.printed)
    assert (document["provider"], document["via"], document["link"]) == ("listen", None, None)
    assert "14 of 14" in listening.printed
    assert saved(tmp_path / "listened").keys() == {
        hashlib.sha256(data).hexdigest() for data in SITE.study.files.values()
    }
    assert len(saved(tmp_path / "listened")) == COUNT
    assert not list((tmp_path / "listened").glob("*.cer"))


@needs_browser
@needs_proxy
@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT to one process")
@pytest.mark.thorough
def test_ctrl_c_ends_it_with_what_came(world, tmp_path):
    with Listening(tmp_path / "listened", *world.options) as listening, tab(listening) as page:
        look(page, f"https://{HOST}/v/wado", is_whole=False)
        listening.wait_for(r"(series 1: \d+ of 14)")
        listening.process.send_signal(signal.SIGINT)
        code, document = listening.ended()
    assert code == 7, (document, listening.printed)
    assert 0 < document["instances"]["saved"] < document["instances"]["expected"] == COUNT


@needs_proxy
@pytest.mark.thorough
@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT to one process")
def test_nothing_received_is_said(tmp_path):
    with Listening(tmp_path / "listened") as listening:
        listening.wait_for(r"(Ctrl-C ends it)")
        listening.process.send_signal(signal.SIGINT)
        code, document = listening.ended()
    assert code == 9
    assert document["status"] == "failed"
    assert "No image of a study was recognised" in listening.printed


@needs_browser
@pytest.mark.thorough
def test_a_browser_of_ones_own_is_attached_to(world, tmp_path, capsys):
    port = free_port()
    rules = [f"MAP {host} {address}" for host, _, address in (row.split(":", 2) for row in world.connect_to)]
    arguments = ["--no-sandbox", *FLAGS, f"--remote-debugging-port={port}", f"--host-resolver-rules={','.join(rules)}"]
    options = {"executable_path": find_browser(), "args": arguments, "ignore_https_errors": True}
    with started(lambda chromium: chromium.launch_persistent_context(tmp_path / "profile", **options)) as page:
        with Listening(tmp_path / "listened", "--attach", str(port)) as listening:
            listening.wait_for(r"(Attached to the browser)")
            look(page, f"https://{HOST}/v/wado")
            code, document = listening.ended()
        assert code == 0, (document, listening.printed)
        assert wait_in_browser_loop(lambda: page.evaluate("1 + 1")) == 2  # it goes on, without us
    assert len(saved(tmp_path / "listened")) == COUNT


def test_no_browser_to_attach_to_is_said(tmp_path, capsys):
    assert commands.run(["listen", "--attach", str(free_port()), "-o", str(tmp_path), "--lang", "en"]) == 9
    assert "--remote-debugging-port" in capsys.readouterr().err


# ---- the page for a phone


async def test_the_phones_page_says_what_to_type_and_gives_the_certificate(tmp_path):
    from scraper.app.phone_page import served

    authority = certificate.make(tmp_path)

    def get(address: str) -> tuple[bytes, dict]:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=10) as response:
            return response.read(), dict(response.headers)

    async with served("127.0.0.1", 8123, authority) as address:
        page, headers = await asyncio.to_thread(get, address)
        given, _ = await asyncio.to_thread(get, address + "cloudfilm.cer")
    text = page.decode()
    assert given == authority.der
    assert "default-src 'none'" in headers["content-security-policy"]
    assert all(word in text for word in ("8123", "127.0.0.1", authority.name, "设置", "Settings", 'lang="zh"'))
