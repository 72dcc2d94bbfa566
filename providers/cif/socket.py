"""Where images of a GE Zero Footprint viewer are asked for: its WebSocket ``dakota-protocol-1.0``.

The viewer's page knows its own ticket; what it sent first on its socket is repeated on sockets of our own. Where the site does
not allow that, the page's own socket is used, one image after another.

facts: fixtures/sites/cif/README.md
"""

from __future__ import annotations

import base64
import json
import re
from contextlib import AsyncExitStack
from typing import Protocol

from providers.cif.layout import ERROR, read_layout
from scraper.contract import CloudfilmError, Reason, Reply, Session, SiteUnreachable, Socket, decode_text

SUBPROTOCOL = "dakota-protocol-1.0"
STUDY, IMAGE = "CMDGETOPTIMIZEDSTUDY", "CMDGETOBJ"
LEADS = (f"{IMAGE} ", "CMDGETTHUMBNAIL ")  # what comes next belongs to the token that they name
RAW = {"OutputFormat": "IT_RAW", "QualityLevel": 97, "ElevateRequest": False, "MaxResolution": 0}
SOCKETS = 3  # of our own, beside the page's
IMAGE_S = 90.0  # an image that takes longer never comes

HOOK = """(() => {
  const Native = window.WebSocket;
  window.WebSocket = class extends Native {
    send(data) {
      if (typeof data === "string" && data.includes("CMDGETOPTIMIZEDSTUDY")) window.__study = this;
      super.send(data);
    }
  };
})()"""
THERE = """async ([token, command, patience]) => {
  const socket = window.__study;
  if (!socket || socket.readyState !== 1) return {lost: "the connection was closed"};
  return await new Promise(done => {
    let mine = false, header = null;
    const over = result => {
      clearTimeout(timer);
      socket.removeEventListener("message", onMessage);
      socket.removeEventListener("close", closed);
      done(result);
    };
    const closed = () => over({lost: "the connection was closed"});
    const timer = setTimeout(() => over({lost: "no answer in time"}), patience);
    const onMessage = async event => {
      if (typeof event.data !== "string") {
        if (!mine || header === null) return;
        const reader = new FileReader();
        reader.onload = () => over({header, pixels: reader.result.slice(reader.result.indexOf(",") + 1)});
        reader.readAsDataURL(new Blob([event.data]));
        mine = false;
      } else if (event.data.startsWith("CMDERROR")) {
        const about = event.data.match(/[0-9.]+#[0-9]+/);
        if (!about || about[0] === token) over({refused: event.data});  // else: what the page itself asked for
      }
      else if (/^CMDGET(OBJ|THUMBNAIL) /.test(event.data)) {  // what others say stands for itself
        mine = event.data.startsWith("CMDGETOBJ " + token + " IT_RAW");
        header = null;
      } else if (mine && event.data.trimStart().startsWith("{")) header = event.data;
    };
    socket.addEventListener("message", onMessage);
    socket.addEventListener("close", closed);
    socket.send(command);
  });
}"""


class SocketReply(Reply):
    """What the page's own socket gave for one image."""

    lost: str = ""
    refused: str = ""
    header: str = ""
    pixels: str = ""


class Connection(Protocol):
    """Somewhere that images can be asked for, one at a time."""

    async def ask(self, token: str) -> tuple[str, bytes]:
        """One frame: its header, a JSON text, and its raw pixels."""


async def prepare(session: Session) -> None:
    """Before the viewer is opened: its page will keep hold of the socket that it asks on."""
    await session.screen.before_load(HOOK)


async def connections(session: Session) -> list[Connection]:
    """Sockets of our own, where the site takes the page's first messages a second time; else the page's."""
    sent = [exchange for exchange in session.traffic.exchanges if exchange.kind == "websocket-out" and exchange.is_text]
    place = next((place for place, exchange in enumerate(sent) if STUDY in decode_text(exchange.read())), None)
    if place is None:
        return [_PageSocket(session)]
    url = sent[place].url
    opening = tuple(decode_text(exchange.read()) for exchange in sent[: place + 1] if exchange.url == url)
    own = [_OwnSocket(session, url, opening) for _ in range(max(1, min(SOCKETS, session.settings.jobs)))]
    try:
        await own[0].connect()
    except CloudfilmError:
        return [_PageSocket(session)]
    for item in own:
        session.at_close(item.close)
    return list(own)


class _OwnSocket:
    """A socket of our own; opened again after a failure."""

    def __init__(self, session: Session, url: str, opening: tuple[str, ...]) -> None:
        self._session = session
        self._url = url
        self._opening = opening
        self._stack = AsyncExitStack()
        self._socket: Socket | None = None

    async def connect(self) -> Socket:
        """Send what the page sent, and wait for the layout."""
        if self._socket is not None:
            return self._socket
        page = re.sub(r"^(https?://[^/]+).*", r"\1", self._session.screen.url)
        try:
            socket = await self._stack.enter_async_context(
                self._session.websocket(self._url, headers={"Origin": page}, subprotocols=(SUBPROTOCOL,))
            )
            for text in self._opening:
                await socket.send(text)
            layout = None
            while layout is None:
                message = await socket.receive(timeout_s=IMAGE_S / 3)
                data = message.encode() if isinstance(message, str) else message
                layout = read_layout(data, self._url, self._session)
        except CloudfilmError:
            await self.close()
            raise
        self._socket = socket
        return socket

    async def ask(self, token: str) -> tuple[str, bytes]:
        try:
            socket = await self.connect()
            await socket.send(_command(token))
            return await self._answer(socket, token)
        except BaseException:
            await self.close()  # what is still under way on it belongs to nobody
            raise

    async def _answer(self, socket: Socket, token: str) -> tuple[str, bytes]:
        """Three messages: whose image it is, its header, its pixels; others may stand between."""
        is_mine, header = False, ""
        while True:
            message = await socket.receive(timeout_s=IMAGE_S)
            if isinstance(message, bytes):
                if is_mine and header:
                    return header, message
            elif message.startswith(ERROR) and _is_about(message, token):
                raise _failed(message, self._session)
            elif message.startswith(LEADS):
                is_mine, header = message.startswith(f"{IMAGE} {token} IT_RAW"), ""
            elif is_mine and message.lstrip().startswith("{"):
                header = message

    async def close(self) -> None:
        """End the connection."""
        self._socket = None
        await self._stack.aclose()


class _PageSocket:
    """The socket of the viewer's page."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def ask(self, token: str) -> tuple[str, bytes]:
        value = await self._session.screen.evaluate(THERE, [token, _command(token), IMAGE_S * 1000])
        reply = SocketReply.model_validate(value)
        if reply.lost:
            raise SiteUnreachable(host=self._session.link.host, why=reply.lost)
        if reply.refused:
            raise _failed(reply.refused, self._session)
        return reply.header, base64.b64decode(reply.pixels)


def _is_about(error: str, token: str) -> bool:
    """Whether an error may be the answer for a token: it names that one, or none."""
    about = re.search(r"(?<![\d.])[\d.]+#\d+", error)
    return about is None or about[0] == token


def _failed(message: str, session: Session) -> CloudfilmError:
    """An image that the site does not give now."""
    return SiteUnreachable(message.removeprefix(ERROR).strip(), host=session.link.host, why=Reason.REFUSED_FOR_NOW)


def _command(token: str) -> str:
    return json.dumps({"CommandName": IMAGE, "Token": token, "Options": RAW}, separators=(",", ":"))
