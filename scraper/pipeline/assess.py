"""What arrived, held against what was announced: series, problems, counts, and the layout on the disk."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from scraper import dicom, verify
from scraper.core.errors import CloudfilmError, MissingInstances
from scraper.core.evidence import Evidence
from scraper.core.messages import without_addresses
from scraper.core.model import (
    Counts,
    Header,
    Origin,
    Problem,
    Saved,
    Series,
    SeriesResult,
    Study,
    StudyResult,
)
from scraper.core.reasons import Cause, Reason
from scraper.download.collect import Collected
from scraper.store import earlier
from scraper.store.naming import series_folder_name
from scraper.verify import Checked

_SLICED = frozenset(("CT", "MR", "PT"))  # a series of these is a stack
NOT_PICTURES = frozenset(("SR", "KO", "PR", "DOC", "SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "REG", "AU", "ECG", "OT", ""))


@dataclass(frozen=True, slots=True)
class Judged:
    """A study's result, and its files by series folder in their final order."""

    result: StudyResult
    layout: Mapping[str, Sequence[Saved]] = field(default_factory=dict)
    found: Mapping[str, Sequence[Problem]] = field(default_factory=dict)  # by SOP Instance UID


def survey(series: Sequence[Series], listed: Study) -> StudyResult:
    """A study as its site describes it; nothing was fetched."""
    rows = tuple(
        SeriesResult(
            item.name,
            item.number,
            item.description,
            item.modality,
            item.expected if item.expected is not None else (len(item.instances) or None),
            0,
            item.instances[0].origin if item.instances else Origin.ORIGINAL,
        )
        for item in series
    )
    study = _described_by_site(series, listed)
    return StudyResult(study, None, rows, (), Counts(_sum(row.expected for row in rows)))


def study(
    collected: Collected,
    series: Sequence[Series],
    listed: Study,
    known: earlier.Known = earlier.Known(),  # noqa: B008  frozen
) -> Judged:
    """Judge one study.

    Args:
        collected: what came, and what earlier runs brought.
        series: what the site announced; empty: it announced nothing, as with a zip.
        listed: what it says of the study.
        known: what earlier runs knew of it.
    """
    checked = [item for _, item in collected.saved]
    series = [item for entry in series for item in _one_of_each(_only_seen(entry, collected), collected)]
    there = Counter(saved.header.series_instance_uid for saved, _ in collected.saved)
    merged = earlier.merge(known, series, _expected(collected, series), collected.uid_of_series, there)
    losses = _losses(collected, merged.series)
    if merged.stated is not None:
        losses.append(Problem("expect-unmet", values={"expected": merged.stated, "received": len(checked)}))
    across = _excused(verify.study(checked, merged.expected, listed.uid), losses)
    problems = [*across, *of_instances(checked), *_merged(collected.problems), *losses]
    judged = _assembled(collected, merged.series, listed, problems, merged.expected)
    if merged.stated is None:
        return judged
    counts = replace(judged.result.counts, expected=merged.stated)
    return replace(judged, result=replace(judged.result, counts=counts))


def _one_of_each(series: Series, collected: Collected) -> list[Series]:
    """A list without series of which each entry gave an image of another one: it names series, and their images nobody counts.

    Radiographs are listed apart in this way; slices never are.
    """
    if series.evidence is not Evidence.MANIFEST or series.expected is not None or not series.key:
        return [series]
    heads = [
        saved.header
        for saved, _ in collected.saved
        if series.name
        in (
            collected.series_of.get(saved.header.sop_instance_uid),
            collected.series_of.get(saved.key.partition("/")[2]),
        )
    ]
    uids = {head.series_instance_uid for head in heads}
    if len(heads) < 2 or len(uids) < len(heads) or any(head.modality not in _SLICED for head in heads):
        return [series]
    own = collected.uid_of_series.get(series.name, series.name)
    seen = replace(series, evidence=Evidence.SIGHT)
    return [seen, *(Series("", uid, evidence=Evidence.SIGHT) for uid in sorted(uids - {own}))]


def _only_seen(series: Series, collected: Collected) -> Series:
    """A series that a recipe could not count, where the numbers of its images do not run from 1 without a gap."""
    if series.evidence is not None or all(problem.code != "count-unknown" for problem in series.problems):
        return series
    uid = collected.uid_of_series.get(series.name, series.name)
    heads = [saved.header for saved, _ in collected.saved if saved.header.series_instance_uid == uid]
    if len(heads) > 1 and {head.instance_number for head in heads} == set(range(1, len(heads) + 1)):
        return series
    rest = tuple(problem for problem in series.problems if problem.code != "count-unknown")
    return replace(series, problems=rest, evidence=Evidence.SIGHT)


def _assembled(
    collected: Collected,
    series: Sequence[Series],
    listed: Study,
    problems: Sequence[Problem],
    expected: Mapping[str, int | None],
) -> Judged:
    """The result and the layout of what was judged."""
    by_series: dict[str, list[Saved]] = {}
    for saved, _ in collected.saved:
        by_series.setdefault(saved.header.series_instance_uid, []).append(saved)
    announced = {collected.uid_of_series.get(item.name, item.name): item for item in series}
    rows: list[SeriesResult] = []
    layout: dict[str, Sequence[Saved]] = {}
    for uid in _in_order(by_series, announced):
        files = by_series.get(uid, [])
        ordered = [files[place] for place in dicom.order([file.header for file in files])]
        own = tuple(problem for problem in problems if problem.series_instance_uid == uid)
        row = _series_row(uid, ordered, announced.get(uid), expected.get(uid), own)
        if row.evidence is None:
            row = replace(row, evidence=_evidence(collected, series, files))
        rows.append(row)
        if ordered:
            layout[_free(series_folder_name(row.number, row.description), layout)] = ordered
    known = {row.uid for row in rows}
    rest = tuple(problem for problem in problems if problem.series_instance_uid not in known)
    reused = sum(saved.reused for saved, _ in collected.saved)
    meant = _sum(row.expected for row in rows)
    if collected.expected_total is not None:
        meant = max(collected.expected_total - len(collected.duplicates), meant or 0)
    counts = Counts(meant, len(collected.saved), reused, len(collected.failed))
    result = StudyResult(
        _described(collected, series, listed),
        None,
        tuple(rows),
        rest,
        counts,
        sum(saved.size for saved, _ in collected.saved),
        _common_error(collected),
    )
    return Judged(result, layout, _by_instance(problems))


def _evidence(collected: Collected, series: Sequence[Series], files: Sequence[Saved]) -> Evidence | None:
    """What files were judged by whose series no list names: that of the list that named the files."""
    if collected.expected_total is not None:
        return Evidence.PACKAGE
    names = {
        collected.series_of.get(name)
        for saved in files[:1]
        for name in (saved.header.sop_instance_uid, saved.key.partition("/")[2])
    }
    return next((item.evidence for item in series if item.name in names), None)


def _expected(collected: Collected, series: Sequence[Series]) -> dict[str, int | None]:
    """Series Instance UID → how many instances the site itself means to give; what it leaves out is not missing."""
    expected: dict[str, int | None] = {}
    if collected.expected_total == len(collected.saved) + len(collected.duplicates):  # a zip that is whole
        return dict(Counter(saved.header.series_instance_uid for saved, _ in collected.saved))
    not_meant = (*collected.left_out, *collected.duplicates)
    left_out = Counter(collected.series_of.get(name, "") for name in not_meant)
    for item in series:
        uid = collected.uid_of_series.get(item.name, item.name)
        count = item.expected if item.expected is not None else None
        if count is not None:
            count -= left_out[item.name]
        if item.key and count is not None:
            # a list that does not say whose its instances are may hold several series
            for other, came in _elsewhere(collected, item.name, uid).items():
                expected[other] = (expected.get(other) or 0) + came
                count -= came
        before = expected.get(uid, 0)
        expected[uid] = None if count is None or before is None else before + count
    return expected


def _elsewhere(collected: Collected, name: str, uid: str) -> Counter[str]:
    """Series Instance UID → how many instances that the site lists under ``name`` bear it, and not ``uid``."""
    found: Counter[str] = Counter()
    for saved, _ in collected.saved:
        own = collected.series_of.get(saved.header.sop_instance_uid)
        listed = own if own is not None else collected.series_of.get(saved.key.partition("/")[2])
        if listed == name and saved.header.series_instance_uid != uid:
            found[saved.header.series_instance_uid] += 1
    return found


def _losses(collected: Collected, series: Sequence[Series]) -> list[Problem]:
    """Problems of the fetch: what could not be had, what the site leaves out, what differs from the disk's."""
    found: list[Problem] = []
    reasons: dict[tuple[str, str, Cause], list[str]] = {}
    for name, err in collected.failed.items():
        uid = collected.uid_of_series.get(collected.series_of.get(name, ""), collected.series_of.get(name, ""))
        why = without_addresses(err.cause)
        reasons.setdefault((uid, err.code, why), []).append(name)
    for (uid, _code, why), names in reasons.items():
        found.append(Problem("fetch-failed", tuple(names), {"why": why}, uid))
    for name_of_series, names in _grouped(collected.left_out, collected.series_of).items():
        uid = collected.uid_of_series.get(name_of_series, name_of_series)
        found.append(Problem("left-out", tuple(names), {"what": Reason.NO_PIXELS_OR_NO_DICOM}, uid, fatal=False))
    for item in series:
        uid = collected.uid_of_series.get(item.name, item.name)
        found.extend(replace(problem, series_instance_uid=uid) for problem in item.problems)
        if item.evidence is not None:
            there = sum(saved.header.series_instance_uid == uid for saved, _ in collected.saved)
            found.append(judged_by(item.evidence, uid, there))
    if collected.duplicates:
        found.append(Problem("listed-twice", tuple(collected.duplicates), fatal=False))
    if collected.conflicts:
        found.append(Problem("conflicting-bytes", tuple(collected.conflicts)))
    if collected.wrong_study:
        found.append(Problem("other-study", tuple(collected.wrong_study)))
    if any(item.expected is None and item.evidence is None for item in series):
        found.append(Problem("count-unknown", fatal=False))
    return found


def judged_by(evidence: Evidence, series_instance_uid: str, received: int) -> Problem:
    """What a series was judged by, as the report has it: one that was only seen is never complete."""
    is_only_seen = evidence is Evidence.SIGHT
    return Problem(evidence.code, (), {"received": received}, series_instance_uid, fatal=is_only_seen)


def _merged(problems: Sequence[Problem]) -> list[Problem]:
    """Problems that say the same of one instance each, listed once."""
    grouped: dict[tuple[str, str, str, bool], list[Problem]] = {}
    for problem in problems:
        grouped.setdefault((problem.code, repr(problem.values), problem.series_instance_uid, problem.fatal), []).append(
            problem
        )
    return [
        replace(group[0], instances=tuple(name for problem in group for name in problem.instances))
        for group in grouped.values()
    ]


def _excused(across: Sequence[Problem], losses: Sequence[Problem]) -> list[Problem]:
    """What is wrong across files, without what the losses say already.

    Gaps in a stack are worth saying and no more where the site itself leaves out as many objects of that series; of a
    series that is missing it is not said besides that its instances are.
    """
    gone = {problem.series_instance_uid for problem in losses if problem.code == "missing-series"}
    across = [
        problem for problem in across if problem.code != "missing-instances" or problem.series_instance_uid not in gone
    ]
    left_out: Counter[str] = Counter()
    for problem in losses:
        if problem.code == "left-out" and problem.series_instance_uid:
            left_out[problem.series_instance_uid] += len(problem.instances)
    return [
        replace(problem, fatal=False)
        if problem.code == "missing-slices"
        and int(str(problem.values.get("slices", 0))) <= left_out[problem.series_instance_uid]
        else problem
        for problem in across
    ]


def _grouped(names: Sequence[str], series_of: Mapping[str, str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name in names:
        grouped.setdefault(series_of.get(name, ""), []).append(name)
    return grouped


def _series_row(
    uid: str, files: Sequence[Saved], listed: Series | None, expected: int | None, problems: tuple[Problem, ...]
) -> SeriesResult:
    head = files[0].header if files else None
    number = head.series_number if head and head.series_number is not None else listed.number if listed else None
    description = (head.series_description if head else "") or (listed.description if listed else "")
    modality = (head.modality if head else "") or (listed.modality if listed else "")
    origin = Origin.ORIGINAL
    if any(saved.origin is Origin.REBUILT for saved in files):
        origin = Origin.REBUILT
    elif not files and listed and listed.instances:
        origin = listed.instances[0].origin
    images = [saved.header for saved in files if saved.header.rows]
    frames = sum(head.frames or 1 for head in images)
    evidence = listed.evidence if listed else None
    return SeriesResult(
        uid,
        number,
        description,
        modality,
        expected,
        len(files),
        origin,
        problems,
        evidence,
        len(images),
        frames,
    )


def _in_order(by_series: Mapping[str, Sequence[Saved]], announced: Mapping[str, Series]) -> list[str]:
    """Series by number, then by UID; those that were announced and did not come stand among them."""

    def rank(uid: str) -> tuple[float, str]:
        files, listed = by_series.get(uid), announced.get(uid)
        number = files[0].header.series_number if files else listed.number if listed else None
        return (float("inf") if number is None else number, uid)

    return sorted({*by_series, *announced}, key=rank)


def _free(name: str, taken: Mapping[str, object]) -> str:
    """A folder name that no other series has; file systems that ignore case count."""
    lowered = {text.casefold() for text in taken}
    candidate, number = name, 1
    while candidate.casefold() in lowered:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def _described(collected: Collected, series: Sequence[Series], listed: Study) -> Study:
    """The study in the files' own words, the site's where the files are silent."""
    headers = [saved.header for saved, _ in collected.saved]
    site = _described_by_site(series, listed)
    if not headers:
        return site
    return Study(
        uid=headers[0].study_instance_uid or site.uid,
        date=_first(headers, "study_date") or site.date,
        modality=_modality(headers) or site.modality,
        description=_first(headers, "study_description") or site.description,
        patient_name=shown_name(_first(headers, "patient_name")) or site.patient_name,
        key=site.key,
    )


def _first(headers: Sequence[Header], name: str) -> str:
    values = Counter(str(getattr(header, name)) for header in headers if getattr(header, name))
    return values.most_common(1)[0][0] if values else ""


def _modality(headers: Sequence[Header]) -> str:
    pictures = Counter(header.modality for header in headers if header.modality not in NOT_PICTURES)
    rest = Counter(header.modality for header in headers if header.modality)
    common = (pictures or rest).most_common(1)
    return common[0][0] if common else ""


def _described_by_site(series: Sequence[Series], listed: Study) -> Study:
    """What the site says of the study, its series' words where the study's own are missing."""
    uid = listed.uid or next((item.study_instance_uid for item in series if item.study_instance_uid), "")
    pictures = Counter(item.modality for item in series if item.modality not in NOT_PICTURES)
    modality = listed.modality or (pictures.most_common(1)[0][0] if pictures else "")
    return Study(uid, listed.date, modality, listed.description, listed.patient_name, listed.key)


def shown_name(name: str) -> str:
    """A PN value for people: the ideographic group where there is one, Chinese names without a gap (PS3.5 6.2.1)."""
    groups = name.split("=")
    chosen = groups[1] if len(groups) > 1 and groups[1].strip("^ ") else groups[0]
    words = [word.strip() for word in chosen.split("^") if word.strip()]
    if words and all(re.fullmatch(r"[\u3400-\u9fff*·]+", word) for word in words):
        return "".join(words)
    return " ".join(words)


def _common_error(collected: Collected) -> CloudfilmError | None:
    if collected.saved or not collected.failed:
        return None
    kinds = {type(err) for err in collected.failed.values()}
    first = next(iter(collected.failed.values()))
    return first if len(kinds) == 1 and not isinstance(first, MissingInstances) else None


def _by_instance(problems: Sequence[Problem]) -> dict[str, list[Problem]]:
    found: dict[str, list[Problem]] = {}
    for problem in problems:
        for uid in problem.instances:
            found.setdefault(uid, []).append(problem)
    return found


def _sum(numbers: object) -> int | None:
    """The sum, None where a summand is not known or there is none."""
    listed = list(numbers)  # type: ignore[call-overload]  # any iterable of counts
    return None if not listed or any(number is None for number in listed) else sum(listed)


def of_instances(checked: Sequence[Checked]) -> list[Problem]:
    """The problems of single instances, those of one kind in one series listed once."""
    grouped: dict[tuple[str, str, bool, str], list[tuple[str, Problem]]] = {}
    for item in checked:
        uid = item.header.series_instance_uid if item.header else ""
        for problem in item.problems:
            what = str(problem.values.get("what", ""))
            for name in problem.instances or (item.name,):
                grouped.setdefault((uid, problem.code, problem.fatal, what), []).append((name, problem))
    return [
        Problem(code, tuple(name for name, _ in group), group[0][1].values, uid, fatal)
        for (uid, code, fatal, _), group in grouped.items()
    ]


def of_files(
    files: Sequence[Checked],
    announced: Sequence[Series],
    listed: Study,
    problems: Sequence[Problem],
    expected: Mapping[str, int | None],
) -> StudyResult:
    """The result for files of one study that lie on the disk already.

    Args:
        files: those that can be read.
        announced: the series that are known to belong to it, whether or not anything of them is there.
        listed: what is known of the study besides.
        problems: of the study, its series and its files.
        expected: Series Instance UID → how many instances there must be.
    """
    saved = tuple(
        (Saved(checked.path, checked.header, checked.sha256, checked.size, checked.origin), checked)
        for checked in files
        if checked.header is not None
    )
    return _assembled(Collected(saved), announced, listed, problems, expected).result


def totals(studies: Sequence[StudyResult]) -> tuple[Counts, int]:
    """Counts and bytes over all studies."""
    counts = Counts(
        _sum(study.counts.expected for study in studies),
        sum(study.counts.saved for study in studies),
        sum(study.counts.reused for study in studies),
        sum(study.counts.failed for study in studies),
    )
    return counts, sum(study.size for study in studies)
