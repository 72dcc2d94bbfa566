"""A long-lived child process that starts in some 40 ms: this interpreter with one module, behind the fences.

Question and answers are each a line of JSON with a ``length``, then so many raw bytes. One question may have several answers;
the last has ``end`` or ``error``. What comes back is a claim of a process that may have been taken over: whoever asks checks it.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import IO, Any, ClassVar, Final, Protocol

from scraper.isolation.own_program import NO_CONSOLE, child_command
from scraper.isolation.process import bare_environment, confine

LONGEST_HEADER: Final = 1 << 20  # bytes of one line; the longest name in a zip has 64 KB
_LOOK_EVERY_S: Final = 0.5
_MOST_PATIENCE: Final = 4  # times its own, for a process that a busy computer hardly lets run


Message = tuple[dict[str, Any], bytes]
Say = Callable[..., None]


class Process(Protocol):
    """A running process with two pipes; ``subprocess.Popen`` is one."""

    pid: int
    stdin: IO[bytes] | None
    stdout: IO[bytes] | None

    def poll(self) -> int | None:
        """Exit code, None while it runs."""

    def kill(self) -> None:
        """End it at once."""

    def wait(self) -> int:
        """Wait for its end; its exit code."""


class Launch(Protocol):
    """How the process of a child comes to be."""

    def __call__(self, module: str, arguments: Sequence[str], without: Sequence[str]) -> Process:
        """Start a process that runs ``serve`` of the module; the arguments are those of ``Child``."""


def launched(module: str, arguments: Sequence[str], without: Sequence[str]) -> Process:
    """Start this interpreter, with nothing of the user's environment."""
    return subprocess.Popen(  # noqa: S603  # this very interpreter
        child_command(module, "serve", *arguments, without=without, is_bare=True),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=bare_environment(),
        creationflags=NO_CONSOLE,
    )


class ChildLost(Exception):
    """The process died, took too long, or said what no process of ours says."""


class ChildLate(ChildLost):
    """The process took longer than it may, and was ended."""


class Child:
    """The process; started when it is first asked, and again after it was lost. One thread at a time.

    Args:
        module: whose function ``serve`` the process runs.
        arguments: on its command line.
        patience_s: between a question and its first answer, and from one answer to the next. More, where it has had hardly half
            of that of the processor since its start, and is at work.
        without: modules that the process need not load.

    Attributes:
        launch: starts the process; a test suite, which needs very many, forks them from one that has loaded the module.
    """

    launch: ClassVar[Launch] = staticmethod(launched)

    def __init__(
        self, module: str, arguments: Sequence[str] = (), patience_s: float = 60.0, *, without: Sequence[str] = ()
    ) -> None:
        self._module, self._arguments, self._without = module, tuple(arguments), tuple(without)
        self._patience_s = patience_s
        self._process: Process | None = None
        self._deadline = 0.0
        self._is_late = False

    def ask(
        self,
        header: Mapping[str, object],
        data: bytes = b"",
        *,
        longest: int = 0,
        patience_s: float = 0.0,
        may_go_on: Callable[[], bool] = lambda: True,
    ) -> Iterator[Message]:
        """Ask one question; gives its answers as they come, the last of them with ``end`` or ``error``.

        Args:
            header: what is asked.
            data: the bytes that the question is about.
            longest: bytes of one answer at most, beside its line.
            patience_s: for this question; 0: as for any.
            may_go_on: looked at twice a second; the process is ended once it says no.

        Raises:
            ChildLost: at any point. ChildLate: where it took too long.
        """
        is_over = self._is_late = False
        patience_s = patience_s or self._patience_s
        try:
            process = self.start()
            assert process.stdin is not None and process.stdout is not None  # noqa: PT018, S101  # made with pipes
            self._deadline = time.monotonic() + patience_s
            with self._watched(process, may_go_on, patience_s):
                send(process.stdin, header, data)
                while not is_over:
                    answer = receive(process.stdout, longest)
                    is_over = not answer[0].keys().isdisjoint(("end", "error"))
                    self._deadline = math.inf  # it is ours to go on
                    yield answer
                    self._deadline = time.monotonic() + patience_s
        except (OSError, EOFError, ValueError, TypeError, KeyError, RecursionError) as err:
            raise (ChildLate if self._is_late else ChildLost) from err
        finally:
            if not is_over:  # it is still at work on what nobody wants any more
                self.close()

    def tell(self, header: Mapping[str, object], data: bytes = b"") -> None:
        """Say something in between two answers, to a child that asks back.

        Raises:
            ChildLost: it is gone.
        """
        try:
            if self._process is None or self._process.stdin is None:
                raise BrokenPipeError
            send(self._process.stdin, header, data)
        except (OSError, ValueError) as err:
            raise ChildLost from err

    @contextmanager
    def _watched(self, process: Process, may_go_on: Callable[[], bool], patience_s: float) -> Iterator[None]:
        is_done, last = Event(), time.monotonic() + _MOST_PATIENCE * patience_s

        def look() -> None:
            worked = 0.0
            while not is_done.wait(_LOOK_EVERY_S):
                now, deadline = time.monotonic(), self._deadline
                self._is_late = now > deadline
                if self._is_late and now < last and worked < (taken := processor_s(process.pid)) < patience_s / 2:
                    self._is_late, worked = False, taken  # it is at work, and others had the processor
                    if self._deadline == deadline:  # else it has answered meanwhile
                        self._deadline = now + patience_s / 4
                if self._is_late or not may_go_on():
                    process.kill()
                    return

        Thread(target=look, name="child", daemon=True).start()
        try:
            yield
        finally:
            is_done.set()

    def start(self) -> Process:
        """Start the process now, where none runs: it is ready when it is asked."""
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = self.launch(self._module, self._arguments, self._without)
        return self._process

    def kill(self) -> None:
        """Have the thread that asks lose the process; may be called from any other."""
        if (process := self._process) is not None:
            process.kill()

    def close(self) -> None:
        """End the process, if running."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # what was still to be written to a dead process
                if pipe is not None:
                    pipe.close()


def processor_s(pid: int) -> float:
    """Seconds of the processor that a process has taken since its start; infinite, where nobody can tell."""
    import psutil

    try:
        times = psutil.Process(pid).cpu_times()
    except (psutil.Error, OSError):
        return math.inf
    return float(times.user + times.system)


def send(out: IO[bytes], header: Mapping[str, object], data: bytes) -> None:
    """Send one message."""
    out.write(json.dumps({**header, "length": len(data)}).encode() + b"\n")
    out.write(data)
    out.flush()


def receive(source: IO[bytes], longest: int | None) -> Message:
    """One message.

    Raises:
        EOFError: the other side is gone. ValueError, TypeError, KeyError, RecursionError: what came is no message.
    """
    line = source.readline(LONGEST_HEADER)
    if not line:
        raise EOFError
    header = json.loads(line)
    if not isinstance(header, dict):
        raise TypeError(line)
    length = header["length"]
    if type(length) is not int or length < 0 or (longest is not None and length > longest):
        raise ValueError(length)
    data = source.read(length)
    if len(data) < length:
        raise EOFError
    return header, data


# ---- the child's side


def own_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Where questions come from and where answers go; what libraries print goes nowhere."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # C libraries print where they like
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(0, os.O_BINARY)
        msvcrt.setmode(answers.fileno(), os.O_BINARY)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches us too; when we end is for our parent to say
    return sys.stdin.buffer, answers


def answer_questions(
    work: Callable[[dict[str, Any], bytes, Say], None], memory: int, writable: Sequence[Path] = (), file_size: int = 0
) -> None:
    """A process's life: one question after another, until the pipe is closed.

    Args:
        work: answers a question; it gets the question, its bytes, and a function to which each answer is given:
            named values, and ``data`` where bytes go with them.
        memory: bytes that it may have.
        writable: folders in which it may write.
        file_size: bytes of one file that it writes.
    """
    questions, answers = own_pipes()
    confine(memory, writable, file_size)

    def say(data: bytes = b"", **named: object) -> None:
        send(answers, named, data)

    with suppress(EOFError, BrokenPipeError):
        while True:
            header, data = receive(questions, None)
            work(header, data, say)
            del data
