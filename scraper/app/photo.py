"""The photo of an item as it is shown: a picture of its page, and where on it each code stands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scraper.app.board import Code, Item, in_both
from scraper.core.messages import say
from scraper.core.settings import Settings
from scraper.source import film_codes
from scraper.source.qr import reader as qr

if TYPE_CHECKING:
    from scraper.source.qr.engines import Polygon

_SHOWN_TEXT: Final = 60  # characters of a code's text


def read_photo(item: Item, path: Path, settings: Settings, scratch: Path) -> tuple[str, ...]:
    """Read an item's photo or document, and put on the item what the page shows of it.

    Args:
        item: gets the preview, the codes and the places that look like a code.
        path: of the photo.
        settings: the time budget.
        scratch: folder for the preview.

    Returns:
        The links that are equally likely to be the film's, in the order in which they are asked for.

    Raises:
        CloudfilmError: it is no picture or document that can be read.
    """
    preview = scratch / "preview.jpg"
    with qr.Reader() as reader:
        found = film_codes.decode(path, settings, reader)
        page, columns, rows = film_codes.save_page(found, preview, reader)

    def shape(number: int, polygon: Polygon) -> list[tuple[float, float]]:
        if number != page:
            return []
        return [(round(min(max(x / columns, 0), 1), 4), round(min(max(y / rows, 0), 1), 4)) for x, y in polygon]

    item.codes = [
        Code(
            code.text if len(code.text) <= _SHOWN_TEXT else code.text[:_SHOWN_TEXT] + "…",
            in_both(lambda language, kind=payload.kind.value: say(f"kind.{kind}", language)),  # type: ignore[misc]
            payload.link or "",
            shape(code.page, code.polygon),
            is_film=payload.link in found.links,
            may_be_film=payload.link in found.choice.equal,
        )
        for code, payload in found.codes
    ]
    item.suspects = [shape(suspect.page, suspect.polygon) for suspect in found.reading.suspects if suspect.page == page]
    item.preview = preview
    return tuple(found.choice.equal)


def options(item: Item, shown: Sequence[str], links: Sequence[str]) -> tuple[dict[str, object], ...]:
    """What a person may choose: its words, and the place of its code among the item's codes, where it has one.

    Args:
        item: with its codes.
        shown: the links as they are shown.
        links: the same in full, in the same order; none where the photo's own codes were not read.
    """
    places = {code.link: place for place, code in enumerate(item.codes)}
    full = links if len(links) == len(shown) else [""] * len(shown)
    return tuple({"text": text, "place": places.get(link)} for text, link in zip(shown, full, strict=True))
