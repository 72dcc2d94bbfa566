"""The public network and a private one, played on the loopback interface: names have addresses, sockets are real."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

PUBLIC, OTHER = "93.184.216.34", "93.184.216.35"  # addresses of the open network; nothing is sent there
PLACES = {PUBLIC: "127.0.0.1", OTHER: "127.0.0.1"}
LAN = "127.0.0.9"  # where private addresses lie, so that a request that is let through arrives at a trap


class Played:
    """A resolver that gives each name its addresses, one list after another, the last for ever."""

    def __init__(self, names: Mapping[str, Sequence[str] | Sequence[Sequence[str]]]) -> None:
        self._names = {
            name: [list(sequence) for sequence in found] if found and not isinstance(found[0], str) else [list(found)]
            for name, found in names.items()
        }
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        del port
        self.asked.append(host)
        found = self._names.get(host)
        if not found:
            raise OSError("no such name")
        return found.pop(0) if len(found) > 1 else found[0]

    def place(self, address: str) -> str:
        if address.startswith("127."):
            return address
        return PLACES.get(address, LAN)


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAccess-Control-Allow-Origin: *\r\nConnection: close\r\n\r\nok"


class Trap:
    """Listens on an address and remembers the first line that each said."""

    def __init__(self, address: str = LAN, port: int = 0) -> None:
        self._listening = socket.create_server((address, port))
        self.port: int = self._listening.getsockname()[1]
        self.lines: list[str] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Trap:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._hear, args=(connection,), daemon=True).start()

    def _hear(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(5)
            with suppress(OSError):
                line = connection.recv(4096).split(b"\r\n")[0].decode("latin-1")
                if line:
                    self.lines.append(line)
                connection.sendall(ANSWER)
