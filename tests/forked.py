"""Children that are forked from a process which has loaded their module: a start costs a hundredth.

Each is a process of its own behind its own fences, as ``scraper.isolation.child`` starts it; only the second in which the
interpreter loads pydicom is shared. Tests of the start itself take ``started_children``.
"""

from __future__ import annotations

import array
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import IO, Final

from scraper.isolation.own_program import child_command
from scraper.isolation.process import bare_environment

CAN_FORK: Final = sys.platform == "linux" and hasattr(os, "pidfd_open")
NAMELESS: Final = 1  # exit code of a process whose own code nobody can ask for any more


class ForkedProcess:
    """A process that another one has forked, with two pipes; as ``subprocess.Popen``."""

    def __init__(self, pid: int, descriptor: int, stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self.pid, self._descriptor = pid, descriptor
        self.stdin: IO[bytes] | None = stdin
        self.stdout: IO[bytes] | None = stdout

    def __del__(self) -> None:
        os.close(self._descriptor)

    def poll(self) -> int | None:
        """Whether it has ended: None while it runs."""
        return NAMELESS if self._has_ended(0) else None

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):  # its server has asked for its end already
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def wait(self) -> int:
        """Wait for its end."""
        self._has_ended(None)
        return NAMELESS

    def _has_ended(self, patience_ms: int | None) -> bool:
        end = select.poll()
        end.register(self._descriptor, select.POLLIN)
        return bool(end.poll(patience_ms))


class ForkServers:
    """One process for each module that has loaded it, and forks one for each launch; one more starts them and is asked.

    Who is forked with this in hand asks the same ones: there is one of each for all workers of a run, and for the programs
    that they start. They end with who has started them, killed or not: their socket has then nobody at its other end.

    Attributes:
        launched: the process ids that were launched from here; they are no children of this process.
    """

    def __init__(self) -> None:
        self.launched: list[int] = []
        self._lock = Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def close(self) -> None:
        """End them, where this process has started them; a later launch starts others."""
        with self._lock:
            if self._process is not None and self._owner == os.getpid():
                _ended(self._process, self._socket)
                self._process = self._socket = None

    def borrow(self, descriptor: int) -> None:
        """Launch by those that another process has started, through their socket."""
        self._socket = socket.socket(fileno=descriptor)

    def started(self) -> socket.socket:
        """Where they are asked; they are started now, where that has not been."""
        with self._lock:
            if self._socket is None:
                self._owner = os.getpid()
                self._socket, self._process = _started("serve_all")
            return self._socket

    def launch(self, module: str, arguments: Sequence[str], without: Sequence[str]) -> ForkedProcess:
        """Start a process that runs ``serve`` of the module, as ``scraper.isolation.child.launched`` does.

        Each launch has its answer from a socket of its own: several processes may launch at once, and one that is killed
        leaves no answer to another.
        """
        ours, answers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        (their_stdin, stdin), (stdout, their_stdout) = os.pipe(), os.pipe()
        try:
            asked = {
                "server": [module, *without],
                "arguments": list(arguments),
                "environment": bare_environment(),
                "path": sys.path,
                "cwd": str(Path.cwd()),
            }
            _send(self.started(), json.dumps(asked).encode(), [their_stdin, their_stdout, answers.fileno()])
            answers.close()
            with ours:
                answer, descriptors, _, _ = socket.recv_fds(ours, 100, 1)
        finally:
            answers.close()
            os.close(their_stdin)
            os.close(their_stdout)
        self.launched.append(int(answer))
        return ForkedProcess(int(answer), descriptors[0], os.fdopen(stdin, "wb"), os.fdopen(stdout, "rb"))


SERVERS: Final = ForkServers()  # of this process, and of those that are forked from it


def _started(
    function: str, *arguments: str, without: Sequence[str] = ()
) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """A process that runs a function of this module, and the socket to it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            child_command("tests.forked", function, str(theirs.fileno()), *arguments, without=without, is_bare=True),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # what the servers and their children are the first to load is compiled for those after them, too
            env={name: value for name, value in bare_environment().items() if name != "PYTHONDONTWRITEBYTECODE"},
        )
    return ours, process


def _ended(process: subprocess.Popen[bytes], place: socket.socket | None) -> None:
    if place is not None:
        with suppress(OSError):  # it has ended already
            place.shutdown(socket.SHUT_RDWR)  # for all who have borrowed it
        place.close()
    process.wait()


def _send(place: socket.socket, data: bytes, descriptors: Sequence[int]) -> None:
    place.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))])


def _launches(place: socket.socket) -> Iterator[tuple[bytes, list[int]]]:
    """Each launch that is asked for, with its two pipes and the socket for its answer."""
    while True:
        data, given, _, _ = socket.recv_fds(place, 2**20, 3)
        if not data:
            return
        yield data, given


def serve_all() -> None:
    """Hand each launch to its module's server, which is started at the first."""
    servers: dict[str, tuple[socket.socket, subprocess.Popen[bytes]]] = {}
    for data, given in _launches(socket.socket(fileno=int(sys.argv[1]))):
        module, *without = json.loads(data)["server"]
        name = str([module, *without])
        if name not in servers:
            servers[name] = _started("serve", module, without=without)
        with suppress(OSError):  # it could not load its module; nobody answers who asked
            _send(servers[name][0], data, given)
        for descriptor in given:
            os.close(descriptor)
    for place, process in servers.values():
        _ended(process, place)


def serve() -> None:
    """Load a module, fork one process for each message, and be one of them after that."""
    descriptor, name = sys.argv[1:]
    module = importlib.import_module(name)
    if hasattr(module, "load"):
        module.load()  # what it loads at its first need only
    gc.collect()
    gc.freeze()  # the collector of a forked process would copy every page that it looks at
    launches = socket.socket(fileno=int(descriptor))
    signal.signal(signal.SIGCHLD, _forget)
    for data, (*pipes, place) in _launches(launches):
        answers = socket.socket(fileno=place)
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            launches.close()
            answers.close()
            _become(json.loads(data), pipes)
            module.serve()
            return
        process = os.pidfd_open(pid)
        with answers, suppress(OSError):  # who asked may have been killed
            socket.send_fds(answers, [str(pid).encode()], [process])
        for unneeded in (process, *pipes):
            os.close(unneeded)


def _forget(*_: object) -> None:
    """Nobody asks for the exit codes of those that have ended, but the processor's seconds are counted."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _become(asked: dict[str, object], pipes: Sequence[int]) -> None:
    for place, pipe in enumerate(pipes):
        os.dup2(pipe, place)
        os.close(pipe)
    sys.argv[1:] = list(asked["arguments"])
    sys.path[:] = list(asked["path"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["cwd"])
