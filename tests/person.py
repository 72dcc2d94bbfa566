"""A person at a screen: Xvfb as the screen, and hands that move its pointer and press its keys (X11, XTEST)."""

import contextlib
import ctypes
import ctypes.util
import os
import shutil
import subprocess
import time
from collections.abc import Iterator

SCREEN = "1920x1200x24"
START_S = 30
STEPS = 24


def can_sit_down() -> bool:
    """Whether this machine has a virtual screen and the libraries of X11."""
    return bool(shutil.which("Xvfb") and ctypes.util.find_library("X11") and ctypes.util.find_library("Xtst"))


@contextlib.contextmanager
def screen() -> Iterator[str]:
    """A virtual screen; its name, as ``DISPLAY`` has it."""
    reading, writing = os.pipe()
    words = ["Xvfb", "-displayfd", str(writing), "-screen", "0", SCREEN, "-nolisten", "tcp"]
    process = subprocess.Popen(words, pass_fds=[writing], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(writing)
    try:
        with os.fdopen(reading) as number:
            yield f":{number.readline().strip()}"
    finally:
        process.terminate()
        process.wait(START_S)


class Hands:
    """Move the pointer and press the keys of a screen."""

    def __init__(self, display: str) -> None:
        self._x11 = ctypes.CDLL(ctypes.util.find_library("X11"))
        self._test = ctypes.CDLL(ctypes.util.find_library("Xtst"))
        self._x11.XOpenDisplay.restype = ctypes.c_void_p
        self._x11.XStringToKeysym.restype = ctypes.c_ulong
        self._x11.XKeysymToKeycode.argtypes = [ctypes.c_void_p, ctypes.c_ulong]
        self._display = ctypes.c_void_p(self._x11.XOpenDisplay(display.encode()))
        if not self._display.value:
            raise OSError(f"no screen {display}")

    def close(self) -> None:
        """Leave the screen."""
        self._x11.XCloseDisplay(self._display)

    def move(self, x: float, y: float) -> None:
        """The pointer, to a place of the screen."""
        self._test.XTestFakeMotionEvent(self._display, -1, round(x), round(y), ctypes.c_ulong(0))
        self._x11.XFlush(self._display)

    def button(self, *, is_down: bool) -> None:
        """The left button of the mouse."""
        self._test.XTestFakeButtonEvent(self._display, 1, int(is_down), ctypes.c_ulong(0))
        self._x11.XFlush(self._display)

    def click(self, x: float, y: float) -> None:
        """A place of the screen."""
        self.move(x, y)
        self.button(is_down=True)
        self.button(is_down=False)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """From one place to another, as slowly as a hand does."""
        self.move(*start)
        self.button(is_down=True)
        for step in range(1, STEPS + 1):
            share = step / STEPS
            self.move(*(first + (last - first) * share for first, last in zip(start, end, strict=True)))
            time.sleep(0.02)
        self.button(is_down=False)

    def type(self, digits: str) -> None:
        """Digits, one key after another."""
        for digit in digits:
            code = self._x11.XKeysymToKeycode(self._display, self._x11.XStringToKeysym(digit.encode()))
            for is_down in (1, 0):
                self._test.XTestFakeKeyEvent(self._display, code, is_down, ctypes.c_ulong(0))
            self._x11.XFlush(self._display)
            time.sleep(0.02)
