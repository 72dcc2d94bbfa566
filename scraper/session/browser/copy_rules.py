"""Which responses of the browser are copied, and how, by their heads: what may be an image, a list or a package.

Programs, style sheets, fonts, media and endless streams go by uncopied.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any
from urllib.parse import urlsplit

# bytes; the driver between us and the browser dies of bodies of some 400 MB in one message
WHOLE = 64 * 2**20
WHOLE_PACKED = 8 * 2**20  # the same for a body that will be inflated before it comes to us
SCRIPT = 64 * 2**10  # a larger script is a program, no data
DATA_SCRIPT = 32 * 2**20
# what scripts that hold a page's data are called, and what programs are called
DATA = re.compile(
    r"data|list|study|studies|series|manifest|images?(?![a-z]*(view|load))|dicom(?!.?(parse|web|view|image.?load))|dcm(?!js)|json",
    re.I,
)
CALLBACK = re.compile(r"(^|&)(callback|jsonp|cb)=", re.I)
PROGRAM = re.compile(
    r"vendor|chunk|bundle|runtime|polyfill|[.-]min[.]|worker|loader|parser|component|element|virtual-list", re.I
)
# read piece by piece by the page, whose script of ours reports what it reads: see page_memory.js
BY_LINES = (
    "text/event-stream",
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonl",
    "application/jsonlines",
    "application/x-jsonlines",
    "application/json-l",
    "application/json-lines",
    "application/json-seq",
    "application/stream+json",
    "application/x-stream+json",
)
ENDLESS = (*BY_LINES, "multipart/x-mixed-replace", "application/grpc-web")
NEVER_DATA = (*ENDLESS, "application/wasm", "audio/", "video/", "font/", "text/css")
SHOWN = ("text/", "application/json", "application/xml", "application/xhtml", "multipart/related", "image/")


class CopyPlan(Enum):
    """What is done with a response."""

    PASS = auto()
    BARE = auto()  # worth remembering, has no body
    WHOLE = auto()
    STREAM = auto()


def plan_of(event: Mapping[str, Any], headers: Mapping[str, str], *, programs: bool) -> CopyPlan:
    """Decide from its head what to do with a response."""
    status, request, kind = event.get("responseStatusCode"), event["request"], event.get("resourceType", "")
    if status is None or request["method"] == "OPTIONS" or not request["url"].startswith("http"):
        return CopyPlan.PASS
    if request["method"] == "HEAD" or status in (204, 205, 304) or 300 <= status < 400 or status < 200:
        return CopyPlan.BARE
    length = headers.get("content-length", "")
    size = int(length) if length.isascii() and length.isdigit() else None
    is_data = _may_be_data(request["url"], size)
    if not (is_data or (programs and _is_program(kind, headers))) and _cannot_matter(kind, size, headers):
        return CopyPlan.PASS
    if size is None:
        return CopyPlan.STREAM if _may_be_a_package(headers) else CopyPlan.WHOLE
    packed = headers.get("content-encoding", "").strip().lower() not in ("", "identity")
    return CopyPlan.STREAM if size > (WHOLE_PACKED if packed else WHOLE) else CopyPlan.WHOLE


def _cannot_matter(kind: str, size: int | None, headers: Mapping[str, str]) -> bool:
    """Whether a response is a program, an endless stream, or a download that the browser saves itself."""
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type.startswith(NEVER_DATA):
        return True
    if kind == "Document":
        is_shown = not content_type or content_type.startswith(SHOWN)
        return "attachment" in headers.get("content-disposition", "").lower() or not is_shown
    is_program = kind == "Script" or "javascript" in content_type  # a worker's script is no "Script"
    return is_program and (size is None or size > SCRIPT) and not content_type.endswith("json")


def _may_be_data(url: str, size: int | None) -> bool:
    """Whether a large script is called after data, and not after a program: some pages load their lists so."""
    parts = urlsplit(url)
    name = parts.path.rpartition("/")[2]
    is_named = DATA.search(name) is not None or CALLBACK.search(parts.query) is not None
    return is_named and PROGRAM.search(name) is None and size is not None and size <= DATA_SCRIPT


def _is_program(kind: str, headers: Mapping[str, str]) -> bool:
    """Whether the response is a script, a style sheet or WebAssembly."""
    content_type = headers.get("content-type", "").lower()
    named = any(mark in content_type for mark in ("javascript", "text/css", "application/wasm"))
    return named or kind in ("Script", "Stylesheet")


def is_worker_script(event: Mapping[str, Any], headers: Mapping[str, str]) -> bool:
    """Whether an answer is the program of a worker: a script that is no page's."""
    content_type = headers.get("content-type", "").lower()
    return (
        event.get("resourceType") == "Other" and event.get("responseStatusCode") == 200 and "javascript" in content_type
    )


def _may_be_a_package(headers: Mapping[str, str]) -> bool:
    """Whether a response of unknown length may be a whole study of hundreds of megabytes, zipped or multipart."""
    content_type = headers.get("content-type", "").lower()
    named = headers.get("content-disposition", "").lower()
    return "zip" in content_type or "attachment" in named or "compressed" in content_type
