"""A request that the page itself sends, by its ``fetch``."""

from __future__ import annotations

import base64

from scraper.core.model import Request
from scraper.protocols.headers import merged

FETCH = """async ({url, method, headers, body}) => {
  try {
    const sent = body === null ? undefined : Uint8Array.from(atob(body), c => c.charCodeAt(0));
    const answer = await fetch(url, {method, headers, body: sent, credentials: "include"});
    await answer.arrayBuffer();
    return answer.url || url;
  } catch (error) { return null; }
}"""  # the address that answered; null where the page may not read the response


def fetch_arguments(request: Request) -> dict[str, object]:
    """The arguments of ``FETCH`` for a request."""
    headers = merged(request.headers, request.sign() if request.sign else None)
    body = None if request.body is None else base64.b64encode(request.body).decode()
    return {"url": request.url, "method": request.method, "headers": headers, "body": body}
