"""Workers of pytest-xdist that are forked from the run's first process, which has loaded the modules of the tests for all.

Each would take two seconds of the processor to load them. What they start in common, the warm program (``tests.programs``) and
the servers (``tests.forked``), is started before them, for once as well.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import pytest
from execnet import gateway_io

from scraper.registry import catalogue
from tests.forked import SERVERS


class ForkedWorker:
    """A worker; what execnet uses of ``subprocess.Popen``."""

    def __init__(self, before: list[ForkedWorker]) -> None:
        (their_stdin, stdin), (stdout, their_stdout) = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            # a worker ends with its standard input, whose other end the first process alone may hold
            for worker in before:
                worker.stdin.close()
                worker.stdout.close()
            os.close(stdin)
            os.close(stdout)
            _serve(their_stdin, their_stdout)
        os.close(their_stdin)
        os.close(their_stdout)
        self.stdin: IO[bytes] = os.fdopen(stdin, "wb")
        self.stdout: IO[bytes] = os.fdopen(stdout, "rb")

    def wait(self) -> int:
        """Wait for its end; its exit code."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> None:
        """End it at once."""
        os.kill(self.pid, signal.SIGKILL)


class ForkedIO(gateway_io.Popen2IOMaster):  # type: ignore[misc]
    """The way to a worker."""

    def __init__(self, worker: ForkedWorker, execmodel: object) -> None:
        self.popen = worker
        gateway_io.Popen2IO.__init__(self, worker.stdin, worker.stdout, execmodel=execmodel)


def fork(config: pytest.Config, count: int) -> None:
    """Fork the workers of a run; execnet takes them when it is asked for as many processes."""
    _load(config)
    if programs := sys.modules.get("tests.programs"):
        programs.warm()
        for name in (*programs.MODULES, "playwright.async_api"):  # what the rows load when they run
            importlib.import_module(name)
        catalogue.known()
        catalogue.known.cache_clear()  # plug-ins are each row's own
    SERVERS.started()
    if threading.active_count() > 1:
        return
    gc.collect()
    gc.freeze()  # the workers' collectors would copy every page that they look at
    workers: list[ForkedWorker] = []
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        sys.stdout.flush()
        sys.stderr.flush()
        for _ in range(count):
            workers.append(ForkedWorker(workers))
    started = gateway_io.create_io

    def create_io(spec: object, execmodel: object) -> object:
        return ForkedIO(workers.pop(0), execmodel) if workers else started(spec, execmodel)

    gateway_io.create_io = create_io


def _load(config: pytest.Config) -> None:
    """Load the modules of the tests that are asked for; whatever one raises, each worker meets it again and says so."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in _modules(config):
            with suppress(Exception, pytest.skip.Exception):
                importlib.import_module(".".join(path.relative_to(config.rootpath).with_suffix("").parts))


def _modules(config: pytest.Config) -> Iterator[Path]:
    for word in config.args:
        path = config.invocation_params.dir / word.partition("::")[0]
        yield from sorted(path.rglob("test_*.py")) if path.is_dir() else [path]


def _serve(stdin: int, stdout: int) -> None:
    """Be a worker, as the interpreter that execnet starts is one."""
    code = 1
    try:
        for place, pipe in enumerate((stdin, stdout)):
            os.dup2(pipe, place)
            os.close(pipe)
        sys.stdin, sys.stdout = (open(place, mode, closefd=False) for place, mode in enumerate("rw"))  # noqa: SIM115
        sys.argv = ["-c"]
        exec(eval(sys.stdin.readline()), {"__name__": "__main__"})  # noqa: S102, S307  # execnet's own first words
        threading._shutdown()  # type: ignore[attr-defined]  # wait for the threads
        atexit._run_exitfuncs()
        code = 0
    except BaseException:  # noqa: BLE001  # nothing of the first process's may go on here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
