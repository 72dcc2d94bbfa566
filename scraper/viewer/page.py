"""Write one HTML page that shows a study without a server or network; a large study gets some files next to the page.

The program stands before the pictures, so that a browser shows the first of them while it still reads the others. Nothing of a
file becomes markup: texts cross as JSON without ``<``, pictures as base64.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import IO, Any, Final

from scraper.core.messages import catalogue
from scraper.core.safe_text import without_surrogates
from scraper.core.settings import Language
from scraper.verify import Inspector
from scraper.viewer.frames import pack_frames
from scraper.viewer.study import FrameAt, StudyView

PREFIX: Final = "viewer."  # of the program's words in the message catalogue
PROGRAM: Final = ("unpack.js", "stack.js", "pane.js", "viewer.js")
PART: Final = re.compile(r"P\d{4,}\.JS")  # the name of a part
MOST_IN_PAGE: Final = 192 << 20  # bytes of base64: what lies beyond stands in parts beside the page
MOST_IN_PART: Final = 32 << 20
_AT_ONCE: Final = 16 << 20  # bytes of decoded samples in one answer of a process
_AHEAD: Final = 8  # answers that may wait to be written


@dataclass(frozen=True, slots=True)
class Page:
    """What was written: the page, its parts, and how many frames could not be decoded."""

    path: Path
    parts: tuple[Path, ...]
    frames: int
    undecoded: int


def program(name: str) -> str:
    """A file of the viewer's program."""
    return files("scraper.viewer").joinpath("program", name).read_text(encoding="utf-8")


def script() -> str:
    """The viewer's program, in one piece."""
    return '"use strict";\n(() => {\n' + "\n".join(map(program, PROGRAM)) + "\n})();\n"


def words() -> dict[str, dict[str, str]]:
    """The program's words: language → name → text."""
    found = {name.removeprefix(PREFIX): entry for name, entry in catalogue().items() if name.startswith(PREFIX)}
    return {language.value: {name: entry[language.value] for name, entry in found.items()} for language in Language}


def as_json(value: object) -> str:
    """JSON that may stand inside a script element."""
    text = without_surrogates(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


async def write_page(
    study: StudyView,
    path: Path,
    language: Language,
    inspector: Inspector,
    parts: str = "",
    most_in_page: int = MOST_IN_PAGE,
) -> Page:
    """Write the page of a study, and its parts where it is large.

    Args:
        study: to be shown.
        path: of the page; what lies there is written over.
        language: that the page opens in; it has both.
        inspector: whose processes decode.
        parts: folder of the parts, next to the page; by default named after it.
        most_in_page: bytes of pictures that stand in the page itself.

    Raises:
        OSError: the disk refuses.
    """
    folder = path.with_name(parts or f"{path.stem}-parts")
    nonce = secrets.token_urlsafe(12)
    with tempfile.TemporaryFile(dir=path.parent) as spool:
        layout = await _spooled(study, spool, inspector)
        made = _parts(layout, spool, folder, most_in_page)
        index = {**study.index, "language": language.value, "parts": made.index, "nonce": nonce}
        with path.open("w", encoding="utf-8", newline="\n") as out:
            out.write(_head(nonce, language))
            out.write(f'<script type="application/json" id="index">{as_json(index)}</script>\n')
            out.write(f'<script type="application/json" id="words">{as_json(words())}</script>\n')
            out.write(f'<script nonce="{nonce}">{script()}</script>\n')
            for number in sorted(made.in_page, key=_first_of_series(study.index)):
                start, length = layout[number]
                spool.seek(start)
                out.write(f'<script type="text/plain" id="f{number}">')
                out.write(spool.read(length).decode("ascii"))
                out.write("</script>\n")
            out.write("</body>\n</html>\n")
    undecoded = sum(not length for _, length in layout.values())
    return Page(path, tuple(made.paths), len(layout), undecoded)


def _first_of_series(index: Mapping[str, Any]) -> Callable[[int], tuple[bool, int]]:
    """The order of frames in the page: those that are shown at first, then the others."""
    middles = {series["first"] + series["count"] // 2 for series in index["series"]}
    return lambda number: (number not in middles, number)


def _head(nonce: str, language: Language) -> str:
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    page = program("page.html")
    for name, value in (
        ("{{language}}", "zh-CN" if language is Language.ZH else "en"),
        ("{{policy}}", policy),
        ("{{nonce}}", nonce),
        ("{{style}}", program("viewer.css")),
    ):
        page = page.replace(name, value)
    return page


# ---- the frames, one after another, into a temporary file


async def _spooled(study: StudyView, spool: IO[bytes], inspector: Inspector) -> dict[int, tuple[int, int]]:
    """Frame → (offset, length) of its base64 in ``spool``; length 0 where it can't be decoded."""
    layout: dict[int, tuple[int, int]] = {}
    place = 0
    async for numbers, answers in _packed(study.frames, inspector):
        for number, data in zip(numbers, answers, strict=True):
            text = base64.b64encode(data)
            spool.write(text)
            layout[number] = (place, len(text))
            place += len(text)
    return layout


async def _packed(
    frames: Sequence[FrameAt], inspector: Inspector
) -> AsyncIterator[tuple[Sequence[int], Sequence[bytes]]]:
    """Frames' numbers with the frames packed, in order; a few answers are waited for at the same time."""
    waiting: list[tuple[list[int], asyncio.Task[list[bytes] | None]]] = []
    for numbers in _runs(frames):
        at = frames[numbers[0]]
        task = asyncio.create_task(inspector.apart(pack_frames, str(at.path), at.frame, len(numbers)))
        waiting.append((numbers, task))
        if len(waiting) > _AHEAD:
            done, answer = waiting.pop(0)
            yield done, await answer or [b""] * len(done)
    for numbers, answer in waiting:
        yield numbers, await answer or [b""] * len(numbers)


def _runs(frames: Sequence[FrameAt]) -> list[list[int]]:
    """The frames' numbers in runs: of one file, and not too many bytes at once."""
    runs: list[list[int]] = []
    for _, members in groupby(range(len(frames)), key=lambda number: frames[number].path):
        run: list[int] = []
        for number in members:
            if run and (len(run) + 1) * frames[number].size > _AT_ONCE:
                runs.append(run)
                run = []
            run.append(number)
        runs.append(run)
    return runs


# ---- the parts next to the page


@dataclass(slots=True)
class _Parts:
    in_page: list[int]
    paths: list[Path]
    index: list[Mapping[str, Any]]


def _parts(layout: Mapping[int, tuple[int, int]], spool: IO[bytes], folder: Path, most_in_page: int) -> _Parts:
    """Write what is too much for one page; a part is a program that hands its frames over, as ``file:`` lets no page read."""
    made = _Parts([], [], [])
    used = 0
    rest: list[int] = []
    for number, (_, length) in layout.items():
        used += length
        (made.in_page if used <= most_in_page else rest).append(number)
    while rest:
        folder.mkdir(exist_ok=True)
        size, count = 0, 0
        while count < len(rest) and (not count or size + layout[rest[count]][1] <= MOST_IN_PART):
            size += layout[rest[count]][1]
            count += 1
        part = folder / f"P{len(made.paths) + 1:04}.JS"
        with part.open("wb") as out:
            out.write(b"cloudfilmPart({")
            for number in rest[:count]:
                start, length = layout[number]
                spool.seek(start)
                out.write(b'%d:"%s",' % (number, spool.read(length)))
            out.write(b"});\n")
        made.paths.append(part)
        made.index.append({"first": rest[0], "end": rest[count - 1] + 1, "src": f"{folder.name}/{part.name}"})
        rest = rest[count:]
    return made
