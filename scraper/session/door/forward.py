"""A plain http request of the browser's, forwarded by an HTTP proxy that makes no tunnel for it.

Source: RFC 9112 3.2.2: a proxy is asked by the whole address. One request a connection: the browser opens another for the next.
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
    """Whether these first bytes begin a plain request, as far as they go."""
    word, blank, _ = data.partition(b" ")
    return word in METHODS if blank else any(method.startswith(word) for method in METHODS)


def forwarded(data: bytes, route: Route) -> tuple[bytes, int]:
    """A request as the proxy is asked, with what has come of its body, and how many bytes of that are still to come.

    Args:
        data: a whole head, and what came after it.
        route: by the proxy.

    Raises:
        ValueError: no request that can be forwarded: a WebSocket's, or one whose body has no length.
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
    left = (lengths[0] if lengths else 0) - len(body)
    if left < 0:
        raise ValueError
    place = place_of(route).removesuffix(":80")
    if not target.startswith(b"/"):
        raise ValueError
    whole = f"http://{place}".encode() + target
    kept = [field for field, name in zip(fields, names, strict=True) if name not in OF_ONE_CONNECTION]
    kept.append(b"Connection: close")
    if authorization := credentials(route):
        kept.append(f"Proxy-Authorization: {authorization}".encode())
    return b"\r\n".join([b" ".join((method, whole, version)), *kept, b"", body]), left
