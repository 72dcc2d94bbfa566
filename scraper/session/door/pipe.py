"""Pass bytes between two connections unchanged, with back pressure."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from contextlib import suppress

from scraper.session.door.door import Door, Route
from scraper.session.door.upstream import ConnectRefused, through_proxy

MOST_BUFFERED = 2**20  # bytes that one side may be ahead of the other
AT_ONCE = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)  # the socket's SO_LINGER: closed with a reset


class Pipe(asyncio.Protocol):
    """One end of a connection: the other end sends what it receives; reading pauses where that falls behind."""

    def __init__(self, pipes: set[Pipe] | None = None) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: Pipe | None = None
        self._pipes = pipes
        self._early = b""
        self._has_ended = False  # nothing more comes from there
        self._is_failing = False  # it is reset as soon as everything is sent

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
        if self._is_failing:
            self._reset()
        elif self.other is not None and self.other.transport is not None:
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
        """End the other end, too, in the same manner."""
        if self._pipes is not None:
            self._pipes.discard(self)
        if self.other is not None and self.other.transport is not None:
            if exc is not None:
                self.other.fail()
            else:
                self.other.transport.close()

    def fail(self) -> None:
        """Send what was received, then reset the connection.

        An orderly end would say that everything came: a body without a length would pass for whole (RFC 9112 6.3).
        """
        if self.transport is None or self.transport.is_closing() or self._is_failing:
            return
        self._is_failing = True
        self.transport.pause_reading()
        if self.transport.get_write_buffer_size():
            self.transport.set_write_buffer_limits(high=0)  # ``resume_writing`` is called once it is empty
        else:
            self._reset()

    def _reset(self) -> None:
        if self.transport is not None:
            with suppress(OSError):
                self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            self.transport.abort()

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
