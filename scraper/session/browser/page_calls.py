"""Observe which of a page's own functions lead to its requests, with which arguments, and call them with others.

What only the page can ask for (signatures, tickets, sockets with running numbers) is asked for by its own functions, wherever
they stand: in a closure, a class, a module. Nothing of the page is replaced; its programs are paused for milliseconds.
Source: Chrome DevTools Protocol, domains Debugger, DOMDebugger and Runtime (tip of tree, November 2026).
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from scraper.session.browser.script_objects import (
    GROUP,
    Location,
    begin_in_stack,
    begin_of,
    call_on,
    functions_named,
    lettered,
    scripts,
)
from scraper.session.browser.worker_session import DevTools, WorkerSession

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Frame, Page

ASYNC_DEPTH: Final = 12
MAX_FRAMES: Final = 30  # of one stack
MAX_PAUSES: Final = 400  # then the page is no longer watched
MAX_FUNCTIONS: Final = 40
MAX_TARGETS: Final = 12  # pages, frames and workers
LOOK_S: Final = 3.0  # at one pause
MAX_HITS: Final = 12  # of one function in one look; what is called more often is a helper
MAX_TEXT: Final = 20_000  # characters of a call's arguments
_PARAMETERS: Final = re.compile(r"(?:async\b\s*)?(?:\((?P<list>[^()]*)\)|(?P<single>[\w$]+))\s*(?P<arrow>=>)?")
_NAME: Final = re.compile(r"[A-Za-z_$][\w$]*")


@dataclass(frozen=True, slots=True)
class PageCall:
    """One call of one of the page's functions.

    Attributes:
        place: names the function.
        arguments: what it was called with, as JSON; what is no plain value is a mark in it.
        holder: the DevTools session and its handle of the function, its object and its arguments.
    """

    place: str
    arguments: str
    holder: tuple[_Target, str, Location, str]


class PageCalls:
    """Watches the pages of one window, and calls their functions.

    Args:
        context: the window's.
        pages: its pages, the newest first.
    """

    def __init__(self, context: BrowserContext, pages: Iterable[Page]) -> None:
        self._context = context
        self._pages = tuple(pages)
        self._targets: list[_Target] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def watch_requests(self, *, from_load: bool = False) -> None:
        """Note from now on which functions are running, or waited for, while the page asks for something.

        Args:
            from_load: also of a page that is loaded again meanwhile.
        """
        from playwright.async_api import Error

        for page in self._pages:
            places: list[Page | Frame] = [page, *page.frames[1:]]
            for place in places:
                with suppress(Error):  # a frame of the page's own process, which the page's session sees
                    target = _Target(await self._context.new_cdp_session(place))
                    self._targets.append(target)
                    await target.watch_requests(from_load=from_load)
                    await self._watch_workers(target.session)

    async def _watch_workers(self, page: DevTools) -> None:
        """Watch the dedicated workers of a page as well: some hold the whole viewer but for its picture."""

        def attached(event: Mapping[str, Any]) -> None:
            if event["targetInfo"]["type"] == "worker" and len(self._targets) < MAX_TARGETS:
                task = asyncio.ensure_future(self._watch_worker(WorkerSession(page, event["sessionId"])))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

        page.on("Target.attachedToTarget", attached)
        await page.send("Target.setAutoAttach", {"autoAttach": True, "waitForDebuggerOnStart": False, "flatten": False})
        await asyncio.gather(*self._tasks)

    async def _watch_worker(self, session: WorkerSession) -> None:
        from playwright.async_api import Error

        target = _Target(session)
        self._targets.append(target)
        with suppress(Error, TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await target.watch_requests(from_load=False)

    async def watch_functions(self) -> bool:
        """Note from now on what those functions are called with, also of a page that is loaded again; False: nothing."""
        return any([await target.watch_functions() for target in self._targets])

    def take(self) -> list[PageCall]:
        """The calls since the last time, in order."""
        found = [call for target in self._targets for call in target.calls]
        for target in self._targets:
            target.calls = []
            target.hits.clear()
        return found

    async def rest(self) -> None:
        """Watch no longer; calls can still be made."""
        for target in self._targets:
            await target.rest()

    async def call(self, sample: PageCall, arguments: str, *, up_to_s: float) -> bool:
        """Call the function of a call with other arguments, and wait for what it promises; False where it fails.

        Args:
            sample: the call.
            arguments: JSON like the sample's; its marks stand for the sample's own values.
            up_to_s: a promise that takes longer is not waited for.
        """
        target, handle, location, name = sample.holder
        return await target.call((handle, location, name), arguments, up_to_s)

    async def close(self) -> None:
        """Let the page go."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for target in reversed(self._targets):  # workers first: they are spoken to through their page
            await target.close()
        self._targets = []


class _Target:
    """A page, or a frame that has a process of its own."""

    def __init__(self, session: DevTools) -> None:
        self.session = session
        self.calls: list[PageCall] = []
        self.hits: Counter[Location] = Counter()
        self._worlds: list[int] = []
        self._running: dict[Location, str] = {}  # functions of stacks, with their names
        self._awaited: dict[tuple[str, str], tuple[int, int]] = {}  # script and name of functions that wait → where
        self._breakpoints: dict[str, str] = {}  # → the function's name
        self._urls: dict[str, str] = {}  # of scripts
        self._added = ""
        self._is_from_load = False
        self._sources: dict[str, list[str]] = {}  # lines
        self._begins: dict[str, tuple[int, int]] = {}  # where a script begins in its page
        self._functions: dict[Location, str] = {}  # their handles
        self._restored: list[str] = []
        self._pauses = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def watch_requests(self, *, from_load: bool) -> None:
        from playwright.async_api import Error

        self.session.on("Runtime.executionContextCreated", self._created)
        self.session.on("Runtime.executionContextsCleared", lambda _: self._worlds.clear())
        self.session.on("Debugger.paused", self._paused)
        self.session.on("Debugger.scriptParsed", self._parsed)
        await self.session.send("Runtime.enable")
        await self.session.send("Debugger.enable", {"maxScriptsCacheSize": 0})
        await self.session.send("Debugger.setAsyncCallStackDepth", {"maxDepth": ASYNC_DEPTH})
        with suppress(Error):  # a worker has no such domain; its script pauses at requests, too
            await self.session.send("DOMDebugger.setXHRBreakpoint", {"url": ""})
        script = f"({scripts()['pause']})()"  # at sockets and messages to workers
        self._is_from_load = from_load
        if from_load:
            await self.session.send("Page.enable")
            added = await self.session.send("Page.addScriptToEvaluateOnNewDocument", {"source": script})
            self._added = str(added["identifier"])
        for world in list(self._worlds):
            asked = {"expression": script, "contextId": world, "objectGroup": GROUP}
            if handle := (await self.session.send("Runtime.evaluate", asked))["result"].get("objectId"):
                self._restored.append(str(handle))

    def _created(self, event: Mapping[str, Any]) -> None:
        if event["context"].get("auxData", {}).get("isDefault", True):  # a worker has no other world, and says nothing
            self._worlds.append(event["context"]["id"])

    def _parsed(self, event: Mapping[str, Any]) -> None:
        self._urls[str(event["scriptId"])] = str(event["url"])
        if event["startLine"] or event["startColumn"]:
            self._begins[str(event["scriptId"])] = int(event["startLine"]), int(event["startColumn"])

    async def _unhook(self) -> None:
        """Pause at requests no longer."""
        from playwright.async_api import Error

        with suppress(Error):
            await self.session.send("DOMDebugger.removeXHRBreakpoint", {"url": ""})
        if self._added:
            with suppress(Error):
                asked = {"identifier": self._added}
                await self.session.send("Page.removeScriptToEvaluateOnNewDocument", asked)
            self._added = ""
        for handle in self._restored:
            with suppress(Error):
                await call_on(self.session, handle, "function() { this.restore(); }")
        self._restored = []

    async def watch_functions(self) -> bool:
        from playwright.async_api import Error

        await self._unhook()
        await self.session.send("Debugger.setAsyncCallStackDepth", {"maxDepth": 0})
        names = {name for _, name in self._awaited if name}
        if names:
            with suppress(Error):
                await self._find(names)
        for location, name in list(self._running.items())[:MAX_FUNCTIONS]:
            script, line, column = location
            asked = {"location": {"scriptId": script, "lineNumber": line, "columnNumber": column}}
            with suppress(Error):
                answer = await self.session.send("Debugger.setBreakpoint", asked)
                self._breakpoints[answer["breakpointId"]] = name
                if (url := self._urls.get(script)) and self._is_from_load:
                    again = await self.session.send(
                        "Debugger.setBreakpointByUrl", {"url": url, **await self._inside(location)}
                    )
                    self._breakpoints[again["breakpointId"]] = name
        return bool(self._breakpoints)

    async def _inside(self, location: Location) -> dict[str, int]:
        """The first place within a function where one can pause: its beginning is its surroundings' as well."""
        script, line, column = location
        start = {"scriptId": script, "lineNumber": line, "columnNumber": column}
        asked = {"start": start, "restrictToFunction": True}
        found = (await self.session.send("Debugger.getPossibleBreakpoints", asked))["locations"]
        places = [(int(item["lineNumber"]), int(item.get("columnNumber", 0))) for item in found]
        line, column = next((place for place in places if place > (line, column)), (line, column))
        return {"lineNumber": line, "columnNumber": column}

    async def _find(self, names: Iterable[str]) -> None:
        """Find functions of some names in the page's memory, and where each begins."""
        for world in self._worlds:
            for handle in await functions_named(self.session, world, sorted(names)):
                location = await begin_of(self.session, handle)
                if location is None:
                    continue
                self._functions[location] = handle
                for (script, name), (line, column) in self._awaited.items():
                    if location[0] == script and location[1:] <= (line, column):
                        self._running.setdefault(location, name)

    def _paused(self, event: dict[str, Any]) -> None:
        task = asyncio.ensure_future(self._look(event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look(self, event: dict[str, Any]) -> None:
        """Note what the page was paused at, and let it go on."""
        from playwright.async_api import Error

        self._pauses += 1
        try:
            async with asyncio.timeout(LOOK_S):
                await self._noted(event)
        except (Error, KeyError, TypeError, IndexError, ValueError, TimeoutError):
            pass  # the page went on, or away
        finally:
            with suppress(Error):
                if self._pauses > MAX_PAUSES:
                    await self.session.send("Debugger.disable")
                else:
                    await self.session.send("Debugger.resume")

    async def _noted(self, event: Mapping[str, Any]) -> None:
        points = event.get("hitBreakpoints", ())
        name = next((self._breakpoints[point] for point in points if point in self._breakpoints), None)
        place = begin_in_stack(event["callFrames"][0]) if event["callFrames"] else None
        if name is None or place is None:
            self._note_stack(event)
            return
        self.hits[place] += 1
        if self.hits[place] <= MAX_HITS:
            await self._note_call(event["callFrames"][0], place, name)

    def _note_stack(self, event: Mapping[str, Any]) -> None:
        for frame in event["callFrames"][:MAX_FRAMES]:
            place = begin_in_stack(frame)
            if place is not None and frame["functionName"] != "cloudfilmPause":
                self._running.setdefault(place, str(frame["functionName"]))
        trace = event.get("asyncStackTrace")
        for _ in range(ASYNC_DEPTH):
            if not isinstance(trace, Mapping):
                break
            for frame in trace["callFrames"][:MAX_FRAMES]:
                name = str(frame["functionName"]).rpartition(".")[2]
                where = int(frame["lineNumber"]), int(frame["columnNumber"])
                self._awaited[str(frame["scriptId"]), name] = max(
                    where, self._awaited.get((str(frame["scriptId"]), name), (0, 0))
                )
            trace = trace.get("parent")

    async def _note_call(self, frame: Mapping[str, Any], location: Location, name: str) -> None:
        """Note what the function is called with that was just entered."""
        short = name.rpartition(".")[2]
        given = await self._parameters(location)
        named = short if _NAME.fullmatch(short) else ""
        own, held = f"typeof {named} === 'function' ? {named} : this.{named}", f"this.{named}"
        ways = " catch ".join((f"{{ return {own}; }}", f"{{ try {{ return {held}; }} catch {{ return undefined; }} }}"))
        function = f"(() => {{ try {ways} }})()" if named else "undefined"
        asked = {
            "callFrameId": frame["callFrameId"],
            "expression": f"({{self: this, given: {given}, made: {function}}})",
            "objectGroup": GROUP,
            "silent": True,
        }
        answer = await self.session.send("Debugger.evaluateOnCallFrame", asked)
        handle = answer["result"].get("objectId")
        if "exceptionDetails" in answer or handle is None:
            return
        text = (await call_on(self.session, handle, scripts()["plain"], by_value=True)).get("value")
        if isinstance(text, str) and len(text) <= MAX_TEXT:
            self.calls.append(PageCall(lettered(location), text, (self, str(handle), location, short)))

    async def _parameters(self, location: Location) -> str:
        """An expression for the arguments of the function that begins there, in its own scope."""
        script, line, column = location
        if script not in self._sources:
            answer = await self.session.send("Debugger.getScriptSource", {"scriptId": script})
            self._sources[script] = str(answer["scriptSource"]).split("\n")
        lines, (first, indent) = self._sources[script], self._begins.get(script, (0, 0))
        column, line = (column if line > first else column - indent), line - first
        text = "\n".join([lines[line][column:], *lines[line + 1 : line + 5]])[:2000]
        match = _PARAMETERS.match(text)
        if match is None or not match["arrow"]:
            return "[...arguments]"
        listed = match["single"] or match["list"]
        # a default value is the site's; what stands before it is the name
        return (
            f"[{','.join(re.sub(r'=.*', '', item) for item in listed.split(','))}]"
            if "{" not in listed
            else f"[{listed}]"
        )

    async def rest(self) -> None:
        from playwright.async_api import Error

        await self._unhook()
        with suppress(Error):
            await self.session.send("Debugger.disable")

    async def call(self, held: tuple[str, Location, str], arguments: str, up_to_s: float) -> bool:
        from playwright.async_api import Error

        handle, location, name = held
        try:
            function = await self._function(handle, location, name)
            if function is None:
                return False
            given: list[dict[str, Any]] = [{"objectId": function}, {"value": arguments}, {"value": int(up_to_s * 1000)}]
            answer = await call_on(self.session, handle, scripts()["call"], given, by_value=True, waits=True)
        except Error:
            return False
        return answer.get("value") is True

    async def _function(self, handle: str, location: Location, name: str) -> str | None:
        """The handle of the function that was called."""
        if location not in self._functions:
            made = await call_on(self.session, handle, "function() { return this.made; }")
            if made.get("type") == "function" and await begin_of(self.session, made["objectId"]) == location:
                self._functions[location] = made["objectId"]
            else:
                self._awaited[location[0], name] = location[1:]
                await self._find({name})
        return self._functions.get(location)

    async def close(self) -> None:
        from playwright.async_api import Error

        if self._is_closed:
            return
        self._is_closed = True
        await self.rest()
        with suppress(Error):
            await self.session.send("Runtime.releaseObjectGroup", {"objectGroup": GROUP})
        with suppress(Error):
            await self.session.detach()
        await asyncio.gather(*self._tasks, return_exceptions=True)
