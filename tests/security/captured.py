"""What a worker would do that a hostile file has taken over; called by name in a worker."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path


def open_socket() -> str:
    """A connection of any kind."""
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
        try:
            socket.socket(family).close()
        except OSError:
            continue
        return "opened"
    return "refused"


def start_program() -> str:
    """Another program, or another process."""
    try:
        subprocess.run([sys.executable, "-c", "pass"], check=False)
    except OSError:
        pass
    else:
        return "started"
    try:
        child = os.fork()
    except OSError:
        return "refused"
    if child == 0:
        os._exit(0)
    return "forked"


def write_file(path: Path) -> str:
    """A file anywhere."""
    try:
        path.write_bytes(b"x" * 100)
    except OSError:
        return "refused"
    return "written"


def kill_parent() -> str:
    """A signal to whoever asks."""
    try:
        os.kill(os.getppid(), 0)
    except OSError:
        return "refused"
    return "sent"


def take_memory() -> str:
    """Six gigabytes."""
    held = []
    try:
        for _ in range(60):
            held.append(bytearray(100 << 20))
    except MemoryError:
        return "refused"
    return "taken"


def environment() -> list[str]:
    """The names of what the user's environment holds."""
    return sorted(os.environ)


def lie(message: bytes) -> None:
    """Bytes of its own in place of an answer, on every pipe that it holds."""
    for number in range(3, 32):
        with contextlib.suppress(OSError):
            os.write(number, message)
    os._exit(0)


def length_of(size: int) -> bytes:
    """The head of a message."""
    return struct.pack("<I", size)


def wrong_kind() -> dict[str, bytes]:
    """Something else than what is promised."""
    return {"a": "no base64 !"}  # type: ignore[dict-item]  # what the attack is


def fill_memory(path: Path) -> int:
    """As much memory as there is to have; the megabytes that were had."""
    del path
    held: list[bytearray] = []
    with contextlib.suppress(MemoryError):
        while len(held) < 4096:
            held.append(bytearray(b"x") * (1 << 20))
    count = len(held)
    held.clear()
    return count
