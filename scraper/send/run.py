"""One send from start to end: the instances of the folders, minus those the archive has, by the target's protocol."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, assert_never

from scraper.core.errors import CloudfilmError, NoDicomHere, NoSuchFile, single_errors
from scraper.core.model import Problem
from scraper.core.reasons import Reason
from scraper.core.settings import Settings, data_folder
from scraper.dicom.outgoing import copy_for_archive
from scraper.export.gather import InstanceFile, LeftOut, gather, problems_of
from scraper.pipeline import document
from scraper.send.ledger import Ledger, fingerprint
from scraper.send.outcome import Sent
from scraper.send.target import DicomTarget, Target, WebTarget
from scraper.verify import Files, Inspector, opened

_PATIENCE_S: Final = 600.0  # for one copy


@dataclass(frozen=True, slots=True)
class SendOptions:
    """What the user chose for a send.

    Attributes:
        changes: keyword → value that copies get (``--set``).
        may_convert: what the archive refuses in its own Transfer Syntax may be sent in another.
        again: send what the archive took in an earlier run, too.
        associations: at once.
        by_uid: Study Instance UID → changes of that study; they win (``--set-from``).
        by_folder: the same, by the name of the study's folder.
    """

    changes: Mapping[str, str] = field(default_factory=dict, repr=False)
    may_convert: bool = False
    again: bool = False
    associations: int = 1
    by_uid: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    by_folder: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)

    def changes_of(self, item: InstanceFile) -> dict[str, str]:
        """Keyword → value for one instance."""
        parents = item.path.parents if self.by_folder else ()
        own = next((self.by_folder[parent.name] for parent in parents if parent.name in self.by_folder), {})
        return {**self.changes, **own, **self.by_uid.get(item.header.study_instance_uid, {})}


@dataclass(slots=True)
class Progress:
    """What became of the instances so far, while they are sent."""

    ledger: Ledger
    on_stored: Callable[[InstanceFile], None]
    fingerprints: dict[str, str] = field(default_factory=dict)
    stored: dict[str, InstanceFile] = field(default_factory=dict)
    bytes: int = 0
    converted: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    refused: list[LeftOut] = field(default_factory=list)
    warned: list[LeftOut] = field(default_factory=list)
    committed: int | None = None
    problems: list[Problem] = field(default_factory=list)

    def took(self, item: InstanceFile, size: int) -> None:
        """The archive says that it has an instance."""
        uid = item.header.sop_instance_uid
        self.ledger.add(uid, self.fingerprints[uid])
        self.stored[uid] = item
        self.bytes += size
        self.on_stored(item)


class Copies:
    """Copies with other values or in another Transfer Syntax, made in a child process."""

    def __init__(self, inspector: Inspector, scratch: Path, options: SendOptions) -> None:
        self._inspector = inspector
        self._scratch = scratch
        self._options = options
        self._made = 0

    def changes(self, item: InstanceFile) -> bool:
        """Whether a file is sent as a copy with other values."""
        return bool(self._options.changes_of(item))

    async def made(self, item: InstanceFile, syntax: str = "") -> tuple[Path, str]:
        """(the copy, why it could not be made); the caller removes it."""
        self._made += 1
        copy = self._scratch / f"{self._made:06}.dcm"
        why = await self._inspector.apart(copy_for_archive, item.path, copy, self._options.changes_of(item), syntax)
        return copy, Reason.NO_COPY if why is None else why


async def send(
    folders: Sequence[Path],
    target: Target,
    settings: Settings,
    options: SendOptions = SendOptions(),
    on_stored: Callable[[InstanceFile], None] = lambda _: None,
) -> Sent:
    """Send the instances of folders (or zips) to an archive.

    Args:
        folders: where they lie.
        target: the archive.
        settings: time-out, answers (``token``, ``account``, ``password``), ``--connect-to``.
        options: what may be changed.
        on_stored: called with each instance that the archive took.

    Raises:
        NoSuchFile, UnreadableFile, NoDicomHere: nothing to send. NotWritable: the ledger can't be written.
    """
    started = time.monotonic()
    for folder in folders:
        if not folder.exists():
            raise NoSuchFile(path=str(folder))
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cloudfilm-send-")))
        listed, problems = await asyncio.to_thread(_gathered, folders, scratch, stack)
        ledger = stack.enter_context(Ledger(data_folder(), target.shown))
        progress = Progress(ledger, on_stored, problems=problems)
        waiting = []
        for item in listed:
            uid = item.header.sop_instance_uid
            progress.fingerprints[uid] = fingerprint(item.path, options.changes_of(item))
            if options.again or not ledger.has(uid, progress.fingerprints[uid]):
                waiting.append(item)
        error = None
        try:
            async with Inspector(timeout_s=_PATIENCE_S, writable=(scratch,)) as inspector:
                copies = Copies(inspector, scratch, options)
                await _by_protocol(target, waiting, settings, options, copies, progress)
        except CloudfilmError as err:
            error = err
        except ExceptionGroup as several:
            known = [inner for inner in single_errors(several) if isinstance(inner, CloudfilmError)]
            if len(known) < len(single_errors(several)):
                raise
            error = known[0]
    return Sent(
        target.shown,
        len(listed),
        len(progress.stored),
        len(listed) - len(waiting),
        len(progress.converted),
        len(progress.changed),
        progress.committed,
        round(time.monotonic() - started, 1),
        progress.bytes,
        (*progress.problems, *_problems(progress)),
        error,
    )


async def _by_protocol(  # all of one run
    target: Target,
    waiting: Sequence[InstanceFile],
    settings: Settings,
    options: SendOptions,
    copies: Copies,
    progress: Progress,
) -> None:
    if not waiting:
        return
    match target:
        case DicomTarget():
            from scraper.send.by_dimse import store

            await store(target, waiting, settings, options, copies, progress)
        case WebTarget():
            from scraper.send.by_stow import post

            await post(target, waiting, settings, copies, progress)
        case _:
            assert_never(target)


def _gathered(folders: Sequence[Path], scratch: Path, stack: ExitStack) -> tuple[list[InstanceFile], list[Problem]]:
    """Every instance of the folders, once each, and what is wrong with what lies there.

    Raises:
        NoDicomHere: there is none.
    """
    listed: dict[str, InstanceFile] = {}
    left_out: list[LeftOut] = []
    problems: list[Problem] = []
    for number, folder in enumerate(folders):
        files = stack.enter_context(opened(folder))
        found, unreadable = gather(files, scratch / f"settled-{number}")
        left_out += unreadable
        problems += _short_of_report(files)
        for item in found:
            if item.header.sop_instance_uid in listed:
                left_out.append(LeftOut(item.name, Reason.UID_OF_ANOTHER_FILE))
            else:
                listed[item.header.sop_instance_uid] = item
    if not listed and not left_out:
        raise NoDicomHere(path=", ".join(map(str, folders)))
    return list(listed.values()), [*problems, *problems_of(left_out)]


def _short_of_report(files: Files) -> list[Problem]:
    """Where the folder's own report says that the study is not whole, or a file of it is gone."""
    found = []
    for name, path in files.reports.items():
        saved = document.saved_study(path, name)
        if saved is None:
            continue
        absent = tuple(file.name for file in saved.files.values() if file.name not in files.names)
        if absent or saved.status != "complete":
            found.append(Problem("sent-incomplete", absent))
    return found


def _problems(progress: Progress) -> list[Problem]:
    refused = [Problem("not-sent", problem.instances, problem.values) for problem in problems_of(progress.refused)]
    warned = [
        Problem("sent-with-warning", problem.instances, problem.values, fatal=False)
        for problem in problems_of(progress.warned)
    ]
    return [*refused, *warned]
