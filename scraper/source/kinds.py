"""What a SOURCE is, by its name and first bytes: picture, text, saved page, folder, archive or recording."""

from __future__ import annotations

import re
import zlib
from itertools import islice
from pathlib import Path
from urllib.request import url2pathname

from scraper.core.errors import UnreadableFile
from scraper.core.link import ShareLink
from scraper.core.sniff import HEAD, Kind, sniff

_PICTURES = ["jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "heic", "heif", "gif", "avif", "jp2", "jxl", "svg"]
_DOCUMENTS = ["pdf", "dcm", "docx", "pptx", "xlsx", "odt"]
IMAGES = frozenset(f".{name}" for name in (*_PICTURES, *_DOCUMENTS))
PAGES = frozenset((".html", ".htm", ".mhtml", ".mht"))
TEXTS = frozenset((".txt", ".url", ".webloc", ".md")) | PAGES
_HAR_IN_ZIP = re.compile(rb"PK(?:\x03\x04.{26}|\x01\x02.{42})[^/\\\x00]{1,120}\.har", re.DOTALL)
_END_OF_ZIP = 1 << 17  # bytes in which the recording's entry is looked for: Playwright writes it last
_HAR = re.compile(rb'(\xef\xbb\xbf)?\s*\{\s*"log"\s*:\s*\{')
MOST_LOOKED_AT = 20_000  # files of a folder, until one is a DICOM file
_ARCHIVES = frozenset((Kind.ZIP, Kind.SEVEN_ZIP, Kind.GZIP, Kind.ZSTD, Kind.RAR))


def holds_files(given: str) -> bool:
    """Whether the SOURCE is an archive, a recording, or a folder with DICOM in it: the study itself, and no link to it."""
    path = Path(given)
    if is_folder(given):
        from scraper import verify  # not for a photo: it needs no DICOM library

        return any(not candidate.left_out for candidate in islice(verify.find(path), MOST_LOOKED_AT))
    if not is_file(given) or path.suffix.lower() in IMAGES | TEXTS:
        return False
    from scraper.core.sniff import is_tar
    from scraper.protocols.archive_unpack import is_disc

    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
        return sniff(head) in _ARCHIVES or is_tar(head) or is_disc(path) or is_har(path)
    except OSError as err:
        raise UnreadableFile(path=given) from err


def is_har(path: Path) -> bool:
    """Whether a file is a browser's recording, perhaps in gzip: by its first characters; or a zip with one and its bodies."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
            if sniff(head) is Kind.ZIP:
                file.seek(max(path.stat().st_size - _END_OF_ZIP, 0))
                return _HAR_IN_ZIP.match(head) is not None or _HAR_IN_ZIP.search(file.read()) is not None
        if sniff(head) is Kind.GZIP:
            head = zlib.decompressobj(wbits=31).decompress(head, HEAD)
    except (OSError, zlib.error):
        return False
    return _HAR.match(head) is not None


def path_of(share: ShareLink) -> Path:
    """The file or folder of a ``file:`` link."""
    return Path(url2pathname(share.parts.path))


def is_folder(given: str) -> bool:
    """Whether the SOURCE is an existing folder."""
    try:
        return Path(given).is_dir()
    except (OSError, ValueError):
        return False


def is_file(given: str) -> bool:
    """Whether the SOURCE is an existing file."""
    try:
        return Path(given).is_file()
    except (OSError, ValueError):  # a long share text is no file name
        return False
