"""深圳聚点云 (青鸟, szjudianyun): a share page whose images come over Socket.IO 2 (Engine.IO 3).

facts:    fixtures/sites/szjudianyun/README.md
asks:     nothing; password where the link lacks its own
serves:   Part 10 files, one WebSocket message each
verified: emulated site only

Over 120 lines because the wire (handshake, heartbeat, one question at a time a line) is this platform's alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import string
from collections.abc import Awaitable, Callable

from providers.toolkit import drive_page
from scraper.contract import (
    PASSWORD,
    Asked,
    AsyncIterator,
    CorruptInstance,
    CredentialsRefused,
    Deployment,
    Field,
    Found,
    Instance,
    NoSuchStudy,
    Problem,
    Provider,
    Reason,
    Reply,
    Response,
    Series,
    Session,
    ShareLink,
    SiteChanged,
    SiteUnreachable,
    Socket,
    Study,
    at_most,
    whole,
)

SERVER = "http://qinniaofu.coolingesaving.com:63001"  # last seen 2026-03
GLUE = "b1u2d3d4h5a"  # joins the ids, and the tags; last seen 2026-03
TAGS = (
    "0x00100010 0x00101001 0x00100020 0x00100030 0x00100040 0x00101010 0x00080020 0x00080030 0x00180015 0x00180050 "
    "0x00180088 0x00080080 0x00181100 0x00280030 0x00080060 0x00200032 0x00200037 0x00280030 0x00280010 0x00280011 "
    "0x00080008 0x00200013 0x0008103E 0x00181030 0x00080070 0x00200062 0x00185101"
).replace(" ", GLUE)
FILM = "dfyfilm"  # a series that is a picture of the film
LINES = 4
OTHERS_S = 2.0  # for the answer behind an event that is none: events have no known names
RANDOM = string.ascii_letters + string.digits + "-_"
PING, PROBE, PROBED, UPGRADE, EVENT, BINARY_EVENT, BINARY = "2", "2probe", "3probe", "5", "42", "451-", 4


class Handshake(Reply):
    sid: str
    ping_interval: int = Field(25000, alias="pingInterval")  # ms


class Opened(Reply):
    ids: str = Field("", alias="hosipital")
    series: list[str] | None = None
    counts: dict[str, str | None] = Field(default_factory=dict, alias="series_dicom_number")


class Szjudianyun(Provider):
    name = "szjudianyun"
    route = r"/[\w-]+(?:/[\w.-]*)?\?(?=(?:.*&)?a=[^&#]+)(?=(?:.*&)?b=[^&#]+).*"
    asks = (PASSWORD,)
    deployments = (Deployment("qr.szjudianyun.com", "深圳聚点云（青鸟）", "全国"),)
    hosts = ("qinniaofu.coolingesaving.com",)  # of SERVER, which serves every hospital
    marks = (r"/[\w-]+/?\?a=[^&#]+&b=[^&#]+&c=[^&#]+(?:#.*)?",)
    example = "http://qr.szjudianyun.com/abc/?a=H001&b=CT0001&c=123456"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        lines = _Lines(link, session)
        session.at_close(lines.close)
        for series in _described(await _entered(link, lines), lines):
            yield series

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        await drive_page.called(session, r"/socket\.io/\?.*transport=websocket")
        for exchange in session.traffic.exchanges:
            if (
                exchange.kind == "websocket-in"
                and exchange.read(2) == EVENT.encode()
                and b"series" in exchange.read(4096)
            ):
                lines = _Lines(link, session)
                session.at_close(lines.close)
                for series in _described(_opened(exchange.read().decode(), link), lines):
                    yield series
                return
        async for found in self.discover(link, session):
            yield found


async def _entered(link: ShareLink, lines: _Lines) -> Opened:
    """What the server says of the study. One that closes the connection on the question, twice, refuses it so.

    Raises:
        NoSuchStudy: a wrong password in the link, or an unknown study. CredentialsRefused: a wrong one that a person gave.
    """
    for is_last in (False, True):
        try:
            async with lines.one() as line:
                return line.opened
        except SiteUnreachable as err:
            if err.reason is not Reason.CONNECTION_CLOSED:
                raise
            if "c" not in link.params:  # an answer is given once
                raise CredentialsRefused(PASSWORD.name, host=link.host) from err
            if is_last:
                raise NoSuchStudy(host=link.host) from err
    raise AssertionError  # the last turn returned or raised


def _described(opened: Opened, lines: _Lines) -> list[Series]:
    """The series that are images; the film's picture is named and left out."""
    study = Study(key=opened.ids.replace(GLUE, "/"))
    found = []
    for name in opened.series or []:
        count = whole(opened.counts.get(name))
        if name.startswith(FILM):
            told = Problem("left-out", (name,), {"count": 1, "what": "film picture"}, fatal=False)
            found.append(Series("", "", expected=0, key=name, study=study, left_out=(told,)))
            continue
        numbers = range(1, (count or 0) + 1)
        instances = at_most(Instance("", Asked(lines.asking(name, at)), f"{name}/{at}") for at in numbers)
        unknown = () if count is not None else (Problem("count-unknown"),)
        found.append(Series("", "", instances, count, key=name, study=study, left_out=unknown))
    return found


class _Lines:
    """Connections to the image server, each in one question at a time; kept over many images."""

    def __init__(self, link: ShareLink, session: Session) -> None:
        self._link, self._session = link, session
        self._idle: list[_Line] = []
        self._turns = asyncio.Semaphore(LINES)
        self._connecting = asyncio.Lock()  # the handshake's cookie belongs to the connection made next

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[_Line]:
        """A line; one on which anything failed is not used again, as a late answer would be taken for the next."""
        async with self._turns:
            line = self._idle.pop() if self._idle else await self._connect()
            try:
                yield line
            except BaseException:
                await line.close()
                raise
            self._idle.append(line)

    def asking(self, series: str, at: int) -> Callable[[], Awaitable[bytes]]:
        async def ask() -> bytes:
            async with self.one() as line:
                return await line.image(series, at)

        return ask

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().close()

    async def _connect(self) -> _Line:
        async with contextlib.AsyncExitStack() as stack, self._connecting:
            nonce = "".join(secrets.choice(RANDOM) for _ in range(7))
            query = {"EIO": "3", "transport": "polling", "t": nonce}
            referer = {"Referer": self._link.url.partition("#")[0], "Origin": self._link.origin}
            answer = await self._session.get(f"{SERVER}/socket.io/", params=query, headers=referer)
            packet = answer.text[answer.text.find("{") : answer.text.rfind("}") + 1]
            told = Response(answer.status, answer.headers, packet.encode(), answer.url).read(Handshake)
            address = f"{SERVER.replace('http', 'ws', 1)}/socket.io/?EIO=3&transport=websocket&sid={told.sid}"
            socket = await stack.enter_async_context(self._session.websocket(address))
            await socket.send(PROBE)
            while await socket.receive() != PROBED:
                pass  # what was sent before the change of transport
            await socket.send(UPGRADE)
            line = _Line(socket, told.ping_interval / 1000, self._session.settings.timeout_s)
            stack.push_async_callback(line.stop_pinging)
            params = self._link.params
            asked = {
                "type": "saveC",
                "hospital_id": params["a"],
                "study": params["b"],
                "password": params.get("c") or self._session.answer(PASSWORD),
            }
            line.opened = _opened(await line.entered(asked), self._link)
            line.ending = stack.pop_all()
            return line


class _Line:
    """One connection. The client pings (Engine.IO 3); pongs may come between any two messages."""

    opened: Opened
    ending: contextlib.AsyncExitStack

    def __init__(self, socket: Socket, ping_interval_s: float, timeout_s: float) -> None:
        self._socket, self._timeout_s = socket, timeout_s
        self._pinging = asyncio.create_task(self._ping(ping_interval_s))

    async def ask(self, message: dict[str, str]) -> str:
        """Send a message, and give the answer's first packet that is an event."""
        event = json.dumps(["sendMessage", message], ensure_ascii=False, separators=(",", ":"))
        await self._socket.send(EVENT + event)
        async with _patience(self._timeout_s):
            return await self._event()

    async def _event(self) -> str:
        while True:
            packet = await self._socket.receive()
            if isinstance(packet, str) and packet.startswith((EVENT, BINARY_EVENT)):
                return packet
            if packet in ("1", "41"):
                raise SiteUnreachable(host=ShareLink(SERVER).host, why=Reason.CONNECTION_CLOSED)

    async def entered(self, message: dict[str, str]) -> str:
        """The answer to the first question: the first event that lists series, else the first of all."""
        first = packet = await self.ask(message)
        with contextlib.suppress(SiteUnreachable):
            async with _patience(OTHERS_S):
                while '"series"' not in packet:
                    packet = await self._event()
        return packet if '"series"' in packet else first

    async def image(self, series: str, at: int) -> bytes:
        """The ``at``-th DICOM file of a series, from 1."""
        hospital, _, study = self.opened.ids.partition(GLUE)
        asked = {
            "hospital_id": hospital,
            "study": study,
            "tag": TAGS,
            "type": "hangC",
            "ww": "",
            "wl": "",
            "series": series,
            "series_in": str(at),
        }
        header = await self.ask(asked)
        if not header.startswith(BINARY_EVENT):
            raise CorruptInstance(what=Reason.ANSWER_WITHOUT_IMAGE)
        async with _patience(self._timeout_s):
            while isinstance(packet := await self._socket.receive(), str):
                pass
        if packet[:1] != bytes([BINARY]):
            raise CorruptInstance(what=Reason.OTHER_PACKET)
        return packet[1:]

    async def close(self) -> None:
        await self.ending.aclose()

    async def stop_pinging(self) -> None:
        self._pinging.cancel()
        await asyncio.gather(self._pinging, return_exceptions=True)

    async def _ping(self, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            await self._socket.send(PING)


@contextlib.asynccontextmanager
async def _patience(timeout_s: float) -> AsyncIterator[None]:
    """For one answer: pongs go on coming from a server that gives none."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError:
        raise SiteUnreachable(host=ShareLink(SERVER).host, why=Reason.NO_ANSWER_IN_TIME) from None


def _opened(packet: str, link: ShareLink) -> Opened:
    """The event's second part; one without series means a wrong password or an unknown study."""
    try:
        told = [*json.loads(packet[packet.find("[") :]), {}, {}][1]
        opened = Opened.model_validate(told if isinstance(told, dict) else {})
    except (ValueError, TypeError):
        raise SiteChanged(host=link.host, what=Reason.SOCKET_IO_SAVEC) from None
    if not opened.series:
        if "c" in link.params:
            raise NoSuchStudy(host=link.host)
        raise CredentialsRefused(PASSWORD.name, host=link.host)
    own = f"{link.params['a']}{GLUE}{link.params['b']}"
    return opened if GLUE in opened.ids else opened.model_copy(update={"ids": own})
