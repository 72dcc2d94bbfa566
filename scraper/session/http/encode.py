"""Encode requests as browsers do: a query, a form, JSON."""

from __future__ import annotations

from collections.abc import Mapping
from json import dumps
from urllib.parse import quote, urlsplit

FORM = "application/x-www-form-urlencoded; charset=UTF-8"
JSON = "application/json;charset=UTF-8"


def compact_json(value: object) -> bytes:
    """A value as browsers' ``JSON.stringify`` writes it."""
    return dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def encode_query(values: Mapping[str, str]) -> str:
    """``name=value&…``, percent-encoded, in the order given."""
    return "&".join(f"{quote(name, safe='')}={quote(str(value), safe='')}" for name, value in values.items())


def with_query(url: str, params: Mapping[str, str] | None) -> str:
    """``url`` with ``params`` appended."""
    if not params:
        return url
    return url + ("&" if "?" in url else "?") + encode_query(params)


def page_headers(page: str, url: str, method: str) -> dict[str, str]:
    """The headers by which a page's own requests name it, as browsers do by default.

    Source: Fetch standard 3.2 (``Origin``), Referrer Policy 3.7 (strict-origin-when-cross-origin), but that a page on HTTPS
    names its origin to an address on HTTP too: a film's images may lie there.
    """
    page = quote(page.partition("#")[0], safe="!#$%&'()*+,/:;=?@[]~")
    here, there = urlsplit(page), urlsplit(url)
    origin = f"{here.scheme}://{here.netloc.rpartition('@')[2]}"
    if (here.scheme, here.netloc) != (there.scheme, there.netloc):
        return {"Origin": origin, "Referer": f"{origin}/"}
    named = {"Referer": page}
    return named if method in ("GET", "HEAD") else {"Origin": origin, **named}


def body_of(json: object, form: Mapping[str, str] | None, data: bytes | None) -> tuple[dict[str, str], bytes]:
    """The header that names a body's kind, and the body: JSON, else a form, else unchanged bytes, else nothing."""
    if json is not None:
        return {"Content-Type": JSON}, compact_json(json)
    if form is not None:
        return {"Content-Type": FORM}, encode_query(form).encode()
    return {}, data or b""
