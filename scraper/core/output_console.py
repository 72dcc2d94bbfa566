"""A console of rich's that writes no control character but its own, and no hyperlink."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.segment import Segment

from scraper.core.safe_text import visible_lines


class VisibleConsole(Console):
    """Every text that it writes is made visible; what moves the cursor or sets colours is rich's own."""

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        return super()._render_buffer(_harmless(segment) for segment in buffer)

    def on_broken_pipe(self) -> None:
        """Whoever read is gone: the work goes on, see ``output.Streams``."""
        self.quiet = True


def _harmless(segment: Segment) -> Segment:
    text, style, control = segment
    if control is not None:
        return segment
    if style is not None and style.link is not None:
        style = style.update_link(None)
    return Segment(visible_lines(text), style)
