"""Decode the names of a zip's entries: UTF-8 with and without its flag, GBK, Info-ZIP's Unicode field.

``zipfile`` reads a name without the UTF-8 flag as code page 437 and, on Windows, takes the byte 0x5C in it for a separator,
although GBK has it as the second byte of ordinary characters. Here the archive's own bytes are decoded again.

Sources: APPNOTE 4.4.4 (bit 11), 4.4.17 (names), 4.6.9 (Info-ZIP Unicode Path, 0x7075); Python's ``zipfile`` (``orig_filename``).
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from typing import Final

from scraper.core.text import guessed_text

UTF8_FLAG: Final = 0x800
_UNICODE_PATH: Final = 0x7075
_ZIPFILE_READS: Final = "cp437"


def raw_name(info: zipfile.ZipInfo) -> bytes:
    """The name's bytes as the archive holds them."""
    encoding = "utf-8" if info.flag_bits & UTF8_FLAG else _ZIPFILE_READS
    try:
        return info.orig_filename.encode(encoding)
    except UnicodeEncodeError:  # made in Python, and never read from an archive
        return info.orig_filename.encode("utf-8", "surrogateescape")


def _unicode_path(extra: bytes, raw: bytes) -> str:
    """The name in Info-ZIP's Unicode Path field; empty where absent, or not for this name."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        body, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind == _UNICODE_PATH and len(body) > 5:
            version, checksum = struct.unpack_from("<BI", body)
            if version == 1 and checksum == zlib.crc32(raw):
                return body[5:].decode("utf-8", "replace")
    return ""


def entry_name(info: zipfile.ZipInfo) -> str:
    """An entry's name as text, its parts separated by ``/``."""
    if info.flag_bits & UTF8_FLAG:
        return _parted(info.orig_filename)
    raw = raw_name(info)
    return _parted(_unicode_path(info.extra, raw) or guessed_text(raw, _ZIPFILE_READS))


def _parted(name: str) -> str:
    return name.split("\0", maxsplit=1)[0].replace("\\", "/")


def is_folder(info: zipfile.ZipInfo) -> bool:
    """Whether an entry is a folder: its name ends with a separator, and it is empty."""
    return info.file_size == 0 and entry_name(info).endswith("/")
