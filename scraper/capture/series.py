"""Compare what a plan gives and what was received with every list and count; each series gets its evidence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from scraper.capture import completeness, stated
from scraper.capture.by_manifest import values_of_records
from scraper.capture.examination import Examination
from scraper.capture.infer import paging, siblings, templates
from scraper.capture.infer.list_index import UNNAMED, KnownImage, images
from scraper.capture.observe.received import Observations
from scraper.capture.plan import SERVICES, Plan, StrategyKind
from scraper.capture.request import wado_uri
from scraper.core.evidence import Evidence
from scraper.core.model import Captured, Instance, Problem, Series

_UID: Final = re.compile(r"(?<![\d.])[0-2](?:\.\d+){4,}(?![\d.])")

Lists = dict[str, completeness.ListedSeries]


def series_of(examination: Examination, plan: Plan | None, study: str = "") -> list[Series]:
    """Every series, with a problem where several copies of one image came.

    Args:
        examination: what came.
        plan: how the rest is had.
        study: which one; empty: the one that is shown.
    """
    observations = examination.observations
    found = _Assembly(examination, plan, study).series()
    named = [observations.copies.named(series, observations.objects) for series in found]
    model = plan.model if plan else None
    reduced = stated.reduced(observations.manifests, model, observations.objects)
    is_service = plan is not None and plan.by in (*SERVICES, StrategyKind.PRODUCT)  # by who knows what is counted
    lists, objects = observations.manifests, observations.objects
    counts = {} if is_service else stated.counted(lists, model, named, objects).series
    return [_counted(_without_reduced(series, reduced), counts, observations) for series in named]


def _without_reduced(series: Series, reduced: Collection[str]) -> Series:
    """The series, with a problem where a list states larger images than came."""
    uids = tuple(item.sop_instance_uid for item in series.instances if item.sop_instance_uid in reduced)
    return series.with_problem(Problem("reduced-only", uids)) if uids else series


def _counted(series: Series, counts: Mapping[str, int], observations: Observations) -> Series:
    """The series, held against the count that stands with its images in a list; counts of frames are left alone."""
    count = counts.get(series.name, 0)
    heads = (observations.objects.get(item.sop_instance_uid) for item in series.instances)
    has_loops = any(found is not None and (found.header.frames or 1) > 1 for found in heads)
    if has_loops or count <= max(series.expected or 0, len(series.instances)):
        return series
    return replace(series, expected=count, evidence=Evidence.MANIFEST)


@dataclass(frozen=True, slots=True)
class _Assembly:
    """Puts one study's series together."""

    examination: Examination
    plan: Plan | None
    study: str = ""

    @property
    def _by(self) -> StrategyKind:
        return self.plan.by if self.plan else StrategyKind.VIEWING

    @property
    def _planned(self) -> Sequence[Series]:
        return self.plan.series if self.plan else ()

    def series(self) -> list[Series]:
        """What was planned, with what was received already taken from there; else what was received."""
        observations = self.examination.observations
        planned = {item.study_instance_uid: len(item.instances) for item in self._planned}
        study = self.study or self.examination.study_of(planned or observations.studies())
        received = observations.series(study)
        if not received and not self._planned:
            return []  # counts on a page of which no image came are no study
        if self._by is StrategyKind.PRODUCT:
            return [
                replace(self._from_disk(series), evidence=series.evidence or Evidence.SERVICE)
                for series in self._planned
            ]
        lists, expected = self._expectations(study)
        if not self._planned:
            return self._watched(study, received, lists, expected)
        evidence = Evidence.SERVICE if self._by in SERVICES else Evidence.MANIFEST
        merged = [
            replace(
                self._from_disk(series),
                evidence=evidence,
                expected=_largest(series.expected, lists.get(series.series_instance_uid)),
            )
            for series in self._planned
        ]
        names = {instance.sop_instance_uid for item in merged for instance in item.instances}
        is_by_manifest = self._by in (StrategyKind.MANIFEST, StrategyKind.PAGE)
        rest = [] if is_by_manifest else [replace(item, evidence=evidence) for item in _unlisted(received, names)]
        if self._by is StrategyKind.WADO_URI:
            merged = [self._requested(series, lists) for series in merged]
        known = {item.series_instance_uid for item in (*merged, *rest)} | names | self._values_of_rule()
        absent = [item for item in completeness.missing(study, lists, known) if not self._is_in_flat_list(item)]
        if len(absent) <= sum(not item.series_instance_uid for item in merged):
            absent = []  # they are received under addresses that do not say whose they are
        found = [*merged, *rest, *absent]
        if self._by is StrategyKind.WADO_URI and self.examination.is_shown_through:
            found = completeness.short_of(found, sum(self.examination.shown.entries))
        if not is_by_manifest:
            return _numbered(
                found if self._by in SERVICES else completeness.short_of(found, self._stated_beyond(found))
            )
        named = known | _uids(lists)
        found += _most_absent(
            [_absent(study, item, found, named) for item in expected if item.is_sure or self._is_less(merged, item)]
        )
        model = self.plan.model if self.plan else None
        listed = templates.stated_total(model.rule.records.values()) if model else 0
        return [*completeness.short_of(found, max(listed, self._stated_beyond(found))), *self._on_other_pages(study)]

    def _on_other_pages(self, study: str) -> list[Series]:
        """What stands on pages of a list, or behind lines of one, that did not come, as one series of an unknown size."""
        manifests, unfinished = self.examination.observations.manifests, self.examination.session.traffic.unfinished
        is_cut = self.examination.lacks_list or any(manifest.url in unfinished for manifest in manifests)
        is_cut = is_cut or bool(paging.unfinished(manifests))
        if not is_cut and not paging.unlisted(manifests):
            return []
        lost = (Problem("missing-series"),)
        return [Series(study, "", key="other-pages", problems=lost, evidence=Evidence.MANIFEST)]

    def _stated_beyond(self, found: Sequence[Series]) -> int:
        """How many images the page or a list states of all, beyond what is known of; counts of frames are left alone."""
        shown, objects = self.examination.shown, self.examination.observations.objects
        if any((item.header.frames or 1) > 1 for item in objects.values()):
            return 0
        model = self.plan.model if self.plan else None
        observations = self.examination.observations
        listed = stated.counted(observations.manifests, model, found, objects).of_all
        return max(listed, completeness.stated_beyond(found, shown.entries, shown.of_all))

    def _expectations(self, study: str) -> tuple[Lists, list[siblings.ExpectedImages]]:
        """What lists say of the study, by UIDs and by other values; nothing beside the list of the site's own service."""
        if self._by in SERVICES:
            return {}, []
        observations = self.examination.observations
        lists, expected = completeness.lists(observations.manifests, observations, study), self._expected(study)
        for uid, count in siblings.counts_of(expected).items():
            if not uid.startswith(UNNAMED):
                listed = lists.setdefault(uid, completeness.ListedSeries(uid))
                listed.count = max(listed.count or 0, count)
        return lists, expected

    def _expected(self, study: str) -> list[siblings.ExpectedImages]:
        """What lists make expected of which a value stands in an image's request or answer."""
        exchanges, observations = self.examination.session.traffic.exchanges, self.examination.observations
        found = images(exchanges, observations, study)
        if self.plan is not None and self.plan.model is not None:
            rule, replies = self.plan.model.rule, self.plan.model.replies
            for place, addresses in rule.addresses.items():
                known = next(
                    (item for address in addresses if (item := observations.objects.get(replies.get(address, "")))),
                    None,
                )
                series = known.header.series_instance_uid if known else f"{UNNAMED}{place}"
                for address in addresses:
                    text = " ".join((address, *rule.records[address].fields.values()))
                    found.append(KnownImage(address, series, text, is_received=False))
        return siblings.expected(observations.manifests, exchanges, found, study)

    def _watched(
        self, study: str, received: Sequence[Series], lists: Lists, expected: Sequence[siblings.ExpectedImages]
    ) -> list[Series]:
        """What the viewer showed, held against what lists and the page itself say."""
        found = [self._judged(series, lists) for series in received]
        uids = {series.series_instance_uid for series in found}
        absent = completeness.missing(study, lists, uids)
        broken = completeness.broken(study, len(self.examination.observations.broken))
        found = found if absent else self._counted(study, found)
        every = [*found, *absent]
        known = uids | _uids(lists) | {instance.sop_instance_uid for item in found for instance in item.instances}
        lost = [
            _absent(study, item, every, known)
            for item in expected
            if not completeness.are_received([count for _, count in item.absent], item.entries, found)
        ]
        watched = [*every, *_most_absent(lost), *broken]
        return [*completeness.short_of(watched, self._stated_beyond(watched)), *self._on_other_pages(study)]

    def _is_in_flat_list(self, absent: Series) -> bool:
        """Whether a rule's one list of all series holds this one: an image of it came, and all of it has room in the list."""
        model = self.plan.model if self.plan else None
        if model is None or not model.rule.is_flat:
            return False
        came = [item.header.series_instance_uid for item in self.examination.observations.objects.values()]
        others = sum(uid != absent.series_instance_uid for uid in came)
        return absent.series_instance_uid in came and (absent.expected or 0) <= model.rule.count - others

    def _is_less(self, merged: Sequence[Series], listed: siblings.ExpectedImages) -> bool:
        """Whether a rule gives fewer series, or images, than another list makes expected."""
        if self.plan is not None and self.plan.model is not None and self.plan.model.rule.is_flat:
            counts = [*listed.counts.values(), *(count or 0 for _, count in listed.absent)]
            return sum(len(series.instances) for series in merged) < sum(counts)
        return len(merged) < listed.entries

    def _judged(self, series: Series, lists: Mapping[str, completeness.ListedSeries]) -> Series:
        uid, observations, shown = series.series_instance_uid, self.examination.observations, self.examination.shown
        is_packed = all(item.sop_instance_uid in observations.from_package for item in series.instances)
        return completeness.judged(
            series, lists.get(uid), self._total_of(series), is_packed=is_packed, is_scrolled=uid in shown.scrolled
        )

    def _total_of(self, series: Series) -> int | None:
        """The viewer's own count of a series; where it counts the frames of multi-frame objects, of these objects."""
        total, there = self.examination.shown.totals.get(series.series_instance_uid), len(series.instances)
        return there if total is not None and total == self._frames(series) else total

    def _frames(self, *found: Series) -> int:
        """How many frames the objects have that came of some series."""
        objects = self.examination.observations.objects
        uids = (item.sop_instance_uid for series in found for item in series.instances)
        return sum(objects[uid].header.frames or 1 for uid in uids if uid in objects)

    def _requested(self, series: Series, lists: Mapping[str, completeness.ListedSeries]) -> Series:
        """A series of WADO-URI addresses: those that the viewer asked for itself, one after another, are no list."""
        named = wado_uri.named_objects(self.examination.exchanges, self.examination.lists)
        named |= self.plan.listed if self.plan else frozenset()
        if {instance.sop_instance_uid for instance in series.instances} <= named:
            return series
        headers = {uid: item.header for uid, item in self.examination.observations.objects.items()}
        numbered = tuple(
            replace(item, number=headers[item.sop_instance_uid].instance_number)
            if item.sop_instance_uid in headers
            else item
            for item in series.instances
        )
        return self._judged(replace(series, instances=numbered), lists)

    def _counted(self, study: str, found: list[Series]) -> list[Series]:
        """Held against the counts that the viewer shows, else against those of a list of which one is a series' that came."""
        sizes, shown = {len(series.instances) for series in found}, self.examination.shown
        frames, images = self._frames(*found), sum(len(series.instances) for series in found)
        if frames > images and sum(shown.entries) == frames >= shown.stated:
            return found  # the page counts frames, and all of them came
        tallies, entries = self.examination.tallies(), Counter(shown.entries)
        shorter = [tally for tally in tallies if entries < Counter(tally)]  # a series' count was taken for the total
        for counts in (*shorter, shown.entries, *(tally for tally in tallies if sizes.intersection(tally))):
            counted = completeness.with_entries(study, found, counts)
            if counted != found:
                return counted
        return completeness.unmet(found, shown.entries, shown.stated, shown.rows, tallies)

    def _values_of_rule(self) -> set[str]:
        """Every value that stands with an address that was inferred: the series whose images are asked for are among them."""
        return values_of_records(self.plan.model.rule) if self.plan and self.plan.model else set()

    def _from_disk(self, series: Series) -> Series:
        """The series; instances whose object was received whole are taken from the disk."""
        objects = self.examination.observations.objects

        def nearest(instance: Instance) -> Instance:
            received = objects.get(instance.sop_instance_uid)
            return instance if received is None else replace(instance, source=Captured(received.path))

        return replace(series, instances=tuple(map(nearest, series.instances)))


def _absent(
    study: str, listed: siblings.ExpectedImages, found: Sequence[Series], known: Collection[str]
) -> list[Series]:
    """The entries of a list of which nothing came, beyond those that are missing already."""
    missing = sum(not series.instances for series in found)
    # what is listed by its UID is read by ``completeness.lists``, which knows another study's
    absent = [
        (values, count)
        for values, count in listed.absent
        if not values.intersection(known) and not any(map(_UID.fullmatch, values))
    ]
    return [
        Series(
            study,
            "",
            key=f"sibling-{place}",
            expected=count,
            problems=(Problem("missing-series", _label(values)),),
            evidence=Evidence.MANIFEST,
        )
        for place, (values, count) in enumerate(absent, 1)
    ][missing:]


def _label(values: Collection[str]) -> tuple[str, ...]:
    """What a person may find an entry of a list by: its longest value that is no address."""
    named = [value for value in sorted(values) if "/" not in value]
    return (max(named, key=len),) if named else ()


def _most_absent(lists: Sequence[Sequence[Series]]) -> Sequence[Series]:
    """The most that any of several lists says is missing: the same is in several lists, and is not added up."""
    return max(lists, key=lambda absent: (len(absent), sum(item.expected or 0 for item in absent)), default=())


def _uids(lists: Lists) -> set[str]:
    """Every UID that lists name."""
    return {uid for item in lists.values() for uid in (item.uid, *item.instances)}


def _largest(expected: int | None, listed: completeness.ListedSeries | None) -> int | None:
    """The count of a list that counts more images of a series than it names."""
    if expected is None or listed is None or listed.count is None:
        return expected
    return max(expected, listed.count)


def _unlisted(received: Sequence[Series], names: set[str]) -> list[Series]:
    """What was received and is in no list."""
    rest = [
        replace(
            series, instances=tuple(instance for instance in series.instances if instance.sop_instance_uid not in names)
        )
        for series in received
    ]
    return [series for series in rest if series.instances]


def _numbered(series: Sequence[Series]) -> list[Series]:
    """Series without a UID get keys that tell them apart, the same on the next run."""
    return [
        item if item.series_instance_uid else replace(item, key=f"series-{place}")
        for place, item in enumerate(series, 1)
    ]
