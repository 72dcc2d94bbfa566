"""The command in processes of its own, without a second of imports for each: a warm process forks them."""

import array
import atexit
import gc
import importlib
import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import cache, partial
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

from pydantic import TypeAdapter

from scraper.batch.report import page
from scraper.core import domains, messages
from scraper.isolation.child import Child
from scraper.registry import catalogue
from scraper.source.qr.reader import Reader
from scraper.source.qr.worker import Worker
from tests.forked import CAN_FORK, SERVERS

ROOT = Path(__file__).parent.parent
TIMEOUT_S = 600  # what hangs is ended; a busy machine takes minutes for what takes seconds
MODULES = (  # what most commands load when they are run; the providers come with them
    "scraper.cli.commands",
    "scraper.cli.sources",
    "scraper.core.output_console",
    "scraper.registry.foreign_code",
    "scraper.pipeline.run",
    "scraper.download.fetch",
    "scraper.session.http.client",
    "scraper.source.resolve",
    "scraper.verify.folder",
    "scraper.batch.report.page",
    "scraper.batch.progress",
    "scraper.batch.report.needs",
    "scraper.batch.report.thumbnails",
    "scraper.batch.target",
    "scraper.batch.runner",
    "scraper.batch.workers.local",
    "scraper.export.targets",
    "scraper.export.view",
    "scraper.send.by_dimse",
    "scraper.send.run",
    "scraper.ui.tables",
    "curl_cffi.requests",
    "encodings.gb18030",
    "jinja2.runtime",
    "numpy.ma",
    "platformdirs.unix",
    "rich.live",
    "rich.progress",
    "rich.table",
    "typer._adapters",
    "typer._click.decorators",
)
READ_ONCE = (  # files of the program, and what is installed for pydantic
    messages.catalogue,
    partial(domains.site_of, "film.aurora.test"),
    page.template,
    partial(TypeAdapter, int),
)
START = """
import sys
import tests.programs
asked = tests.programs.wait_for_work(int(sys.argv.pop(1)), int(sys.argv.pop(1)))
if asked is not None:
    asked.run()
"""
ENTRY = "scraper.cli.commands"  # its ``main`` is what is run
PIPE, NOTHING = subprocess.PIPE, subprocess.DEVNULL
Stream = int | IO[Any]


def until(is_true: Callable[[], bool]) -> None:
    """Wait for what another process does, which sends no signal."""
    give_up = time.monotonic() + TIMEOUT_S
    while not is_true():
        assert time.monotonic() < give_up, "it did not come to that"
        time.sleep(0.02)  # a loop without a pause would take the processor from what is waited for


def environment(**more: str) -> dict[str, str]:
    """Variables of a program that knows the plug-ins of ``tests/plugins`` and speaks English."""
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith(("CLOUDFILM_", "LC_", "LANG"))
    }
    return {
        **variables,
        "PYTHONPATH": str(ROOT / "tests" / "plugins"),
        "LANG": "en_US.UTF-8",
        "PYTHONUTF8": "1",
        **more,
    }


class Program:
    """A forked program: what tests use of ``subprocess.Popen``."""

    def __init__(self, reply: socket.socket, streams: list[IO[Any] | None]) -> None:
        self._reply = reply
        self.stdin, self.stdout, self.stderr = streams
        self.returncode: int | None = None
        self.pid = self._number(TIMEOUT_S)

    def _number(self, timeout_s: float) -> int:
        if not select.select([self._reply], [], [], timeout_s)[0]:
            raise TimeoutError
        return int(self._reply.recv(64))  # nothing: the warm process has ended

    def wait(self, timeout: float = TIMEOUT_S) -> int:
        """The exit code; negative, a signal's number.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        if self.returncode is None:
            try:
                self.returncode = self._number(timeout)
            except TimeoutError as err:
                raise subprocess.TimeoutExpired(["cloudfilm"], timeout) from err
            self._reply.close()
        return self.returncode

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def send_signal(self, number: int) -> None:
        """Send a signal, where it still runs."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float = TIMEOUT_S) -> tuple[Any, Any]:
        """All that it writes, and wait for it."""
        read: dict[int, Any] = {}
        streams = {place: stream for place, stream in enumerate((self.stdout, self.stderr)) if stream is not None}
        threads = [
            threading.Thread(target=lambda place, stream: read.update({place: stream.read()}), args=row, daemon=True)
            for row in streams.items()
        ]
        for thread in threads:
            thread.start()
        self.wait(timeout)
        for thread in threads:
            thread.join(timeout)
        self.close()
        return read.get(0), read.get(1)

    def close(self) -> None:
        """Close this end of its pipes."""
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self.wait()


class WarmProgram:
    """A process that has loaded the program, and forks one that runs it for each call.

    Each is a process like any other: its environment, folder, streams, signals, exit code; ``PYTHONPATH`` and
    ``PYTHONIOENCODING`` are followed. What else the interpreter reads at its start (``PYTHON…``) is the warm process's.
    """

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        passed = [theirs.fileno(), SERVERS.started().fileno()]
        self._process = subprocess.Popen(
            [sys.executable, "-c", START, *map(str, passed)],
            pass_fds=passed,
            stdin=subprocess.DEVNULL,
            env=environment(PYTHONPATH=str(ROOT)),
            cwd=ROOT,
        )
        theirs.close()

    def run(
        self,
        words: list[str],
        given: bytes,
        environment: Mapping[str, str],
        cwd: Path,
        *,
        entry: str = ENTRY,
        before: str = "",
        timeout_s: float = TIMEOUT_S,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run the program on ``words``; as ``subprocess.run`` with captured output. For ``entry``, ``before``: ``start``."""
        with tempfile.TemporaryFile() as text, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            text.write(given)
            text.seek(0)
            program = self._forked(
                [text, out, err],
                words=words,
                environment=dict(environment),
                cwd=str(cwd),
                entry=entry,
                before=before,
                borrows=True,
            )
            running = Program(program, [None, None, None])
            try:
                code = running.wait(timeout_s)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()
                raise
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(words, code, out.read(), err.read())

    def start(
        self,
        words: list[str],
        environment: Mapping[str, str],
        cwd: Path,
        *,
        stdin: Stream = NOTHING,
        stdout: Stream = NOTHING,
        stderr: Stream = NOTHING,
        text: bool = False,
        new_session: bool = False,
        entry: str = ENTRY,
        before: str = "",
    ) -> Program:
        """Start the program on ``words``; as ``subprocess.Popen``.

        Args:
            words: its arguments.
            environment: its variables, all of them.
            cwd: its folder.
            stdin: the three streams are files, descriptors, ``PIPE`` or ``NOTHING``.
            stdout: see ``stdin``.
            stderr: see ``stdin``.
            text: pipes are read as UTF-8.
            new_session: it leads a session and a process group of its own.
            entry: the module whose ``main`` is run.
            before: Python that runs in the process before its ``main``.
        """
        ours: list[IO[Any] | None] = [None, None, None]
        with ExitStack() as theirs:
            streams: list[Stream] = []
            for place, stream in enumerate((stdin, stdout, stderr)):
                if stream == NOTHING:
                    streams.append(theirs.enter_context(open(os.devnull, "r+b")))  # noqa: PTH123
                elif stream == PIPE:
                    reading, writing = os.pipe()
                    near, far = (writing, reading) if place == 0 else (reading, writing)
                    mode = "w" if place == 0 else "r"
                    ours[place] = open(near, mode, encoding="utf-8") if text else open(near, f"{mode}b")  # noqa: PTH123, SIM115
                    streams.append(theirs.enter_context(open(far, "rb" if place == 0 else "wb")))  # noqa: PTH123
                else:
                    streams.append(stream)
            reply = self._forked(
                streams,
                words=words,
                environment=dict(environment),
                cwd=str(cwd),
                entry=entry,
                before=before,
                new_session=new_session,
            )
            return Program(reply, ours)

    def _forked(self, streams: list[Stream], **asked: object) -> socket.socket:
        """Have a program forked; its process id, then its exit code come out of the socket."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            numbers = [stream if isinstance(stream, int) else stream.fileno() for stream in streams]
            descriptors = array.array("i", [*numbers, theirs.fileno()])
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)
            self._socket.sendmsg([json.dumps(asked).encode()], [rights])
        return ours

    def close(self) -> None:
        """End the warm process, where this one has started it."""
        if self._owner == os.getpid():
            self._socket.close()
            self._process.kill()
            self._process.wait()


@cache
def warm() -> WarmProgram:
    """The warm process; the workers that are forked with it in hand share it, as ``tests.forked.ForkServers``."""
    return WarmProgram()


def close() -> None:
    """End the warm process, where there is one and this process has started it."""
    if warm.cache_info().currsize:
        warm().close()
        warm.cache_clear()


def started(
    *words: object,
    environment: Mapping[str, str],
    cwd: Path = ROOT,
    stdin: Stream = NOTHING,
    stdout: Stream = NOTHING,
    stderr: Stream = NOTHING,
    text: bool = False,
    new_session: bool = False,
    entry: str = ENTRY,
    before: str = "",
) -> Program | subprocess.Popen[Any]:
    """The program on ``words``, forked where the system can; for the rest, see ``WarmProgram.start``."""
    given = [str(word) for word in words]
    if CAN_FORK:
        return warm().start(
            given,
            environment,
            cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            text=text,
            new_session=new_session,
            entry=entry,
            before=before,
        )
    return subprocess.Popen(
        from_nothing(*given, entry=entry, before=before),
        env=environment,
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        encoding="utf-8" if text else None,
        start_new_session=new_session,
    )


def ran(
    *words: object,
    given: bytes = b"",
    environment: Mapping[str, str],
    cwd: Path = ROOT,
    entry: str = ENTRY,
    before: str = "",
    timeout_s: float = TIMEOUT_S,
) -> subprocess.CompletedProcess[bytes]:
    """Run the program on ``words`` to its end, forked where the system can; its output is captured."""
    texts = [str(word) for word in words]
    if CAN_FORK:
        return warm().run(texts, given, environment, cwd, entry=entry, before=before, timeout_s=timeout_s)
    program = from_nothing(*texts, entry=entry, before=before)
    return subprocess.run(
        program, input=given, capture_output=True, env=environment, cwd=cwd, timeout=timeout_s, check=False
    )


def from_nothing(*words: object, entry: str = ENTRY, before: str = "") -> list[str]:
    """The words of a call that starts an interpreter for the program."""
    return [sys.executable, "-c", f"{before}\nfrom {entry} import main; main()", *map(str, words)]


# ---- inside the warm process


class Asked:
    """What one call asks for, in the process that was forked for it."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.asked = asked

    def run(self) -> None:
        """Be the program."""
        variables = self.asked["environment"]
        if self.asked.get("new_session"):
            os.setsid()
        os.environ.clear()
        os.environ.update(variables)
        os.chdir(self.asked["cwd"])
        tempfile.tempdir = None  # as its own environment says
        places = [place for place in variables.get("PYTHONPATH", "").split(os.pathsep) if place]
        sys.path[1:] = [*places, *(place for place in sys.path[1:] if place != str(ROOT))]
        is_direct = "PYTHONUNBUFFERED" in variables
        encoding = variables.get("PYTHONIOENCODING")
        for stream, number, errors in ((sys.stdout, 1, "strict"), (sys.stderr, 2, "backslashreplace")):
            stream.reconfigure(line_buffering=os.isatty(number) or number == 2, write_through=is_direct)  # type: ignore[union-attr]
            if encoding:
                stream.reconfigure(encoding=encoding, errors=errors)  # type: ignore[union-attr]
        sys.argv[1:] = self.asked["words"]
        exec(self.asked["before"], {})  # noqa: S102  # a test's own
        try:
            importlib.import_module(self.asked["entry"]).main()
        except SystemExit as ended:
            if isinstance(ended.code, int):
                _end_at_once(ended.code)
            raise


def _end_at_once(code: int) -> None:
    """End as an interpreter does, but without taking apart what was loaded, which would copy all of its pages."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return  # what the interpreter makes of it
    threading._shutdown()  # type: ignore[attr-defined]  # wait for the threads
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class Forked(NamedTuple):
    """A running program: its process, where its end is written, and the reader of codes that it has borrowed."""

    pid: int
    reply: socket.socket
    reader: subprocess.Popen[bytes] | None


class Warm:
    """The warm process's side: forks one process for each call, and says how each has ended.

    What ``run`` asks for borrows a process that reads codes, whose start would be half of a call's cost; what ``start`` asks
    for starts its own where it needs it.
    """

    def __init__(self, descriptor: int) -> None:
        self._calls = socket.socket(fileno=descriptor)
        self._events = selectors.DefaultSelector()
        self._events.register(self._calls, selectors.EVENT_READ)
        self._running: dict[int, Forked] = {}  # by the descriptor of its process
        self._readers: list[subprocess.Popen[bytes]] = []  # that nobody has borrowed

    def serve(self) -> Asked | None:
        """What is asked for, in a process that was forked for it; None at the end of all."""
        while True:
            for key, _ in self._events.select():
                if key.fd in self._running:
                    self._note_end(key.fd)
                    continue
                data, descriptors, _, _ = socket.recv_fds(self._calls, 2**20, 4)
                if not data:
                    return None
                asked = json.loads(data)
                if self._fork(descriptors, borrows=bool(asked.get("borrows"))):
                    return Asked(asked)

    def _fork(self, descriptors: list[int], *, borrows: bool) -> bool:
        """Whether this is the new process."""
        *streams, last = descriptors
        reply = socket.socket(fileno=last)
        reader = self._reader() if borrows else None
        pid = os.fork()
        if pid == 0:
            Worker.spare = None if reader is None else [reader]
            if reader is not None:
                reader.poll = lambda: None  # type: ignore[method-assign]  # only its parent can ask the system how it is
            self._leave()
            reply.close()
            for place, stream in enumerate(streams):
                os.dup2(stream, place)
        for stream in streams:
            os.close(stream)
        if pid == 0:
            return True
        reply.send(str(pid).encode())
        program = os.pidfd_open(pid)
        self._running[program] = Forked(pid, reply, reader)
        self._events.register(program, selectors.EVENT_READ)
        return False

    def _reader(self) -> subprocess.Popen[bytes]:
        while self._readers:
            reader = self._readers.pop()
            if reader.poll() is None:
                return reader
        Worker.spare = []
        with Reader():
            pass
        return Worker.spare.pop()

    def _leave(self) -> None:
        """Let go, in a new process, of what is the warm one's."""
        for descriptor, program in self._running.items():
            os.close(descriptor)
            program.reply.close()
        self._events.close()
        self._calls.close()

    def _note_end(self, descriptor: int) -> None:
        program = self._running.pop(descriptor)
        self._events.unregister(descriptor)
        os.close(descriptor)
        _, status = os.waitpid(program.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if program.reader is not None:
            if 0 <= code <= 10:
                self._readers.append(program.reader)
            else:  # it did not end by itself, and may have left half a question
                program.reader.kill()
                program.reader.wait()
        with suppress(OSError):  # nobody waits for it any more
            program.reply.send(str(code).encode())
        program.reply.close()


def wait_for_work(descriptor: int, servers: int) -> Asked | None:
    """In the warm process: load the program, and serve the calls; what ``Warm.serve`` gives."""
    for name in MODULES:
        __import__(name)
    for read in READ_ONCE:
        read()
    catalogue.known()
    catalogue.known.cache_clear()  # a process that is forked looks for plug-ins itself
    Child.launch = SERVERS.launch
    SERVERS.borrow(servers)
    gc.collect()
    gc.freeze()  # the collector of a forked process would copy every page that it looks at
    return Warm(descriptor).serve()
