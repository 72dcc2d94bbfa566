"""The interface between a batch and its workers: a job goes in, an outcome comes back, here or on another machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from scraper.core.errors import ExitCode
from scraper.core.model import Status
from scraper.core.settings import Settings

R = TypeVar("R")  # what a worker has retrieved and not placed yet


@dataclass(frozen=True, slots=True)
class Job:
    """One source to process; picklable, and its ``repr`` reveals nothing.

    Attributes:
        key: the ledger's name for it.
        source: as for ``grab``: a link, a share text, or a file's path.
        shown: the source in redacted form.
        settings: the options, with this source's own answers among them.
    """

    key: str
    source: str = field(repr=False)
    shown: str
    settings: Settings = field(repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one source ended.

    Attributes:
        document: what ``--json`` prints for it; it holds no secret.
        words: why it failed, for people; empty on success.
        diagnostic: the redacted diagnostic's path, or nothing.
        thumbnails: Series Instance UID → the series' middle slice, a small JPEG.
    """

    document: Mapping[str, object]
    words: str = ""
    diagnostic: str = ""
    thumbnails: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def status(self) -> Status:
        """``complete``, ``incomplete`` or ``failed``."""
        return Status(str(self.document["status"]))

    @property
    def exit_code(self) -> ExitCode:
        """The source's own exit code."""
        return ExitCode(int(str(self.document["exit_code"])))


def combined(outcomes: Sequence[tuple[str, Outcome]]) -> Outcome:
    """The outcome of a source that holds several films; each film's own is under ``results``.

    Args:
        outcomes: the key of each film's link, and how it ended.
    """
    if len(outcomes) == 1:
        return outcomes[0][1]
    every = [outcome for _, outcome in outcomes]
    documents = [outcome.document for outcome in every]
    states = [outcome.status for outcome in every]
    is_short = any(state is not Status.FAILED for state in states)
    status = Status.COMPLETE if set(states) == {Status.COMPLETE} else Status.INCOMPLETE if is_short else Status.FAILED
    thumbnails = {uid: jpeg for outcome in every for uid, jpeg in outcome.thumbnails.items()}
    document = {
        **documents[0],
        "status": status.value,
        "exit_code": max(int(outcome.exit_code) for outcome in every),
        "problems": [problem for item in documents for problem in _list(item, "problems")],
        "results": [
            {"link_key": key, "document": outcome.document, "words": outcome.words, "diagnostic": outcome.diagnostic}
            for key, outcome in outcomes
        ],
    }
    words = "; ".join(outcome.words for outcome in every if outcome.words)
    return Outcome(document, words, next((o.diagnostic for o in every if o.diagnostic), ""), thumbnails)


def results(outcome: Outcome) -> list[Outcome]:
    """The outcome of each film of a source; the source's own where it holds one."""
    return [part for _, part in keyed_results(outcome)]


def keyed_results(outcome: Outcome) -> list[tuple[str, Outcome]]:
    """The same, each with the key of its film's link, or an empty key for a single film."""
    rows = _list(outcome.document, "results")
    return [
        (row["link_key"], Outcome(row["document"], row["words"], row["diagnostic"], outcome.thumbnails)) for row in rows
    ] or [("", outcome)]


def _list(document: Mapping[str, object], name: str) -> list[Any]:
    found = document.get(name)
    return found if isinstance(found, list) else []


class WorkerLost(Exception):
    """The worker that had the job is gone; the batch gives the job to another one, once."""


class Worker(Protocol[R]):
    """Run several jobs at once; an asynchronous context manager, closed when the batch ends.

    A job has two phases, so that the next job may use a site while the results of this one are placed.
    """

    async def __aenter__(self) -> Self:
        """Prepare for jobs."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything it started."""

    async def retrieve(self, job: Job) -> R:
        """Retrieve one source; the job makes no more requests to its site after this.

        Raises:
            WorkerLost: its worker was lost, and its end is unknown.
        """

    async def place(self, retrieved: R) -> Outcome:
        """Place what was retrieved; a failure of the source, in either phase, is an outcome and not an error."""


async def done(worker: Worker[R], job: Job) -> Outcome:
    """Both phases of a job, one after the other."""
    return await worker.place(await worker.retrieve(job))
