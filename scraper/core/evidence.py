"""The evidence by which a series' completeness is judged, strongest first; what was only seen can't be complete."""

from __future__ import annotations

from enum import IntEnum


class Evidence(IntEnum):
    """From the weakest to the strongest; a stronger one overrules a weaker one."""

    SIGHT = 1  # only seen; the total is unknown
    NUMBERS = 2  # instance numbers 1…n in a viewer that was scrolled to both ends
    USER = 3  # a person says how many there are
    VIEWER = 4  # the page shows a count
    PACKAGE = 5  # the site's own zip
    MANIFEST = 6  # a list or count that the viewer received
    SERVICE = 7  # the list of the site's own service, or of a provider

    @property
    def code(self) -> str:
        """The code of the problem that says so."""
        return f"judged-by-{self.name.lower()}"

    @property
    def is_weak(self) -> bool:
        """Whether the total is unknown."""
        return self <= Evidence.NUMBERS


def named(name: object) -> Evidence | None:
    """The evidence of that name in ``study.json``; None for anything else."""
    return next((evidence for evidence in Evidence if evidence.name.lower() == name), None)


CODES = frozenset(evidence.code for evidence in Evidence)
