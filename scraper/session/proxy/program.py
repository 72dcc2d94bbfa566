"""The proxy itself, in a process of its own (mitmproxy): each exchange of a film's hosts becomes a line and a numbered file.

The question names how to listen; then lines come as things happen: ``listening``, exchanges as ``session.child_traffic`` reads
them, ``passed`` and ``refused`` hosts, and a ``beat`` in between. The message ``stop`` ends it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from threading import Thread
from typing import Any, Final

from scraper.core.addresses import Zone, zone_of
from scraper.core.settings import MOST_PACKAGE_BYTES
from scraper.core.sniff import HEAD
from scraper.isolation import fence
from scraper.isolation.child import Say, own_pipes, receive, send
from scraper.session.proxy.bodies import Body, Room
from scraper.session.proxy.hosts import Hosts, is_untouched
from scraper.session.proxy.recognise import brings

BEAT_S: Final = 5.0
MEMORY: Final = 3 << 30  # bytes of address space
MAX_HEADERS: Final = 128 << 10  # characters of one message's headers, of its address
REQUEST_BODY: Final = 64 << 10
SCRIPT: Final = 64 << 10  # a larger script is a program, no data
IDLE: Final = frozenset(("style", "font", "video", "audio", "track", "manifest", "report"))  # Sec-Fetch-Dest
ADDONS: Final = {  # module → class; in mitmproxy's own order
    "core": "Core",
    "strip_dns_https_records": "StripDnsHttpsRecords",
    "disable_h2c": "DisableH2C",
    "proxyserver": "Proxyserver",
    "next_layer": "NextLayer",
    "tlsconfig": "TlsConfig",
    "upstream_auth": "UpstreamAuth",
}
KINDS: Final = {"document": "document", "iframe": "document", "script": "script", "image": "image", "empty": "xhr"}


class Recorder:
    """An addon of mitmproxy: says what passes, and what does not concern a film goes by unseen.

    Args:
        folder: for the bodies.
        say: gives a line.
        moved: host and port (empty, 0: any) → address and port to connect to in its place (empty, 0: the same).
    """

    def __init__(self, folder: Path, say: Say, moved: Sequence[tuple[str, int, str, int]]) -> None:
        self._folder = folder
        self._say = say
        self._moved = moved
        self._hosts = Hosts()
        self._passed: set[str] = set()
        self._room = Room(folder)
        self._number = 0
        self._named: dict[str, Any] = {}  # connection → the address that the client named, where it leads elsewhere

    # ---- connections

    def tls_clienthello(self, data: Any) -> None:
        """Let a connection pass untouched, where its host is none of ours."""
        asked = _host(data.context.server.address).lower()
        host = (data.client_hello.sni or asked).lower()
        if self._hosts.is_decrypted(host) and not is_untouched(asked):  # an encrypted greeting names a host of its own
            return
        data.ignore_connection = True
        if host and host not in self._passed:
            self._passed.add(host)
            self._say(passed=host)

    def tls_failed_client(self, data: Any) -> None:
        """A client that does not take our certificate is left alone from now on."""
        host = (data.conn.sni or _host(data.context.server.address) or "").lower()
        if host:
            self._hosts.refuse(host)
            self._say(refused=host)

    async def server_connect(self, data: Any) -> None:
        """Connect where the options say; from another device, to nothing that only this computer should reach."""
        if data.server.address is None:
            return
        host, port = data.server.address[:2]
        for name, number, address, to_port in self._moved:
            if name in ("", host.lower()) and number in (0, port):
                self._lead(data.server, (address or host, to_port or port))
                return
        if _is_own(_host(data.client.peername)):
            return
        before, data.server.error = data.server.error, "not reachable from another device"  # whatever happens here
        with suppress(OSError, ValueError):  # a name that is none
            found = await asyncio.get_running_loop().getaddrinfo(host, port)
            address = str(found[0][4][0])
            if zone_of(ip_address(address.partition("%")[0])) not in (Zone.LOOPBACK, Zone.LINK_LOCAL, Zone.NEVER):
                self._lead(data.server, (address, port))
                data.server.error = before

    def _lead(self, server: Any, address: tuple[str, int]) -> None:
        self._named[server.id] = server.address
        server.address = address

    def server_connected(self, data: Any) -> None:
        """Call the connection by the name that the client used: the library looks there for one to use once more.

        It opens no more than five to one address, and the sixth request would wait for ever.
        """
        if (named := self._named.pop(data.server.id, None)) is not None:
            vars(data.server)["address"] = (
                named  # it refuses another address on an open connection; this is the same one
            )

    def server_connect_error(self, data: Any) -> None:
        """A connection that failed needs no name."""
        self._named.pop(data.server.id, None)

    # ---- exchanges

    def responseheaders(self, flow: Any) -> None:
        """Have the body written while it goes on to the client."""
        flow.response.headers.pop("alt-svc", None)  # HTTP/3 would go past the proxy
        if not self._is_of_interest(flow) or flow.response.status_code == 101:
            flow.response.stream = True
            return
        self._number += 1
        encoding = flow.response.headers.get("content-encoding", "")
        body = Body(self._folder / f"{self._number:07d}", encoding, self._room)
        flow.metadata["body"] = (self._number, body)
        flow.response.stream = body.take

    def _is_of_interest(self, flow: Any) -> bool:
        host, size = flow.request.pretty_host.lower(), flow.response.headers.get("content-length", "")
        self._hosts.note(host)
        if not self._hosts.is_decrypted(host):
            return False
        kind = flow.request.headers.get("sec-fetch-dest", "")
        is_program = (kind == "script" or "javascript" in flow.response.headers.get("content-type", "")) and (
            size.isdecimal() and int(size) > SCRIPT
        )
        return kind not in IDLE and not is_program and flow.request.method not in ("OPTIONS", "HEAD")

    def response(self, flow: Any) -> None:
        """Hand over what came."""
        number, body = flow.metadata.pop("body", (0, None))
        if body is None:
            return
        if not body.end():
            if body.is_full:
                self._say(full=True)
            return
        with body.path.open("rb") as file:
            head = file.read(HEAD)
        sent, got = _headers(flow.request.headers), _headers(flow.response.headers)
        kind = _kind(sent, got)
        if kind == "script" and body.size > SCRIPT:
            body.drop()
            return
        if brings(head, got):
            self._hosts.found(flow.request.pretty_host.lower(), sent)
        url, text = flow.request.pretty_url, flow.request.get_text(strict=False) or ""
        if len(url) > MAX_HEADERS:
            body.drop()
            return
        self._say(
            url=url,
            kind=kind,
            number=number,
            size=body.size,
            method=flow.request.method,
            status=flow.response.status_code,
            request_headers=sent,
            request_body=text[:REQUEST_BODY],
            headers=got,
        )

    def error(self, flow: Any) -> None:
        """A response that broke off is none."""
        _, body = flow.metadata.pop("body", (0, None))
        if body is not None:
            body.drop()

    def websocket_message(self, flow: Any) -> None:
        """Hand over a message of a socket."""
        host = flow.request.pretty_host.lower()
        if not self._hosts.is_decrypted(host):
            return
        message = flow.websocket.messages[-1]
        del flow.websocket.messages[:-1]  # it would hold every message until the socket closes
        data = bytes(message.content)
        if not message.from_client and brings(data[:HEAD], {}):
            self._hosts.found(host, _headers(flow.request.headers))
        self._number += 1
        body = Body(self._folder / f"{self._number:07d}", room=self._room)
        body.take(data)
        if not body.end():
            self._say(full=True)
            return
        self._say(
            url=re.sub("^http", "ws", flow.request.pretty_url),
            kind="websocket-out" if message.from_client else "websocket-in",
            number=self._number,
            size=len(data),
            method="",
            status=101,
            is_text=bool(message.is_text),
        )


def _kind(sent: Mapping[str, str], got: Mapping[str, str]) -> str:
    """What a browser calls the response; by its type where the client does not say what it asked for it as."""
    named = KINDS.get(sent.get("sec-fetch-dest", ""))
    if named:
        return named
    mime = got.get("content-type", "").lower()
    for kind, mark in (("document", "html"), ("script", "javascript")):
        if mark in mime:
            return kind
    return "image" if mime.startswith("image/") else "xhr"


def _headers(given: Any) -> dict[str, str]:
    """Headers by lower-case name, as far as they are of a sane length."""
    found: dict[str, str] = {}
    left = MAX_HEADERS
    for name, value in given.items(multi=True):
        left -= len(name) + len(value)
        if left < 0:
            break
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def _host(address: Any) -> str:
    return str(address[0]) if address else ""


def _is_own(host: str) -> bool:
    """Whether a client sits on this computer."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


class _Failures(logging.Handler):
    """Notes that mitmproxy's own start failed, which it says in its log alone."""

    def __init__(self, found: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._found = found

    def emit(self, record: logging.LogRecord) -> None:
        """Note one."""
        self._found.append(record.name)


def load() -> list[type]:
    """Import of mitmproxy what a proxy needs; gives its addons.

    The package of the addons itself is not run: it loads some thirty, a web server among them.
    """
    spec = importlib.util.find_spec("mitmproxy.addons")
    if spec is None:
        raise ModuleNotFoundError("mitmproxy.addons")
    if spec.name not in sys.modules:
        sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    importlib.import_module("mitmproxy.master")
    return [getattr(importlib.import_module(f"{spec.name}.{module}"), name) for module, name in ADDONS.items()]


async def _listen(folder: Path, question: Mapping[str, Any], say: Say, stop: asyncio.Event) -> None:
    needed = [kind() for kind in load()]
    from mitmproxy import options
    from mitmproxy.master import Master

    proxy = str(question.get("proxy") or "")
    chosen = options.Options(
        confdir=str(folder / "authority"),
        listen_host=str(question["host"]),
        listen_port=int(question["port"]),
        mode=[f"upstream:{proxy}" if proxy else "regular"],
        ssl_insecure=bool(question.get("insecure")),
    )
    master = Master(chosen, event_loop=asyncio.get_running_loop())
    moved = [(str(row[0]), int(row[1]), str(row[2]), int(row[3])) for row in question.get("connect_to") or ()]
    master.addons.add(*needed, Recorder(folder, say, moved))
    with suppress(KeyError):
        chosen.update(upstream_cert=False, connection_strategy="lazy")  # asks no host for what we will not look at
    failed: list[str] = []
    logging.getLogger().addHandler(_Failures(failed))
    running = asyncio.ensure_future(master.run())
    server = master.addons.get("proxyserver")
    while not running.done() and not server.listen_addrs() and not failed:  # noqa: ASYNC110  # it tells nobody
        await asyncio.sleep(0.05)
    addresses = server.listen_addrs()
    if running.done() or not addresses:
        say(error="port", number=0)
        return
    say(listening=True, port=int(addresses[0][1]))
    while not stop.is_set() and not running.done():
        with suppress(TimeoutError):
            async with asyncio.timeout(BEAT_S):
                await stop.wait()
        say(beat=True)
    master.shutdown()
    with suppress(Exception):  # it ends; how is nobody's concern any more
        async with asyncio.timeout(BEAT_S):
            await running
    say(end=True)


def serve() -> None:
    """The child's life: one question, then listening until the message to stop, or its parent is gone."""
    folder = Path(sys.argv[1])
    logging.disable(logging.WARNING)  # mitmproxy's own log names addresses; its errors go nowhere, too
    logging.lastResort = None
    os.umask(0o077)
    questions, answers = own_pipes()
    fence.limit(MEMORY, MOST_PACKAGE_BYTES, files=4096)

    def say(data: bytes = b"", **named: object) -> None:
        send(answers, named, data)

    async def run() -> None:
        question, _ = receive(questions, None)
        loop, stop = asyncio.get_running_loop(), asyncio.Event()

        def wait_for_the_end() -> None:
            with suppress(EOFError, OSError, ValueError, TypeError, KeyError):
                receive(questions, None)
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(stop.set)

        Thread(target=wait_for_the_end, daemon=True).start()
        await _listen(folder, question, say, stop)

    with suppress(BrokenPipeError):
        asyncio.run(run())
    os._exit(0)  # the thread that reads may wait for ever
