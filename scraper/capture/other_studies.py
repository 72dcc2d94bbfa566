"""Further studies in the lists that contain the shown one: retrieved if they are the same patient's, else reported.

A viewer may list two studies and show one. Of each study that its lists name besides, one image is asked for; where its header
bears the shown study's patient, the study is captured as well. Otherwise the result says that it was left out, and is incomplete.
A link or a viewer's address that names the shown study is for that one alone; lists of earlier studies are left alone, too.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urljoin

from scraper.capture import completeness
from scraper.capture.examination import Examination
from scraper.capture.infer import templates
from scraper.capture.infer.list_index import SHORTEST
from scraper.capture.infer.models import RequestModel
from scraper.capture.infer.tallies import EARLIER
from scraper.capture.infer.templates import Path
from scraper.capture.observe.received import SENT, text, with_instances
from scraper.capture.patients import MAX_ASKED, are_same_patient, left_out, why_not
from scraper.capture.plan import SERVICES, Plan, Replay, StrategyKind
from scraper.capture.request.http_replay import HttpReplayer
from scraper.capture.series import series_of
from scraper.core.errors import CloudfilmError
from scraper.core.evidence import Evidence
from scraper.core.model import Header, Instance, Series, Study, WadoUri
from scraper.core.reasons import Reason

_UID: Final = re.compile(r"(?<![\d.])[0-2](?:\.\d+){4,}(?![\d.])")


@dataclass(slots=True)
class ListedStudy:
    """One further study as a list has it.

    Attributes:
        values: of its entries and what stands around them; another list that bears one of the marks means the same study.
        arrays: requests for its images, those of one series together; empty where the list names no addresses.
        mark: the value by which the list tells it from the shown study.
        is_flat: its images stand in one list that may hold several series.
        header: of its first image, where that came already.
        is_inferred: its requests are a rule's, and mean nothing to anybody else.
    """

    mark: str
    values: set[str] = field(default_factory=set)
    arrays: dict[Path, list[str]] = field(default_factory=lambda: defaultdict(list))
    is_flat: bool = False
    header: Header | None = None
    is_inferred: bool = False


async def further(
    examination: Examination, plan: Plan | None, found: Sequence[Series], *, may_ask: bool = True
) -> list[Series]:
    """What was captured, with the further studies of its patient, and with a problem for those that were left out.

    Args:
        examination: what came.
        plan: how the shown study is had.
        found: the shown study's series.
        may_ask: False where there is no site, only a recording of it.
    """
    by = plan.by if plan else StrategyKind.VIEWING
    named = examination.named_uids()
    if (
        not found
        or by is StrategyKind.PRODUCT
        or by in SERVICES
        or any(series.study_instance_uid in named for series in found)
    ):
        return list(found)
    heads = _headers(examination)
    ours = await _shown(examination, plan, found, heads)
    if ours is None or ours.study_instance_uid in named:
        return list(found)
    captured = {series.study_instance_uid for series in found if series.instances} | {ours.study_instance_uid}
    search = _Search(examination, plan, ours, heads, captured, may_ask)
    more = await search.run()
    first, *rest = found
    return [replace(first, problems=(*first.problems, *left_out(search.left_out))), *rest, *more]


async def _shown(
    examination: Examination, plan: Plan | None, found: Sequence[Series], heads: Mapping[str, Header]
) -> Header | None:
    """The header of an image of the shown study; one is asked for, where none came yet. None where there is none."""
    study = next((series.study_instance_uid for series in found if series.study_instance_uid), "")
    if not study and not plan:
        study = examination.study_of(examination.observations.studies())
    planned = [item for series in found for item in series.instances]
    came = [heads[item.sop_instance_uid] for item in planned if item.sop_instance_uid in heads]
    known = next((head for head in (*came, *heads.values()) if study in ("", head.study_instance_uid)), None)
    first = next((item.source for item in planned if isinstance(item.source, WadoUri)), None)
    if known is None and plan is not None and plan.replay is not None and first is not None:
        with suppress(CloudfilmError):
            return await plan.replay.header_of(first.url)
    return known


def _headers(examination: Examination) -> dict[str, Header]:
    """SOP Instance UID → header of all that came, also of tags that came apart from their pixels."""
    observations = examination.observations
    apart = {
        uid: Header(
            uid,
            text(tags, "00080016"),
            text(tags, "0020000E"),
            text(tags, "0020000D"),
            "",
            patient_id=text(tags, "00100020"),
            patient_name=text(tags, "00100010"),
        )
        for uid, tags, _ in observations.whole_frames()
    }
    return apart | {uid: item.header for uid, item in observations.objects.items()}


@dataclass(slots=True)
class _Search:
    """Goes through the further studies, those that came first.

    Attributes:
        done: Study Instance UIDs that are captured.
        left_out: why studies were left out, and how many for each reason.
    """

    examination: Examination
    plan: Plan | None
    ours: Header
    heads: Mapping[str, Header]
    done: set[str]
    may_ask: bool
    left_out: Counter[Reason] = field(default_factory=Counter)
    _refused: set[str] = field(default_factory=set)
    _requests: set[str] = field(default_factory=set)  # of images that are taken
    _replay: Replay | None = None
    _asked: int = 0

    async def run(self) -> list[Series]:
        """The series of the further studies, and what lists of the shown one wrongly set apart."""
        found: list[Series] = []
        for number, listed in enumerate(_of_lists(self.examination, self.plan, self.ours, self.heads), 1):
            came = (head for head in self.heads.values() if self._is_of(listed, head))
            head = listed.header or next(came, None) or await self._ask(listed)
            if head is not None and self._may_take(head) and (replay := await self._replayer(listed)) is not None:
                found += self._series(listed, head, replay, number)
        for uid in self.examination.observations.studies():
            head = next((item for item in self.heads.values() if item.study_instance_uid == uid), None)
            if head is not None and uid not in self.done and self._may_take(head):
                found += series_of(self.examination, None, uid)
        return found

    def _may_take(self, head: Header) -> bool:
        """Whether a study is the shown one's patient's; one that is not is left out, and named once."""
        if head.study_instance_uid in self._refused:
            return False
        if head.study_instance_uid in self.done or are_same_patient(self.ours, head):
            return True
        self._refused.add(head.study_instance_uid)
        self.left_out[why_not(head)] += 1
        return False

    def _is_of(self, listed: ListedStudy, head: Header) -> bool:
        """Whether an object that came is of a further study, by the list."""
        if head.study_instance_uid == self.ours.study_instance_uid:
            return False
        uids = {head.sop_instance_uid, head.series_instance_uid, head.study_instance_uid}
        return not uids.isdisjoint(listed.values)

    async def _ask(self, listed: ListedStudy) -> Header | None:
        """The header of one image of a study; None where it can't be had, which is named."""
        replay = await self._replayer(listed)
        if replay is None:
            self.left_out[Reason.PATIENT_UNKNOWN] += 1
        elif self._asked >= MAX_ASKED:
            self.left_out[Reason.TOO_MANY_STUDIES] += 1
        else:
            self._asked += 1
            with suppress(CloudfilmError):
                return await replay.header_of(next(iter(listed.arrays.values()))[0])
            self.left_out[Reason.PATIENT_UNKNOWN] += 1
        return None

    async def _replayer(self, listed: ListedStudy) -> Replay | None:
        """Asks for images as the plan does, else as the viewer asked for one of the shown study; None: not known."""
        if self.plan is not None and self.plan.replay is not None:
            return self.plan.replay if listed.arrays else None
        if listed.is_inferred or not listed.arrays:
            return None
        if self._replay is None and self.may_ask:
            self._replay = await _replayer_of(self.examination, self.ours.study_instance_uid)
        return self._replay

    def _series(self, listed: ListedStudy, head: Header, replay: Replay, number: int) -> Iterator[Series]:
        """The series of one further study, as its list has them; images that another list gave already are not taken again."""
        self.done.add(head.study_instance_uid)
        study = Study(head.study_instance_uid, head.study_date, head.modality, head.study_description)
        for place, requests in enumerate(listed.arrays.values(), 1):
            instances = [
                Instance("", replay.source(asked), key=f"study-{number}/{place}/{at}", number=at)
                for at, asked in enumerate(requests, 1)
                if asked not in self._requests
            ]
            self._requests.update(requests)
            about = Series(head.study_instance_uid, key=f"study-{number}-list-{place}", study=study)
            count = None if listed.is_flat else len(instances)
            if instances:
                yield replace(with_instances(about, instances, count), evidence=Evidence.MANIFEST)


async def _replayer_of(examination: Examination, study: str) -> Replay | None:
    origins, objects = examination.observations.origins, examination.observations.objects
    for exchange in examination.exchanges:
        uid = origins.get(exchange.url, "") if exchange.ok and exchange.method == "GET" else ""
        if uid in objects and objects[uid].header.study_instance_uid == study:
            replayer = HttpReplayer(examination.session, exchange, examination.observations.new_file)
            with suppress(CloudfilmError):
                await replayer.prepare()
                return replayer
            return None
    return None


# ---- what the lists name


def _of_lists(
    examination: Examination, plan: Plan | None, shown: Header, heads: Mapping[str, Header]
) -> list[ListedStudy]:
    """The further studies that lists name beside the shown one's images or series; those with addresses first."""
    study = shown.study_instance_uid
    found = list(_of_addresses(plan, study)) if plan else []
    if plan is not None and plan.model is not None:
        found += _of_model(plan.model, plan.headers, study, heads)
    planned = {item.sop_instance_uid for series in (plan.series if plan else ()) for item in series.instances}
    found += _of_records(examination, study, heads, planned)
    once: list[ListedStudy] = []
    for listed in sorted(found, key=lambda item: not item.arrays):
        if len(listed.mark) < SHORTEST or all(listed.mark not in other.values for other in once):
            once.append(listed)
    return once


def _of_addresses(plan: Plan, study: str) -> Iterator[ListedStudy]:
    """The studies that addresses name."""
    found: dict[str, ListedStudy] = {}
    for (other, series), addresses in plan.others.items():
        listed = found.setdefault(other, ListedStudy(other, {other}))
        listed.values.add(series)
        listed.arrays[(series,)] += addresses
    yield from (listed for other, listed in found.items() if other != study)


def _of_model(
    model: RequestModel, headers: Mapping[str, Header], study: str, heads: Mapping[str, Header]
) -> Iterator[ListedStudy]:
    """The studies of which the list has entries that an inferred rule gives requests for."""
    rule, found = model.rule, dict[str, ListedStudy]()
    known = {key: heads[uid] for key, uid in model.replies.items() if uid in heads} | dict(headers)
    ours = [rule.records[key] for key, head in known.items() if head.study_instance_uid == study]
    for place, keys in rule.addresses.items():
        came = next((known[key].study_instance_uid for key in keys if key in known), "")
        for key in keys:
            other = came if came != study else ""
            mark = completeness.of_another(rule.records[key], ours, study) or other
            if mark:
                listed = found.setdefault(mark, ListedStudy(mark, {mark}, is_flat=rule.is_flat, is_inferred=True))
                listed.values |= set(rule.records[key].fields.values()) | {other}
                listed.arrays[place].append(key)
    for listed in found.values():
        requests = (asked for array in listed.arrays.values() for asked in array)
        listed.header = next((known[asked] for asked in requests if asked in known), None)
    yield from found.values()


def _of_records(
    examination: Examination, study: str, heads: Mapping[str, Header], planned: Collection[str]
) -> Iterator[ListedStudy]:
    """The studies whose entries stand in one list with entries of the shown study's images or series."""
    observations = examination.observations
    uids = {uid for uid, head in heads.items() if head.study_instance_uid == study} | set(planned)
    series = {head.series_instance_uid for head in heads.values() if head.study_instance_uid == study}
    addresses = {asked.partition(SENT)[0] for asked, uid in observations.origins.items() if uid in uids}
    for url, group in templates.groups(observations.manifests, templates.records):
        if any(EARLIER.search(str(step)) for step in group[0].shape):
            continue

        def names_ours(value: str, url: str = url) -> bool:
            is_address = "/" in value and (urljoin(url, value) in addresses or not uids.isdisjoint(_UID.findall(value)))
            return value in uids or value in series or is_address

        ours = [record for record in group if any(names_ours(record.fields[name]) for name in record.own)]
        with_addresses = {
            name
            for record in ours
            for name in record.own
            if "/" in record.fields[name] and names_ours(record.fields[name])
        }
        found: dict[str, ListedStudy] = {}
        for record in group:
            if mark := ours and completeness.of_another(record, ours, study):
                listed = found.setdefault(mark, ListedStudy(mark, {mark}))
                listed.values |= {
                    value for name, value in record.fields.items() if name in record.own or len(value) > 5
                }
                address = next((record.fields[name] for name in sorted(with_addresses & record.own)), "")
                if address:
                    listed.arrays[record.array].append(urljoin(url, address))
        yield from found.values()
