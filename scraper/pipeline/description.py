"""Describe a study and its series in the words of its files; in the site's words where the files are silent."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from scraper.core.model import Header, Origin, Problem, Saved, Series, SeriesResult, Study
from scraper.download.collect import Collected

NOT_PICTURES = frozenset(("SR", "KO", "PR", "DOC", "SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "REG", "AU", "ECG", "OT", ""))


def series_row(
    uid: str, files: Sequence[Saved], listed: Series | None, expected: int | None, problems: tuple[Problem, ...]
) -> SeriesResult:
    """Describe one series of the report, from its files and from the site's list."""
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
        uid, number, description, modality, expected, len(files), origin, problems, evidence, len(images), frames
    )


def describe(collected: Collected, series: Sequence[Series], listed: Study) -> Study:
    """Describe the study by its files' headers; by the site's words where the files say nothing."""
    headers = [saved.header for saved, _ in collected.saved]
    site = describe_by_site(series, listed)
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


def describe_by_site(series: Sequence[Series], listed: Study) -> Study:
    """Describe the study by the site's words; by those of its series where the study's own are missing."""
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
