"""Checks across the instances of one series and of one study.

Sources: PS3.3 A.1.2 and C.7.2-C.7.3 (patient, study, series), C.7.6.1.1 (Instance Number), C.7.6.2 (Image Plane),
C.7.4.1 (Frame of Reference), PS3.5 9 (one UID, one object).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from scraper.core.model import Header, Problem
from scraper.core.text import is_chinese
from scraper.verify import objects
from scraper.verify.blanks import lost_images
from scraper.verify.geometry import Plane, Stack, Vector, stacks
from scraper.verify.instance import Checked
from scraper.verify.own_counts import concatenations, short_series

_LOCALIZER: Final = frozenset({"LOCALIZER", "SCOUT", "TOPOGRAM", "SURVEY", "SURVIEW"})
_FEW: Final = 5  # slices of one orientation that still make a localizer
_FEW_LOST: Final = 20  # one image in so many: less than any volume of a series of several
_SHOWN: Final = 30


def _read(checked: Iterable[Checked]) -> list[tuple[Checked, Header]]:
    return [(item, item.header) for item in checked if item.header is not None]


def _unique(checked: Sequence[Checked]) -> list[tuple[Checked, Header]]:
    """One file of each SOP Instance UID."""
    seen: set[str] = set()
    found = []
    for item, header in _read(checked):
        if header.sop_instance_uid not in seen or not header.sop_instance_uid:
            seen.add(header.sop_instance_uid)
            found.append((item, header))
    return found


def _duplicates(checked: Sequence[Checked]) -> list[Problem]:
    """Find several files with one SOP Instance UID: equal bytes are a copy, different bytes a fault (PS3.5 9)."""
    digests: dict[str, list[str]] = defaultdict(list)
    for item, header in _read(checked):
        if header.sop_instance_uid:
            digests[header.sop_instance_uid].append(item.sha256)
    copies = [uid for uid, found in digests.items() if len(found) > 1 and len(set(found)) == 1]
    clashes = [uid for uid, found in digests.items() if len(set(found)) > 1]
    found = []
    if copies:
        found.append(Problem("duplicate-instances", tuple(copies), fatal=False))
    if clashes:
        found.append(Problem("conflicting-instances", tuple(clashes)))
    return found


def _number_gaps(unique: Sequence[tuple[Checked, Header]]) -> tuple[list[int], bool]:
    """Instance numbers absent between the lowest and the highest, and whether the numbers are meaningful."""
    numbers = [header.instance_number for _, header in unique]
    known = sorted({number for number in numbers if number is not None})
    if len(known) < len(numbers) or len(known) < 2:
        return [], False
    if known[-1] - known[0] + 1 > 2 * len(known):
        return [], False  # numbered by another rule: too sparse to speak of gaps
    return sorted(set(range(known[0], known[-1] + 1)) - set(known)), True


def _shorten(numbers: Sequence[object]) -> str:
    text = ", ".join(str(number) for number in numbers[:_SHOWN])
    return text + (", …" if len(numbers) > _SHOWN else "")


def _neighbours(stack: Stack, index: int) -> tuple[str, ...]:
    return (*stack.places[index], *stack.places[index + 1])


def _stack_problems(
    stack: Stack, absent: Sequence[int], acquisitions: int, *, tell: bool, is_counted: bool
) -> list[Problem]:
    """Find gaps, uneven steps, and places with too few or too many images.

    A long step is a missing slice where the instance numbers have a gap, too, or where neither they (``tell``) nor a count are
    known; with continuous numbers it is the scanner's own (two slabs in one series). A few images that are missing at their
    places are no aborted acquisition, unless a count says so, or one of several acquisitions is shorter.
    """
    found = []
    evident = bool(absent) or not (tell or is_counted)
    if stack.gaps:
        slices = sum(gap.slices for gap in stack.gaps)
        evident = evident and slices <= len(stack.places)  # a longer hole parts two stacks
        names = tuple(name for gap in stack.gaps for name in _neighbours(stack, gap.after))
        values = {"slices": slices, "step": f"{stack.step_mm:.3g}", "numbers": _shorten(absent)}
        found.append(Problem("missing-slices" if evident else "uneven-spacing", names, values, fatal=evident))
    if stack.uneven and len(stack.places) > 3:
        names = tuple(name for index in stack.uneven for name in _neighbours(stack, index))
        found.append(Problem("uneven-spacing", names, {"step": f"{stack.step_mm:.3g}"}, fatal=False))
    if stack.shifted:
        names = tuple(dict.fromkeys(stack.places[index + 1][0] for index in stack.shifted))
        found.append(Problem("shifted-slices", names, fatal=False))
    depth = stack.depth
    if depth > 1 and len(stack.places) > 1:
        found.append(Problem("several-stacks", (), {"places": len(stack.places), "stacks": depth}, fatal=False))
        if stack.thin:
            names = tuple(name for index in stack.thin for name in stack.places[index])
            lost = depth * len(stack.thin) - len(names)
            is_shorter = acquisitions > 1 and {0, len(stack.places) - 1} & set(stack.thin)
            is_few = lost <= max(1, stack.images // _FEW_LOST)
            is_fatal = evident or (is_few and not is_counted and not is_shorter)
            values = {"places": len(stack.thin), "stacks": depth}
            found.append(Problem("stack-incomplete", names, values, fatal=is_fatal))
    elif depth == 1 and len(stack.places) > 2:
        repeated = tuple(name for names in stack.places if len(names) > 1 for name in names)
        if repeated:
            found.append(Problem("repeated-positions", repeated, fatal=False))
    return found


def _is_localizer(found: Sequence[Stack], unique: Sequence[tuple[Checked, Header]]) -> bool:
    kinds = {part.upper() for checked, _ in unique for part in checked.facts.image_type}
    return bool(kinds & _LOCALIZER) or all(stack.images <= _FEW for stack in found)


def _planes(unique: Sequence[tuple[Checked, Header]]) -> list[Plane]:
    return [
        Plane(checked.name, header.position, header.orientation)
        for checked, header in unique
        if header.position is not None
        and header.orientation is not None
        and not checked.facts.planes
        and checked.facts.has_pixels
    ]


def _geometry(unique: Sequence[tuple[Checked, Header]], *, is_counted: bool) -> tuple[list[Problem], bool]:
    """The problems of the stacks, and whether there were any stacks."""
    planes = _planes(unique)
    if len(planes) < 2:
        return [], False
    found_stacks = stacks(planes)
    absent, tell = _number_gaps(unique)
    found: list[Problem] = []
    if len(found_stacks) > 1:
        if _is_localizer(found_stacks, unique):
            return _of_localizer(found_stacks, absent), max(len(stack.places) for stack in found_stacks) > 2
        odd = tuple(name for stack in found_stacks[1:] for names in stack.places for name in names)
        found.append(Problem("mixed-orientations", odd, {"orientations": len(found_stacks)}, fatal=False))
    acquisitions = len({header.order[1:2] for _, header in unique})  # of the order, the second is Acquisition Number
    for stack in found_stacks:
        found += _stack_problems(stack, absent, acquisitions, tell=tell, is_counted=is_counted)
    return found, True


def _of_localizer(found_stacks: Sequence[Stack], absent: Sequence[int]) -> list[Problem]:
    """Find slices that are missing in a few planes: a longer step is a gap only where an instance number is absent for it."""
    gaps = [(stack, gap) for stack in found_stacks for gap in stack.gaps]
    slices = sum(gap.slices for _, gap in gaps)
    if not 0 < slices <= len(absent):
        return []
    names = tuple(name for stack, gap in gaps for name in _neighbours(stack, gap.after))
    values = {"slices": slices, "step": f"{gaps[0][0].step_mm:.3g}", "numbers": _shorten(absent)}
    return [Problem("missing-slices", names, values)]


def _same_pixels(unique: Sequence[tuple[Checked, Header]]) -> list[Problem]:
    """Find slices at several places with the same pixels: no scanner measures the same noise again; phantoms may be so."""
    places: dict[str, dict[Vector | None, list[Checked]]] = defaultdict(lambda: defaultdict(list))
    for checked, header in unique:
        is_original = checked.facts.image_type[:1] == ("ORIGINAL",)
        if checked.facts.pixels and not checked.facts.is_constant and is_original:
            places[checked.facts.pixels][header.position].append(checked)
    alike = [item for members in places.values() if len(members) > 1 for there in members.values() for item in there]
    if not alike:
        return []
    return [Problem("same-pixels", tuple(item.name for item in alike), fatal=False)]


def _differing(unique: Sequence[tuple[Checked, Header]]) -> list[Problem]:
    """Differing sizes, spacings and frames of reference within the slices of one series."""
    sliced = [
        (checked, header) for checked, header in unique if header.position is not None and checked.facts.has_pixels
    ]
    found = []
    checks: tuple[tuple[str, list[object]], ...] = (
        ("mixed-sizes", [(header.rows, header.columns) for _, header in sliced]),
        ("mixed-spacings", [tuple(round(side, 4) for side in checked.facts.spacing or ()) for checked, _ in sliced]),
        ("mixed-frames-of-reference", [checked.facts.frame_of_reference_uid for checked, _ in sliced]),
    )
    for code, keys in checks:
        if len(set(keys)) > 1:
            usual = max(set(keys), key=keys.count)
            odd = tuple(checked.name for (checked, _), key in zip(sliced, keys, strict=True) if key != usual)
            found.append(Problem(code, odd, fatal=False))
    lossy = tuple(checked.name for checked, _ in unique if checked.facts.is_lossy)
    if 0 < len(lossy) < sum(checked.facts.has_pixels for checked, _ in unique):
        found.append(Problem("mixed-compression", lossy, fatal=False))
    return found


def _frame_stacks(unique: Sequence[tuple[Checked, Header]]) -> list[Problem]:
    """The same for the frames of each enhanced multi-frame image; frames are complete by number, so a gap is only a warning."""
    found = []
    for checked, _ in unique:
        planes = [
            Plane(f"{index + 1}", position, orientation)
            for index, (position, orientation) in enumerate(checked.facts.planes)
            if position and orientation
        ]
        for stack in stacks(planes) if len(planes) > 3 else []:
            if stack.gaps:
                found.append(Problem("uneven-spacing", (checked.name,), {"step": f"{stack.step_mm:.3g}"}, fatal=False))
    return found


def check_series(checked: Sequence[Checked], expected: int | None) -> tuple[Problem, ...]:
    """Find problems across the instances of one series.

    Args:
        checked: its files, each checked individually.
        expected: how many instances the site announced; None where unknown.
    """
    unique = _unique(checked)
    uid = unique[0][1].series_instance_uid if unique else ""
    found = _duplicates(checked)
    if expected is not None and len(unique) < expected:
        found.append(Problem("missing-instances", values={"saved": len(unique), "expected": expected}))
    images = [
        (item, header) for item, header in unique if item.facts.has_pixels or objects.is_image(header.sop_class_uid)
    ]
    is_counted = expected is not None and len(unique) >= expected
    of_stacks, has_stacks = _geometry(images, is_counted=is_counted)
    found += of_stacks
    planes = _planes(images)
    found += lost_images(images, stacks(planes) if planes else [])
    found += _frame_stacks(images)
    found += _same_pixels(images)
    found += concatenations([(item.name, item.facts.part) for item, _ in images if item.facts.part])
    if expected is None:
        found += short_series([(item.facts.images_of_series, header) for item, header in images])
    found += _differing(images)
    absent, _ = _number_gaps(unique)
    if absent and all(problem.code != "missing-slices" for problem in found):
        dense = len(unique) >= 10 and len(absent) <= len(unique) // 10
        blind = expected is None and not has_stacks and dense
        found.append(
            Problem("instance-number-gap", values={"numbers": _shorten(absent), "gaps": len(absent)}, fatal=blind)
        )
    return tuple(replace(problem, series_instance_uid=uid) for problem in found)


def lost_between(checked: Sequence[Checked]) -> frozenset[str]:
    """SOP Instance UIDs of blank images (or images with blank frames), of any series, whose neighbours are not blank."""
    by_series: dict[str, list[tuple[Checked, Header]]] = defaultdict(list)
    for item, header in _unique(checked):
        if item.facts.has_pixels:
            by_series[header.series_instance_uid].append((item, header))
    found: set[str] = set()
    for images in by_series.values():
        if any(image.facts.constant_frames for image, _ in images):
            planes = _planes(images)
            for problem in lost_images(images, stacks(planes) if planes else []):
                found.update(problem.instances)
    return frozenset(found)


def _patients(read: Sequence[tuple[Checked, Header]]) -> list[Problem]:
    """Find several Patient IDs within one study (PS3.3 A.1.2: a study has one patient)."""
    by_study: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for checked, header in read:
        if header.patient_id:
            by_study[header.study_instance_uid][header.patient_id].append(checked.name)
    found = _names(read)
    for patients in by_study.values():
        if len(patients) > 1:
            usual = max(patients, key=lambda patient: len(patients[patient]))
            odd = tuple(name for patient, names in patients.items() if patient != usual for name in names)
            found.append(Problem("several-patients", odd))
    return found


def _names(read: Sequence[tuple[Checked, Header]]) -> list[Problem]:
    """Find several Patient's Names within one series, which one device writes.

    Fatal where no Patient ID says that the person is the same, and the names are of one script: a name and its transcription
    can't be compared.
    """
    by_series: dict[str, dict[frozenset[str], list[tuple[Checked, Header]]]] = defaultdict(lambda: defaultdict(list))
    for checked, header in read:
        # alphabetic, ideographic and phonetic (PS3.5 6.2.1): one of them in common is the same person
        groups = [" ".join(group.replace("^", " ").split()).casefold() for group in header.patient_name.split("=")]
        if any(groups):
            by_series[header.series_instance_uid][frozenset(groups) - {""}].append((checked, header))
    found = []
    for uid, names in by_series.items():
        usual = max(names, key=lambda name: len(names[name]))
        known = {header.patient_id for _, header in names[usual]} - {""}
        odd: dict[bool, list[str]] = {True: [], False: []}
        for name, members in names.items():
            if name & usual:
                continue
            for checked, header in members:
                is_identified = bool(header.patient_id and known)  # several IDs: see _patients
                odd[not is_identified and _is_one_script(name | usual)].append(checked.name)
        found += [
            Problem("several-names", tuple(members), series_instance_uid=uid, fatal=is_fatal)
            for is_fatal, members in odd.items()
            if members
        ]
    return found


def _is_one_script(names: Iterable[str]) -> bool:
    """Whether names are all in Latin letters, or all in Chinese."""
    return all(name.isascii() for name in names) or all(is_chinese(name) for name in names)


def _studies(read: Sequence[tuple[Checked, Header]], study_instance_uid: str) -> list[Problem]:
    uids = [header.study_instance_uid for _, header in read]
    if study_instance_uid:
        odd = tuple(
            checked.name for checked, header in read if header.study_instance_uid not in {"", study_instance_uid}
        )
        return [Problem("several-studies", odd)] if odd else []
    named = set(uids) - {""}
    if len(named) < 2:
        return []
    usual = max(named, key=uids.count)
    odd = tuple(checked.name for checked, header in read if header.study_instance_uid not in {"", usual})
    return [Problem("several-studies", odd, fatal=False)]


def _split_series(read: Sequence[tuple[Checked, Header]]) -> list[Problem]:
    """Find one SOP Instance UID in several series, or one series in several studies (PS3.5 9, PS3.3 A.1.2)."""
    series_of: dict[str, set[str]] = defaultdict(set)
    studies_of: dict[str, set[str]] = defaultdict(set)
    for _, header in read:
        if header.sop_instance_uid:
            series_of[header.sop_instance_uid].add(header.series_instance_uid)
        if header.series_instance_uid:
            studies_of[header.series_instance_uid].add(header.study_instance_uid)
    found = []
    across = tuple(uid for uid, owners in series_of.items() if len(owners) > 1)
    if across:
        found.append(Problem("duplicate-across-series", across))
    for uid, owners in studies_of.items():
        if len(owners) > 1:
            found.append(Problem("series-across-studies", values={"studies": len(owners)}, series_instance_uid=uid))
    return found


def _references(read: Sequence[tuple[Checked, Header]]) -> list[Problem]:
    """Find absent instances that key objects or presentation states of the study refer to (PS3.3 C.17.6.2)."""
    there = {header.sop_instance_uid for _, header in read}
    absent = dict.fromkeys(uid for checked, _ in read for uid in checked.facts.references if uid not in there)
    return [Problem("references-absent", tuple(absent), fatal=False)] if absent else []


def check_study(
    checked: Sequence[Checked], expected: Mapping[str, int | None], study_instance_uid: str = ""
) -> tuple[Problem, ...]:
    """Find problems across the files of one study (or of one folder), series by series and between them.

    Args:
        checked: all its files, each checked individually.
        expected: Series Instance UID → how many instances the site announced. An absent series is missing.
        study_instance_uid: the expected study; empty: unknown, and several studies in one folder are only a warning.
    """
    read = _read(checked)
    by_series: dict[str, list[Checked]] = defaultdict(list)
    for item, header in read:
        by_series[header.series_instance_uid].append(item)
    found: list[Problem] = []
    for uid, members in by_series.items():
        found += check_series(members, expected.get(uid))
    for uid, count in expected.items():
        if count and uid not in by_series:
            found.append(Problem("missing-instances", values={"saved": 0, "expected": count}, series_instance_uid=uid))
    found += _studies(read, study_instance_uid)
    found += _patients(read)
    found += _split_series(read)
    found += _references(read)
    return tuple(found)
