"""The tap: copies every response that the browser receives as it arrives, whichever part of the browser asked for it.

One browser-level DevTools session holds each answer at Fetch's Response stage, copies its body, and lets it go on. This sees
pages, popups, frames of other origins, and dedicated and shared workers; it loses nothing when a page navigates, because the
copy is made before the page has the answer.

Source: Chrome DevTools Protocol, domains Fetch and IO (tip of tree, November 2026); measured against eight other ways.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from scraper.core.disk import Watch, disk_errors
from scraper.core.errors import CloudfilmError
from scraper.core.settings import MOST_PACKAGE_BYTES, Settings
from scraper.session.browser.copy_rules import SCRIPT, CopyPlan, is_worker_script, plan_of
from scraper.session.browser.hold import Decision, Hold
from scraper.session.browser.traffic import Exchange, Traffic

# never paused: styles, fonts, media, event streams
RESOURCES = ("Document", "XHR", "Fetch", "Script", "Image", "Other")
FOR_PAGE = 6 * 2**20  # a streamed body up to this is handed back to the page; that takes time with its square
HEAVY = 8 * 2**20  # one body of this size is in memory at a time
PIECE = 4 * 2**20
REQUEST_BODY = 64 * 2**10
LONGEST_NUMBER = 20  # digits of a length; a longer one is none
NOT_OF_THE_NEW_BODY = frozenset({"content-length", "content-encoding", "transfer-encoding", "set-cookie"})

Send = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]

MayGo = Callable[[str, bytes], bool]


class TargetClosed(Exception):
    """The browser no longer knows the target: a cancelled request or a closed window."""


class Tap:
    """Copy responses into the traffic of the open window.

    Over 20 methods because each thing that may become of a paused request has one.

    Args:
        send: sends a command over the browser-level session; raises Gone where the browser refuses it.
        current: the open window's traffic; None: whatever comes is let through.
        settings: a streamed body that is silent for ``timeout_s`` is given up; with ``keep_programs``, scripts and style
            sheets are taken too, so that a page can be shown again from what was taken.
        may_go: whether a document may be asked for: its address, and what is sent with it.
        worker_prelude: the script that is put before those of workers; empty: they are left as they are.

    Attributes:
        requests: those of the window's pages that are kept waiting.
    """

    def __init__(
        self,
        send: Send,
        current: Callable[[], Traffic | None],
        settings: Settings,
        *,
        may_go: MayGo = lambda *_: True,
        worker_prelude: Callable[[], str] = str,
    ) -> None:
        self._programs = settings.keep_programs
        self._may_go = may_go
        self._worker_prelude = worker_prelude
        self._send = send
        self._current = current
        self._timeout_s = settings.timeout_s
        self._endless_s = settings.timings.endless_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._heavy = asyncio.Lock()
        self._again: set[str] = set()  # addresses that the page asks for a second time, past us
        self.requests = Hold(self._arm_again, self._resume, lambda request_id: self._fail(request_id, "Aborted"))

    async def arm(self) -> None:
        """Start; must run before the first navigation, or earlier responses are missed."""
        kinds = (*RESOURCES, "Stylesheet") if self._programs else RESOURCES
        patterns = [{"urlPattern": "*", "requestStage": "Response", "resourceType": kind} for kind in kinds]
        asked = ("Document", *self.requests.resources)
        patterns += [{"urlPattern": "*", "requestStage": "Request", "resourceType": kind} for kind in asked]
        await self._send("Fetch.enable", {"patterns": patterns})

    async def serve(self, settings: Settings) -> None:
        """Copy for a window with other settings from now on."""
        is_armed = settings.keep_programs == self._programs
        self._programs, self._timeout_s = settings.keep_programs, settings.timeout_s
        self._endless_s = settings.timings.endless_s
        if not is_armed:
            await self._arm_again()

    async def _arm_again(self) -> None:
        with suppress(TargetClosed):
            await self.arm()

    def paused(self, event: dict[str, Any]) -> None:
        """Handle a paused response or request; called for each ``Fetch.requestPaused``."""
        if "responseStatusCode" not in event and "responseErrorReason" not in event:
            self._asked(event)
            return
        if _is_preflight(event):
            self.spawn(self._answer_preflight(event))
            return
        traffic = self._current()
        if event["request"]["url"] in self._again and not 300 <= event.get("responseStatusCode", 0) < 400:
            self._again.discard(event["request"]["url"])
            traffic = None
        headers = _joined(event.get("responseHeaders") or [])
        plan = CopyPlan.PASS if traffic is None else plan_of(event, headers, programs=self._programs)
        if traffic is not None:
            traffic.touch()
        if traffic is not None and is_worker_script(event, headers) and (prelude := self._worker_prelude()):
            self.spawn(self._prepend(event, prelude, headers, traffic))
            return
        if plan is CopyPlan.PASS or traffic is None:
            self.spawn(self._resume(event["requestId"]))
            return
        if plan is CopyPlan.BARE:
            self.spawn(self._resume(event["requestId"]))
            traffic.add(_exchange(event, headers, b"", 0, traffic.now))
            return
        self.spawn(self._take(event, headers, traffic, streamed=plan is CopyPlan.STREAM))

    def _asked(self, event: dict[str, Any]) -> None:
        """Let a request go, keep it waiting, or refuse it."""
        sent = _all_sent(event["request"])
        decision = self.requests.decision(event, sent)
        if event.get("resourceType") == "Document" and not self._may_go(event["request"]["url"], sent):
            decision = Decision.FAILS
        if decision is not Decision.WAITS:
            is_refused = decision is Decision.FAILS
            self.spawn(
                self._fail(event["requestId"], "BlockedByClient") if is_refused else self._resume(event["requestId"])
            )

    @property
    def is_busy(self) -> bool:
        """Whether responses are being copied."""
        return bool(self._tasks)

    async def forget(self) -> None:
        """End what is under way for a window that closes."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        self._again.clear()
        await self.requests.end()
        await asyncio.gather(*tasks, return_exceptions=True)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a task in the background; it ends with the window at the latest."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            raise RuntimeError("the tap failed") from task.exception()

    async def _resume(self, request_id: str) -> None:
        with suppress(TargetClosed):
            await self._send("Fetch.continueRequest", {"requestId": request_id})

    async def _answer_preflight(self, event: dict[str, Any]) -> None:
        """Give the browser the head of a preflight's response alone, as a whole response.

        The browser asks for what the preflight allows as soon as it has the head. Where the body ends after that, Chromium (150)
        cancels the request that was allowed, if responses are held: the page's call fails, and its body reaches us empty.
        """
        await self._fulfil(event, event["responseStatusCode"], event["responseHeaders"], b"")

    async def _take(self, event: dict[str, Any], headers: dict[str, str], traffic: Traffic, *, streamed: bool) -> None:
        url = event["request"]["url"]
        try:
            if streamed:
                body, size = await self._stream(event, traffic)
            elif _content_length(headers) > HEAVY:
                async with self._heavy:
                    body, size = await self._whole(event, headers, traffic)
            else:
                body, size = await self._whole(event, headers, traffic)
        except TargetClosed as err:
            traffic.miss(url, str(err))
            await self._resume(event["requestId"])
        except TimeoutError:
            traffic.miss(url, "endless")
            await self._redirect(event)  # the page gets it as it comes, past us
        except CloudfilmError as err:  # the disk is full: nothing more can be kept, whoever waits must hear of it
            traffic.end(err)
            await self._resume(event["requestId"])
        else:
            traffic.add(_exchange(event, headers, body, size, traffic.now))

    async def _prepend(self, event: dict[str, Any], prelude: str, headers: Mapping[str, str], traffic: Traffic) -> None:
        """Let a worker's script through, with ours before it."""
        try:
            answer = await self._send("Fetch.getResponseBody", {"requestId": event["requestId"]})
        except TargetClosed:
            await self._resume(event["requestId"])
            return
        text: str = answer["body"]
        data = base64.b64decode(text) if answer.get("base64Encoded") else text.encode()
        directive = b'"use strict";' if data.lstrip().startswith((b'"use strict"', b"'use strict'")) else b""
        body = directive + prelude.encode() + data
        await self._fulfil(event, event["responseStatusCode"], event["responseHeaders"], body)
        if len(data) <= SCRIPT:
            with suppress(CloudfilmError):
                traffic.add(_exchange(event, headers, traffic.keep(data), len(data), traffic.now))

    async def _whole(
        self, event: dict[str, Any], headers: Mapping[str, str], traffic: Traffic
    ) -> tuple[bytes | Path, int]:
        async with asyncio.timeout(None if "content-length" in headers else self._endless_s):
            answer = await self._send("Fetch.getResponseBody", {"requestId": event["requestId"]})
        text: str = answer["body"]
        data = base64.b64decode(text) if answer.get("base64Encoded") else text.encode()
        if len(data) < _stated_length(headers):  # the browser says nothing of that; what is cut short is no answer
            raise TargetClosed("cut short")
        self.spawn(self._resume(event["requestId"]))  # the page waits: it goes on while we write
        return traffic.keep(data), len(data)

    async def _stream(self, event: dict[str, Any], traffic: Traffic) -> tuple[bytes | Path, int]:
        """Stream a body into a file, then serve it to the page from there."""
        taken = await self._send("Fetch.takeResponseBodyAsStream", {"requestId": event["requestId"]})
        traffic.busy += 1
        try:
            path, size = await self._drain(taken["stream"], traffic)
        except (TargetClosed, CloudfilmError):
            await self._fail(event["requestId"], "Failed")
            raise
        finally:
            traffic.busy -= 1
        if size > FOR_PAGE:
            await self._ask_again(event, path)
            return path, size
        data = path.read_bytes()
        path.unlink()
        if not data:  # the browser does not take an empty body in place of one that was taken
            await self._fail(event["requestId"], "Aborted")
            return b"", 0
        self.spawn(self._fulfil(event, event["responseStatusCode"], event["responseHeaders"], data))
        return traffic.keep(data), size

    async def _ask_again(self, event: dict[str, Any], path: Path) -> None:
        """Fetch a large body that can't be handed back: let the site send it to the page again; a zip's page can do without."""
        with path.open("rb") as stream:
            is_zip = stream.read(2) == b"PK"
        if is_zip:
            await self._fail(event["requestId"], "Aborted")
            return
        await self._redirect(event)

    async def _redirect(self, event: dict[str, Any]) -> None:
        """Have the page request it from the site again, past the tap."""
        url = event["request"]["url"]
        self._again.add(url)
        headers = [item for item in event["responseHeaders"] if item["name"].lower() != "location"]
        await self._fulfil(event, 307, [*headers, {"name": "Location", "value": url}], b"moved")

    async def _drain(self, handle: str, traffic: Traffic) -> tuple[Path, int]:
        path, size = traffic.new_file(), 0
        disk = Watch(path.parent)
        try:
            with disk_errors(path.parent), path.open("wb") as out:
                while True:
                    async with asyncio.timeout(self._timeout_s):
                        piece = await self._send("IO.read", {"handle": handle, "size": PIECE})
                    text: str = piece["data"]
                    data = base64.b64decode(text) if piece.get("base64Encoded") else text.encode()
                    disk.wrote(len(data))
                    size += out.write(data)
                    if size > MOST_PACKAGE_BYTES:
                        raise TargetClosed("far too large")
                    traffic.note_bytes(len(data))
                    traffic.touch()
                    if piece["eof"]:
                        break
        except TimeoutError as err:
            path.unlink(missing_ok=True)
            raise TargetClosed("silent") from err
        except (TargetClosed, CloudfilmError):
            path.unlink(missing_ok=True)
            raise
        finally:
            with suppress(TargetClosed):
                await self._send("IO.close", {"handle": handle})
        return path, size

    async def _fulfil(self, event: dict[str, Any], status: int, headers: list[dict[str, str]], body: bytes) -> None:
        answer = {
            "requestId": event["requestId"],
            "responseCode": status,
            "responseHeaders": [header for header in headers if header["name"].lower() not in NOT_OF_THE_NEW_BODY],
            "body": base64.b64encode(body).decode(),
        }
        with suppress(TargetClosed):
            await self._send("Fetch.fulfillRequest", answer)

    async def _fail(self, request_id: str, reason: str) -> None:
        with suppress(TargetClosed):
            await self._send("Fetch.failRequest", {"requestId": request_id, "errorReason": reason})


def _is_preflight(event: Mapping[str, Any]) -> bool:
    """Whether it is the response to a question of the browser's own, whether a page may ask (Fetch Standard, CORS preflight).

    No page can set the header that tells it from an OPTIONS request of the page's own.
    """
    status, request = event.get("responseStatusCode", 0), event["request"]
    is_asked = any(name.lower() == "access-control-request-method" for name in request.get("headers", {}))
    return request["method"] == "OPTIONS" and is_asked and status >= 200 and not 300 <= status < 400


def _joined(pairs: list[dict[str, str]]) -> dict[str, str]:
    """Header pairs as a mapping with lower-case names; repeated names joined as in RFC 9110 5.3."""
    headers: dict[str, str] = {}
    for pair in pairs:
        name = pair["name"].lower()
        between = "\n" if name == "set-cookie" else ", "
        headers[name] = f"{headers[name]}{between}{pair['value']}" if name in headers else pair["value"]
    return headers


def _content_length(headers: Mapping[str, str]) -> int:
    """The Content-Length of a response; 0 where it has none, or no number."""
    length = headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() and len(length) < LONGEST_NUMBER else 0


def _stated_length(headers: Mapping[str, str]) -> int:
    """The length that a response states of its body as it comes to us; 0 where it states none, or that of the packed body."""
    is_packed = headers.get("content-encoding", "").lower() not in ("", "identity")
    return 0 if is_packed else _content_length(headers)


def _exchange(
    event: Mapping[str, Any], headers: Mapping[str, str], body: bytes | Path, size: int, when: float
) -> Exchange:
    request = event["request"]
    return Exchange(
        url=request["url"],
        kind=event.get("resourceType", "Other").lower(),
        method=request["method"],
        request_headers={name.lower(): value for name, value in request.get("headers", {}).items()},
        request_body=_sent(request),
        status=event["responseStatusCode"],
        headers=headers,
        body=body,
        size=size,
        when=when,
    )


def _sent(request: Mapping[str, Any]) -> bytes | None:
    """The request's body where it is small."""
    data = _all_sent(request)
    return data if data and len(data) <= REQUEST_BODY else None


def _all_sent(request: Mapping[str, Any]) -> bytes:
    entries = request.get("postDataEntries") or []
    data = b"".join(base64.b64decode(entry["bytes"]) for entry in entries if "bytes" in entry)
    if not data and isinstance(request.get("postData"), str):
        data = request["postData"].encode()
    return data
