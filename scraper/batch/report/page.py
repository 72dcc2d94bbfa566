"""``report.html``: one page that opens offline, a row for each study, with each series' middle slice.

Nothing in it runs or loads (its Content-Security-Policy says so to the browser as well), and every text is escaped.
"""

from __future__ import annotations

import base64
import html
import time
from collections.abc import Iterator, Mapping, Sequence
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
_STYLE: Final = """
body{font:15px/1.5 system-ui,"PingFang SC","Microsoft YaHei","Noto Sans CJK SC",sans-serif;margin:2rem auto;max-width:1200px;
padding:0 1rem;color:#1c1c1e;background:#fff}
h1{font-size:1.4rem;margin:0 0 .3rem}p.note{color:#666;margin:.2rem 0 1rem}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.5rem .6rem;border-top:1px solid #ddd}
th{font-weight:600;color:#555;white-space:nowrap}table.sums{width:auto;margin:0 0 1.5rem}
.complete{color:#126b30}.incomplete{color:#8a5a00}.failed{color:#a31515}.waiting{color:#666}
.state{font-weight:600;white-space:nowrap}.small{color:#666;font-size:.85rem;overflow-wrap:anywhere}
figure{display:inline-block;margin:0 .5rem .4rem 0;width:104px;vertical-align:top}figcaption{font-size:.75rem;line-height:1.3;
color:#444;overflow-wrap:anywhere}figcaption.short{color:#a31515}figcaption.seen{color:#8a5a00}
img,.none{width:96px;height:96px;object-fit:contain;background:#000;display:block}.none{background:#eee}
ul{margin:0;padding-left:1.1rem}
@media(prefers-color-scheme:dark){body{background:#1c1c1e;color:#eee}th,.small,p.note,figcaption{color:#aaa}th,td{border-color:#444}
.complete{color:#6fd08c}.incomplete{color:#e6b34d}.failed{color:#ff8080}figcaption.seen{color:#e6b34d}a{color:#8ab4ff}.none{background:#333}}
@media print{body{margin:0}tr{break-inside:avoid}}
"""


def _text(value: object) -> str:
    """A value as HTML: visible, and never read as markup."""
    return html.escape(visible(value))


def page(title: str, entries: Sequence[Entry], language: Language) -> Iterator[str]:
    """The page in pieces.

    Args:
        title: the list's name.
        entries: every source of the list, in its order.
        language: of the words.
    """

    def words(name: str, **values: object) -> str:
        return _text(say(f"batch.page.{name}", language, **values))

    made = time.strftime("%Y-%m-%d %H:%M")
    yield (
        f'<!DOCTYPE html>\n<html lang="{"zh-CN" if language is Language.ZH else "en"}">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">\n'
        f"<title>{words('title')}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{words('title')}</h1>\n<p class=note>{words('made', list=title, time=made)} {words('not-for-diagnosis')}</p>\n"
    )
    yield "<table class=sums>\n"
    for (status, code), count in sorted(counted(entries).items(), key=lambda item: item[0][1]):
        yield (
            f"<tr><td class='state {status}'>{count}</td><td class={status}>{words(status)}</td>"
            f"<td>{_text(meaning(code, language)) if code else ''}</td></tr>\n"
        )
    yield "</table>\n<table>\n<tr>"
    for column in ("line", "state", "study", "series", "problems"):
        yield f"<th>{words(f'column-{column}')}</th>"
    yield "</tr>\n"
    left = PICTURES
    for entry in entries:
        for outcome in parts(entry):
            for study in rows(outcome):
                row, used = _row(entry, outcome, study, language, left)
                left -= used
                yield row
    yield "</table>\n"
    if left < 0:
        yield f"<p class=note>{words('no-more-pictures')}</p>\n"
    yield "</body>\n</html>\n"


def meaning(code: int, language: Language) -> str:
    """The meaning of an exit code for a source, in a few words."""
    return say(f"batch.code.{code}", language)


def _row(
    entry: Entry, outcome: Outcome | None, study: StudyRow | None, language: Language, left: int
) -> tuple[str, int]:
    """One study, or a source without any, and the size of its pictures in bytes."""
    status = outcome.status.value if outcome else "waiting"
    state = _text(say(f"batch.page.{status}", language))
    line = ", ".join(map(str, entry.lines))
    provider = _text(str((outcome.document["provider"] if outcome else "") or ""))
    cells = [
        f"<td>{_text(line)}</td>",
        f"<td><span class='state {status}'>{state}</span><div class=small>{provider}</div></td>",
        f"<td>{_study(entry, study)}</td>",
    ]
    pictures, used = _series(study, entry.pictures() if left > 0 else {}, left) if study else ("", 0)
    problems = "".join(f"<li>{_text(word)}</li>" for word in (problem_words(outcome, study) if outcome else []))
    cells += [f"<td>{pictures}</td>", f"<td>{f'<ul>{problems}</ul>' if problems else ''}</td>"]
    return f"<tr>{''.join(cells)}</tr>\n", used


def _study(entry: Entry, study: StudyRow | None) -> str:
    parts = [f"<strong>{_text(entry.label)}</strong>"] if entry.label else []
    if study:
        named = [study.study.get(name) for name in ("patient_name", "date", "modality", "description")]
        parts.append(_text("  ".join(str(item) for item in named if item)))
        if "://" in study.folder:
            parts.append(f"<code>{_text(study.folder)}</code>")
        elif study.folder:  # from the page's own place; a name that looks like a scheme stays a name
            parts.append(f'<a href="./{_text(quote(study.folder))}/">{_text(study.folder)}</a>')
    parts.append(f"<span class=small>{_text(entry.shown)}</span>")
    return "<br>".join(parts)


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
