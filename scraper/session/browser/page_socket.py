"""Send on a WebSocket that the page itself holds open, as its viewer would.

Source: Chrome DevTools Protocol, domain Runtime (``queryObjects``, tip of tree, November 2026). Nothing is put into the page.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, CDPSession, Frame, Page

FIND = """function(url) {
  const bare = text => text.split("?")[0], open = this.filter(one => one.readyState === 1).reverse();
  return open.find(one => one.url === url) || open.find(one => bare(one.url) === bare(url)) || null;
}"""
SEND = """function(message) { if (this.readyState !== 1) return false; this.send(message); return true; }"""


class PageSocket:
    """An open WebSocket of a page.

    Args:
        session: to the page or frame that has it.
        handle: the browser's name for it.
    """

    def __init__(self, session: CDPSession, handle: str) -> None:
        self._session = session
        self._handle = handle

    async def send(self, message: str) -> bool:
        """Send a text message as the page would; False where the socket is no longer open."""
        asked = {
            "objectId": self._handle,
            "functionDeclaration": SEND,
            "returnByValue": True,
            "arguments": [{"value": message}],
        }
        answer = await self._session.send("Runtime.callFunctionOn", asked)
        return answer["result"].get("value") is True

    async def close(self) -> None:
        """Release the handle; the page's socket stays open."""
        from playwright.async_api import Error

        with suppress(Error):
            await self._session.detach()


async def find(context: BrowserContext, pages: Iterable[Page], url: str) -> PageSocket | None:
    """Find the newest open socket of an address (its query may have changed) in any page or frame; not in workers."""
    from playwright.async_api import Error

    for page in pages:
        places: list[Page | Frame] = [page, *page.frames[1:]]
        for place in places:
            try:
                session = await context.new_cdp_session(place)
            except Error:
                continue  # a frame of the page's own process, which the page's session sees
            handle = None
            with suppress(Error):
                handle = await _in(session, url)
            if handle is not None:
                return PageSocket(session, handle)
            with suppress(Error):
                await session.detach()
    return None


async def _in(session: CDPSession, url: str) -> str | None:
    """The handle of the socket in one of the documents of a DevTools session."""
    worlds: list[int] = []

    def found(event: dict[str, Any]) -> None:
        if event["context"].get("auxData", {}).get("isDefault"):
            worlds.append(event["context"]["id"])

    session.on("Runtime.executionContextCreated", found)
    await session.send("Runtime.enable")
    for world in list(worlds):
        asked = {"expression": "WebSocket.prototype", "contextId": world}
        prototype = (await session.send("Runtime.evaluate", asked))["result"].get("objectId")
        if prototype is None:
            continue
        every = await session.send("Runtime.queryObjects", {"prototypeObjectId": prototype})
        call = {"objectId": every["objects"]["objectId"], "functionDeclaration": FIND, "arguments": [{"value": url}]}
        item = (await session.send("Runtime.callFunctionOn", call))["result"].get("objectId")
        if item is not None:
            return str(item)
    return None
