"""Connections to the image server over Socket.IO 2 (Engine.IO 3): handshake, heartbeat, one question at a time each.

facts: fixtures/sites/szjudianyun/README.md
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import string
from collections.abc import AsyncIterator
from dataclasses import replace

from scraper.contract import (
    PASSWORD,
    CorruptInstance,
    CredentialsRefused,
    Field,
    NoSuchStudy,
    Reason,
    Reply,
    Session,
    ShareLink,
    SiteChanged,
    SiteUnreachable,
    Socket,
)

SERVER = "http://qinniaofu.coolingesaving.com:63001"  # last seen 2026-03
GLUE = "b1u2d3d4h5a"  # joins the ids, and the tags; last seen 2026-03
TAGS = (
    "0x00100010 0x00101001 0x00100020 0x00100030 0x00100040 0x00101010 0x00080020 0x00080030 0x00180015 0x00180050 "
    "0x00180088 0x00080080 0x00181100 0x00280030 0x00080060 0x00200032 0x00200037 0x00280030 0x00280010 0x00280011 "
    "0x00080008 0x00200013 0x0008103E 0x00181030 0x00080070 0x00200062 0x00185101"
).replace(" ", GLUE)
CLOSED = Reason.CONNECTION_CLOSED
CONNECTIONS = 4
OTHERS_S = 2.0  # for the answer behind an event that is none: events have no known names
RANDOM = string.ascii_letters + string.digits + "-_"
PING, PROBE, PROBED, UPGRADE, EVENT, BINARY_EVENT, BINARY = "2", "2probe", "3probe", "5", "42", "451-", 4


class HandshakeReply(Reply):
    sid: str
    ping_interval: int = Field(25000, alias="pingInterval")  # ms


class StudyReply(Reply):
    ids: str = Field("", alias="hosipital")
    series: tuple[str, ...] = ()
    counts: dict[str, str | None] = Field(default_factory=dict, alias="series_dicom_number")


class Connections:
    """Connections to the image server, each in one question at a time; kept over many images."""

    def __init__(self, link: ShareLink, session: Session) -> None:
        self._link, self._session = link, session
        self._idle: list[Connection] = []
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._connecting = asyncio.Lock()  # the handshake's cookie belongs to the connection made next
        session.at_close(self._close)

    @contextlib.asynccontextmanager
    async def borrow(self) -> AsyncIterator[Connection]:
        """A connection; one on which anything failed is not used again, as a late answer would be taken for the next."""
        async with self._turns:
            connection = self._idle.pop() if self._idle else await self._connect()
            try:
                yield connection
            except BaseException:
                await connection.close()
                raise
            self._idle.append(connection)

    async def image(self, series: str, place: int) -> bytes:
        """The DICOM file of a series at a place, from 1."""
        async with self.borrow() as connection:
            return await connection.image(series, place)

    async def _close(self) -> None:
        while self._idle:
            await self._idle.pop().close()

    async def _connect(self) -> Connection:
        async with contextlib.AsyncExitStack() as stack, self._connecting:
            query = {"EIO": "3", "transport": "polling", "t": "".join(secrets.choice(RANDOM) for _ in range(7))}
            referer = {"Referer": self._link.without_fragment, "Origin": self._link.origin}
            response = await self._session.get(f"{SERVER}/socket.io/", params=query, headers=referer)
            packet = response.text[response.text.find("{") : response.text.rfind("}") + 1]
            handshake = replace(response, body=packet.encode()).read(HandshakeReply)
            address = f"{SERVER.replace('http', 'ws', 1)}/socket.io/?EIO=3&transport=websocket&sid={handshake.sid}"
            socket = await stack.enter_async_context(self._session.websocket(address))
            await socket.send(PROBE)
            while await socket.receive() != PROBED:
                pass  # what was sent before the change of transport
            await socket.send(UPGRADE)
            connection = Connection(socket, handshake.ping_interval / 1000, self._session.settings.timeout_s)
            stack.push_async_callback(connection.stop_pinging)
            params = self._link.params
            asked = {"type": "saveC", "hospital_id": params["a"], "study": params["b"]}
            asked["password"] = params.get("c") or self._session.answer(PASSWORD)
            connection.study = read_study(await connection.open_study(asked), self._link)
            connection.ending = stack.pop_all()
            return connection


class Connection:
    """One connection. The client pings (Engine.IO 3); pongs may come between any two messages."""

    study: StudyReply
    ending: contextlib.AsyncExitStack

    def __init__(self, socket: Socket, ping_interval_s: float, timeout_s: float) -> None:
        self._socket, self._timeout_s = socket, timeout_s
        self._pinging = asyncio.create_task(self._ping(ping_interval_s))

    async def open_study(self, message: dict[str, str]) -> str:
        """The answer to the first question: the first event that lists series, else the first of all."""
        first = packet = await self._ask(message)
        with contextlib.suppress(SiteUnreachable):
            async with _within(OTHERS_S):
                while '"series"' not in packet:
                    packet = await self._event()
        return packet if '"series"' in packet else first

    async def image(self, series: str, place: int) -> bytes:
        """The DICOM file of a series at a place, from 1."""
        hospital, _, study = self.study.ids.partition(GLUE)
        asked = {"hospital_id": hospital, "study": study, "tag": TAGS, "type": "hangC", "ww": "", "wl": ""}
        header = await self._ask({**asked, "series": series, "series_in": str(place)})
        if not header.startswith(BINARY_EVENT):
            raise CorruptInstance(what=Reason.ANSWER_WITHOUT_IMAGE)
        async with _within(self._timeout_s):
            while isinstance(packet := await self._socket.receive(), str):
                pass
        if packet[:1] != bytes([BINARY]):
            raise CorruptInstance(what=Reason.OTHER_PACKET)
        return packet[1:]

    async def _ask(self, message: dict[str, str]) -> str:
        """Send a message, and return the answer's first packet that is an event."""
        event = json.dumps(["sendMessage", message], ensure_ascii=False, separators=(",", ":"))
        await self._socket.send(EVENT + event)
        async with _within(self._timeout_s):
            return await self._event()

    async def _event(self) -> str:
        while True:
            packet = await self._socket.receive()
            if isinstance(packet, str) and packet.startswith((EVENT, BINARY_EVENT)):
                return packet
            if packet in ("1", "41"):
                raise SiteUnreachable(host=ShareLink(SERVER).host, why=CLOSED)

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
async def _within(timeout_s: float) -> AsyncIterator[None]:
    """For one answer: pongs go on coming from a server that gives none."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError:
        raise SiteUnreachable(host=ShareLink(SERVER).host, why=Reason.NO_ANSWER_IN_TIME) from None


def read_study(packet: str, link: ShareLink) -> StudyReply:
    """The event's second part; one without series means a wrong password or an unknown study."""
    try:
        body = [*json.loads(packet[packet.find("[") :]), {}, {}][1]
        study = StudyReply.model_validate(body if isinstance(body, dict) else {})
    except (ValueError, TypeError):
        raise SiteChanged(host=link.host, what=Reason.SOCKET_IO_SAVEC) from None
    if not study.series:
        raise NoSuchStudy(host=link.host) if "c" in link.params else CredentialsRefused(PASSWORD.name, host=link.host)
    own = f"{link.params['a']}{GLUE}{link.params['b']}"
    return study if GLUE in study.ids else study.model_copy(update={"ids": own})
