"""The output of ``decode``, ``providers`` and ``doctor``: lines and tables for people, objects for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scraper.core.errors import CloudfilmError, WrongOverride
from scraper.core.messages import describe, question_label, say
from scraper.core.output import console, markup
from scraper.core.safe_text import visible
from scraper.core.settings import Language
from scraper.registry import catalogue, overrides

if TYPE_CHECKING:
    from scraper.contract import Provider
    from scraper.registry.catalogue import Payload
    from scraper.source.film_codes import Decoded
    from scraper.ui.doctor import Finding

LONGEST_SHOWN = 96  # characters of a payload on a line


def decoded_json(found: Decoded) -> dict[str, object]:
    """One file's line of ``decode --json``."""
    codes = [
        {
            "text": code.text,
            "symbology": code.symbology,
            "kind": payload.kind.value,
            "provider": payload.provider,
            "polygon": [list(corner) for corner in code.polygon],
            "page": code.page,
        }
        for code, payload in found.codes
    ]
    row: dict[str, object] = {"file": str(found.path), "codes": codes, "link": found.link}
    if len(found.links) > 1:
        row["links"] = list(found.links)
    if found.frames_left_out:
        row["frames_left_out"] = found.frames_left_out
    if found.unread:
        row["unread_pages"] = list(found.unread)
    return row


def unreadable_json(path: Path, error: CloudfilmError, language: Language) -> dict[str, object]:
    """The line of a file that could not be read."""
    problem = {"code": error.code, "message": describe(error, language)}
    return {"file": str(path), "codes": [], "link": None, "error": problem}


def decoded_words(found: Decoded, language: Language) -> str:
    """The chosen link, and every code with its kind, rejected ones too."""
    shown = visible(found.link) if found.link else say(_missing(found), language)
    lines = [f"{visible(found.path.name)}: {shown}"]
    for code, payload in found.codes:
        mark = _mark(found, payload)
        text = code.text if len(code.text) <= LONGEST_SHOWN else code.text[:LONGEST_SHOWN] + "…"
        kind = say(f"kind.{payload.kind.value}", language)
        owner = f", {payload.provider}" if payload.provider else ""
        lines.append(f"  {mark} {code.symbology} ({kind}{owner}): {visible(text)}")
    if len(found.links) > 1:
        lines.append(f"  {say('decode.several', language, count=len(found.links))}")
        lines += [f"  {number}: {visible(link)}" for number, link in enumerate(found.links, start=1)]
    if found.unread:
        pages = ", ".join(map(str, found.unread))
        lines.append(f"  {say('decode.unread', language, pages=pages)}")
    if found.reading.out_of_time:
        lines.append(f"  {say('decode.out-of-time', language)}")
    if found.frames_left_out:
        lines.append(f"  {say('decode.frames-left-out', language, count=found.frames_left_out)}")
    return "\n".join(lines)


def _missing(found: Decoded) -> str:
    return "decode.equal-links" if found.choice.equal else "decode.no-link"


def _mark(found: Decoded, payload: Payload) -> str:
    """``→`` for a further film; the number of a link that remains equally likely; a blank for the rest."""
    if payload.link is None:
        return " "
    if payload.link in found.choice.equal:
        return str(found.choice.equal.index(payload.link) + 1)
    return "→" if payload.link in found.choice.films else " "


def matches(word: str) -> list[dict[str, str]]:
    """Hosts whose hospital, area or name holds a word: one row each."""
    wanted = word.casefold()
    return [
        {"provider": provider.name, "host": row.host, "hospital": row.hospital, "area": row.area}
        for provider in sorted(catalogue.known().by_name.values(), key=lambda item: item.name)
        for row in provider.deployments
        if any(wanted in text.casefold() for text in (row.host, row.hospital, row.area))
    ]


def provider_rows(name: str = "") -> list[dict[str, object]]:
    """One row for each provider, from its own attributes; failed plug-ins come last, with their reason."""
    known = catalogue.known()
    rows: list[dict[str, object]] = []
    for provider in sorted(known.by_name.values(), key=lambda item: (item.name == catalogue.UNIVERSAL, item.name)):
        if name and provider.name != name:
            continue
        about = catalogue.about(provider)
        rows.append(
            {
                "name": provider.name,
                "title": about["title"],
                "hospitals": [f"{row.hospital} ({row.host})" for row in provider.deployments],
                "example": provider.example,
                "asks": [question.name for question in provider.asks],
                "asks_note": about["asks"],
                "serves": about["serves"],
                "verified": about["verified"],
                "direct": provider.speaks_directly(),
                "browser": provider.has_viewer(),
                **_override(provider),
            }
        )
    rows.extend({"name": broken.name, "broken": broken.reason} for broken in known.broken if name in ("", broken.name))
    return rows


def _override(provider: type[Provider]) -> dict[str, object]:
    """``override``, since when, where a local override is in use; what is wrong with it, where it can't be used."""
    try:
        found = overrides.saved(provider)
    except WrongOverride as err:
        return {"override": err.code}
    return {"override": found.since} if found is not None and not found.is_outdated else {}


def provider_table(rows: Sequence[dict[str, object]], language: Language) -> None:
    """Print the providers as a table on standard output."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "hospitals", "example", "asks", "serves", "verified"):
        table.add_column(say(f"providers.{column}", language), overflow="fold")
    for row in rows:
        if "broken" in row:
            table.add_row(str(row["name"]), f"[red]{markup(str(row['broken']))}[/]")
            continue
        hospitals, asks = row["hospitals"], row["asks"]
        assert isinstance(hospitals, list) and isinstance(asks, list)  # noqa: S101, PT018  # as provider_rows makes them
        labels = ", ".join(question_label(name, language) for name in asks)
        cells = (row["name"], "; ".join(hospitals) or row["title"], row["example"], labels or "–", row["serves"])
        verified = str(row["verified"])
        if "override" in row:
            verified += f"; {say('providers.override', language, since=row['override'])}"
        table.add_row(*(markup(str(cell)) for cell in cells), markup(verified))
    console().print(table)


def findings_table(findings: Sequence[Finding], language: Language) -> None:
    """Print the findings of ``doctor``, one line each; missing parts with what that costs and the command that repairs it."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    for finding in findings:
        mark = "[green]✓[/]" if finding.ok else "[yellow]–[/]" if finding.optional else "[red]✗[/]"
        words = markup(finding.found) if finding.ok else markup(finding.costs)
        mend = f"\n[bold]{markup(finding.mend)}[/]" if finding.mend and not finding.ok else ""
        table.add_row(mark, finding.name, words + mend)
    out = console()
    out.print(table)
    if not all(finding.ok or finding.optional for finding in findings):
        out.print(f"[red]{markup(say('doctor.unsound', language))}[/]")
