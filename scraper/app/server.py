"""The routes of the window's server: take a source, report progress, show a study, export or send it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.responses import JSONResponse as _JSONResponse
from starlette.routing import Route

from scraper.app.board import Board, SeriesProgress, in_both
from scraper.app.item_job import ItemJob
from scraper.app.library import Library, StoredStudy, show_folder
from scraper.app.pages import asset, window_words
from scraper.app.studies import OpenStudies
from scraper.app.study_jobs import StudyJobs, access_of
from scraper.app.uploads import Uploads
from scraper.core.errors import CloudfilmError
from scraper.core.messages import describe, say
from scraper.core.safe_text import json_text
from scraper.core.settings import Settings

MOST_TEXT: Final = 1 << 20  # bytes of a pasted text, or of an answer
MOST_ITEMS: Final = 200
BEAT_S: Final = 1.0  # between two reports to a page, where nothing changes
LEAST_PAUSE_S: Final = 0.15  # between two reports, however much changes
_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".html": "text/html"}


class JSONResponse(_JSONResponse):
    """JSON of texts that strangers wrote: a lone surrogate, which can't be sent, ends no answer."""

    def render(self, content: object) -> bytes:
        """The answer's bytes."""
        return json_text(content).encode()


class Window:
    """The window's server side: one board, one library, and the threads that work. Over 20 methods because each route has one.

    Args:
        settings: the options of the command.
        scratch: a folder of this run for uploads and pictures.
        studies: those that are being looked at.
    """

    def __init__(self, settings: Settings, scratch: Path, studies: OpenStudies) -> None:
        self.settings = settings
        self.board = Board()
        self.library = Library(settings.output)
        self.jobs: dict[int, ItemJob] = {}
        self.pages = 0  # that are connected now
        self.was_seen = False
        self.is_ending = False  # the pages' streams end, so that the server may
        self.left_at = time.monotonic()
        self._scratch = scratch
        self._studies = studies
        self._study_jobs = StudyJobs(self.board, settings, scratch)
        self._uploads = Uploads(scratch)
        self._drawing: set[asyncio.Task[None]] = set()

    @property
    def is_busy(self) -> bool:
        """Whether any source is being worked on."""
        return any(job.is_running for job in self.jobs.values())

    def stop(self) -> None:
        """Stop all work; what arrived stays on the disk."""
        for job in self.jobs.values():
            job.stop()

    def application(self) -> Starlette:
        """The routes, without the guard."""
        post = ["POST"]
        return Starlette(
            routes=[
                Route("/", self._asset),
                Route("/words.json", self._words),
                Route("/events", self._events),
                Route("/give", self._give, methods=post),
                Route("/text", self._text, methods=post),
                Route("/folder", self._folder, methods=post),
                Route("/folder/{folder:int}/file", self._into_folder, methods=post),
                Route("/folder/{folder:int}/whole", self._whole_folder, methods=post),
                Route("/item/{number:int}/preview", self._preview),
                Route("/item/{number:int}/picture", self._asked_picture),
                Route("/item/{number:int}/thumbnail/{place:int}", self._thumbnail),
                Route("/item/{number:int}/{action}", self._act, methods=post),
                Route("/study/{study}/index.json", self._study_index),
                Route("/study/{study}/whole.json", self._study_whole),
                Route("/study/{study}/frame/{listing}/{frame:int}", self._frame),
                Route("/study/{study}/{action}", self._study_act, methods=post),
                Route("/{name}", self._asset),
            ]
        )

    # ---- the page and its parts

    async def _asset(self, request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        content = asset(name)
        if content is None:
            raise HTTPException(404)
        kind = _TYPES.get(PurePosixPath(name).suffix, "application/octet-stream")
        return Response(content, media_type=f"{kind}; charset=utf-8")

    async def _words(self, _: Request) -> Response:
        return JSONResponse({"language": self.settings.language.value, **window_words()})

    async def _events(self, _: Request) -> Response:
        return StreamingResponse(self._reports(), media_type="text/event-stream")

    async def _reports(self) -> AsyncIterator[str]:
        self.pages += 1
        self.was_seen = True
        try:
            while not self.is_ending:
                seen = self.board.changes
                studies = [study.as_json() for study in await asyncio.to_thread(self.library.listed)]
                report = {"items": self.board.as_json(), "studies": studies, "notes": self.board.notes}
                yield f"data: {json_text(report)}\n\n"
                await asyncio.sleep(LEAST_PAUSE_S)
                await self.board.news(seen, BEAT_S)
        finally:
            self.pages -= 1
            self.left_at = time.monotonic()

    # ---- sources

    async def _give(self, request: Request) -> Response:
        name, path = await self._uploads.file(request.query_params.get("name", ""), request.stream())
        return self._begin(name, str(path))

    async def _text(self, request: Request) -> Response:
        text = str((await _sent(request)).get("text", "")).strip()
        if not text:
            raise HTTPException(400)
        name, path = self._uploads.text(text)
        return self._begin(name, str(path))

    async def _folder(self, request: Request) -> Response:
        """Begin a folder; its files follow, then its end."""
        await _sent(request)
        return JSONResponse({"folder": self._uploads.folder()})

    async def _into_folder(self, request: Request) -> Response:
        name = request.query_params.get("name", "")
        await self._uploads.into(request.path_params["folder"], name, request.stream())
        return JSONResponse({})

    async def _whole_folder(self, request: Request) -> Response:
        name = str((await _sent(request)).get("name", "")) or "…"
        return self._begin(name[:120], str(self._uploads.whole(request.path_params["folder"])))

    def _begin(self, name: str, given: str) -> Response:
        if len(self.jobs) >= MOST_ITEMS:
            raise HTTPException(429)
        item = self.board.add(name, given)
        scratch = self._scratch / f"item-{item.number}"
        scratch.mkdir()
        job = ItemJob(item, self.settings, self.board, self.library, scratch)
        job.on_study = lambda study: self.board.call(partial(self._prepare, study))
        job.on_picture = lambda series, path: self.board.call(partial(self._picture, series, path))
        self.jobs[item.number] = job
        job.start()
        return JSONResponse({"number": item.number})

    def _prepare(self, number: str) -> None:
        """List a study that has just arrived, before anybody looks at it."""
        study = self.library.find(number)
        if study is not None:
            self._studies.prepare(study)

    def _picture(self, series: SeriesProgress, path: Path) -> None:
        task = asyncio.create_task(self._drawn(series, path))
        self._drawing.add(task)
        task.add_done_callback(self._drawing.discard)

    async def _drawn(self, series: SeriesProgress, path: Path) -> None:
        """Draw a thumbnail of a copy, which then goes."""
        try:
            series.thumbnail = series.thumbnail or await self._studies.thumbnail(path)
        finally:
            path.unlink(missing_ok=True)
        self.board.changed()

    async def _thumbnail(self, request: Request) -> Response:
        rows = list(self._job(request).item.series.values())
        place = request.path_params["place"]
        if place >= len(rows) or not rows[place].thumbnail:
            raise HTTPException(404)
        return Response(rows[place].thumbnail, media_type="image/jpeg")

    def _job(self, request: Request) -> ItemJob:
        job = self.jobs.get(request.path_params["number"])
        if job is None:
            raise HTTPException(404)
        return job

    async def _act(self, request: Request) -> Response:
        job, sent = self._job(request), await _sent(request)
        match request.path_params["action"]:
            case "answer":
                job.answer(str(sent.get("value", ""))[:1000])
            case "choose":
                place = sent.get("place")
                if not isinstance(place, int) or not 0 <= place < len(job.item.codes):
                    raise HTTPException(400)
                await asyncio.to_thread(job.choose, place)
            case "pause":
                job.pause()
            case "stop":
                await asyncio.to_thread(job.stop)
            case "again":
                job.start()
            case "browser":
                await asyncio.to_thread(job.stop)  # the question that waits is answered in the site's page
                job.start(with_browser=True)
            case "remove":
                await asyncio.to_thread(job.stop)
                self.jobs.pop(job.item.number, None)
                self.board.remove(job.item.number)
            case _:
                raise HTTPException(404)
        self.board.changed()
        return JSONResponse({})

    async def _preview(self, request: Request) -> Response:
        return _file(self._job(request).item.preview)

    async def _asked_picture(self, request: Request) -> Response:
        asked = self._job(request).item.asked
        return _file(asked.picture if asked else None)

    # ---- studies

    async def _stored(self, request: Request) -> StoredStudy:
        study = await asyncio.to_thread(self.library.find, request.path_params["study"])
        if study is None:
            raise HTTPException(404)
        return study

    async def _study_index(self, request: Request) -> Response:
        return JSONResponse(await self._studies.listed(await self._stored(request)))

    async def _study_whole(self, request: Request) -> Response:
        return JSONResponse(await self._studies.whole(await self._stored(request)))

    async def _frame(self, request: Request) -> Response:
        of_whole = request.path_params["listing"] == "whole"
        study = await self._stored(request)
        data = await self._studies.frame(study, request.path_params["frame"], of_whole=of_whole)
        return Response(data, media_type="application/octet-stream")

    async def _study_act(self, request: Request) -> Response:
        study = await self._stored(request)
        sent = await _sent(request)
        try:
            match request.path_params["action"]:
                case "open":
                    if not show_folder(study.folder):
                        note = in_both(lambda language: say("app.folder-lies", language, path=study.folder.resolve()))
                        self.board.notes[study.number] = {"state": "done", "text": note}
                case "delete":
                    self._studies.forget(study.number)
                    await asyncio.to_thread(self.library.delete, study)
                case "export":
                    self._study_jobs.start(study, str(sent.get("to", "")), self.settings.language)
                case "send":
                    await self._study_jobs.send(study, access_of(sent))
                case "show-export":
                    show_folder(self._study_jobs.folder)
                case _:
                    raise HTTPException(404)
        except CloudfilmError as err:
            failed = err
            self.board.notes[study.number] = {
                "state": "failed",
                "text": in_both(lambda language: describe(failed, language, in_window=True)),
            }
        self.board.changed()
        return JSONResponse({})


async def _sent(request: Request) -> Mapping[str, Any]:
    """The JSON object of a request.

    Raises:
        HTTPException: too large, or no JSON object.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_TEXT:
            raise HTTPException(413)
    if not body:
        return {}
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise HTTPException(415)
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError):
        raise HTTPException(400) from None
    if not isinstance(sent, dict):
        raise HTTPException(400)
    return sent


def _file(path: Path | None) -> Response:
    if path is None or not path.is_file():
        raise HTTPException(404)
    return FileResponse(path, media_type="image/jpeg" if path.suffix == ".jpg" else "application/octet-stream")
