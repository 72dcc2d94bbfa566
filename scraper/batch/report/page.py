"""``report.html``: one page that opens offline, a card for each study, with each series' middle slice; failures first.

Nothing in it runs or loads (its Content-Security-Policy says so to the browser as well), and every text is escaped by the
template (``page.html``).
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scraper.batch.report.table import Entry, StudyRow, counted, parts, problem_words, rows
from scraper.batch.workers.protocol import Outcome
from scraper.core.evidence import Evidence
from scraper.core.messages import say
from scraper.core.safe_text import visible
from scraper.core.settings import Language

if TYPE_CHECKING:
    from jinja2 import Template

PICTURES: Final = 48 * 2**20  # bytes of all pictures together; a page that is larger opens nowhere
VIEW: Final = "index.html"  # in a study's folder: the page that ``cloudfilm view`` writes
_ORDER: Final = ("failed", "incomplete", "waiting", "complete")
SERIES_SHOWN: Final = 12  # of one study; the rest is counted


@dataclass(slots=True)
class _PictureBudget:
    """Bytes that the pictures of the rest of the page may take."""

    remaining: int = PICTURES

    @property
    def is_exceeded(self) -> bool:
        return self.remaining < 0

    def admits(self, size: int) -> bool:
        """Count a picture; False where it does not fit."""
        fits = size <= self.remaining
        self.remaining -= size
        return fits


@cache
def template() -> Template:
    """The page's template; every value in it is made visible and escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, finalize=visible, keep_trailing_newline=True)
    return environment.from_string(files(__package__).joinpath("page.html").read_text("utf-8"))


def page(title: str, entries: Sequence[Entry], language: Language, folder: Path | None = None) -> Iterator[str]:
    """The page in pieces: what failed first, then what is not complete, then the rest, each in the list's order.

    Args:
        title: the list's name.
        entries: every source of the list, in its order.
        language: of the words.
        folder: where the studies lie, and the page itself; by default no page of a study is looked for.
    """
    budget, counts = _PictureBudget(), counted(entries)
    members: dict[tuple[str, int], list[Entry]] = {
        group: [] for group in sorted(counts, key=lambda group: (_ORDER.index(group[0]), group[1]))
    }
    for entry in entries:
        for group in dict.fromkeys(map(_group, parts(entry))):
            members[group].append(entry)

    def cards(group: tuple[str, int]) -> Iterator[dict[str, Any]]:
        for entry in members[group]:
            for outcome in parts(entry):
                for study in rows(outcome) if _group(outcome) == group else ():
                    yield _row(entry, outcome, study, budget) | {"has_page": _has_page(study, folder)}

    yield from template().generate(
        lang="zh-CN" if language is Language.ZH else "en",
        title=title,
        made=time.strftime("%Y-%m-%d %H:%M"),
        words=lambda name, **values: say(f"batch.page.{name}", language, **values),
        groups=[
            {
                "status": status,
                "anchor": f"{status}-{code}",
                "count": counts[status, code],
                "meaning": meaning(code, language) if code else "",
                "cards": cards((status, code)),
            }
            for status, code in members
        ],
        budget=budget,
    )


def _group(outcome: Outcome | None) -> tuple[str, int]:
    return (outcome.status.value, int(outcome.exit_code)) if outcome else ("waiting", 0)


def _has_page(study: StudyRow | None, folder: Path | None) -> bool:
    is_here = study is not None and bool(study.folder) and "://" not in study.folder
    return is_here and folder is not None and study is not None and (folder / study.folder / VIEW).is_file()


def meaning(code: int, language: Language) -> str:
    """The meaning of an exit code for a source, in a few words."""
    return say(f"batch.code.{code}", language)


def _row(entry: Entry, outcome: Outcome | None, study: StudyRow | None, budget: _PictureBudget) -> dict[str, Any]:
    """One study, or a source without any, for the template."""
    is_uploaded = study is not None and "://" in study.folder
    names = [study.study.get(name) for name in ("patient_name", "date", "modality", "description")] if study else []
    return {
        "line": ", ".join(map(str, entry.lines)),
        "status": outcome.status.value if outcome else "waiting",
        "provider": str((outcome.document["provider"] if outcome else "") or ""),
        "label": entry.label,
        "has_study": study is not None,
        "study": "  ".join(_date(str(name)) for name in names if name),
        "url": study.folder if study and is_uploaded else "",
        "folder": study.folder if study and not is_uploaded else "",
        "source": entry.shown,
        "series": _series(entry, study, budget) if study else [],
        "further_series": max(0, len(study.series) - SERIES_SHOWN) if study else 0,
        "problems": problem_words(outcome, study) if outcome else [],
    }


def _date(text: str) -> str:
    """A date as people read it; another text as it is."""
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if len(text) == 8 and text.isdecimal() else text


def _series(entry: Entry, study: StudyRow, budget: _PictureBudget) -> list[dict[str, Any]]:
    """The picture and the counts of each series."""
    thumbnails = {} if budget.is_exceeded else entry.pictures()
    shown = []
    for series in study.series[:SERIES_SHOWN]:
        jpeg = thumbnails.get(str(series["uid"]), b"")
        shown.append(
            {
                "name": _name(series),
                "picture": base64.b64encode(jpeg).decode() if jpeg and budget.admits(len(jpeg)) else "",
                "shortness": "" if series["status"] == "ok" else _shortness(series),
                "saved": series["saved"],
                "expected": "?" if series["expected"] is None else int(series["expected"]),
            }
        )
    return shown


def _shortness(series: Mapping[str, Any]) -> str:
    """``seen`` where nothing of a series is known to be missing but no list says how many there are, else ``short``."""
    codes = {problem["code"] for problem in series["problems"]}
    return "seen" if series["expected"] is None and Evidence.SIGHT.code in codes else "short"


def _name(series: Mapping[str, Any]) -> str:
    parts = (series["number"], series["modality"], series["description"])
    return " ".join(str(part) for part in parts if part not in (None, ""))
