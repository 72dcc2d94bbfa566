"""Ctrl-C ends every command at once: one sentence, no traceback, exit code 130.

While the program still loads, and at a second press, the process ends immediately. In between, what is open is
closed first, within ``GRACE_S``. What an interrupted process left behind is removed by the next run
(``scraper.core.leftovers``).
This module is imported before anything else: it loads nothing that takes time.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from scraper.cli.interrupt_words import sentence

if TYPE_CHECKING:
    import asyncio
    from threading import Timer

T = TypeVar("T")
INTERRUPTED: Final = 130  # 128 + SIGINT, as a shell reports it
GRACE_S: Final = 1.0  # for a browser to close and files to be let go


class _Interrupts:
    """The state of the process when Ctrl-C is pressed."""

    def __init__(self) -> None:
        self.arguments: list[str] = []
        self.is_loading = False
        self.was_pressed = False
        self.is_guarded = False
        self.end_loop: Callable[[], None] | None = None  # ends what the event loop is at; None: no loop runs
        self.is_prompting = False
        self.terminal: Any = None  # its settings before anybody was asked with hidden input
        self.timer: Timer | None = None
        self.grace_s = GRACE_S
        self.at_first: Callable[[], object] | None = None  # what the first press does instead

    def pressed(self, *_: object) -> None:
        """Handle SIGINT, in the main thread."""
        if self.at_first is not None:
            at_first, self.at_first = self.at_first, None
            at_first()
            return
        if self.was_pressed or self.is_loading:
            self.leave()
        self.was_pressed = True
        self.say()
        if self.end_loop is not None and not self.is_prompting:
            self._leave_later()
            self.end_loop()
            return
        raise KeyboardInterrupt

    def say(self) -> None:
        """Write the sentence past every buffer: the interrupted code may be writing itself."""
        end = "\n" if os.name != "nt" else "\r\n"
        begin = end if _is_terminal(2) else ""
        encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        words = begin.encode() + sentence(self.arguments, encoding) + end.encode()
        with suppress(OSError):
            os.write(2, words)

    def leave(self) -> None:
        """End the process now."""
        if not self.was_pressed:
            self.was_pressed = True
            self.say()
        if self.terminal is not None:
            import termios

            with suppress(termios.error):
                termios.tcsetattr(0, termios.TCSADRAIN, self.terminal)
        if _is_terminal(2):
            with suppress(OSError):
                os.write(2, b"\x1b[?25h")  # a progress display hides the cursor
        os._exit(INTERRUPTED)

    def _leave_later(self) -> None:
        from threading import Timer

        self.timer = Timer(self.grace_s, self.leave)
        self.timer.daemon = True
        self.timer.start()


_state: Final = _Interrupts()


def guard(arguments: list[str]) -> None:
    """Handle Ctrl-C as the contract says from now on; called by the program's entry point."""
    if _state.is_guarded:
        return
    if os.name == "posix" and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        return  # started in the background by a shell
    _state.is_guarded = _state.is_loading = True
    signal.signal(signal.SIGINT, _state.pressed)
    _state.arguments = arguments
    if os.name == "posix" and _is_terminal(0):
        import termios

        with suppress(termios.error):
            _state.terminal = termios.tcgetattr(0)


def loaded() -> None:
    """Note that the program is loaded: from now on an interruption lets it close what it opened."""
    _state.is_loading = False
    sys.unraisablehook = _unraisable


def was_announced() -> bool:
    """Whether Ctrl-C was pressed and the sentence printed."""
    return _state.was_pressed


def run(work: Coroutine[Any, Any, T], *, grace_s: float = GRACE_S) -> T:
    """Run a coroutine to its end; the one place where the event loop runs.

    Args:
        work: what to run.
        grace_s: time for closing what is open after Ctrl-C.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed, and what was open is closed.
    """
    import asyncio

    if not _state.is_guarded:
        return asyncio.run(work)
    _state.grace_s = grace_s
    try:
        with asyncio.Runner() as runner:
            return runner.run(_watched(work))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    except BaseException:
        if _state.was_pressed:  # whatever else came of being ended
            raise KeyboardInterrupt from None
        raise
    finally:
        _state.end_loop = None
        if _state.timer is not None:
            _state.timer.cancel()


async def _watched(work: Coroutine[Any, Any, T]) -> T:
    import asyncio

    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101  # within a coroutine that a runner runs
    _state.end_loop = _ending(loop, task)
    return await work


def _ending(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> Callable[[], None]:
    def end() -> None:
        loop.set_exception_handler(lambda *_: None)  # what breaks while all is closed is of no interest
        loop.call_soon_threadsafe(task.cancel)

    return end


@contextmanager
def first_press(work: Callable[[], object]) -> Iterator[None]:
    """Let the first Ctrl-C in this block do ``work``, and interrupt nothing."""
    _state.at_first = work
    try:
        yield
    finally:
        _state.at_first = None


@contextmanager
def prompting() -> Iterator[None]:
    """Ask a person in this block while no loop runs: Ctrl-C ends the question itself."""
    _state.is_prompting = True
    try:
        yield
    finally:
        _state.is_prompting = False


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def _unraisable(unraisable: Any) -> None:
    """End the process where Python can't pass on an interruption (during a finalizer)."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        _state.leave()
    if not _state.was_pressed:
        sys.__unraisablehook__(unraisable)
