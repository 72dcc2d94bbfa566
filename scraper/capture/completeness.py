"""Compare a captured study with the lists that its viewer received, so that nothing in a list goes missing silently.

The received objects show which field of a list holds a Series or SOP Instance UID: a column with one of their UIDs has the
others' too. Entries of another study are ignored. Instances that a list names without their series, and of whose array
nothing was received, count as one unnamed series.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from scraper.capture.infer.tallies import COUNT, EARLIER, STUDY_KEY, parse_count
from scraper.capture.infer.templates import Record, records
from scraper.capture.observe.received import Manifest, Observations, text
from scraper.core.evidence import Evidence
from scraper.core.model import Header, Problem, Series

_UID: Final = re.compile(r"[0-2](\.\d+){4,}")


@dataclass(slots=True)
class ListedSeries:
    """One series of the study as the lists have it; ``count`` is what they say, None where they say nothing.

    ``uid`` is empty where they name its instances only.
    """

    uid: str
    instances: set[str] = field(default_factory=set)
    count: int | None = None

    @property
    def expected(self) -> int | None:
        """How many instances there should be."""
        return max(len(self.instances), self.count or 0) or self.count


def lists(manifests: Sequence[Manifest], observations: Observations, study: str) -> dict[str, ListedSeries]:
    """Series Instance UID → the series, for every one of the study that some list names; "listed-1" where it is not said.

    Args:
        manifests: what the viewer received.
        observations: the objects that came, which tell what a list's fields mean.
        study: the link's.
    """
    heads = {uid: item.header for uid, item in observations.objects.items()} | {
        uid: _header(uid, tags, len(frames)) for uid, tags, frames in observations.whole_frames()
    }
    found: dict[str, ListedSeries] = {}
    for uid, tags in observations.tags.items():
        series = text(tags, "0020000E")
        if series and text(tags, "0020000D") == study:
            found.setdefault(series, ListedSeries(series)).instances.add(uid)
    groups: dict[tuple[str, tuple[str | int, ...]], list[Record]] = defaultdict(list)
    for number, manifest in enumerate(manifests):
        for series in _of_dicom_json(manifest.value, study):
            found.setdefault(series, ListedSeries(series))
        for record in records(manifest.value):
            if "Value" not in record.shape[-2:]:  # DICOM JSON, which was read above
                placed = replace(record, place=(number, *record.place))  # answers of one call are one list
                groups[manifest.url.partition("?")[0], record.shape].append(placed)
    unnamed = [item for group in groups.values() for item in _read(group, heads, study, found)]
    of_a_series = {uid for listed in found.values() for uid in (listed.uid, *listed.instances)}
    known = of_a_series | heads.keys() | {uid for head in heads.values() for uid in _around(head)} | {study}
    for rest in unnamed:
        if left := rest - known:
            found[f"listed-{len(found) + 1}"] = ListedSeries("", left)
            known |= left
    return found


def _around(head: Header) -> tuple[str, str, str]:
    """The UIDs of an object that are not its own."""
    return head.study_instance_uid, head.series_instance_uid, head.sop_class_uid


def _header(uid: str, tags: Mapping[str, Any], frames: int) -> Header:
    """What tags that came apart from their pixels say."""
    return Header(uid, text(tags, "00080016"), text(tags, "0020000E"), text(tags, "0020000D"), "", frames=frames)


def of_another(record: Record, ours: Sequence[Record], study: str) -> str:
    """The value by which the list says that an entry is of another study than those known to be ours; empty where it does not."""
    for name, value in record.fields.items():
        mine = {item.fields[name] for item in ours if name in item.fields}
        is_key = mine == {study} or (len(mine) == 1 and STUDY_KEY.search(name) is not None)
        if is_key and value not in mine:
            return value or name
    return ""


def without_others(found: Collection[Record], ours: Sequence[Record], study: str) -> list[Record]:
    """The entries that are not said to be another study's."""
    return [record for record in found if not of_another(record, ours, study)]


def judged(
    series: Series, listed: ListedSeries | None, total: int | None, *, is_packed: bool, is_scrolled: bool
) -> Series:
    """A series that was watched, with how many instances it should have, and what that was judged by.

    Args:
        series: what came of it.
        listed: what the lists say of it.
        total: the viewer's own count.
        is_packed: its instances came in the site's own package.
        is_scrolled: the viewer was scrolled through it to both ends, by means that were seen to work.
    """
    there = len(series.instances)
    if listed is not None and listed.expected is not None and listed.expected >= there:
        return replace(series, expected=listed.expected, evidence=Evidence.MANIFEST)
    if is_packed:
        return replace(series, expected=there, evidence=Evidence.PACKAGE)
    if total is not None and total >= there:
        return replace(series, expected=total, evidence=Evidence.VIEWER)
    numbers = {instance.number for instance in series.instances}
    is_whole = is_scrolled and there > 1 and numbers == set(range(1, there + 1))
    return replace(series, expected=None, evidence=Evidence.NUMBERS if is_whole else Evidence.SIGHT)


def with_entries(study: str, found: Sequence[Series], counts: Sequence[int]) -> list[Series]:
    """Series held against the counts in the viewer's own series list: equal sizes first, then the largest against the largest.

    Which count is whose is not said; that something is missing is. Counts that the series contradict are taken for
    something else, and left alone; so are series that are judged by better evidence.
    """
    left, counted, unsure = Counter(counts), dict[int, int](), []
    for place, item in enumerate(found):
        is_shown = item.evidence is Evidence.VIEWER
        if not (is_shown or (item.evidence is not None and item.evidence.is_weak)):
            return list(found)
        own = item.expected if is_shown and item.expected is not None else len(item.instances)
        if left[own] > 0:
            left[own] -= 1
            counted[place] = own
        elif is_shown:
            return list(found)
        else:
            unsure.append(place)
    unsure.sort(key=lambda place: len(found[place].instances), reverse=True)
    rest = sorted(left.elements(), reverse=True)
    counted |= dict(zip(unsure, rest, strict=False))
    if len(rest) < len(unsure) or any(len(found[place].instances) > counted[place] for place in unsure):
        return list(found)
    judged_by_list = [
        replace(series, expected=counted[place], evidence=Evidence.VIEWER) for place, series in enumerate(found)
    ]
    lost = (Problem("missing-series"),)
    absent = [
        Series(study, "", key=f"shown-{place}", expected=count, problems=lost, evidence=Evidence.VIEWER)
        for place, count in enumerate(rest[len(unsure) :], 1)
    ]
    return [*judged_by_list, *absent]


def unmet(
    found: Sequence[Series], counts: Sequence[int], stated: int, rows: int, tallies: Sequence[Sequence[int]] = ()
) -> list[Series]:
    """Series that the page's counts could not be matched with: what they state and did not come is named with the first.

    Args:
        found: what came.
        counts: of the entries of the page's series list.
        stated: the largest number of images that the page states.
        rows: entries of its list; where there are more than series came, nothing was seen to its end.
        tallies: counts of lists that came; what was only seen is held against them, too.
    """
    series = list(found)
    if rows > len(series):
        series = [
            replace(item, evidence=Evidence.SIGHT) if item.evidence is Evidence.NUMBERS else item for item in series
        ]
    most = max(sum(counts), stated)
    if any(item.evidence is Evidence.SIGHT for item in series):
        most = max(most, *(sum(tally) for tally in tallies), 0)
    is_judged_better = all(item.evidence is not None and item.evidence > Evidence.VIEWER for item in series)
    if not series or is_judged_better:
        return series
    if len(series) == 1 and most > max(series[0].expected or 0, len(series[0].instances)):
        return [replace(series[0], expected=most, evidence=Evidence.VIEWER)]
    return short_of(series, most)


def short_of(found: Sequence[Series], stated: int) -> list[Series]:
    """Series that have fewer images than are stated of all of them together: that is named with the first."""
    series = list(found)
    if not series or stated <= sum(max(item.expected or 0, len(item.instances)) for item in series):
        return series
    received = sum(len(item.instances) for item in series)
    problem = Problem("count-unmet", values={"stated": stated, "received": received})
    return [replace(series[0], problems=(*series[0].problems, problem)), *series[1:]]


def stated_beyond(found: Sequence[Series], entries: Sequence[int], of_all: Sequence[int]) -> int:
    """How many images the page states, where that is more than a list gives; 0 where it states the list's own number, or none.

    A page that lists several examinations states one number for each: then one of them is the list's.

    Args:
        found: what the list gives.
        entries: the counts of the entries of the page's series list; other than one for each series, they are of something else.
        of_all: what the page states of all images together.
    """
    there = [max(item.expected or 0, len(item.instances)) for item in found]
    own, stated = sum(there), 0
    if own not in of_all:
        stated = max(of_all, default=0)
    if own not in entries and len(entries) == len(there):
        stated = max(stated, sum(entries))
    return stated if stated > own else 0


def missing(study: str, listed: Mapping[str, ListedSeries], there: Collection[str]) -> list[Series]:
    """Series that were listed but not received. Series the site reports as empty are not counted.

    Args:
        study: the link's.
        listed: what the lists say.
        there: every UID that came or is asked for.
    """
    absent = []
    for name, series in listed.items():
        uids = series.instances if series.uid else series.instances.difference(there)
        if series.uid in there or series.expected == 0 or not (series.uid or uids):
            continue
        lost = Problem("missing-series", tuple(sorted(uids)))
        absent.append(
            Series(
                study,
                series.uid,
                expected=series.expected if series.uid else len(uids),
                key="" if series.uid else name,
                problems=(lost,),
                evidence=Evidence.MANIFEST,
            )
        )
    return absent


def are_received(sizes: Sequence[int | None], entries: int, received: Sequence[Series]) -> bool:
    """Whether entries of a list are the series that came, where the page's own list counts these and no others.

    They came under addresses that do not say whose they are: the list has no more entries than series came, each came whole by
    the page's count, and each entry that states a size has that of one of them.

    Args:
        sizes: of the entries of which nothing seems to have come; None where the list states none.
        entries: of the whole list.
        received: the series that came.
    """
    is_whole = all(item.evidence is Evidence.VIEWER and item.expected == len(item.instances) for item in received)
    stated = Counter(size for size in sizes if size is not None)
    return is_whole and entries <= len(received) and stated <= Counter(item.expected for item in received)


def broken(study: str, entries: int) -> list[Series]:
    """A placeholder series for the entries of a package that could not be unpacked: their series are unknown."""
    if not entries:
        return []
    problem = Problem("package-broken", values={"count": entries})
    return [Series(study, "", key="broken-package", problems=(problem,), evidence=Evidence.PACKAGE)]


def _of_dicom_json(value: Any, study: str) -> Iterator[str]:
    """Series of the study that an answer of QIDO-RS lists (PS3.18 10.6)."""
    for item in value if isinstance(value, list) else ():
        if isinstance(item, Mapping) and text(item, "0020000D") == study and text(item, "0020000E"):
            yield text(item, "0020000E")


def _read(
    group: Sequence[Record], heads: Mapping[str, Header], study: str, found: dict[str, ListedSeries]
) -> Iterator[set[str]]:
    """What the arrays of one shape say; nothing, where none of their fields names an object that came.

    Yields:
        The SOP Instance UIDs of an array whose series no list names.
    """
    series_of = {uid: head.series_instance_uid for uid, head in heads.items()}
    ours = {head.series_instance_uid for head in heads.values() if head.study_instance_uid == study}
    others = {*series_of.values()} - ours
    strangers = {uid for uid, head in heads.items() if head.study_instance_uid != study}
    names = {name for record in group for name in record.own}
    for name in sorted(names):
        column = [record for record in group if name in record.own and _UID.fullmatch(record.fields[name])]
        mine = [record for record in column if record.fields[name] in ours]
        if mine and not any(record.fields[name] in series_of for record in column):  # not UIDs of every kind
            remaining = [other for other in without_others(column, mine, study) if other.fields[name] not in others]
            for record in remaining:
                found.setdefault(record.fields[name], ListedSeries(record.fields[name]))
            _count(remaining, name, heads, found)
        mine = [record for record in column if series_of.get(record.fields[name]) in ours]
        if mine:
            known = strangers | ours | others | {study}
            remaining = [other for other in without_others(column, mine, study) if other.fields[name] not in known]
            unnamed = _instances(remaining, name, series_of, found)
            if not any(EARLIER.search(str(step)) for step in group[0].shape):
                yield from unnamed


def _count(column: Sequence[Record], name: str, heads: Mapping[str, Header], found: dict[str, ListedSeries]) -> None:
    """How many instances the list says a series has; a field that what came speaks against is no such count."""
    came: dict[str, int] = defaultdict(int)
    frames: dict[str, int] = defaultdict(int)
    for head in heads.values():
        came[head.series_instance_uid] += 1
        frames[head.series_instance_uid] += head.frames or 1
    for field_name in sorted({item for record in column for item in record.own if COUNT.search(item)}):
        counts = {
            record.fields[name]: count
            for record in column
            if (count := parse_count(record.fields.get(field_name, ""))) is not None
        }
        if any(count < came[uid] for uid, count in counts.items() if uid in came):
            continue
        if any(count == frames[uid] != came[uid] for uid, count in counts.items() if uid in came):
            continue  # it counts frames
        for uid, count in counts.items():
            found[uid].count = max(count, found[uid].count or 0)
        return


def _instances(
    column: Sequence[Record], name: str, series_of: Mapping[str, str], found: dict[str, ListedSeries]
) -> list[set[str]]:
    """Assign the instances of a list to the series of those in the same array, or with its UID.

    Returns:
        By array, those of which neither says so.
    """
    arrays: dict[tuple[str | int, ...], list[Record]] = defaultdict(list)
    for record in column:
        arrays[record.array].append(record)
    fields = {
        key
        for record in column
        for key, value in record.fields.items()
        if value and value == series_of.get(record.fields[name])
    }
    unnamed = []
    for array in arrays.values():
        rest = set()
        near = {series_of[item.fields[name]] for item in array if item.fields[name] in series_of}
        for record in array:
            named = next((record.fields[key] for key in sorted(fields) if key in record.fields), "")
            series = series_of.get(record.fields[name]) or named or (next(iter(near)) if len(near) == 1 else "")
            if series:
                found.setdefault(series, ListedSeries(series)).instances.add(record.fields[name])
            else:
                rest.add(record.fields[name])
        unnamed.append(rest)
    return unnamed
