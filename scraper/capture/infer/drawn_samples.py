"""Match samples that a page drew with images: by an id that was received with them, else by what the page had requested.

A page asks for an image, unpacks what came, and draws it. Where it asks for one at a time, samples that are drawn are those of
the only image that was asked for and not drawn yet. Where several are, nothing is taken: order alone is no proof.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from scraper.capture.observe import dicom_names, samples
from scraper.capture.observe.frames import TaggedFrame, TagIndex
from scraper.capture.observe.received import Observations
from scraper.session.browser.page_memory import SAMPLES
from scraper.session.browser.traffic import Exchange

MAX_WAITING: Final = 500


class DrawnSamples:
    """Pairs samples with the tags of their images.

    Args:
        observations: what came; frames that are paired are added to it.
        index: what is known of each image.
    """

    def __init__(self, observations: Observations, index: TagIndex) -> None:
        self._observations = observations
        self._index = index
        self._looked = 0
        self._waiting: list[Exchange] = []
        self._drawn: set[str] = set()  # images of which samples were paired

    def resolve(self, asked: Sequence[tuple[float, str]], ids: Mapping[str, str]) -> None:
        """Pair what can be paired by now.

        Args:
            asked: when something came that is one image's alone, and its SOP Instance UID.
            ids: what names one image alone → its SOP Instance UID.
        """
        self._waiting += self._observations.drawn[self._looked :]
        self._looked = len(self._observations.drawn)
        left = []
        for exchange in sorted(self._waiting, key=lambda item: item.when):
            if not self._is_paired(exchange, asked, ids):
                left.append(exchange)
        self._waiting = left[-MAX_WAITING:]

    def _is_paired(self, exchange: Exchange, asked: Sequence[tuple[float, str]], ids: Mapping[str, str]) -> bool:
        about = json.loads(exchange.headers[SAMPLES])
        named = {ids[word] for word in about["words"] if word in ids}
        open_ones = {uid for when, uid in asked if when <= exchange.when and uid not in self._drawn}
        uids = named if len(named) == 1 else open_ones
        fitting = [frame for uid in uids if (frame := self._frame(uid, about, exchange))]
        if len(fitting) != 1:
            return not uids and not about["words"]  # drawn once more: another window, the way back
        if len(uids) > 1:
            return False
        self._drawn.add(fitting[0].uid)
        self._observations.add_frame(fitting[0])
        return True

    def _frame(self, uid: str, about: Mapping[str, Any], exchange: Exchange) -> TaggedFrame | None:
        """The samples as a frame of an image; None where they are not of its size, or leave a doubt."""
        tags = dicom_names.dicom_json(self._index.listed.get(uid, {}))
        size = tuple(samples.number(tags, tag) for tag in ("00280011", "00280010"))
        if about["height"] > 1 and size != (about["width"], about["height"]):
            return None
        data = samples.stored(about["kind"], exchange.read(), tags)
        return None if data is None else self._index.fitting_bytes(uid, {}, data)
