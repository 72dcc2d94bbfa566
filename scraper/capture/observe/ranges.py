"""Assemble bodies that a viewer requested in ranges (RFC 9110, 14.4), once they cover everything."""

from __future__ import annotations

from dataclasses import dataclass, field

from scraper.session.browser.traffic import Exchange


@dataclass(slots=True)
class Ranges:
    """The parts of one body that came so far, each by its first byte."""

    total: int
    pieces: dict[int, Exchange] = field(default_factory=dict)  # first byte -> answer

    def whole(self) -> list[Exchange] | None:
        """The answers in order, once they cover everything."""
        at, chain = 0, []
        for start in sorted(self.pieces):
            exchange = self.pieces[start]
            if start + exchange.size <= at:
                continue
            if start != at:
                return None
            chain.append(exchange)
            at = start + exchange.size
        return chain if at == self.total else None
