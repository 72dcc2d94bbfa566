"""What ``learn`` found out of a viewer: the data that a provider is written from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

from scraper.authoring.trace import Text, Tracer
from scraper.capture.infer import templates
from scraper.core.link import ShareLink


@dataclass(frozen=True, slots=True)
class Identity:
    """The fields of a record that hold DICOM's own attributes; empty: not given."""

    sop_instance_uid: str = ""
    series_instance_uid: str = ""
    study_instance_uid: str = ""


@dataclass(frozen=True, slots=True)
class InferredProvider:
    """Everything that a provider is written from."""

    link: ShareLink
    route: str
    name: str
    tracer: Tracer
    listing: int  # the number of the call that gives the list
    rule: templates.Rule
    literals: tuple[Text, ...]  # of the rule's template, taken apart
    headers: tuple[tuple[str, Text], ...]  # of the image requests
    sample: Any  # the list's JSON value
    identity: Identity
    visits: bool  # the page itself must be asked first: it sets a cookie
    month: str
    is_recorded: bool = False  # from a recording alone: the site itself was not asked

    def named(self, name: str) -> Self:
        """The same under another name."""
        return replace(self, name=name)
