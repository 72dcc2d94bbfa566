"""How long a page has shown no sign of life: nothing arrived, nothing pending, its text and picture unchanged."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from scraper.session.browser.window import Window

LOOK_S: Final = 1.0  # between two looks at what the page says
STATE: Final = """() => [document.readyState, document.body ? document.body.innerText.slice(0, 5000) : "",
  document.querySelectorAll("*").length, location.href]"""


class Stillness:
    """Measure the time since the last sign of life.

    Args:
        window: the page's.
    """

    def __init__(self, window: Window) -> None:
        self._window = window
        self._loop = asyncio.get_running_loop()
        self._since = self._looked = self._loop.time()
        self._state: Any = None

    async def lasts_s(self) -> float:
        """Seconds since the last sign of life; 0 while the page loads or waits for its site."""
        now = self._loop.time()
        if now - self._looked < LOOK_S and self._state is not None:
            return min(now - self._since, self._window.traffic.idle_s)
        self._looked = now
        state = await self._read()
        if state != self._state or self._window.is_waiting or not self._is_loaded(state):
            self._state, self._since = state, now
        return min(now - self._since, self._window.traffic.idle_s)

    async def _read(self) -> Any:
        states: list[Any] = []
        for frame in self._window.page.frames:
            with self._window.quietly():
                states.append(await frame.evaluate(STATE))
        return states

    @staticmethod
    def _is_loaded(state: Any) -> bool:
        return bool(state) and all(item[0] == "complete" for item in state)
