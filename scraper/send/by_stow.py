"""Instances to an archive by STOW-RS (PS3.18 10.5): several in one request, each as it is."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from scraper.core.bounded_json import parse_json
from scraper.core.errors import (
    ArchiveFull,
    CredentialsRefused,
    CredentialsRequired,
    SiteBusy,
    SiteChanged,
    SiteUnreachable,
)
from scraper.core.model import Request
from scraper.core.reasons import Reason
from scraper.core.settings import Settings
from scraper.export.gather import InstanceFile, LeftOut
from scraper.protocols.dicom_json import first
from scraper.send.run import Copies, Progress
from scraper.send.target import WebTarget
from scraper.session.http import client as http
from scraper.session.http import pace
from scraper.session.http.response import Response

MOST_BYTES: Final = 16 * 2**20  # of one request, unless one instance is larger
MOST_INSTANCES: Final = 100
AT_ONCE: Final = 2  # requests: one is stored while the next arrives
TRIES: Final = 4
PAUSE_S: Final = 1.0  # before a request is tried again; longer where the service says so
_REFERENCED, _FAILED, _REASON, _SOP_UID = "00081199", "00081198", "00081197", "00081155"  # PS3.18 table 10.5.1-1


@dataclass(frozen=True, slots=True)
class _Part:
    item: InstanceFile
    path: Path
    is_copy: bool


async def post(  # all of one run
    target: WebTarget, waiting: Sequence[InstanceFile], settings: Settings, copies: Copies, progress: Progress
) -> None:
    """Send them, each in the Transfer Syntax that it has: a service takes every one, or says of an instance that it does not.

    Raises:
        CredentialsRequired, CredentialsRefused: it wants to know who asks. SiteUnreachable, SiteBusy, SiteChanged: no way,
        or none any more; what was taken stands.
    """
    gate = asyncio.Semaphore(AT_ONCE)
    async with http.opened(settings, pace.Pace(AT_ONCE, settings.rate)) as client:
        service = _Service(target, client, _authorization(settings.answers), progress)

        async def sent(items: Sequence[InstanceFile]) -> None:
            async with gate:
                parts = await _parts(items, copies, progress)
                try:
                    await service.store(parts)
                finally:
                    for part in parts:
                        if part.is_copy:
                            part.path.unlink(missing_ok=True)

        async with asyncio.TaskGroup() as group:
            for items in _requests(waiting):
                group.create_task(sent(items))


def _authorization(answers: Mapping[str, str]) -> dict[str, str]:
    if answers.get("token"):
        return {"Authorization": f"Bearer {answers['token']}"}
    if answers.get("account"):
        pair = f"{answers['account']}:{answers.get('password', '')}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    return {}


def _requests(waiting: Sequence[InstanceFile]) -> Iterator[list[InstanceFile]]:
    chosen: list[InstanceFile] = []
    size = 0
    for item in waiting:
        length = item.path.stat().st_size
        if chosen and (size + length > MOST_BYTES or len(chosen) >= MOST_INSTANCES):
            yield chosen
            chosen, size = [], 0
        chosen.append(item)
        size += length
    if chosen:
        yield chosen


async def _parts(items: Sequence[InstanceFile], copies: Copies, progress: Progress) -> list[_Part]:
    parts = []
    for item in items:
        if not copies.changes(item):
            parts.append(_Part(item, item.path, is_copy=False))
            continue
        path, why = await copies.made(item)
        if why:
            progress.refused.append(LeftOut(item.name, Reason.NO_COPY_BECAUSE.of(error=why)))
            path.unlink(missing_ok=True)
        else:
            parts.append(_Part(item, path, is_copy=True))
    return parts


class _Service:
    """One STOW-RS service, and what became of what it was sent."""

    def __init__(self, target: WebTarget, client: http.Http, headers: Mapping[str, str], progress: Progress) -> None:
        self._url = target.url
        self._host = urlsplit(target.url).hostname or ""
        self._client = client
        self._headers = headers
        self._progress = progress

    async def store(self, parts: Sequence[_Part]) -> None:
        """Send one request, and smaller ones where it is too large; raises what ``post`` raises."""
        if not parts:
            return
        boundary = f"cloudfilm-{secrets.token_hex(12)}"
        body = await asyncio.to_thread(_body, parts, boundary)
        headers = {
            **self._headers,
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Accept": "application/dicom+json",
        }
        response = await self._patiently(Request(self._url, "POST", headers, body))
        del body
        if response.status == 413 and len(parts) > 1:
            half = len(parts) // 2
            await self.store(parts[:half])
            await self.store(parts[half:])
            return
        if response.status in (200, 201, 202, 409) or response.status == 413:
            self._judge(parts, response)
            return
        self._refuse_all(parts, response)

    async def _patiently(self, request: Request) -> Response:
        """An answer; a service that is busy or a line that broke is tried again: an instance that is sent twice is there once."""
        for is_last in (False,) * (TRIES - 1) + (True,):
            pause_s = PAUSE_S
            try:
                response = await self._client.send(request, hops=0)
            except SiteUnreachable:
                if is_last:
                    raise
            else:
                if response.status not in (429, 502, 503, 504):
                    return response
                if is_last:
                    raise SiteBusy(host=self._host, why=f"HTTP {response.status}")
                pause_s = min(response.retry_after_s or PAUSE_S, 60.0)
            await asyncio.sleep(pause_s)
        raise AssertionError  # the last turn returned or raised

    def _refuse_all(self, parts: Sequence[_Part], response: Response) -> None:
        """An answer about the request as a whole.

        Raises:
            CredentialsRequired, CredentialsRefused, SiteBusy, SiteChanged: it concerns every other request, too.
        """
        status = response.status
        if status in (401, 403):
            refused = CredentialsRefused if self._headers else CredentialsRequired
            raise refused("token", host=self._host)
        if status == 507:
            raise ArchiveFull(host=self._host, why="HTTP 507")
        if status in (400, 415) or status >= 500:
            if len(parts) == 1:
                self._progress.refused.append(LeftOut(parts[0].item.name, f"HTTP {status}"))
                return
            raise SiteChanged(host=self._host, what=f"HTTP {status}")
        raise SiteChanged(host=self._host, what=f"HTTP {status}")

    def _judge(self, parts: Sequence[_Part], response: Response) -> None:
        """What the service says of each instance (PS3.18 10.5.3)."""
        answer = _document(response)
        stored = {_uid(item) for item in _items(answer, _REFERENCED)}
        failed = {_uid(item): _reason(item) for item in _items(answer, _FAILED)}
        for part in parts:
            uid = part.item.header.sop_instance_uid
            is_taken = uid in stored or (not answer and response.status in (200, 201) and uid not in failed)
            if is_taken:
                if part.is_copy:
                    self._progress.changed.add(uid)
                self._progress.took(part.item, part.path.stat().st_size)
            else:
                why = failed.get(uid) or f"HTTP {response.status}"
                self._progress.refused.append(LeftOut(part.item.name, why))


def _body(parts: Sequence[_Part], boundary: str) -> bytes:
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    pieces = [piece for part in parts for piece in (head, part.path.read_bytes(), b"\r\n")]
    return b"".join((*pieces, f"--{boundary}--\r\n".encode()))


def _document(response: Response) -> dict[str, Any]:
    """The answer's DICOM JSON; nothing where it is something else."""
    try:
        answer = parse_json(response.body)
    except (ValueError, RecursionError):
        return {}
    answer = answer[0] if isinstance(answer, list) and answer else answer
    return answer if isinstance(answer, dict) else {}


def _items(answer: Mapping[str, Any], tag: str) -> list[Mapping[str, Any]]:
    element = answer.get(tag)
    value = element.get("Value") if isinstance(element, dict) else None
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _uid(item: Mapping[str, Any]) -> str:
    return str(first(item, _SOP_UID) or "")


def _reason(item: Mapping[str, Any]) -> str:
    reason = first(item, _REASON)
    return f"STOW-RS 0x{reason:04X}" if isinstance(reason, int) else "STOW-RS"
