"""Who is told how a download goes: the progress display, a batch, or nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Watcher(Protocol):
    """Is told how things go; the progress display is one."""

    def series(self, name: str, label: str, expected: int | None) -> None:
        """Forward that a series begins."""

    def arrived(self, series: str, *, reused: bool) -> None:
        """Count an instance on the disk."""

    def saved(self, series: str, path: Path) -> None:
        """Tell where an instance lies now; it is moved to its final name when the study is placed."""

    def received(self, size: int) -> None:
        """So many bytes came from the site."""

    def say(self, name: str, **values: object) -> None:
        """A short line for a person: the message ``say.<name>`` with its values, or the words themselves."""


class SilentWatcher:
    """A Watcher that tells nobody."""

    def series(self, name: str, label: str, expected: int | None) -> None:
        """Nothing to show."""

    def arrived(self, series: str, *, reused: bool) -> None:
        """Nothing to show."""

    def saved(self, series: str, path: Path) -> None:
        """Nothing to show."""

    def received(self, size: int) -> None:
        """Nothing to show."""

    def say(self, name: str, **values: object) -> None:
        """Nobody to say it to."""
