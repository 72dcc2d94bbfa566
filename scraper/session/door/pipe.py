"""Pass bytes between two connections unchanged, with back pressure."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from scraper.session.door.door import Door, Route
from scraper.session.door.upstream import ConnectRefused, through_proxy

MOST_BUFFERED = 2**20  # bytes that one side may be ahead of the other


class Pipe(asyncio.Protocol):
    """One end of a connection: the other end sends what it receives; reading pauses where that falls behind."""

    def __init__(self, pipes: set[Pipe] | None = None) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: Pipe | None = None
        self._pipes = pipes
        self._early = b""
        self._has_ended = False  # nothing more comes from there

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Attach to the connection."""
        self.transport = transport  # type: ignore[assignment]  # a stream's, as asyncio says
        transport.set_write_buffer_limits(high=MOST_BUFFERED)  # type: ignore[attr-defined]  # the same
        if self._pipes is not None:
            self._pipes.add(self)

    def data_received(self, data: bytes) -> None:
        """Send on received data; store it while there is no other end."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)
        else:
            self._early += data

    def couple(self, other: Pipe) -> None:
        """Attach the other end and send it what was received already."""
        self.other = other
        if self.transport is not None:
            with suppress(RuntimeError):  # it was closed meanwhile
                self.transport.resume_reading()
        if self._early and other.transport is not None:
            other.transport.write(self._early)
            self._early = b""

    def pause_writing(self) -> None:
        """Pause the other end's reading."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """Resume the other end's reading."""
        if self.other is not None and self.other.transport is not None:
            with suppress(RuntimeError):  # it was closed meanwhile
                self.other.transport.resume_reading()

    def eof_received(self) -> bool:
        """Half close the other end where possible."""
        self._has_ended = True
        other = self.other
        # TLS can't be half closed: the loss of the connection says the same.
        if other is None or other._has_ended or other.transport is None or self._is_tls():
            return False
        if not other.transport.can_write_eof():
            return False
        with suppress(OSError):
            other.transport.write_eof()
        return True

    def _is_tls(self) -> bool:
        return self.transport is not None and self.transport.get_extra_info("ssl_object") is not None

    def connection_lost(self, exc: Exception | None) -> None:
        """End the other end, too."""
        if self._pipes is not None:
            self._pipes.discard(self)
        if self.other is not None and self.other.transport is not None:
            if exc is not None:
                self.other.transport.abort()
            else:
                self.other.transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        if self.transport is not None:
            self.transport.abort()


class _Whole(Pipe):
    """The end of a peer that listens no more once it has sent everything."""

    def eof_received(self) -> bool:
        return False


async def socket_through_proxy(door: Door, route: Route) -> socket.socket:
    """A socket to a route's host through whatever proxy applies.

    Raises:
        SiteUnreachable: no proxy there, or it refuses. BadCertificate: the proxy's own can't be trusted.
    """
    try:
        tunnel = await through_proxy(door, route)
    except ConnectRefused as err:
        raise door.failure or err from err
    here, there = socket.socketpair()
    for end in (here, there):
        end.settimeout(0)
    near, far = _Whole(), Pipe()
    await asyncio.get_running_loop().create_connection(lambda: near, sock=there)
    near.couple(far)
    tunnel.give_to(far)
    far.couple(near)
    return here
