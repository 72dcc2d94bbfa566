"""``cloudfilm record``: a link's traffic as a bundle from which a provider can be written and nobody be identified.

The bundle is a zip: ``bundle.json`` and ``bodies/``. Every value, name, date, UID and pixel in it is a replacement; neither the
originals nor the key that the replacements were derived from are stored anywhere.
"""

from __future__ import annotations

import json
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from scraper.authoring.redact import Bodies, Names, Texts, headers
from scraper.capture import Capture
from scraper.capture.observe.received import RANGE
from scraper.contract import Captured, Request, Response, Session, ShareLink
from scraper.core.disk import disk_errors
from scraper.core.errors import CloudfilmError, CorruptInstance, StoreError, UsageError
from scraper.download.fetch import Fetcher
from scraper.pipeline.run import Run
from scraper.session.browser.traffic import WEBSOCKET_IN, WEBSOCKET_OUT, Exchange, asked_directly

FORMAT: Final = "cloudfilm-bundle"
VERSION: Final = 1
MOST_ENTRIES: Final = 20_000
MOST_PIECES: Final = 64  # messages that one object may come in


@dataclass(frozen=True, slots=True)
class Recorded:
    """The content of a bundle; ``error``: why the viewer could not be captured."""

    path: Path
    requests: int
    messages: int
    values: int
    kinds: Mapping[str, int] = field(default_factory=dict)
    error: CloudfilmError | None = None


async def record_link(run: Run, given: str, path: Path) -> Recorded:
    """Open a link, let its viewer show everything, and write the bundle, even where the viewer is not understood.

    Args:
        run: its settings have ``keep_programs``.
        given: the source.
        path: of the bundle.

    Raises:
        CloudfilmError: the link can't be opened, or the bundle can't be written.
    """
    if not run.settings.keep_programs:
        raise UsageError("record: the browser must keep programs")

    async def work(link: ShareLink, session: Session) -> Recorded:
        asked: list[Exchange] = []

        def keep(request: Request, response: Response) -> None:
            asked.append(asked_directly(request, response, session.spool / f"asked-{len(asked)}"))

        session.direct.record = keep
        failed: CloudfilmError | None = None
        try:
            await _all_of_it(link, session)
        except StoreError:
            raise
        except CloudfilmError as err:  # what came until then is what a maintainer needs
            failed = err
        return _bundle_of(link, session, asked).write(path, failed)

    return await run.watched(given, work)


def write_bundle(link: ShareLink, session: Session, path: Path) -> str:
    """Write what a session's window received until now as a bundle; gives the link as the bundle has it.

    Raises:
        DiskFull, NotWritable: it can't be written.
    """
    bundle = _bundle_of(link, session)
    bundle.write(path)
    return bundle.link


def _bundle_of(link: ShareLink, session: Session, asked: Sequence[Exchange] = ()) -> Bundle:
    exchanges = [*session.traffic.exchanges, *asked]
    recorded = [item for item in exchanges if item.url.startswith(("http:", "https:", "ws:", "wss:"))]
    return Bundle(link, recorded[:MOST_ENTRIES], session.answers)


async def _all_of_it(link: ShareLink, session: Session) -> None:
    """Capture the viewer, and request what was listed but not shown."""
    fetcher = Fetcher(session)
    for series in await Capture(link, session).run():
        for number, instance in enumerate(series.instances):
            if not isinstance(instance.source, Captured):
                into = session.spool / f"rest-{number}"
                await fetcher.instance(instance, into)
                into.unlink(missing_ok=True)


class Bundle:
    """One bundle under construction.

    Args:
        link: the share link.
        exchanges: its traffic, in order.
        answers: what the user gave, by question.
    """

    def __init__(self, link: ShareLink, exchanges: Sequence[Exchange], answers: Mapping[str, str]) -> None:
        self._link = link
        self._exchanges = exchanges
        self._answers = answers
        self._names = Names()
        hosts = frozenset(urlsplit(exchange.url).hostname or "" for exchange in exchanges) | {link.host}
        self._texts = Texts(self._names, hosts)
        self._bodies = Bodies(self._texts)
        self._kinds: Counter[str] = Counter()
        self._files = 0

    @property
    def link(self) -> str:
        """The share link with its values replaced."""
        return self._texts.url(self._link.url)

    def write(self, path: Path, error: CloudfilmError | None = None) -> Recorded:
        """Write the bundle; an existing file is replaced only by a complete one.

        Raises:
            DiskFull, NotWritable: it can't be written.
        """
        self._rehearse()
        draft = path.with_name(path.name + ".part")
        try:
            with disk_errors(path), zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
                entries = list(self._entries(archive))
                document = {
                    "format": FORMAT,
                    "version": VERSION,
                    "cloudfilm": version("cloudfilm"),
                    "link": self.link,
                    "answers": {name: self._texts.text(value, "password") for name, value in self._answers.items()},
                    "error": error.code if error else "",
                    "entries": entries,
                }
                archive.writestr("bundle.json", json.dumps(document, ensure_ascii=False, indent=1))
            with disk_errors(path):
                draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        sockets = [entry for entry in entries if "messages" in entry]
        return Recorded(
            path,
            len(entries) - len(sockets),
            sum(len(socket["messages"]) for socket in sockets),
            len(self._names.given),
            dict(self._kinds),
            error,
        )

    def _rehearse(self) -> None:
        """Process everything once, so that identifying values found in one response are known when the others are written."""
        for value in self._answers.values():
            self._texts.text(value, "password")
        for exchange in self._exchanges:
            if exchange.kind not in (WEBSOCKET_IN, WEBSOCKET_OUT):
                self._bodies.learn_program(exchange.read(), exchange.content_type)
        self._bodies.rehearsing = True
        for entry in self._entries(None):
            del entry
        self._bodies.rehearsing = False
        self._kinds.clear()
        self._files = 0

    def _entries(self, archive: zipfile.ZipFile | None) -> Iterator[dict[str, Any]]:
        ranged = self._ranges()
        sockets: dict[str, list[Exchange]] = defaultdict(list)
        for exchange in self._exchanges:
            if exchange.kind in (WEBSOCKET_IN, WEBSOCKET_OUT):
                sockets[exchange.url].append(exchange)
                continue
            body = ranged.get(id(exchange))
            if body is None:
                body = self._bodies.body(exchange.read(), exchange.content_type)
            self._kinds[exchange.kind] += 1
            sent = exchange.request_body or b""
            yield {
                "method": exchange.method or "GET",
                "url": self._texts.url(exchange.url),
                "kind": exchange.kind,
                "status": exchange.status,
                "time": round(exchange.when, 2),
                "request_headers": headers(self._texts, exchange.request_headers),
                "request_body": self._file(
                    archive, self._bodies.body(sent, exchange.request_headers.get("content-type", ""))
                ),
                "headers": headers(self._texts, exchange.headers),
                "body": self._file(archive, body),
            }
        for url, messages in sockets.items():
            shown = self._messages(messages)
            self._kinds["websocket"] += len(messages)
            yield {
                "url": self._texts.url(url),
                "kind": "websocket",
                "time": round(messages[0].when, 2),
                "messages": [
                    {
                        "direction": "in" if exchange.kind == WEBSOCKET_IN else "out",
                        "text": exchange.is_text,
                        "time": round(exchange.when, 2),
                        "body": self._file(archive, data),
                    }
                    for exchange, data in zip(messages, shown, strict=True)
                ],
            }

    def _file(self, archive: zipfile.ZipFile | None, body: bytes) -> str:
        """Write a body to a file in the bundle and return its path; empty for an empty body."""
        if not body:
            return ""
        self._files += 1
        name = f"bodies/{self._files:06d}"
        if archive is not None:
            archive.writestr(name, body)
        return name

    # ---- what came in pieces is replaced as a whole, and cut where it was cut

    def _ranges(self) -> dict[int, bytes]:
        """Ranges of one resource, by the identity of their exchanges."""
        found: dict[str, list[tuple[int, int, Exchange]]] = defaultdict(list)
        for exchange in self._exchanges:
            match = RANGE.match(exchange.headers.get("content-range", "")) if exchange.status == 206 else None
            if match:
                found[exchange.url].append((int(match[1]), int(match[3]), exchange))
        out: dict[int, bytes] = {}
        for pieces in found.values():
            total = pieces[0][1]
            whole = bytearray(total) if total <= sum(exchange.size for _, _, exchange in pieces) else None
            if whole is not None:
                for start, _, exchange in pieces:
                    whole[start : start + exchange.size] = exchange.read()
                shown = self._bodies.body(bytes(whole))
                whole = bytearray(shown) if len(shown) == total else None
            for start, _, exchange in pieces:
                out[id(exchange)] = (
                    bytes(whole[start : start + exchange.size])
                    if whole is not None
                    else self._bodies.frame(exchange.read())
                )
        return out

    def _messages(self, messages: Sequence[Exchange]) -> list[bytes]:
        """The messages of one socket; a DICOM stream may continue in the next ones."""
        out: list[bytes | None] = [None] * len(messages)
        for place, exchange in enumerate(messages):
            if out[place] is not None:
                continue
            data = exchange.read()
            at = data.find(b"DICM", 0, 1024) - 128
            if (
                exchange.kind == WEBSOCKET_IN
                and not exchange.is_text
                and at >= 0
                and not self._joined(messages, place, at, out)
            ):
                out[place] = data[:at] + self._bodies.frame(data[at:])
            elif out[place] is None:
                out[place] = self._bodies.body(data, "text/plain" if exchange.is_text else "")
        return [item or b"" for item in out]

    def _joined(self, messages: Sequence[Exchange], place: int, at: int, out: list[bytes | None]) -> bool:
        """Whether the DICOM stream that starts ``at`` bytes into a message, with its continuation, could be replaced."""
        parts, places = [messages[place].read()], [place]
        for later in [place, *range(place + 1, min(place + MOST_PIECES, len(messages)))]:
            if later != place:
                if messages[later].kind != WEBSOCKET_IN or messages[later].is_text:
                    continue
                parts.append(messages[later].read())
                places.append(later)
            whole = b"".join(parts)
            try:
                shown = whole[:at] + self._bodies.dicom(whole[at:])
            except CorruptInstance:
                continue
            for number, part in zip(places, parts, strict=True):
                out[number], shown = shown[: len(part)], shown[len(part) :]
            return True
        return False
