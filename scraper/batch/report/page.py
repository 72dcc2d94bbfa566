"""``report.html``: one page that opens offline, a row for each study, with each series' middle slice.

Nothing in it runs or loads (its Content-Security-Policy says so to the browser as well), and every text is escaped.
"""

from __future__ import annotations

import base64
import html
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from scraper.batch.report.table import Entry, StudyRow, counted, parts, problem_words, rows
from scraper.batch.workers.protocol import Outcome
from scraper.core.evidence import Evidence
from scraper.core.messages import say
from scraper.core.safe_text import visible
from scraper.core.settings import Language

PICTURES: Final = 48 * 2**20  # bytes of all pictures together; a page that is larger opens nowhere
SERIES_SHOWN: Final = 12  # of one study; the rest is counted
VIEW: Final = "index.html"  # in a study's folder: the page that ``cloudfilm view`` writes
_ORDER: Final = ("failed", "incomplete", "waiting", "complete")
_STYLE: Final = """
body{font:16px/1.5 system-ui,"PingFang SC","Microsoft YaHei","Noto Sans CJK SC",sans-serif;margin:2rem auto;max-width:1200px;
padding:0 1rem;color:#1c1c1e;background:#f6f6f9}
h1{font-size:1.5rem;margin:0 0 .3rem}h2{font-size:1.2rem;margin:1.6rem 0 .6rem}p.note{color:#555;margin:.2rem 0 1rem}
ul.sums{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.6rem}
ul.sums a{display:block;padding:.5rem .9rem;border:1px solid #ccc;border-radius:.6rem;background:#fff;text-decoration:none}
ul.sums strong{font-size:1.3rem}
.complete{color:#126b30}.incomplete{color:#7c4d00}.failed{color:#a31515}.waiting{color:#555}
article{background:#fff;border:1px solid #ddd;border-radius:.7rem;padding:.8rem 1rem;margin:0 0 .8rem}
article h3{font-size:1.05rem;margin:0;overflow-wrap:anywhere}
.small{color:#555;font-size:.9rem;overflow-wrap:anywhere}
.links{display:flex;flex-wrap:wrap;gap:.4rem 1rem;margin:.3rem 0}.links .look{font-weight:600}
.pictures{display:flex;flex-wrap:wrap;gap:.6rem;margin:.5rem 0 0}
figure{margin:0;width:104px}figcaption{font-size:.8rem;line-height:1.3;
color:#444;overflow-wrap:anywhere}figcaption.short{color:#a31515}figcaption.seen{color:#7c4d00}
img,.none{width:104px;height:104px;object-fit:contain;background:#000;display:block}.none{background:#e4e4ea}
ul.problems{margin:.4rem 0 0;padding-left:1.2rem}
@media(max-width:700px){body{margin:1rem auto}.pictures{flex-wrap:nowrap;overflow-x:auto}figure{flex:none}}
@media(prefers-color-scheme:dark){body{background:#1c1c1e;color:#eee}article,ul.sums a{background:#2a2a2e;border-color:#444}
.small,p.note,figcaption{color:#b8b8bd}
.complete{color:#6fd08c}.incomplete{color:#e6b34d}.failed{color:#ff8080}.waiting{color:#b8b8bd}figcaption.seen{color:#e6b34d}
figcaption.short{color:#ff8080}a{color:#8ab4ff}.none{background:#333}}
@media print{body{margin:0;background:#fff}article{break-inside:avoid}}
"""


def _text(value: object) -> str:
    """A value as HTML: visible, and never read as markup."""
    return html.escape(visible(value))


def page(title: str, entries: Sequence[Entry], language: Language, folder: Path | None = None) -> Iterator[str]:
    """The page in pieces: what failed first, then what is not complete, then the rest, each in the list's order.

    Args:
        title: the list's name.
        entries: every source of the list, in its order.
        language: of the words.
        folder: where the studies lie, and the page itself; by default no page of a study is looked for.
    """

    def words(name: str, **values: object) -> str:
        return _text(say(f"batch.page.{name}", language, **values))

    made = time.strftime("%Y-%m-%d %H:%M")
    counts = counted(entries)
    yield (
        f'<!DOCTYPE html>\n<html lang="{"zh-CN" if language is Language.ZH else "en"}">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">\n'
        f"<title>{words('title')}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{words('title')}</h1>\n<p class=note>{words('made', list=title, time=made)} {words('not-for-diagnosis')}</p>\n"
    )
    groups: dict[tuple[str, int], list[Entry]] = {}
    for (status, code), _ in sorted(counts.items(), key=lambda item: (_ORDER.index(item[0][0]), item[0][1])):
        groups[status, code] = []
    for entry in entries:
        for group in dict.fromkeys(map(_group, parts(entry))):
            groups[group].append(entry)
    yield "<ul class=sums>\n"
    for (status, code), count in ((group, counts[group]) for group in groups):
        heading = _heading(status, code, language)
        yield f"<li><a class={status} href='#{status}-{code}'><strong>{count}</strong> {heading}</a></li>\n"
    yield "</ul>\n"
    left = PICTURES
    for (status, code), members in groups.items():
        yield f"<section id='{status}-{code}'>\n<h2 class={status}>{_heading(status, code, language)}</h2>\n"
        for entry in members:
            for outcome in parts(entry):
                for study in rows(outcome) if _group(outcome) == (status, code) else ():
                    card, used = _card(_Shown(entry, outcome, study), language, left, folder)
                    left -= used
                    yield card
        yield "</section>\n"
    if left < 0:
        yield f"<p class=note>{words('no-more-pictures')}</p>\n"
    yield "</body>\n</html>\n"


def meaning(code: int, language: Language) -> str:
    """The meaning of an exit code for a source, in a few words."""
    return say(f"batch.code.{code}", language)


def _heading(status: str, code: int, language: Language) -> str:
    words = [say(f"batch.page.{status}", language), meaning(code, language) if code else ""]
    return _text(" · ".join(filter(None, words)))


def _group(outcome: Outcome | None) -> tuple[str, int]:
    return (outcome.status.value, int(outcome.exit_code)) if outcome else ("waiting", 0)


@dataclass(frozen=True, slots=True)
class _Shown:
    """One study, or a source without any."""

    entry: Entry
    outcome: Outcome | None
    study: StudyRow | None


def _card(shown: _Shown, language: Language, left: int, folder: Path | None) -> tuple[str, int]:
    """One study, or a source without any, and the size of its pictures in bytes."""
    entry, outcome, study = shown.entry, shown.outcome, shown.study
    provider = str((outcome.document["provider"] if outcome else "") or "")
    line = say("batch.page.line", language, line=", ".join(map(str, entry.lines)))
    named = [study.study.get(name) for name in ("patient_name", "date", "modality", "description")] if study else []
    words = "  ".join(filter(None, [entry.label, *(_date(str(item)) for item in named if item)]))
    pictures, used = _series(study, entry.pictures() if left > 0 else {}, left) if study else ("", 0)
    problems = "".join(f"<li>{_text(word)}</li>" for word in (problem_words(outcome, study) if outcome else []))
    made = [
        f"<article>\n<h3>{_text(words or entry.shown)}</h3>\n",
        f"<div class=small>{_text(' · '.join(filter(None, [line, provider, entry.shown])))}</div>\n",
        _links(study, language, folder) if study else "",
        f"<ul class=problems>{problems}</ul>\n" if problems else "",
        f"<div class=pictures>{pictures}</div>\n" if pictures else "",
        "</article>\n",
    ]
    return "".join(made), used


def _date(text: str) -> str:
    """A date as people read it; another text as it is."""
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if len(text) == 8 and text.isdecimal() else text


def _links(study: StudyRow, language: Language, folder: Path | None) -> str:
    if "://" in study.folder:
        return f"<div class=links><code>{_text(study.folder)}</code></div>\n"
    if not study.folder:
        return ""
    # from the page's own place; a name that looks like a scheme stays a name
    place = f"./{_text(quote(study.folder))}/"
    look = ""
    if folder is not None and (folder / study.folder / VIEW).is_file():
        look = f'<a class=look href="{place}{VIEW}">{_text(say("batch.page.look", language))}</a>'
    name = _text(say("batch.page.folder", language))
    return f'<div class=links>{look}<a href="{place}">{name}</a><span class=small>{_text(study.folder)}</span></div>\n'


def _series(study: StudyRow, thumbnails: Mapping[str, bytes], left: int) -> tuple[str, int]:
    """The picture and the counts of each series, and the size of the pictures in bytes."""
    made, used = [], 0
    for series in study.series[:SERIES_SHOWN]:
        jpeg = thumbnails.get(str(series["uid"]), b"")
        picture = "<span class=none></span>"
        used += len(jpeg)
        if jpeg and used <= left:
            data = base64.b64encode(jpeg).decode()
            picture = f'<img alt="{_text(_name(series))}" src="data:image/jpeg;base64,{data}">'
        expected = "?" if series["expected"] is None else int(series["expected"])
        short = "" if series["status"] == "ok" else f" class={_shortness(series)}"
        made.append(
            f"<figure>{picture}<figcaption{short}>{_text(_name(series))}<br>"
            f"{series['saved']}/{expected}</figcaption></figure>"
        )
    more = len(study.series) - SERIES_SHOWN
    return "".join(made) + (f"<span class=small>+{more}</span>" if more > 0 else ""), used


def _shortness(series: Mapping[str, Any]) -> str:
    """``seen`` where nothing of a series is known to be missing but no list says how many there are, else ``short``."""
    codes = {problem["code"] for problem in series["problems"]}
    return "seen" if series["expected"] is None and Evidence.SIGHT.code in codes else "short"


def _name(series: Mapping[str, Any]) -> str:
    parts = (series["number"], series["modality"], series["description"])
    return " ".join(str(part) for part in parts if part not in (None, ""))
