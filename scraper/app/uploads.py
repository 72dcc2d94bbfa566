"""Store what a person gives to the page in files with names of our own; the pipeline's isolated processes read them."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from scraper.core import link
from scraper.core.errors import UnusableLink
from scraper.core.safe_text import without_surrogates
from scraper.source.kinds import IMAGES, TEXTS
from scraper.source.picture_kind import MAX_BYTES

MOST_FOLDERS: Final = 50
MOST_FILES: Final = 20_000  # of one folder
MOST_SOURCE: Final = 8 << 30  # bytes of an archive or a folder: a DVD
LEFT_FREE: Final = 1 << 30  # bytes of the disk that an upload leaves
_SHOWN: Final = 40  # characters of a text
_NAME: Final = 120
_SUFFIXES: Final = IMAGES | TEXTS | {".mhtml", ".mht", ".har", ".zip", ".7z", ".tar", ".tgz", ".gz", ".zst", ".iso"}


@dataclass(slots=True)
class _Folder:
    path: Path
    files: int = 0
    size: int = 0


class Uploads:
    """The files of one run.

    Args:
        scratch: where they go; it ends with the run.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._taken = 0
        self._folders: dict[int, _Folder] = {}

    async def file(self, name: str, chunks: AsyncIterator[bytes]) -> tuple[str, Path]:
        """Take one file: its name as it is shown, and where it lies.

        Raises:
            HTTPException: too large, or broken off.
        """
        shown = PurePosixPath(name).name[:_NAME] or "photo"
        suffix = _suffix(shown)
        path = self._next("upload", suffix)
        await self._write(path, chunks, MAX_BYTES if suffix in IMAGES | TEXTS else MOST_SOURCE)
        return shown, path

    def text(self, text: str) -> tuple[str, Path]:
        """Take a text. One that names a file on this computer is a text: paths never come from the page."""
        text = without_surrogates(text)
        path = self._next("text", ".txt")
        path.write_text(text, encoding="utf-8")
        hosts = dict.fromkeys(link.parse_url(address).host for address in link.links_in(text) if _is_link(address))
        return ", ".join(hosts)[:_NAME] or next(iter(text.split()), "…")[:_SHOWN], path

    def folder(self) -> int:
        """Begin a folder.

        Raises:
            HTTPException: there are too many.
        """
        if len(self._folders) >= MOST_FOLDERS:
            raise HTTPException(429)
        path = self._next("folder", "")
        path.mkdir()
        self._folders[self._taken] = _Folder(path)
        return self._taken

    async def into(self, number: int, name: str, chunks: AsyncIterator[bytes]) -> None:
        """Take a file of a folder.

        Raises:
            HTTPException: no such folder, or it is too large.
        """
        folder = self._folder(number)
        folder.files += 1
        if folder.files > MOST_FILES:
            raise HTTPException(413)
        path = folder.path / f"{folder.files:06}{_suffix(name)}"
        folder.size += await self._write(path, chunks, MOST_SOURCE - folder.size)

    def whole(self, number: int) -> Path:
        """The folder, once all its files are there.

        Raises:
            HTTPException: no such folder.
        """
        return self._folder(number).path

    def _folder(self, number: int) -> _Folder:
        if number not in self._folders:
            raise HTTPException(404)
        return self._folders[number]

    def _next(self, kind: str, suffix: str) -> Path:
        self._taken += 1
        return self._scratch / f"{kind}-{self._taken}{suffix}"

    async def _write(self, path: Path, chunks: AsyncIterator[bytes], most: int) -> int:
        """Write a file; how many bytes it has."""
        most = min(most, shutil.disk_usage(self._scratch).free - LEFT_FREE)
        size = 0
        try:
            with path.open("xb") as out:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > most:
                        raise HTTPException(413)
                    out.write(chunk)
        except (HTTPException, ClientDisconnect, OSError):
            path.unlink(missing_ok=True)
            raise HTTPException(413) from None
        return size


def _suffix(name: str) -> str:
    suffix = PurePosixPath(name).suffix.lower()
    return suffix if suffix in _SUFFIXES else ""


def _is_link(address: str) -> bool:
    try:
        return bool(link.parse_url(address).host)
    except UnusableLink:
        return False
