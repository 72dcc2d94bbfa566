"""Several objects under one SOP Instance UID: the larger matrix wins, then the lossless one, then the longer.

A preview may come first, under the UID of the full object. Such a pair is always named; and where a series has one, its other
images of the preview's size are taken for previews, too.
"""

from __future__ import annotations

import filecmp
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from scraper.capture.observe.recognise import DicomObject
from scraper.core.model import Problem, Series
from scraper.protocols.fidelity import fidelity

Rank = tuple[int, bool, int]  # pixels of the matrix, whether lossless, bytes


def rank(found: DicomObject) -> Rank:
    """What a copy is compared by."""
    return (*fidelity(found.header), found.path.stat().st_size)


class Copies:
    """Which of several copies is kept, and what the others were.

    Attributes:
        given: what was asked -> the rank of what came for it.
        lesser: SOP Instance UID -> the matrices (pixels) of the copies that were not kept.
    """

    def __init__(self) -> None:
        self.given: dict[str, Rank] = {}
        self.lesser: dict[str, set[int]] = defaultdict(set)

    def better(self, known: DicomObject, new: DicomObject) -> DicomObject:
        """The one that is kept; the other one's file goes."""
        ranks = rank(known), rank(new)
        better, lost = (new, known) if ranks[1] > ranks[0] else (known, new)
        is_same = ranks[0] == ranks[1] and filecmp.cmp(known.path, new.path, shallow=False)
        if not is_same:
            self.lesser[known.header.sop_instance_uid].add(min(ranks)[0])
        lost.path.unlink(missing_ok=True)
        return better

    def gives_less(self, replies: Mapping[str, str], objects: Mapping[str, DicomObject]) -> bool:
        """Whether requests give smaller images than the viewer got by others, of the same UIDs or of the same series.

        Args:
            replies: what was asked -> the SOP Instance UID that came for it.
            objects: what is kept, by SOP Instance UID.
        """
        by_rule: dict[str, int] = defaultdict(int)  # Series Instance UID -> pixels of the largest matrix
        by_others: dict[str, int] = defaultdict(int)
        for asked, uid in replies.items():
            if asked in self.given and uid in objects:
                if self.given[asked][:2] < rank(objects[uid])[:2]:
                    return True
                series = objects[uid].header.series_instance_uid
                by_rule[series] = max(by_rule[series], self.given[asked][0])
        uids = set(replies.values())
        for uid, found in objects.items():
            if uid not in uids:
                series = found.header.series_instance_uid
                by_others[series] = max(by_others[series], rank(found)[0])
        return any(by_others[series] > pixels for series, pixels in by_rule.items())

    def named(self, series: Series, objects: Mapping[str, DicomObject]) -> Series:
        """The series with what is to be said of its copies."""
        uids = [instance.sop_instance_uid for instance in series.instances]
        pairs = [uid for uid in uids if uid in self.lesser]
        if not pairs:
            return series
        previews = {pixels for uid in pairs for pixels in self.lesser[uid]}
        reduced = [
            uid for uid in uids if uid not in self.lesser and uid in objects and rank(objects[uid])[0] in previews
        ]
        largest = max((rank(objects[uid])[0] for uid in pairs if uid in objects), default=0)
        reduced = [uid for uid in reduced if rank(objects[uid])[0] < largest]
        problems: Sequence[Problem] = [Problem("lesser-copies", tuple(pairs), fatal=False)]
        if reduced:
            problems = [*problems, Problem("reduced-only", tuple(reduced))]
        return replace(series, problems=(*series.problems, *problems))
