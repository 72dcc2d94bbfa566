"""JSON → Reply: what a site answers, checked at the edge."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from scraper.core.errors import SiteChanged
from scraper.core.reasons import Reason
from scraper.core.settings import MAX_FRAMES, MAX_INSTANCES, MAX_JSON_BYTES, MAX_JSON_NODES
from scraper.isolation import json_text

__all__ = [
    "Field",
    "Reply",
    "at_most",
    "decode_text",
    "frame_count",
    "mended",
    "parse_json",
    "read",
    "read_json",
    "whole",
]


class Reply(BaseModel):
    """Base of every reply: only the keys that a recipe relies on, others are ignored; numbers may come as text.

    A field that has a default keeps it where a site gives something empty instead (``null``, ``""``, ``[]``, ``{}``,
    ``false``), as many do with the data of a refusal.
    """

    model_config = ConfigDict(
        extra="ignore",
        populate_by_name=True,
        coerce_numbers_to_str=True,
        frozen=True,
        arbitrary_types_allowed=True,
        defer_build=True,  # a recipe's schemas are built at its first answer: a link's owner is told without them
    )

    @model_validator(mode="wrap")
    @classmethod
    def _defaults_for_empties(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(value)
        except ValidationError as err:
            if not isinstance(value, Mapping):
                raise
            wrong = {error["loc"][0] for error in err.errors(include_input=False, include_url=False) if error["loc"]}
            optional = {
                field_info.alias or name
                for name, field_info in cls.model_fields.items()
                if not field_info.is_required()
            }
            empty = {name for name in wrong & optional if _is_empty(value.get(name))}
            if not empty:
                raise
        return handler({name: given for name, given in value.items() if name not in empty})


def _is_empty(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(_is_empty(item) for item in value.values())
    return value is None or value is False or value in ("", [])


R = TypeVar("R", bound=Reply)
T = TypeVar("T")


def decode_text(body: bytes) -> str:
    """A body as text whatever its label says: UTF-8, else GB18030 (which holds GBK and GB2312)."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return body.decode("gb18030", errors="replace")


def mended(text: str) -> str:
    """Undoes UTF-8 that was read as Latin-1 once; any other text comes back as it is."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def whole(text: str | None) -> int | None:
    """A whole number that a site gives as text ("60", "60.0"), or None where it is empty or no such number."""
    known = re.fullmatch(r"\s*(-?\d{1,11})(?:\.0*)?\s*", text or "")
    return int(known[1]) if known else None


def parse_json(data: bytes | str) -> Any:
    """A JSON value, where it is of a size that a list can have; counted before anything is made of it.

    A long text is read by a child process first (``scraper.isolation.json_text``).

    Raises:
        ValueError: no JSON, or more nodes or bytes than any list has. RecursionError: nested too deep.
    """
    if len(data) > MAX_JSON_BYTES:
        raise ValueError("too long")
    marks: tuple[Any, ...] = (b",", b"[", b"{") if isinstance(data, bytes) else (",", "[", "{")
    if len(data) > MAX_JSON_NODES and sum(data.count(mark) for mark in marks) > MAX_JSON_NODES:
        raise ValueError("too many values")
    return json.loads(json_text.rewritten(data))


def frame_count(text: str | None) -> int:
    """How many frames a site gives an object, at least one.

    Raises:
        ValueError: more than any object has.
    """
    count = max(whole(text) or 1, 1)
    if count > MAX_FRAMES:
        raise ValueError(f"{count} frames")
    return count


def at_most(items: Iterable[T], most: int = MAX_INSTANCES) -> tuple[T, ...]:
    """All items of a sequence whose length a site gives as a number.

    Raises:
        ValueError: more than any study has.
    """
    found = tuple(islice(items, most + 1))
    if len(found) > most:
        raise ValueError(f"more than {most}")
    return found


def read_json(body: bytes, url: str) -> Any:
    """The JSON value in a body.

    Raises:
        SiteChanged: no JSON; names the host and the path.
    """
    try:
        return parse_json(decode_text(body))
    except (ValueError, RecursionError) as err:
        raise SiteChanged(host=urlsplit(url).hostname, what=Reason.NO_JSON.of(path=urlsplit(url).path)) from err


def read(body: bytes, reply: type[R], url: str) -> R:
    """A body as ``reply``.

    Raises:
        SiteChanged: no JSON, or a key is missing or of another kind; names the host, the path and the key.
    """
    value = read_json(body, url)
    try:
        return reply.model_validate(value)
    except ValidationError as err:
        first = err.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(step) for step in first["loc"]) or "(root)"
        raise SiteChanged(host=urlsplit(url).hostname, what=f"{urlsplit(url).path}, {key}: {first['type']}") from None
