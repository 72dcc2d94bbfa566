"""Store results at a URL that ``fsspec`` reaches (``s3://bucket/prefix``) in place of a local folder.

A study is built locally and uploaded as a whole, its ``study.json`` last: a study with that file is complete.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Final, Generic, Self
from urllib.parse import urlsplit

from scraper.batch import plan
from scraper.batch.workers.local import outcome as outcome_of
from scraper.batch.workers.protocol import Job, Outcome, R, Worker
from scraper.core.errors import ExtraMissing, NotWritable, StoreError, UsageError
from scraper.core.leftovers import RunFolder
from scraper.core.model import Result, Status
from scraper.store.place import REPORT

AT_ONCE: Final = 8  # files under way
OBJECT_STORES: Final = frozenset(
    ("s3", "s3a", "gs", "gcs", "az", "abfs", "adl", "oci", "memory")
)  # have no folders to make
DIAGNOSTICS: Final = "diagnostics"


class Target:
    """A storage place for studies, by its URL.

    Args:
        url: of the place; its credentials come from this computer's own configuration.

    Raises:
        ExtraMissing: ``fsspec``, or its backend for this kind of URL, is not installed. UsageError: an unknown kind of URL.
    """

    def __init__(self, url: str) -> None:
        scheme = urlsplit(url).scheme
        try:
            from fsspec.core import url_to_fs
        except ImportError as err:
            raise ExtraMissing(extra="distributed") from err
        options = {"auto_mkdir": True} if scheme in ("file", "local") else {}
        try:
            self._files, root = url_to_fs(url, **options)
        except ImportError as err:
            raise ExtraMissing(extra="distributed") from err
        except ValueError as err:
            raise UsageError(f"{scheme}://") from err
        self._root = str(root).rstrip("/")
        self._has_folders = scheme not in OBJECT_STORES
        self._url = url.rstrip("/")
        self._shown = shown(url)

    def report(self, folder: str) -> dict[str, Any]:
        """The ``study.json`` of a folder; empty where it is absent or unreadable.

        Raises:
            NotWritable: the place can't be reached.
        """
        with self._reached():
            try:
                found = json.loads(self._files.cat_file(self._at(folder, REPORT)))
            except (FileNotFoundError, UnicodeDecodeError, json.JSONDecodeError):
                return {}
        return found if isinstance(found, dict) else {}

    def upload(self, local: Path, folder: str) -> str:
        """Upload a study's folder; returns its URL.

        Identical files are not sent again; a complete study is never replaced by an incomplete one.

        Raises:
            NotWritable: the place rejects it.
        """
        url = f"{self._shown}/{folder}"
        report = json.loads((local / REPORT).read_text(encoding="utf-8")) | {"output": url}
        before = self.report(folder)
        if before.get("status") == Status.COMPLETE != report["status"]:
            return url
        there, here = _files_of(before), _files_of(report)
        changed = [name for name, digest in here.items() if there.get(name) != digest]
        stale = [name for name in there if name not in here]
        with self._reached():
            if before and (changed or stale):
                self._files.rm_file(self._at(folder, REPORT))
            self._send([(local / name, self._at(folder, name)) for name in changed])
            for name in stale:
                self._files.rm_file(self._at(folder, name))
            document = json.dumps(report, ensure_ascii=False, indent=1).encode()
            self._files.pipe_file(self._at(folder, REPORT), document)
        return url

    def upload_file(self, local: Path, folder: str) -> str:
        """Upload one file; returns its URL.

        Raises:
            NotWritable: the place rejects it.
        """
        with self._reached():
            self._send([(local, self._at(folder, local.name))])
        return f"{self._shown}/{folder}/{local.name}"

    def fetch(self, folder: str, local: Path) -> None:
        """Fetch what an earlier run uploaded of a study, to spare its site.

        Raises:
            NotWritable: the place can't be reached.
        """
        report = self.report(folder)
        with self._reached():
            for name in _files_of(report):
                path = local / folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError):  # somebody took it away; it comes from its site again
                    self._files.get_file(self._at(folder, name), str(path))
        if report:
            (local / folder).mkdir(parents=True, exist_ok=True)
            (local / folder / REPORT).write_text(json.dumps(report, ensure_ascii=False), encoding="utf-8")

    def _send(self, pairs: Sequence[tuple[Path, str]]) -> None:
        if self._has_folders:
            for parent in {str(PurePosixPath(path).parent) for _, path in pairs}:
                self._files.makedirs(parent, exist_ok=True)
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="target") as threads:
            list(threads.map(lambda pair: self._files.put_file(str(pair[0]), pair[1]), pairs))

    def _at(self, *names: str) -> str:
        return "/".join((self._root, *names))

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except Exception as err:  # every kind of place fails in its own words
            raise NotWritable(path=self._shown) from err


@dataclass(frozen=True, slots=True)
class Delivery(Generic[R]):
    """One job in its own folder: what was retrieved, or why the target could not be read."""

    job: Job
    started: float
    folder: RunFolder
    retrieved: R | StoreError


class Delivering(Generic[R]):
    """Run jobs in another local worker, each in its own folder, and upload the results to a target.

    Args:
        worker: does the work.
        target: where studies go.
        earlier: the URLs that an earlier run uploaded a job's studies to.
    """

    def __init__(
        self, worker: Worker[R], target: Target, earlier: Callable[[Job], Sequence[str]] = lambda _: ()
    ) -> None:
        self._worker = worker
        self._target = target
        self._earlier = earlier

    async def __aenter__(self) -> Self:
        """Open the other worker."""
        await self._worker.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the other worker."""
        await self._worker.__aexit__(kind, error, trace)

    async def retrieve(self, job: Job) -> Delivery[R]:
        """Retrieve one source, after what the target has of it."""
        started, folder = time.monotonic(), RunFolder()
        try:
            folder.content.mkdir(mode=0o700)
            for url in self._earlier(job):
                await asyncio.to_thread(self._target.fetch, url.rpartition("/")[2], folder.content)
            here = replace(job, settings=replace(job.settings, output=folder.content))
            return Delivery(job, started, folder, await self._worker.retrieve(here))
        except StoreError as err:
            return Delivery(job, started, folder, err)
        except BaseException:
            folder.remove()
            raise

    async def place(self, retrieved: Delivery[R]) -> Outcome:
        """Place what was retrieved, and upload it; a failed upload is an outcome, too."""
        try:
            if isinstance(retrieved.retrieved, StoreError):
                raise retrieved.retrieved
            ended = await self._worker.place(retrieved.retrieved)
            return await asyncio.to_thread(self._upload_all, ended, retrieved.folder.content)
        except StoreError as err:
            seconds = round(time.monotonic() - retrieved.started, 1)
            shown = retrieved.job.shown
            result = Result(shown, Status.FAILED, int(err.exit_code), seconds=seconds, error=err)
            return outcome_of(retrieved.job, result)
        finally:
            retrieved.folder.remove()

    def _upload_all(self, ended: Outcome, local: Path) -> Outcome:
        document = dict(ended.document)
        urls: dict[str, str] = {}
        for name in plan.folders(ended):
            report = json.loads((local / name / REPORT).read_text(encoding="utf-8"))
            urls[name] = self._target.upload(local / name, folder_name(name, str(report["key"])))
        document["output"] = _moved(document.get("output"), urls)
        studies = document.get("studies")
        if isinstance(studies, list):
            document["studies"] = [{**row, "output": _moved(row["output"], urls)} for row in studies]
        diagnostic = ended.diagnostic and self._target.upload_file(Path(ended.diagnostic), DIAGNOSTICS)
        return replace(ended, document=document, diagnostic=diagnostic)


def folder_name(name: str, key: str) -> str:
    """A study's folder at a target: its name, and a suffix against clashes with other workers."""
    mark = "_" + hashlib.sha256(key.encode()).hexdigest()[:8]
    return name if name.endswith(mark) else name + mark


def shown(url: str) -> str:
    """A target's URL without user name and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl().rstrip("/")


def _moved(output: object, urls: Mapping[str, str]) -> str | None:
    return urls.get(Path(str(output)).name) if output else None


def _files_of(report: Mapping[str, Any]) -> dict[str, str]:
    """File → SHA-256 from a study's report; names outside the folder are ignored."""
    rows = report.get("instances_saved")
    found = {str(row["file"]): str(row["sha256"]) for row in rows} if isinstance(rows, list) else {}
    return {name: digest for name, digest in found.items() if _is_inside(name)}


def _is_inside(name: str) -> bool:
    parts = name.split("/")
    return len(parts) == 2 and not {"", ".", ".."} & set(parts) and "\\" not in name and ":" not in name
