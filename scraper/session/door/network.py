"""Resolve names and connect to addresses: the only place that does so for the door."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Protocol

from scraper.core.reasons import Reason

STAGGER_S = 0.3  # the next address is tried while one is silent (RFC 8305 5: 100 ms to 2 s)
CONNECT_S = 20.0  # an address that has not answered by then won't


class Network(Protocol):
    """How names are resolved and addresses reached; a test plays the public network with its own."""

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """The addresses of a name, best first.

        Raises:
            OSError: it has none.
        """

    def place(self, address: str) -> str:
        """The address that a socket to an approved address really goes to."""


class SystemNetwork:
    """The computer's own resolver and network."""

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """The addresses of a name, in the order that the system prefers."""
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))

    def place(self, address: str) -> str:
        """The address itself."""
        return address


async def connect(addresses: Sequence[str], port: int) -> socket.socket:
    """Connect to the first address that answers; further ones are tried while earlier ones are silent.

    Raises:
        OSError: none answers.
    """
    waiting: set[asyncio.Task[socket.socket]] = set()
    failure: OSError = OSError("no address")
    untried = list(addresses)
    try:
        async with asyncio.timeout(CONNECT_S):
            while untried or waiting:
                if untried:
                    waiting.add(asyncio.create_task(_connect(untried.pop(0), port)))
                done, waiting = await asyncio.wait(
                    waiting, timeout=STAGGER_S if untried else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    error = task.exception()
                    if error is None:
                        return task.result()
                    failure = error if isinstance(error, OSError) else OSError(str(error))
    except TimeoutError:
        raise TimeoutError(Reason.NO_ANSWER_IN_TIME) from None
    finally:
        for task in waiting:
            task.cancel()
            task.add_done_callback(_close_late)
    raise failure


async def _connect(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(0)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(connection, (address, port))
    except BaseException:
        connection.close()
        raise
    return connection


def _close_late(task: asyncio.Task[socket.socket]) -> None:
    """Close a connection whose address answered after another had won."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
