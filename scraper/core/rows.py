"""What nearly every site's list of a study holds, under names of its own: rows of images, of series and of studies.

A provider says what its site calls them (``uid: str = Field("", alias="seriesUid")``) and where an image lies; the rest is the
same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, ClassVar, TypeVar, cast
from urllib.parse import urljoin

from scraper.core.counts import IMAGES_OF_ALL, stated_images
from scraper.core.model import Instance, Problem, Series, Source, Study, WadoUri
from scraper.core.schema import Number, Reply, field_validator, model_validator, none_last, value_at


class Row(Reply):
    """One entry of a list, or of an object whose keys are the entries' UIDs (``{"1.2.3": {…}}``, ``{"1.2.3": "address"}``).

    Attributes:
        uid: in DICOM.
        number: in DICOM.
        key: the site's own name for it, the same at every call; by default its place in the list.
    """

    uid: str = ""
    number: Number = None
    key: str = ""


R = TypeVar("R", bound=Row)
Image = TypeVar("Image", bound="ImageRow")


class ImageRow(Row):
    """One image of a list.

    Attributes:
        uid: SOP Instance UID.
        number: Instance Number.
        url: of its file, as seen from the list's page; empty where the site names none.
    """

    url: str = ""


class SeriesRow(Row):
    """One series of a list.

    Attributes:
        uid: Series Instance UID.
        number: Series Number.
        description: as the site words it.
        modality: where the site says it of the series.
        count: of its images, where the site says more than it lists; without an alias, whatever field counts them.
        images: its images.
        is_sorted: these are put in the order of their numbers.
        address: of an image's file, where the site names none: ``"/dicom/{study.uid}/{series.uid}/{image.uid}"``.
    """

    is_sorted: ClassVar[bool] = True
    address: ClassVar[str] = ""
    description: str = ""
    modality: str = ""
    count: Number = None
    images: tuple[ImageRow, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _counted(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or cls.model_fields["count"].alias is not None:
            return value
        return {**value, "count": stated_images(value)}

    @field_validator("images", mode="before", check_fields=False)
    @classmethod
    def _of_object(cls, value: object) -> object:
        rows = _rows(value)  # null is an image of which the site says nothing
        return [{} if row is None else row for row in rows] if isinstance(rows, list) else rows

    def described(
        self,
        study: Study,
        place: int,
        base: str = "",
        headers: Mapping[str, str] | None = None,
        *,
        images: Iterable[Image] | None = None,
        source: Callable[[Image], Source | None] | None = None,
    ) -> Series:
        """The series; an image listed once more is one, images without an address are named and left out.

        Args:
            study: that it belongs to.
            place: in the list; its key, where the site gives it no name.
            base: the address that its images' addresses are seen from.
            headers: of each image's request.
            images: where another reply has them.
            source: where an image's bytes come from, where that is no address; None: the site does not say.
        """
        rows = _once(cast("Iterable[Image]", self.images) if images is None else images)
        rows = in_order(rows) if self.is_sorted else rows
        find = source or partial(self._file, study, base, headers or {})
        listed = [(row, row.key or f"{place}/{at}", find(row)) for at, row in enumerate(rows)]
        instances = tuple(
            Instance(image.uid, found, key, image.number) for image, key, found in listed if found is not None
        )
        series = Series(
            series_instance_uid=self.uid,
            instances=instances,
            expected=max(self.count or 0, len(listed)),
            number=self.number,
            description=self.description,
            modality=self.modality or study.modality,
            key=self.key or str(place),
            study=study,
        )
        return series.without((image.uid or key for image, key, found in listed if found is None), "no address")

    def _file(self, study: Study, base: str, headers: Mapping[str, str], image: ImageRow) -> Source | None:
        url = self.address.format(study=study, series=self, image=image) if self.address else image.url
        return WadoUri(urljoin(base, url), headers) if url else None


class StudyRow(Row):
    """One study, as a site describes it, with its series where it lists them there.

    Attributes:
        uid: Study Instance UID.
        date: as the site writes it.
        modality: as the site words it; ``description`` and ``patient_name``, too.
        key: the site's own name for it, where it gives no UID.
        count: of all its images, by whatever field beside its series counts them.
        series: its series.
        is_sorted: these are put in the order of their numbers.
    """

    is_sorted: ClassVar[bool] = False
    date: str = ""
    modality: str = ""
    description: str = ""
    patient_name: str = ""
    count: Number = None
    series: tuple[SeriesRow, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _counted(cls, value: Any) -> Any:
        path = (cls.model_fields["series"].alias or "series").partition("|")[0]
        beside = value_at(value, path.rpartition(".")[0])
        is_stated = isinstance(value, Mapping) and isinstance(beside, Mapping)
        return {**value, "count": stated_images(beside, IMAGES_OF_ALL)} if is_stated else value

    @field_validator("series", mode="before", check_fields=False)
    @classmethod
    def _of_object(cls, value: object) -> object:
        rows = _rows(value)
        return [row for row in rows if row is not None] if isinstance(rows, list) else rows

    @property
    def study(self) -> Study:
        """The study alone."""
        return Study(self.uid, self.date, self.modality, self.description, self.patient_name, self.key)

    def described(
        self, base: str, headers: Mapping[str, str] | None = None, about: Study | None = None
    ) -> list[Series]:
        """Its series; see ``SeriesRow.described``. ``about``: the study, where more is known of it than stands here."""
        rows = in_order(self.series) if self.is_sorted else self.series
        found = [row.described(about or self.study, place, base, headers) for place, row in enumerate(rows)]
        listed = sum(series.expected or 0 for series in found)
        if found and (self.count or 0) > listed:
            found[0] = found[0].with_problem(
                Problem("count-unmet", values={"stated": self.count or 0, "received": listed})
            )
        return found


def in_order(rows: Iterable[R]) -> tuple[R, ...]:
    """Rows by their numbers; those without one come last, as the site has them."""
    return tuple(sorted(rows, key=lambda row: none_last(row.number)))


def _once(rows: Iterable[Image]) -> Iterable[Image]:
    """Rows without those that name the same file as one before."""
    seen = set[tuple[str, ...]]()
    for row in rows:
        name = (row.url, row.key, row.uid)
        if not (row.url or row.key) or name not in seen:
            yield row
        seen.add(name)


def _rows(value: object) -> object:
    """An object of rows as a list of them."""
    if not isinstance(value, Mapping):
        return value
    rows = {uid: row if isinstance(row, Mapping) else {"url": row} for uid, row in value.items()}
    return [{"uid": uid, **row} for uid, row in rows.items()]
