"""A common memory budget of our child processes: several hostile files at once get no more than one does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

MOST_OF_ALL: Final = 1320 << 20  # bytes; four small files at once (``isolation.MEMORY_OF_SMALL`` each) fit


class MemoryBudget:
    """Bytes that tasks share; who would exceed them waits, and who needs more than all of them works alone.

    Args:
        most: bytes.
    """

    def __init__(self, most: int = MOST_OF_ALL) -> None:
        self._most = most
        self._taken = 0
        self._changed = threading.Condition()

    @contextmanager
    def share(self, size: int) -> Iterator[None]:
        """Hold so many bytes for the length of the block; waits until they are free."""
        asked = min(size, self._most)
        with self._changed:
            self._changed.wait_for(lambda: self._taken + asked <= self._most)
            self._taken += asked
        try:
            yield
        finally:
            with self._changed:
                self._taken -= asked
                self._changed.notify_all()


OF_ALL: Final = MemoryBudget()
