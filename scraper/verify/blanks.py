"""Find blank images in the wrong place: a constant image between two others was lost on its way.

At the end of a stack an empty slice may be the scanner's own; one that is put together here must be at the end of a stack
that shows something elsewhere, or the site gave a picture of nothing. In objects that mark or measure only a part of the body
(segmentation, dose, parametric map), and among the tiles of a whole slide, any frame may be empty. A frame of a film (ultrasound,
fluoroscopy, nuclear medicine) may be, too; its file came as one, so that it was lost on the way only where the file was put
together here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scraper.core.model import Header, Origin, Problem
from scraper.verify.geometry import Plane, Stack, stacks
from scraper.verify.instance import Checked

_ROOT: Final = "1.2.840.10008.5.1.4.1.1."
_MAY_BE_EMPTY: Final = (_ROOT + "66.", _ROOT + "481.", _ROOT + "30", _ROOT + "77.1.6")  # …, whole slide microscopy
# ultrasound, secondary capture, angiography and fluoroscopy, nuclear medicine, visible light
_FILMS: Final = tuple(_ROOT + tail for tail in ("3.", "6.", "7.", "12.", "20.", "77.1.1.", "77.1.2.", "77.1.4."))

Image = tuple[Checked, Header]


@dataclass(frozen=True, slots=True)
class _Place:
    """The images at one place of a stack: the names of the constant ones, and whether there are others."""

    constant: tuple[str, ...]
    shows_something: bool


def _enclosed(places: Sequence[_Place]) -> list[str]:
    """Constant images with visible content on both sides."""
    telling = [index for index, place in enumerate(places) if place.shows_something]
    if len(telling) < 2:
        return []
    return [name for place in places[telling[0] + 1 : telling[-1]] for name in place.constant]


def _at_ends(places: Sequence[_Place]) -> list[str]:
    """Constant images at the ends of a stack most of whose places show something."""
    telling = [index for index, place in enumerate(places) if place.shows_something]
    if not telling or 2 * len(telling) < len(places):
        return []
    return [name for place in (*places[: telling[0]], *places[telling[-1] + 1 :]) for name in place.constant]


def _of_stack(stack: Stack, constant: frozenset[str]) -> list[_Place]:
    return [
        _Place(tuple(name for name in names if name in constant), any(name not in constant for name in names))
        for names in stack.places
    ]


def _by_number(images: Sequence[Image]) -> list[_Place]:
    """The images ordered by instance number; nothing where the numbers give no order."""
    numbers = [header.instance_number for _, header in images]
    if None in numbers or len(set(numbers)) < len(numbers):
        return []
    ordered = sorted(images, key=lambda image: image[1].instance_number or 0)
    return [
        _Place((checked.name,), shows_something=False)
        if checked.facts.is_constant
        else _Place((), shows_something=True)
        for checked, _ in ordered
    ]


def _frames(checked: Checked, header: Header) -> list[int]:
    """Numbers (from 1) of the constant frames of one multi-frame image that lie between others."""
    constant = frozenset(str(frame) for frame in checked.facts.constant_frames)
    planes = [
        Plane(str(frame), position, orientation)
        for frame, (position, orientation) in enumerate(checked.facts.planes)
        if position and orientation
    ]
    if planes and len(planes) == len(checked.facts.planes):
        lines = [_of_stack(stack, constant) for stack in stacks(planes)]
    else:
        lines = [
            [
                _Place((str(frame),) if str(frame) in constant else (), str(frame) not in constant)
                for frame in range(header.frames or 0)
            ]
        ]
    return sorted(int(name) + 1 for line in lines for name in _enclosed(line))


def lost_images(images: Sequence[Image], found_stacks: Sequence[Stack]) -> list[Problem]:
    """Constant images (and frames) of one series that lie between others.

    Args:
        images: of the series, without duplicates.
        found_stacks: their stacks; empty where they have no positions, and instance numbers give their order.
    """
    images = [image for image in images if not image[1].sop_class_uid.startswith(_MAY_BE_EMPTY)]
    constant = frozenset(checked.name for checked, _ in images if checked.facts.is_constant)
    found: list[Problem] = []
    if constant:
        lines = [_of_stack(stack, constant) for stack in found_stacks] or [_by_number(images)]
        names = [name for line in lines for name in _enclosed(line)]
        if names:
            found.append(Problem("constant-between", tuple(names)))
        rebuilt = {checked.name for checked, _ in images if checked.origin is Origin.REBUILT}
        excused = {*names, *(name for line in lines for name in _at_ends(line))}
        if unplaced := sorted((constant & rebuilt) - excused):
            found.append(Problem("constant-frame", tuple(unplaced), {"frames": "1"}))
    for checked, header in images:
        is_film = checked.origin is Origin.ORIGINAL and f"{header.sop_class_uid}.".startswith(_FILMS)
        if checked.facts.constant_frames and not checked.facts.is_constant and not is_film:
            frames = _frames(checked, header)
            if frames:
                shown = ", ".join(map(str, frames[:20]))
                found.append(Problem("constant-frame-between", (checked.name,), {"frames": shown}))
    return found
