"""Compare what arrived with what was announced: series, problems, counts, and the layout on the disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from scraper import dicom, verify
from scraper.core.errors import CloudfilmError, MissingInstances
from scraper.core.evidence import Evidence
from scraper.core.messages import without_addresses
from scraper.core.model import Counts, Origin, Problem, Saved, Series, SeriesResult, Study, StudyResult
from scraper.core.reasons import Cause, Reason
from scraper.download.collect import Collected
from scraper.pipeline.description import describe, describe_by_site, series_row
from scraper.store import earlier
from scraper.store.naming import series_folder_name
from scraper.verify import Checked

_SLICED = frozenset(("CT", "MR", "PT"))  # a series of these is a stack


@dataclass(frozen=True, slots=True)
class AssessedStudy:
    """A study's result, and its files by series folder in their final order."""

    result: StudyResult
    layout: Mapping[str, Sequence[Saved]] = field(default_factory=dict)
    found: Mapping[str, Sequence[Problem]] = field(default_factory=dict)  # by SOP Instance UID


def survey(series: Sequence[Series], listed: Study) -> StudyResult:
    """The result of a listing: the study as its site describes it; nothing was fetched."""
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
    study = describe_by_site(series, listed)
    return StudyResult(study, None, rows, (), Counts(_sum(row.expected for row in rows)))


def study(
    collected: Collected,
    series: Sequence[Series],
    listed: Study,
    known: earlier.EarlierStudy = earlier.EarlierStudy(),  # noqa: B008  frozen
) -> AssessedStudy:
    """Assess one study: compare what arrived with what the site announced and what earlier runs knew.

    Args:
        collected: the instances of this run and of earlier ones.
        series: as the site announced them; empty if it announced none, as with a zip.
        listed: the study as the site describes it.
        known: what earlier runs knew of it.
    """
    checked = [item for _, item in collected.saved]
    series = [item for entry in series for item in _one_of_each(_only_seen(entry, collected), collected)]
    there = Counter(saved.header.series_instance_uid for saved, _ in collected.saved)
    merged = earlier.merge(known, series, _expected(collected, series), collected.uid_of_series, there)
    losses = _losses(collected, merged.series)
    if merged.stated is not None:
        losses.append(Problem("expect-unmet", values={"expected": merged.stated, "received": len(checked)}))
    across = _excused(verify.check_study(checked, merged.expected, listed.uid), losses)
    problems = [*across, *of_instances(checked), *_merged(collected.problems), *losses]
    judged = _assembled(collected, merged.series, listed, problems, merged.expected)
    if merged.stated is None:
        return judged
    counts = replace(judged.result.counts, expected=merged.stated)
    return replace(judged, result=replace(judged.result, counts=counts))


def _one_of_each(series: Series, collected: Collected) -> list[Series]:
    """Split a list whose entries are of different series: it lists series, and nothing counts their images.

    The list has no series, and each of its entries was an image of another one. Only for stacks of slices: radiographs
    are often one series each.
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
    """Judge a series that its provider could not count by sight, unless its images are numbered from 1 without a gap."""
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
) -> AssessedStudy:
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
        row = series_row(uid, ordered, announced.get(uid), expected.get(uid), own)
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
        describe(collected, series, listed),
        None,
        tuple(rows),
        rest,
        counts,
        sum(saved.size for saved, _ in collected.saved),
        _common_error(collected),
    )
    return AssessedStudy(result, layout, _by_instance(problems))


def _evidence(collected: Collected, series: Sequence[Series], files: Sequence[Saved]) -> Evidence | None:
    """The evidence for files whose series no list names: that of the list that named the files."""
    if collected.expected_total is not None:
        return Evidence.PACKAGE
    names = {
        collected.series_of.get(name)
        for saved in files[:1]
        for name in (saved.header.sop_instance_uid, saved.key.partition("/")[2])
    }
    return next((item.evidence for item in series if item.name in names), None)


def _expected(collected: Collected, series: Sequence[Series]) -> dict[str, int | None]:
    """Series Instance UID → how many instances the site offers; what it says that it withholds is not missing."""
    expected: dict[str, int | None] = {}
    if collected.expected_total == len(collected.saved) + len(collected.duplicates):  # a complete zip
        return dict(Counter(saved.header.series_instance_uid for saved, _ in collected.saved))
    not_meant = (*collected.left_out, *collected.duplicates)
    left_out = Counter(collected.series_of.get(name, "") for name in not_meant)
    for item in series:
        uid = collected.uid_of_series.get(item.name, item.name)
        count = item.expected
        if count is not None:
            if 0 < len(item.instances) < count == _frames(collected, uid):
                count = len(item.instances)  # its site counts frames
            count -= left_out[item.name]
        if item.key and count is not None:
            # a list that names no series may hold several
            for other, came in _elsewhere(collected, item.name, uid).items():
                expected[other] = (expected.get(other) or 0) + came
                count -= came
        before = expected.get(uid, 0)
        expected[uid] = None if count is None or before is None else before + count
    return expected


def _frames(collected: Collected, series_instance_uid: str) -> int:
    """How many frames the saved images of a series have together."""
    headers = (saved.header for saved, _ in collected.saved)
    return sum(header.frames or 1 for header in headers if header.series_instance_uid == series_instance_uid)


def _elsewhere(collected: Collected, name: str, uid: str) -> Counter[str]:
    """Series Instance UID → how many instances that the site lists under ``name`` have it instead of ``uid``."""
    found: Counter[str] = Counter()
    for saved, _ in collected.saved:
        own = collected.series_of.get(saved.header.sop_instance_uid)
        listed = own if own is not None else collected.series_of.get(saved.key.partition("/")[2])
        if listed == name and saved.header.series_instance_uid != uid:
            found[saved.header.series_instance_uid] += 1
    return found


def _losses(collected: Collected, series: Sequence[Series]) -> list[Problem]:
    """Problems of the download: what could not be fetched, what the site withholds, what differs from the disk's files."""
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
        own = (problem for problem in item.problems if not _counts_frames(problem, collected))
        found.extend(replace(problem, series_instance_uid=uid) for problem in own)
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


def _counts_frames(problem: Problem, collected: Collected) -> bool:
    """Whether images that are said to be lacking are the frames of those that came."""
    frames = sum(saved.header.frames or 1 for saved, _ in collected.saved)
    return problem.code == "count-unmet" and problem.values.get("stated") == frames


def judged_by(evidence: Evidence, series_instance_uid: str, received: int) -> Problem:
    """The problem that states a series' evidence in the report; a series that was only seen is never complete."""
    is_only_seen = evidence is Evidence.SIGHT
    return Problem(evidence.code, (), {"received": received}, series_instance_uid, fatal=is_only_seen)


def _merged(problems: Sequence[Problem]) -> list[Problem]:
    """Merge equal problems of single instances into one each."""
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
    """Problems across files, without those that the losses explain already.

    A series that is missing as a whole is not reported again for its missing instances. A gap between slices stays one
    where the site withholds as many objects: what lies on the disk is no whole series. Where a platform is known to list
    entries that stand for nothing, as many of them as the gap has slices make it a warning.
    """
    lost_series = {problem.series_instance_uid for problem in losses if problem.code == "missing-series"}
    empty: Counter[str] = Counter()
    for problem in losses:
        if problem.code == "left-out" and problem.values.get("what") == Reason.EMPTY_ENTRY:
            empty[problem.series_instance_uid] += len(problem.instances)
    return [
        replace(problem, fatal=False)
        if problem.code == "missing-slices"
        and int(str(problem.values.get("slices", 0))) <= empty[problem.series_instance_uid]
        else problem
        for problem in across
        if problem.code != "missing-instances" or problem.series_instance_uid not in lost_series
    ]


def _grouped(names: Sequence[str], series_of: Mapping[str, str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name in names:
        grouped.setdefault(series_of.get(name, ""), []).append(name)
    return grouped


def _in_order(by_series: Mapping[str, Sequence[Saved]], announced: Mapping[str, Series]) -> list[str]:
    """Series Instance UIDs by series number, then UID; announced series that did not arrive are included."""

    def rank(uid: str) -> tuple[float, str]:
        files, listed = by_series.get(uid), announced.get(uid)
        number = files[0].header.series_number if files else listed.number if listed else None
        return (float("inf") if number is None else number, uid)

    return sorted({*by_series, *announced}, key=rank)


def _free(name: str, taken: Mapping[str, object]) -> str:
    """A folder name that no other series has, on file systems that ignore case, too."""
    lowered = {text.casefold() for text in taken}
    candidate, number = name, 1
    while candidate.casefold() in lowered:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


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
    """The sum; None if any number is unknown, or there are no numbers."""
    listed = list(numbers)  # type: ignore[call-overload]  # any iterable of counts
    return None if not listed or any(number is None for number in listed) else sum(listed)


def of_instances(checked: Sequence[Checked]) -> list[Problem]:
    """Problems of single instances; those of one kind in one series are merged into one."""
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
    """The result for files of one study that are on the disk already.

    Args:
        files: the readable ones.
        announced: the series that are known to belong to it, whether or not anything of them is there.
        listed: what else is known of the study.
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
