"""Receivers of progress events of a download: the progress display, a batch, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Watcher(Protocol):
    """Receives progress events; implemented by the progress display."""

    def series(self, name: str, label: str, expected: int | None) -> None:
        """Forward that a series begins."""

    def arrived(self, series: str, *, reused: bool) -> None:
        """Count an instance on the disk."""

    def saved(self, series: str, path: Path) -> None:
        """Report where an instance is now; it is moved to its final name when the study is placed."""

    def received(self, size: int) -> None:
        """So many bytes came from the site."""

    def say(self, name: str, **values: object) -> None:
        """A short line for a person: the message ``say.<name>`` with its values, or the words themselves."""


class SilentWatcher:
    """A Watcher that ignores all events."""

    def series(self, name: str, label: str, expected: int | None) -> None:
        """Nothing to show."""

    def arrived(self, series: str, *, reused: bool) -> None:
        """Nothing to show."""

    def saved(self, series: str, path: Path) -> None:
        """Nothing to show."""

    def received(self, size: int) -> None:
        """Nothing to show."""

    def say(self, name: str, **values: object) -> None:
        """Ignored."""
