"""What nearly every site's list of a study holds, under names of its own: rows of images and of series.

A provider says what its site calls them (``uid: str = Field("", alias="seriesUid")``) and where an image lies; the rest is the
same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from scraper.core.model import Instance, Series, Source, Study
from scraper.core.schema import Number, Reply, none_last


class Row(Reply):
    """One entry of a list.

    Attributes:
        uid: in DICOM.
        number: in DICOM.
    """

    uid: str = ""
    number: Number = None


R = TypeVar("R", bound=Row)


class ImageRow(Row):
    """One image of a list.

    Attributes:
        uid: SOP Instance UID.
        number: Instance Number.
        url: of its file; empty where the site names none.
    """

    url: str = ""


class SeriesRow(Row):
    """One series of a list.

    Attributes:
        uid: Series Instance UID.
        number: Series Number.
        description: as the site words it.
        modality: where the site says it of the series.
    """

    description: str = ""
    modality: str = ""

    def described(
        self, study: Study, place: int, images: Iterable[R], source_of: Callable[[R], Source | None]
    ) -> Series:
        """The series; images that the site lists without an address are named and left out.

        Args:
            study: that it belongs to.
            place: in the list; its key, where the site names no UID.
            images: its rows; they are put in the order of their numbers.
            source_of: where an image's bytes come from; None: the site does not say.
        """
        ordered = [(image, f"{place}/{at}", source_of(image)) for at, image in enumerate(in_order(images))]
        instances = tuple(
            Instance(image.uid, source, key, image.number) for image, key, source in ordered if source is not None
        )
        series = Series(
            series_instance_uid=self.uid,
            instances=instances,
            expected=len(ordered),
            number=self.number,
            description=self.description,
            modality=self.modality or study.modality,
            key=str(place),
            study=study,
        )
        return series.without((image.uid or key for image, key, source in ordered if source is None), "no address")


def in_order(rows: Iterable[R]) -> tuple[R, ...]:
    """Rows by their numbers; those without one come last, as the site has them."""
    return tuple(sorted(rows, key=lambda row: none_last(row.number)))
