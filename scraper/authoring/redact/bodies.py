"""Redact bodies by their kind: JSON, pages, scripts, DICOM, archives, pictures, anything else."""

from __future__ import annotations

import base64
import binascii
import gzip
import html
import io
import json
import re
import zipfile
import zlib
from typing import Any, Final

from scraper.authoring.redact.markup import tokens
from scraper.authoring.redact.scripts import Scripts
from scraper.authoring.redact.texts import Texts
from scraper.authoring.redact.vocabulary import is_field
from scraper.core.errors import CorruptInstance
from scraper.core.reasons import Reason
from scraper.core.sniff import BARE_DATA_SETS, HEAD, Kind, sniff
from scraper.core.text import codec_of, decode_text
from scraper.dicom import pseudonymised, stream
from scraper.protocols import multipart

DICOM: Final = (Kind.PART10, Kind.META_FIRST, *BARE_DATA_SETS)
PICTURES: Final = (Kind.JPEG, Kind.PNG, Kind.JP2, Kind.J2K, Kind.JPEG_LS)
MAX_UNPACKED: Final = 256 * 2**20  # bytes of all that a zip holds
MAX_INFLATED: Final = 64 * 2**20  # bytes of one packed body
MAX_TEXT: Final = 24 * 2**20  # bytes of one text: the list of 10,000 images has some 20 MB
MAX_NODES: Final = 3_000_000  # arrays, objects and entries of one text, which is held twice while it is redacted
MAX_DEPTH: Final = 5
MAX_PREFIX: Final = 512
SHORTEST_PACKED: Final = 64  # characters of base64 that may hold a file
SHORT: Final = 1024  # bytes; what is longer may be pixels
_UNREADABLE: Final = (
    CorruptInstance,
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
_PROGRAMS: Final = ("javascript", "ecmascript", "text/css")
# groups of DICOM JSON whose numbers and codes stay
STRUCTURE: Final = ("0008", "0018", "0020", "0028", "0054")
IDENTIFYING: Final = ("LO", "SH", "PN", "UI", "DA", "TM", "DT", "LT", "ST", "UT", "UC", "AE", "UR", "AS")


class Bodies:
    """Redact bodies.

    Args:
        texts: redacts texts.
    """

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._scripts = Scripts(texts, self.value)
        self.rehearsing = False  # pixels are left alone: only what texts say is wanted

    def body(self, data: bytes, content_type: str = "", depth: int = 0, *, key: str = "") -> bytes:
        """Redact a body; an unreadable one becomes noise of its length."""
        if not data:
            return data
        try:
            return self._noise(data) if depth > MAX_DEPTH else self._known(data, content_type, depth, key)
        except _UNREADABLE:
            return self._noise(data)

    def _known(self, data: bytes, content_type: str, depth: int, key: str) -> bytes:  # noqa: PLR0911  # one a kind
        head = data[:HEAD]
        kind = sniff(head)
        boundary = multipart.boundary_of(content_type, head)
        if boundary is not None:
            return self._parts(data, boundary, depth)
        if kind not in (Kind.ZIP, *DICOM) and 0 < (at := head.find(b"DICM") - 128) <= MAX_PREFIX:
            return data[:at] + self.dicom(data[at:])
        if kind in DICOM:
            return self.dicom(data)
        if kind is Kind.ZIP:
            return self._zip(data, depth)
        if kind in (Kind.GZIP, Kind.ZLIB):
            return self._inflated(data, kind, depth)
        if self.rehearsing and kind in (*PICTURES, Kind.UNKNOWN):
            return data
        if kind in PICTURES:
            return stream(data, "", self._texts, self._salt(data)).ljust(len(data), b"\0")
        if kind in (Kind.JSON, Kind.XML, Kind.HTML, Kind.TEXT):
            if len(data) > MAX_TEXT or sum(data.count(sign) for sign in (b"[", b"{", b",")) > MAX_NODES:
                return self._noise(data)
            return self._text(data, kind, content_type.lower(), key, depth)
        return self.frame(data) if len(data) > SHORT else self._noise(data)

    def dicom(self, data: bytes) -> bytes:
        """Redact a DICOM object.

        Raises:
            CorruptInstance: its structure is broken.
        """
        return pseudonymised(data, self._texts, pixels=not self.rehearsing)

    # ---- texts

    def _text(self, data: bytes, kind: Kind, content_type: str, key: str, depth: int) -> bytes:
        text = decode_text(data)
        codec = codec_of(data)
        if any(mark in content_type for mark in _PROGRAMS) and kind is not Kind.HTML:
            before, value, after = _json_in(text)
            if value is not None:
                shown = before + self._texts.known(json.dumps(self.value(value), ensure_ascii=False)) + after
            else:
                shown = self._scripts.program(text) if "css" not in content_type else self._texts.known(text)
        elif kind in (Kind.HTML, Kind.XML):
            shown = self._scripts.page(text, is_xml=kind is Kind.XML)
        else:
            shown = self._plain(text, key, depth)
        return shown.encode(codec, "replace")

    def _plain(self, text: str, key: str, depth: int) -> str:
        """Redact JSON (also after a Socket.IO number or in a callback), a form, base64, a program, or a sentence."""
        before, value, after = _json_in(text)
        if value is not None:
            shown = json.dumps(
                self.value(value, key, depth),
                ensure_ascii=not text.isascii() and "\\u" in text,
                separators=(",", ":") if '": ' not in text else (", ", ": "),
            )
            return (self._texts.text(before, lenient=True) if before else "") + self._texts.known(shown) + after
        packed = self._packed(text.strip(), depth)
        if packed is not None:
            return packed
        if "function" in text or "=>" in text:
            return self._scripts.script(text)
        return self._texts.known(self._texts.text(text, key))

    def value(self, value: Any, key: str = "", depth: int = 0) -> Any:
        """Redact a JSON value."""
        if isinstance(value, dict):
            vr = value.get("vr") if isinstance(value.get("vr"), str) else ""
            if vr and set(value) <= {"vr", "Value", "BulkDataURI", "InlineBinary"}:
                return self._element(value, vr, key, depth)
            return {
                name if is_field(name) else self._texts.text(name): self.value(
                    item, name if is_field(name) else key, depth
                )
                for name, item in value.items()
            }
        if isinstance(value, list):
            return [self.value(item, key, depth) for item in value]
        if isinstance(value, str):
            packed = self._packed(value, depth)
            return packed if packed is not None else self._inner(value, key, depth)
        if isinstance(value, bool) or value is None:
            return value
        shown = self._texts.text(repr(value), key)
        return type(value)(shown) if shown != repr(value) and "e" not in shown else value

    def _inner(self, text: str, key: str, depth: int) -> str:
        """Redact JSON or a page inside a JSON text; else the text."""
        start = text.lstrip()[:1]
        if start in ("{", "[") and depth < MAX_DEPTH:
            try:
                return json.dumps(self.value(json.loads(text), key, depth + 1), ensure_ascii=False)
            except ValueError:
                pass
        return self._texts.text(text, key)

    def _element(self, element: dict[str, Any], vr: str, key: str, depth: int) -> dict[str, Any]:
        """Redact an element of DICOM JSON (PS3.18 annex F) by its Value Representation, as in a file."""
        out = dict(element)
        group = key[:4]
        structural = group in STRUCTURE and vr not in IDENTIFYING
        if "Value" in element and not structural and key not in ("00080005", "00080070", "00081090"):
            replace = {"UI": self._texts.uid, "DA": self._texts.date, "TM": self._texts.time}.get(vr, self._texts.free)
            out["Value"] = (
                [_deep(item, replace) for item in element["Value"]] if isinstance(element["Value"], list) else []
            )
            if vr == "SQ":
                out["Value"] = [self.value(item, key, depth) for item in element["Value"]]
        if isinstance(element.get("BulkDataURI"), str):
            out["BulkDataURI"] = self._texts.url(element["BulkDataURI"])
        if isinstance(element.get("InlineBinary"), str):
            out["InlineBinary"] = base64.b64encode(self._noise(element["InlineBinary"].encode())).decode()
        return out

    def _packed(self, text: str, depth: int) -> str | None:
        """Redact base64 or a data URL that holds a file."""
        head, comma, rest = text.partition(",") if text.startswith("data:") else ("", "", text)
        if len(rest) < SHORTEST_PACKED or not re.fullmatch(
            r"[A-Za-z0-9+/_-]+={0,2}\s*", rest[:4096].rstrip() if len(rest) > 4096 else rest
        ):
            return None
        try:
            raw = base64.b64decode(rest.translate(str.maketrans("-_", "+/")) + "=" * (-len(rest.rstrip()) % 4))
        except (binascii.Error, ValueError):
            return None
        if sniff(raw[:HEAD]) in (Kind.TEXT, Kind.UNKNOWN, Kind.EMPTY) and not comma:
            return None
        return head + comma + base64.b64encode(self.body(raw, "", depth + 1)).decode()

    # ---- packed

    def _parts(self, data: bytes, boundary: bytes, depth: int) -> bytes:
        out = []
        for part in multipart.parts(io.BytesIO(data), boundary):
            inside = part.read(MAX_UNPACKED)
            type_of_part = part.headers.get("content-type", "")
            named = re.search(r'name="([^"]*)"', part.headers.get("content-disposition", ""))
            lines = [f"{name.title()}: {self._texts.header(name, value)}" for name, value in part.headers.items()]
            raw = sniff(inside[:HEAD]) in (Kind.TEXT, Kind.UNKNOWN) and type_of_part.startswith(
                "application/octet-stream"
            )
            shown = (
                self.frame(inside) if raw else self.body(inside, type_of_part, depth + 1, key=named[1] if named else "")
            )
            out += [b"--" + boundary + b"\r\n", "\r\n".join(lines).encode("utf-8"), b"\r\n\r\n", shown, b"\r\n"]
        return b"".join([*out, b"--" + boundary + b"--\r\n"])

    def _zip(self, data: bytes, depth: int) -> bytes:
        out = io.BytesIO()
        left = MAX_UNPACKED
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
            for info in old.infolist():
                left -= info.file_size
                if left < 0 or info.flag_bits & 1:
                    raise zipfile.BadZipFile
                name = self._texts.text(info.filename)
                new.writestr(name, b"" if info.is_dir() else self.body(old.read(info), "", depth + 1))
        return out.getvalue()

    def _inflated(self, data: bytes, kind: Kind, depth: int) -> bytes:
        inflater = zlib.decompressobj(47)
        raw = inflater.decompress(data, MAX_INFLATED)
        if not inflater.eof:
            raise CorruptInstance(what=Reason.PACKED_CUT_OFF)
        shown = self.body(raw, "", depth + 1)
        return gzip.compress(shown, mtime=0) if kind is Kind.GZIP else zlib.compress(shown)

    # ---- the rest

    def frame(self, data: bytes) -> bytes:
        """Replace raw samples, or unknown bytes, by tiles of noise, below 1024 where they are words of 16 bits."""
        if len(data) % 2:
            return self._noise(data)
        width = 512
        picture = self._texts.samples((-(-len(data) // 2 // width), width), 1024, self._salt(data))
        return bytes(picture.astype("<u2").tobytes()[: len(data)])

    def _noise(self, data: bytes) -> bytes:
        magic = data[:4] if sniff(data[:HEAD]) not in (Kind.UNKNOWN, Kind.TEXT, Kind.JSON, Kind.XML, Kind.HTML) else b""
        return magic + self._texts.noise(len(data) - len(magic), self._salt(data))

    def _salt(self, data: bytes) -> str:
        """A salt from the bytes: equal bytes give equal noise."""
        return f"{len(data)}/{zlib.crc32(data)}"

    def learn_program(self, data: bytes, content_type: str) -> None:
        """Learn the words that a viewer's program uses: they are no values."""
        kind = sniff(data[:HEAD])
        is_program = any(mark in content_type.lower() for mark in _PROGRAMS)
        if kind is Kind.HTML or is_program:
            text = decode_text(data)
            pieces = [text] if is_program else _programs_in(text)
            for piece in pieces:
                self._scripts.learn(piece)


def _programs_in(page: str) -> list[str]:
    """The scripts of a page, and its event handlers and script addresses as if they were scripts."""
    found = [token.code for token in tokens(page) if token.kind == "script"]
    handlers = re.findall(r"(?is)\son[a-z]+\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", page)
    addresses = re.findall(r"(?is)\s(?:src|href|action)\s*=\s*[\"']([^\"']*)[\"']", page)
    lower = [f'"/{" ".join(re.findall(r"(?<![^/.?&=_-])[a-z]+(?![^/.?&=_-])", address))}"' for address in addresses]
    return [*found, *(html.unescape(handler or other) for handler, other in handlers), *lower]


def _deep(value: Any, replace: Any) -> Any:
    """Redact a value of DICOM JSON: a text, a number, or a name in its groups."""
    if isinstance(value, dict):
        return {name: _deep(item, replace) for name, item in value.items()}
    if isinstance(value, str):
        return replace(value) if value else value
    if isinstance(value, bool) or value is None:
        return value
    return type(value)(0)


def _json_in(text: str) -> tuple[str, Any, str]:
    """A JSON object or array that is the whole text, but for a short word before it and brackets after; else None."""
    match = re.match(r"\s*(?:[\w.$]{0,60}\(|\d{1,6}-?(?=[\[{])|(?:var |let |const )?[\w.$]{1,60}\s*=\s*)?", text)
    start = match.end() if match else 0
    if text[start : start + 1] not in ("{", "["):
        return "", None, ""
    try:
        value, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return "", None, ""
    rest = text[end:]
    return (text[:start], value, rest) if not rest.strip(" \r\n\t);") else ("", None, "")
