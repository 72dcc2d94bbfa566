"""Objects of a page's own programs, by their handles in the browser's debugger: functions found, looked at and called.

Source: Chrome DevTools Protocol, domain Runtime (``queryObjects``, ``getProperties``; tip of tree, November 2026).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

from scraper.session.browser.worker_session import DevTools

GROUP: Final = "page-calls"
MAX_ALIKE: Final = 60  # functions of one name that are compared

_LETTERS: Final = str.maketrans("0123456789", "ghijklmnop")

Location = tuple[str, int, int]
"""Script, line and column at which a function begins."""


@cache
def scripts() -> dict[str, str]:
    """The functions of ``page_calls.js`` by name."""
    text = resources.files(__package__).joinpath("page_calls.js").read_text(encoding="utf-8")
    parts = (part.partition("\n") for part in text.split("// ---- ")[1:])
    return {name: body.strip() for name, _, body in parts}


async def functions_named(session: DevTools, world: int, names: list[str]) -> list[str]:
    """Handles of the functions of some names, wherever the page keeps them."""
    asked = {"expression": "Function.prototype", "contextId": world, "objectGroup": GROUP}
    prototype = (await session.send("Runtime.evaluate", asked))["result"].get("objectId")
    query = {"prototypeObjectId": prototype, "objectGroup": GROUP}
    every = (await session.send("Runtime.queryObjects", query))["objects"]["objectId"]
    found = await call_on(session, every, scripts()["named"], [{"value": names}, {"value": MAX_ALIKE}])
    properties = await session.send("Runtime.getProperties", {"objectId": found["objectId"], "ownProperties": True})
    return [str(item["value"]["objectId"]) for item in properties["result"] if item["value"].get("type") == "function"]


async def begin_of(session: DevTools, handle: str) -> Location | None:
    """Where a function begins; None for the browser's own."""
    answer = await session.send("Runtime.getProperties", {"objectId": handle, "ownProperties": True})
    for item in answer.get("internalProperties", ()):
        if item["name"] == "[[FunctionLocation]]":
            value = item["value"]["value"]
            return str(value["scriptId"]), int(value["lineNumber"]), int(value["columnNumber"])
    return None


async def call_on(
    session: DevTools,
    handle: str,
    function: str,
    given: list[dict[str, Any]] | None = None,
    *,
    by_value: bool = False,
    waits: bool = False,
) -> dict[str, Any]:
    """What a function of ours gives, called with an object of the page as ``this``.

    Args:
        session: the debugger's.
        handle: of the object.
        function: its text.
        given: its arguments.
        by_value: the result itself, else a handle of it.
        waits: for what it promises; not while the page is paused, where no promise ends.
    """
    asked = {
        "objectId": handle,
        "functionDeclaration": function,
        "arguments": given or [],
        "returnByValue": by_value,
        "awaitPromise": waits,
        "objectGroup": GROUP,
        "silent": True,
    }
    result: dict[str, Any] = (await session.send("Runtime.callFunctionOn", asked))["result"]
    return result


def lettered(location: Location) -> str:
    """A function's name in letters alone: a digit in it might be taken for a list's value."""
    return hashlib.sha256(repr(location).encode()).hexdigest()[:16].translate(_LETTERS)


def begin_in_stack(frame: Mapping[str, Any]) -> Location | None:
    """Where the function of a stack's frame begins."""
    where = frame.get("functionLocation")
    return (str(where["scriptId"]), int(where["lineNumber"]), int(where["columnNumber"])) if where else None


__all__ = ["GROUP", "Location", "begin_in_stack", "begin_of", "call_on", "functions_named", "lettered", "scripts"]
