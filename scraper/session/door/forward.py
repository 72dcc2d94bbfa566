"""Forward a plain http request of the browser's through an HTTP proxy that makes no tunnel for it.

Source: RFC 9112 3.2.2, absolute-form. One request per connection: the browser opens another for the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scraper.session.door.upstream import credentials, place_of

if TYPE_CHECKING:
    from scraper.session.door.door import Route

METHODS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"))
OF_ONE_CONNECTION = (b"connection", b"proxy-connection", b"proxy-authorization", b"keep-alive")
LONGEST_HEAD = 2**18  # of a request: cookies of many kilobytes are seen


def may_be_http(data: bytes) -> bool:
    """Whether these first bytes may begin a plain request."""
    word, blank, _ = data.partition(b" ")
    return word in METHODS if blank else any(method.startswith(word) for method in METHODS)


def forwarded(data: bytes, route: Route) -> tuple[bytes, int]:
    """The request rewritten for the proxy, with the body so far, and how many body bytes are still to come.

    Args:
        data: a whole head, and what came after it.
        route: by the proxy.

    Raises:
        ValueError: it can't be forwarded: a WebSocket's, or its body has no length.
    """
    head, _, body = data.partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    method, target, version = line.split(b" ")
    names = [field.partition(b":")[0].strip().lower() for field in fields]
    if b"upgrade" in names or b"transfer-encoding" in names or names.count(b"content-length") > 1:
        raise ValueError
    lengths = [
        int(field.partition(b":")[2]) for field, name in zip(fields, names, strict=True) if name == b"content-length"
    ]
    remaining = (lengths[0] if lengths else 0) - len(body)
    if remaining < 0:
        raise ValueError
    place = place_of(route).removesuffix(":80")
    if not target.startswith(b"/"):
        raise ValueError
    whole = f"http://{place}".encode() + target
    headers = [field for field, name in zip(fields, names, strict=True) if name not in OF_ONE_CONNECTION]
    headers.append(b"Connection: close")
    if authorization := credentials(route):
        headers.append(f"Proxy-Authorization: {authorization}".encode())
    return b"\r\n".join([b" ".join((method, whole, version)), *headers, b"", body]), remaining
