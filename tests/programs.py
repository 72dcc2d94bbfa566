"""The command in processes of its own, without a second of imports for each: a warm process forks them."""

import array
import atexit
import gc
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from scraper.isolation.child import Child
from scraper.registry import catalogue
from scraper.source.qr.reader import Reader
from scraper.source.qr.worker import Worker
from scraper.verify.workers import NEVER_NEEDED
from tests.forked import CAN_FORK, ForkServers

ROOT = Path(__file__).parent.parent
TIMEOUT_S = 600  # what hangs is ended; a busy machine takes minutes for what takes seconds
MODULES = (  # what ``grab``, ``list``, ``decode`` and ``verify`` load when they are run; the providers come with them
    "scraper.cli.commands",
    "scraper.pipeline.run",
    "scraper.download.fetch",
    "scraper.session.http.client",
    "scraper.source.resolve",
    "scraper.verify.folder",
    "scraper.ui.tables",
    "curl_cffi.requests",
    "rich.live",
    "rich.progress",
    "rich.table",
)
START = """
import sys
import tests.programs
asked = tests.programs.wait_for_work(int(sys.argv.pop(1)))
if asked is not None:
    sys.argv[1:] = asked
    from scraper.cli.commands import main
    main()
"""


def until(is_true: Callable[[], bool]) -> None:
    """Wait for what another process does, which sends no signal."""
    give_up = time.monotonic() + TIMEOUT_S
    while not is_true():
        assert time.monotonic() < give_up, "it did not come to that"
        time.sleep(0.02)  # a loop without a pause would take the processor from what is waited for


class WarmProgram:
    """A process that has loaded the program, and forks one that runs it for each call.

    Each is a process like any other: its environment, folder, streams, exit code. What the interpreter reads at its start
    (``PYTHON…``) is the warm process's.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self._start()
        atexit.register(self.close)

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._process = subprocess.Popen(
            [sys.executable, "-c", START, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env={
                **self.environment,
                "PYTHONPATH": os.pathsep.join([self.environment.get("PYTHONPATH", ""), str(ROOT)]),
            },
            cwd=ROOT,
        )
        theirs.close()

    def run(
        self, words: list[str], text: str, environment: Mapping[str, str], cwd: Path
    ) -> subprocess.CompletedProcess[str]:
        """Run the program on ``words``; as ``subprocess.run`` with captured text."""
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(text.encode())
            given.seek(0)
            asked = json.dumps({"words": words, "environment": dict(environment), "cwd": str(cwd)}).encode() + b"\n"
            streams = array.array("i", [given.fileno(), out.fileno(), err.fileno()])
            self._socket.sendmsg([asked], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
            self._socket.settimeout(TIMEOUT_S)
            try:
                code = int(self._socket.makefile("r").readline())
            except TimeoutError:
                self.close()  # its answer to this call must not be taken for the one to the next
                self._start()
                raise
            out.seek(0)
            err.seek(0)
            shown = [stream.read().decode().replace("\r\n", "\n") for stream in (out, err)]
        return subprocess.CompletedProcess(words, code, *shown)

    def close(self) -> None:
        """End the warm process."""
        self._socket.close()
        self._process.kill()
        self._process.wait()


def wait_for_work(descriptor: int) -> list[str] | None:
    """In the warm process: fork one process for each call. Returns the words in the forked one, None at the end.

    One process that reads codes serves them all, one after another, and their children are forked too: half of a call's
    cost would be their start.
    """
    for name in MODULES:
        __import__(name)
    catalogue.known()
    catalogue.known.cache_clear()  # a process that is forked looks for plug-ins itself
    servers = ForkServers()
    if CAN_FORK:
        Child.launch = servers.launch
    gc.collect()
    gc.freeze()  # the collector of a forked process would copy every page that it looks at
    calls = socket.socket(fileno=descriptor)
    while True:
        data, streams, _, _ = socket.recv_fds(calls, 2**20, 3)
        while data and not data.endswith(b"\n"):
            data += calls.recv(2**20)
        if not data:
            return None
        if not (Worker.spare and Worker.spare[0].poll() is None):
            Worker.spare = []
            with Reader():
                pass
        reader = Worker.spare[0]
        if CAN_FORK:
            servers.of("scraper.verify.workers", NEVER_NEEDED)
        pid = os.fork()
        if pid == 0:
            reader.poll = lambda: None  # only its parent, the warm process, can ask the system how it is
            calls.close()
            asked = json.loads(data)
            for place, stream in enumerate(streams):
                os.dup2(stream, place)
                os.close(stream)
            os.environ.clear()
            os.environ.update(asked["environment"])
            os.chdir(asked["cwd"])
            tempfile.tempdir = None  # as its own environment says
            return list(asked["words"])
        for stream in streams:
            os.close(stream)
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if not 0 <= code <= 10:  # it did not end by itself, and may have left half a question
            reader.kill()
            reader.wait()
            servers.close()
        calls.sendall(f"{code}\n".encode())
