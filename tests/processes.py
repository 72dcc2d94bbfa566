"""Rows in several processes that are forked once everything is collected: ``pytest -p tests.processes --processes 6``.

Each worker of pytest-xdist is an interpreter that loads and collects everything itself, and has fork servers of its own
(``tests.forked``, ``tests.programs``): on two processors twenty seconds pass before the first row. Here one process loads,
collects and starts the servers. Each worker is given a run of rows that follow each other, so that what a module shares is made
once; one that has done its own takes over half of the longest run that is left.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any, Final

import pytest

AHEAD: Final = 2  # rows that a worker knows of: with which one it goes on says what of the first's may be taken down
MODULES: Final = {  # whose children most of the workers need, and whose start takes half a second
    "scraper.verify.workers": ("requests",),
    "scraper.dicom.codec_process": (),
    "scraper.dicom.long_files": (),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--processes``."""
    parser.addoption(
        "--processes", type=int, default=0, help="run the rows in so many processes, forked after the collection"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the rows in several processes, where that was asked for."""
    option = session.config.option
    if not option.processes or option.collectonly or (session.testsfailed and not option.continue_on_collection_errors):
        return None
    Rows(session, min(option.processes, len(session.items))).run()
    return True


@dataclass(eq=False)
class Worker:
    """A process of rows, from its parent's side.

    Attributes:
        pid: its number.
        connection: to it.
        own: rows that it is to do, by their places, and that may be taken from it.
        given: rows that it knows of; it is at the first.
        has_all: it knows that there are no others.
    """

    pid: int
    connection: Connection
    own: deque[int]
    given: deque[int] = field(default_factory=deque)
    has_all: bool = False


class Rows:
    """All rows, divided among workers."""

    def __init__(self, session: pytest.Session, processes: int) -> None:
        self._session = session
        self._config = session.config
        self._count = 0
        self._workers: dict[Connection, Worker] = {}
        places = range(len(session.items))
        self._shares = [
            deque(places[len(places) * k // processes : len(places) * (k + 1) // processes]) for k in range(processes)
        ]

    def run(self) -> None:
        """Run them all, and report each as pytest would."""
        from tests.forked import SERVERS
        from tests.programs import warm

        if reporter := self._config.pluginmanager.get_plugin("terminalreporter"):
            reporter.showfspath = False  # rows of many files come in turns
        warm()
        for module, without in MODULES.items():
            SERVERS.of(module, without)
        try:
            for share in self._shares:
                self._fork(share)
            while self._workers:
                for connection in wait(list(self._workers)):
                    self._receive(self._workers[connection])
        finally:
            for worker in self._workers.values():
                worker.connection.close()  # it ends after its row
            for worker in self._workers.values():
                os.waitpid(worker.pid, 0)
            warm().close()
            SERVERS.close()

    def _fork(self, own: deque[int]) -> None:
        ours, theirs = Pipe()
        capture = self._config.pluginmanager.get_plugin("capturemanager")
        capture.suspend_global_capture(in_=True)
        capture.read_global_capture()  # would be the child's, too
        self._count += 1
        pid = os.fork()
        if pid == 0:
            ours.close()
            for worker in self._workers.values():
                worker.connection.close()
            be_worker(self._session, theirs, self._count)  # does not return
        theirs.close()
        capture.resume_global_capture()
        worker = Worker(pid, ours, own)
        self._workers[ours] = worker
        for _ in range(AHEAD):
            self._give(worker)

    def _give(self, worker: Worker) -> None:
        """Name the worker one more row; the end, where there is none."""
        if not worker.own and not worker.has_all:
            longest = max((other.own for other in self._workers.values()), key=len, default=worker.own)
            moved = [longest.pop() for _ in range((len(longest) + 1) // 2)]
            worker.own.extend(reversed(moved))
        place = worker.own.popleft() if worker.own and not self._is_over() else None
        if place is not None:
            worker.given.append(place)
        elif worker.has_all:
            return
        worker.has_all = place is None
        with suppress(BrokenPipeError):  # its end is seen
            worker.connection.send(place)

    def _is_over(self) -> bool:
        return bool(self._session.shouldfail or self._session.shouldstop)

    def _receive(self, worker: Worker) -> None:
        """Take the reports of a row, or note the worker's end."""
        reports = None
        with suppress(EOFError, ConnectionResetError):
            reports = worker.connection.recv()
        if reports is None:
            self._note_end(worker)
        else:
            self._report(worker.given.popleft(), reports)
            self._give(worker)

    def _report(self, place: int, data: list[dict[str, Any]]) -> None:
        item, hook = self._session.items[place], self._config.hook
        hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for row in data:
            report = hook.pytest_report_from_serializable(config=self._config, data=row)
            hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        if self._session.shouldfail:
            raise self._session.Failed(self._session.shouldfail)

    def _note_end(self, worker: Worker) -> None:
        """Where a worker ended before its rows, that is the first one's failure, and another does the others."""
        del self._workers[worker.connection]
        worker.connection.close()
        code = os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1])
        if not worker.given:
            return
        place = worker.given.popleft()
        item = self._session.items[place]
        ended = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        report = pytest.TestReport(
            item.nodeid, item.location, {}, "failed", f"the process of this row ended: {ended}", "call"
        )
        self._report(place, [self._config.hook.pytest_report_to_serializable(config=self._config, report=report)])
        self._fork(deque([*worker.given, *worker.own]))


# ---- in the forked process


class Reports:
    """The reports of one row after the other."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._reports: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a report."""
        self._reports.append(self._config.hook.pytest_report_to_serializable(config=self._config, report=report))

    def taken(self) -> list[dict[str, Any]]:
        """Those of the row that has ended."""
        reports, self._reports = self._reports, []
        return reports


def be_worker(session: pytest.Session, connection: Connection, number: int) -> None:
    """Run the rows that the parent names, and end."""
    from tests.forked import end_at_once

    config = session.config
    code = 1
    try:
        plugins = config.pluginmanager
        capture = plugins.get_plugin("capturemanager")
        capture.stop_global_capturing()  # its files are the parent's
        capture.start_global_capturing()
        plugins.unregister(name="terminalreporter")
        factory = config._tmp_path_factory  # type: ignore[attr-defined]
        folder = factory.getbasetemp() / f"process-{number}"
        folder.mkdir(mode=0o700)
        config._tmp_path_factory = pytest.TempPathFactory(  # type: ignore[attr-defined]
            None, 0, "all", factory._trace, folder, _ispytest=True
        )
        plugins.register(reports := Reports(config))
        for place, following in _named(connection):
            item, nextitem = session.items[place], None if following is None else session.items[following]
            config.hook.pytest_runtest_protocol(item=item, nextitem=nextitem)
            connection.send(reports.taken())
            if session.shouldfail or session.shouldstop:
                break
        code = 0
    except (EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        pass  # the parent is gone, or the user wants no more
    except BaseException:  # noqa: BLE001  # a forked process must not go on as its parent
        capture.stop_global_capturing()
        traceback.print_exc()
    finally:
        try:
            session._setupstate.teardown_exact(None)
        finally:
            end_at_once(code)


def _named(connection: Connection) -> Iterator[tuple[int, int | None]]:
    """Each row with the one that follows, by their places."""
    place = connection.recv()
    while place is not None:
        following = connection.recv()
        yield place, following
        place = following
