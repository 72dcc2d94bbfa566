"""A written provider is tried in a child process: its requests come out as plain values, and the site's answers go in.

The child runs the generated code without network, files and environment. What it asks for is sent by this process, through the
session, whose door decides; what it lists comes back as texts and becomes instances here.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from scraper.authoring.trace import NotLearnt
from scraper.contract import Discovered, Instance, Provider, Question, Series, Session, ShareLink, WadoUri
from scraper.core.reasons import Cause, Reason
from scraper.core.settings import MAX_INSTANCES, MOST_LIST_BYTES
from scraper.isolation.child import Child, ChildLost, Message
from scraper.isolation.plain import from_plain
from scraper.session import Response

PATIENCE_S: Final = (
    60.0  # from one answer of the site to the next request: an import takes one second, a list some more
)
PROGRAM: Final = "scraper.authoring.trial_child"
MOST_REQUESTS: Final = 100  # a provider as ``learn`` writes it makes some five


@dataclass(frozen=True, slots=True)
class _Request:
    """A request that the child asks for, as the session's own ``get`` or ``post`` takes it."""

    url: str
    headers: dict[str, str] | None = None
    json_value: dict[str, str | int | float | bool | None] | None = None
    form: dict[str, str] | None = None
    is_post: bool = False
    has_data: bool = False


@dataclass(frozen=True, slots=True)
class _Instance:
    uid: str
    key: str
    url: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Series:
    study: str
    uid: str
    key: str
    expected: int | None
    instances: list[_Instance]


class Trial(Provider):
    """The written provider as this process sees it: ``discover`` runs in the child."""

    path: ClassVar[Path]

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Discovered]:
        """Run the child's ``discover``.

        Raises:
            NotLearnt: it does not load there, was lost, or says what no written provider says.
            CloudfilmError: what the session says of a request.
        """
        child = Child(PROGRAM, (str(self.path),), PATIENCE_S)
        answers = child.ask({"url": link.url, "named": dict(link.named)}, longest=MOST_LIST_BYTES)
        try:
            for _ in range(MOST_REQUESTS):
                header, data = await asyncio.to_thread(next, answers, ({"error": "gone"}, b""))
                if "error" in header:
                    raise NotLearnt(host=link.host, what=_why(header))
                if "end" in header:
                    for series in _listed(data):
                        yield series
                    return
                reply, body = await self._done(header, data, session)
                await asyncio.to_thread(child.tell, reply, body)
            raise NotLearnt(host=link.host, what=Reason.WRITTEN_ENDLESS)
        except (ChildLost, TypeError, ValueError) as err:
            raise NotLearnt(host=link.host, what=Reason.WRITTEN_NOT_RUN) from err
        finally:
            child.close()

    async def _done(self, header: dict[str, Any], data: bytes, session: Session) -> Message:
        """What the child asks for: an answer of the person, or one of the site."""
        if "answer" in header:
            question = next((question for question in self.asks if question.name == header["answer"]), None)
            if question is None:
                raise ValueError(header)
            return {"text": session.answer(question)}, b""
        asked: _Request = from_plain(_Request, header.get("request"))
        response = await _sent(asked, data, session)
        return {"status": response.status, "url": response.url}, response.body


def trial_of(path: Path, name: str, route: str, asks: Sequence[Question]) -> Provider:
    """The provider that was written to a file, to be tried.

    Args:
        path: the file.
        name: its provider's.
        route: its provider's.
        asks: what it may ask for.
    """
    found: type[Trial] = type("OneTrial", (Trial,), {"path": path, "name": name, "route": route, "asks": tuple(asks)})
    return found()


async def _sent(asked: _Request, data: bytes, session: Session) -> Response:
    if not asked.is_post:
        return await session.get(asked.url, headers=asked.headers)
    return await session.post(
        asked.url, headers=asked.headers, json=asked.json_value, form=asked.form, data=data if asked.has_data else None
    )


def _why(header: Mapping[str, object]) -> Cause:
    code = header.get("code")
    is_known = isinstance(code, str) and re.fullmatch(r"[a-z][a-z-]{1,40}", code)
    return Reason.DIRECTLY_REFUSED.of(code=code) if is_known else Reason.WRITTEN_NOT_LOADED


def _listed(data: bytes) -> list[Series]:
    """The child's list.

    Raises:
        ValueError, TypeError: it is none.
    """
    listed: list[_Series] = from_plain(list[_Series], json.loads(data))
    if sum(len(series.instances) for series in listed) > MAX_INSTANCES:
        raise ValueError("more than any study has")
    return [
        Series(
            study_instance_uid=series.study,
            series_instance_uid=series.uid,
            key=series.key,
            expected=series.expected,
            instances=tuple(
                Instance(item.uid, WadoUri(item.url, headers=item.headers), item.key) for item in series.instances
            ),
        )
        for series in listed
    ]
