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
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import IO, Final, Self

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
        if not self._has_ended(0):
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def wait(self) -> int:
        """Wait for its end."""
        self._has_ended(None)
        return NAMELESS

    def _has_ended(self, patience_ms: int | None) -> bool:
        end = select.poll()
        end.register(self._descriptor, select.POLLIN)
        return bool(end.poll(patience_ms))


class ForkServer:
    """A process that has loaded a module and forks one for each launch."""

    def __init__(self, place: socket.socket, process: subprocess.Popen[bytes] | None = None) -> None:
        self.socket = place
        self._process = process  # None: another's

    @classmethod
    def started(cls, module: str, without: Sequence[str]) -> Self:
        """A new one. What it or its children are the first to load (mitmproxy) is compiled for those after them, too."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = child_command("tests.forked", "serve", module, str(theirs.fileno()), without=without, is_bare=True)
        process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={name: value for name, value in bare_environment().items() if name != "PYTHONDONTWRITEBYTECODE"},
        )
        theirs.close()
        return cls(ours, process)

    def launch(self, arguments: Sequence[str]) -> ForkedProcess:
        """Fork one process that runs ``serve`` of the module.

        Each launch has its answer from a socket of its own: several processes that were forked with this server in hand may
        launch at once, and one that is killed leaves no answer to another.
        """
        ours, answers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        (their_stdin, stdin), (stdout, their_stdout) = os.pipe(), os.pipe()
        try:
            asked = {
                "arguments": list(arguments),
                "environment": bare_environment(),
                "path": sys.path,
                "cwd": str(Path.cwd()),
            }
            given = array.array("i", [their_stdin, their_stdout, answers.fileno()])
            self.socket.sendmsg([json.dumps(asked).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, given)])
            answers.close()
            with ours:
                answer, descriptors, _, _ = socket.recv_fds(ours, 100, 1)
        finally:
            answers.close()
            os.close(their_stdin)
            os.close(their_stdout)
        return ForkedProcess(int(answer), descriptors[0], os.fdopen(stdin, "wb"), os.fdopen(stdout, "rb"))

    def close(self) -> None:
        """End the process; those that it forked end with their pipes."""
        self.socket.close()
        if self._process is not None:
            self._process.kill()  # who has borrowed it may still hold its socket
            self._process.wait()


class ForkServers:
    """One server for each module, started at its first launch."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._servers: dict[str, ForkServer] = {}

    def close(self) -> None:
        """End all servers; a later launch starts another."""
        while self._servers:
            self._servers.popitem()[1].close()

    def launch(self, module: str, arguments: Sequence[str], without: Sequence[str]) -> ForkedProcess:
        """Start a process, as ``scraper.isolation.child.launched`` does."""
        return self.of(module, without).launch(arguments)

    def borrow(self, module: str, descriptor: int) -> None:
        """Launch by the server that another process has started, through its socket."""
        self._servers[module] = ForkServer(socket.socket(fileno=descriptor))

    def of(self, module: str, without: Sequence[str] = ()) -> ForkServer:
        """The module's server, started now where there is none."""
        with self._lock:
            if module not in self._servers:
                self._servers[module] = ForkServer.started(module, without)
            return self._servers[module]


SERVERS: Final = ForkServers()  # of this process


def serve() -> None:
    """Fork one process for each message, and be one of them after that."""
    name, descriptor = sys.argv[1:]
    module = importlib.import_module(name)
    gc.collect()
    gc.freeze()  # the collector of a forked process would copy every page that it looks at
    launches = socket.socket(fileno=int(descriptor))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks for their exit codes
    while True:
        data, given, _, _ = socket.recv_fds(launches, 2**20, 3)
        if not data:
            return
        *pipes, place = given
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


def _become(asked: dict[str, object], pipes: Sequence[int]) -> None:
    for place, pipe in enumerate(pipes):
        os.dup2(pipe, place)
        os.close(pipe)
    sys.argv[1:] = list(asked["arguments"])
    sys.path[:] = list(asked["path"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["cwd"])
