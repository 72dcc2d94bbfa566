"""What the viewer's WebSocket messages say of a study: its series, its images, and where their pixels lie.

facts: fixtures/sites/nyfy/README.md
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field

from providers.products.wanliyun import Json, number, study_uid, text
from scraper.contract import Session

MAGIC = b"wanliyun"
HEAD = 32  # bytes between the magic and the JSON, at most (six were seen)


@dataclass
class Messages:
    """The messages so far, by UID; ``series`` and ``images`` with the UID of what holds them."""

    studies: dict[str, Json] = field(default_factory=dict)
    series: dict[str, tuple[str, Json]] = field(default_factory=dict)
    images: dict[str, tuple[str, Json]] = field(default_factory=dict)
    cached: dict[str, tuple[str, int]] = field(default_factory=dict)  # address, bytes (0: not given)
    seen: int = 0  # exchanges

    def take(self, session: Session) -> None:
        """Read what is new."""
        fresh = session.traffic.exchanges[self.seen :]
        self.seen += len(fresh)
        for exchange in fresh:
            if exchange.kind == "websocket-in" and exchange.read(len(MAGIC)) == MAGIC:
                self._read(_json(exchange.read()))

    async def wait(self, session: Session, timeout_s: float) -> None:
        """Wait for the next message, and read it."""
        await session.traffic.after(len(session.traffic.exchanges), timeout_s=timeout_s)
        self.take(session)

    def _read(self, message: Json) -> None:
        data = message.get("data")
        if message.get("funcName") == "OnCached" and text(message, "iiuid"):
            self.cached[text(message, "iiuid")] = (text(message, "furl"), number(message, "fsz") or 0)
        elif message.get("funcName") == "OnThreeLevelChanged" and isinstance(data, dict):
            self._add(data)

    def _add(self, data: Json) -> None:
        study, series, image = (item if isinstance(item := data.get(key), dict) else {} for key in ("sdy", "srs", "ii"))
        uid = study_uid(study) or (self.series.get(text(series, "srsuid")) or (next(iter(self.studies), ""), {}))[0]
        self.studies[uid] = self.studies.get(uid, {}) | study
        if of_series := text(series, "srsuid"):
            self.series[of_series] = (uid, self.series.get(of_series, ("", {}))[1] | series)
            if name := text(image, "uid"):
                self.images[name] = (of_series, self.images.get(name, ("", {}))[1] | image)

    def of(self, series: str) -> list[str]:
        """The images of a series, in the order of their numbers."""
        return sorted(
            (uid for uid, (owner, _) in self.images.items() if owner == series),
            key=lambda uid: (number(self.images[uid][1], "num") or 0, uid),
        )

    @property
    def shown(self) -> str:
        """The series that the viewer shows: the one whose images come to the store."""
        counts = Counter(self.images[uid][0] for uid in self.cached if uid in self.images)
        return max(counts, key=lambda uid: counts[uid], default="")


def _json(body: bytes) -> Json:
    """The object from the first brace to the last; a byte of the head before it may look like a brace."""
    end = body.rfind(b"}") + 1
    start = body.find(b"{", len(MAGIC))
    while 0 <= start <= len(MAGIC) + HEAD:
        try:
            message = json.loads(body[start:end].decode("utf-8", "replace"))
        except ValueError:
            start = body.find(b"{", start + 1)
        else:
            return message if isinstance(message, dict) else {}
    return {}  # a message of another kind
