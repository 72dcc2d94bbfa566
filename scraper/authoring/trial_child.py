"""The child's side of ``trial``: it runs the written provider against a session that has no network of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import IO, Any, Final, TypeVar, cast

from scraper.contract import Question, Series, Session, ShareLink, WadoUri
from scraper.core.discovered import iterate
from scraper.core.errors import CloudfilmError
from scraper.core.schema import Reply
from scraper.isolation.child import own_pipes, receive, send
from scraper.isolation.process import confine
from scraper.registry import catalogue
from scraper.session import Response

MEMORY: Final = 1 << 30  # bytes; a list that is read takes less
R = TypeVar("R", bound=Reply)
T = TypeVar("T")


class AskedSession:
    """What a written provider calls of a session; each call is asked of the parent."""

    def __init__(self, questions: IO[bytes], answers: IO[bytes]) -> None:
        self._questions = questions
        self._answers = answers

    def answer(self, question: Question) -> str:
        """What the person gave for it."""
        message, _ = self._asked({"answer": question.name})
        return str(message["text"])

    async def get(
        self, url: str, *, headers: Mapping[str, str] | None = None, reply: type[R] | None = None
    ) -> R | Response:
        """As the session's own."""
        return self._sent({"url": url, "headers": headers}, b"", reply)

    async def post(  # as the session's own
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: object = None,
        form: Mapping[str, str] | None = None,
        data: bytes | None = None,
        reply: type[R] | None = None,
    ) -> R | Response:
        """As the session's own."""
        asked = {"url": url, "headers": headers, "json_value": json, "form": form, "is_post": True}
        return self._sent({**asked, "has_data": data is not None}, data or b"", reply)

    def _sent(self, request: Mapping[str, object], data: bytes, reply: type[R] | None) -> R | Response:
        message, body = self._asked({"request": request}, data)
        response = Response(message["status"], {}, body, message["url"])
        if reply is None:
            return response
        if not response.ok:
            raise response.refusal
        return response.read(reply)

    def _asked(self, header: Mapping[str, object], data: bytes = b"") -> tuple[dict[str, Any], bytes]:
        send(self._answers, header, data)
        return receive(self._questions, None)


def _plain(series: Series) -> dict[str, object]:
    instances = [
        {"uid": item.sop_instance_uid, "key": item.key, "url": item.source.url, "headers": dict(item.source.headers)}
        for item in series.instances
        if isinstance(item.source, WadoUri)
    ]
    return {
        "study": series.study_instance_uid,
        "uid": series.series_instance_uid,
        "key": series.key,
        "expected": series.expected,
        "instances": instances,
    }


async def _discovered(path: Path, link: ShareLink, session: AskedSession) -> list[dict[str, object]]:
    provider = catalogue.from_file(path)()
    found = provider.discover(link, cast("Session", session))
    return [_plain(item) async for item in iterate(found) if isinstance(item, Series)]


def _completed(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine gives that waits for nothing but the parent; an event loop would need a socket.

    Raises:
        RuntimeError: it waits for something else.
    """
    try:
        work.send(None)
    except StopIteration as done:
        return cast("T", done.value)
    raise RuntimeError("it waits")


def serve() -> None:
    """The child's life: one trial."""
    questions, answers = own_pipes()
    confine(MEMORY)
    header, _ = receive(questions, None)
    link = ShareLink(header["url"], header["named"])
    try:
        listed = _completed(_discovered(Path(sys.argv[1]), link, AskedSession(questions, answers)))
    except CloudfilmError as err:
        send(answers, {"error": "refused", "code": err.code}, b"")
    else:
        send(answers, {"end": True}, json.dumps(listed).encode())
