"""JSON → Reply: what a site answers, checked at the edge."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from itertools import islice
from typing import Annotated, Any, ClassVar, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    field_validator,
    model_validator,
)

from scraper.core.bounded_json import parse_json
from scraper.core.errors import CloudfilmError, CredentialsRefused, ListNotReadInTime, SiteChanged, StudyGone
from scraper.core.questions import Question
from scraper.core.reasons import Reason
from scraper.core.refusals import is_question, refusal_error
from scraper.core.settings import MAX_FRAMES, MAX_INSTANCES
from scraper.core.text import decode_text
from scraper.isolation.json_text import ReadLate

__all__ = [
    "CheckedReply",
    "Field",
    "Number",
    "Repaired",
    "Reply",
    "at_most",
    "field_validator",
    "model_validator",
    "fix_mojibake",
    "frame_count",
    "parse_int",
    "parse_json",
    "none_last",
    "value_at",
    "read",
    "read_json",
]


class Reply(BaseModel):
    """Base of every reply: only the keys that a provider relies on, others are ignored; numbers may come as text.

    A field that has a default keeps it where a site gives something empty instead (``null``, ``""``, ``[]``, ``{}``,
    ``false``), as many do with the data of a refusal. So write ``name: str = ""``, ``rows: tuple[Row, ...] = ()``,
    ``count: Number = None``, and ``study: Study = Field(default_factory=Study.empty)`` for a reply inside a reply.

    A key is found in any capitals (``studyUid``, ``StudyUID``), the exact spelling first: sites mix them from call to call.

    An alias with dots is a path: ``uid: str = Field("", alias="data.studies.0.uid")``; no model is needed for the levels between.
    With a bar it names alternatives, of which the first that holds something counts: ``alias="study.date|study.datetime"``.

    An object or a list may come as JSON text inside the JSON, also the whole answer.

    Attributes:
        bare_list: the field that takes the whole answer, where that is a list and no object.
    """

    bare_list: ClassVar[str] = ""

    model_config = ConfigDict(
        extra="ignore",
        populate_by_name=True,
        coerce_numbers_to_str=True,
        frozen=True,
        arbitrary_types_allowed=True,
        defer_build=True,  # built at the first answer: no schema is needed to know a link's owner
    )

    @classmethod
    def empty(cls) -> Self:
        """The reply of a site that gives none of the keys: every field has its default."""
        return cls.model_validate({})

    @model_validator(mode="wrap")
    @classmethod
    def _defaults_for_empties(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        value = _unwrapped(value)
        if isinstance(value, list) and cls.bare_list:
            value = {cls.bare_list: value}
        if isinstance(value, Mapping):
            missing = [name for name in _keys(cls) if name not in value]
            value = {**value, **{name: found for name in missing if (found := _inside(value, name)) is not None}}
        try:
            return handler(value)
        except ValidationError as err:
            if not isinstance(value, Mapping):
                raise
            wrong = {error["loc"][0] for error in err.errors(include_input=False, include_url=False) if error["loc"]}
            optional = {
                key
                for name, field_info in cls.model_fields.items()
                if not field_info.is_required()
                for key in (name, field_info.alias)
            }
            empty = {name for name in wrong & optional if _is_empty(value.get(name))}
            opened = {name: found for name in wrong if (found := _unwrapped(given := value.get(name))) is not given}
            if not empty and not opened:
                raise
        return handler({name: given for name, given in {**value, **opened}.items() if name not in empty})


@cache
def _keys(reply: type[Reply]) -> tuple[str, ...]:
    """The keys and paths that its fields are read from."""
    return tuple(field_info.alias or name for name, field_info in reply.model_fields.items())


def _inside(value: Any, paths: str) -> Any:
    """The value at ``a.b.0.c`` in any capitals, or None; of ``a|b`` the first that is not empty."""
    found = (value_at(value, path) for path in paths.split("|"))
    return next(found) if "|" not in paths else next((item for item in found if not _is_empty(item)), None)


def _unwrapped(value: Any) -> Any:
    """The object or list that a JSON text holds; any other value as it is."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return value
    try:
        return parse_json(value)
    except (ValueError, RecursionError):
        return value


def value_at(value: Any, path: str) -> Any:
    """The value at ``a.b.0.c`` in any capitals, or None; of an empty path the value itself."""
    for step in path.split(".") if path else ():
        value = _unwrapped(value)
        if isinstance(value, Mapping):
            value = value[step] if step in value else value.get(_spelling(value, step))
        elif isinstance(value, list) and step.isdigit():
            value = value[int(step)] if int(step) < len(value) else None
        else:
            return None
    return value


def _spelling(value: Mapping[str, Any], name: str) -> str | None:
    """The key of a mapping that is ``name`` but for its capitals."""
    folded = name.casefold()
    return next((key for key in value if len(key) == len(name) and key.casefold() == folded), None)


def _is_empty(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(_is_empty(item) for item in value.values())
    return value is None or value is False or value in ("", [])


class CheckedReply(Reply):
    """A reply that says itself whether the site agrees, as many sites do whatever the HTTP status.

    ``session.get(…, reply=…)`` and ``response.checked(…)`` raise ``refusal`` where it does not. A site with other keys gives
    the fields its own ``alias``.

    Attributes:
        good: the codes of success; where it is empty, ``success`` alone tells.
        is_entrance: the answer to a share's first call: refused without words, the share itself is no longer valid.
        means: errors of known codes.
        otherwise: the error for words that do not say that the share is over.
        checks: the question whose answer the call carried: refused for any other reason than a share that is over, it was wrong.
        is_sealed: the call was signed or sealed with a key of the site's script, which the site may have changed.
    """

    good: ClassVar[tuple[str, ...]] = ()
    is_entrance: ClassVar[bool] = False
    means: ClassVar[Mapping[str, Callable[[str], CloudfilmError]]] = {}
    otherwise: ClassVar[Callable[..., CloudfilmError]] = StudyGone
    checks: ClassVar[Question | None] = None
    is_sealed: ClassVar[bool] = False
    code: str = ""
    success: bool = True
    msg: str = ""
    message: str = ""

    @property
    def ok(self) -> bool:
        """Does the site agree."""
        return self.success and (not self.good or self.code in self.good or self._is_good_number)

    @property
    def _is_good_number(self) -> bool:
        """Is its code a good one in another notation of the number: ``0`` for ``"00"``."""
        number = parse_int(self.code)
        return number is not None and number in map(parse_int, self.good)

    @property
    def site_message(self) -> str:
        """The site's own words."""
        return self.msg or self.message

    @property
    def asks(self) -> bool:
        """Is it refused for want of a code or password, or with another one; a share that is over asks for nothing."""
        return not self.ok and is_question(self.site_message)

    def refusal(self) -> CloudfilmError:
        """The error that a refusal means."""
        if self.code in self.means:
            return self.means[self.code](self.site_message)
        or_else = partial(CredentialsRefused, self.checks.name) if self.checks else type(self).otherwise
        return refusal_error(self.site_message or self.code, or_else=or_else, is_sealed=self.is_sealed)


R = TypeVar("R", bound=Reply)
T = TypeVar("T")


def fix_mojibake(text: str) -> str:
    """Undo UTF-8 that was read as Latin-1; any other text is returned unchanged."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def parse_int(value: object) -> int | None:
    """The whole number that a site gives, also as text ("60", "60.0"); None where it is empty or something else."""
    known = re.fullmatch(r"\s*(-?\d{1,11})(?:\.0*)?\s*", "" if value is None else str(value))
    return int(known[1]) if known else None


Repaired = Annotated[str, AfterValidator(fix_mojibake)]
"""A text of a reply that some servers give as UTF-8 read as Latin-1."""

Number = Annotated[int | None, BeforeValidator(parse_int)]
"""A whole number of a reply: ``count: Number = None``; None where the site gives none."""


def none_last(number: int | None) -> int:
    """The place of a number in an order; what has none comes last."""
    return 2**31 if number is None else number


def frame_count(value: object) -> int:
    """How many frames a site gives an object, at least one.

    Raises:
        ValueError: more than any object has.
    """
    count = max(parse_int(value) or 1, 1)
    if count > MAX_FRAMES:
        raise ValueError(f"{count} frames")
    return count


def at_most(items: Iterable[T], most: int = MAX_INSTANCES) -> tuple[T, ...]:
    """All items of a sequence whose length a site gives as a number.

    Raises:
        ValueError: more than any study has.
    """
    found = tuple(islice(items, most + 1))
    if len(found) > most:
        raise ValueError(f"more than {most}")
    return found


def read_json(body: bytes, url: str) -> Any:
    """The JSON value in a body.

    Raises:
        SiteChanged: no JSON; names the host and the path. ListNotReadInTime: it could not be looked at in time.
    """
    try:
        return parse_json(decode_text(body))
    except ReadLate as err:
        raise ListNotReadInTime(host=urlsplit(url).hostname, what=urlsplit(url).path) from err
    except (ValueError, RecursionError) as err:
        raise SiteChanged(host=urlsplit(url).hostname, what=Reason.NO_JSON.of(path=urlsplit(url).path)) from err


def read(body: bytes, reply: type[R], url: str) -> R:
    """A body as ``reply``.

    Raises:
        SiteChanged: no JSON, or a key is missing or of another kind; names the host, the path and the key.
    """
    value = read_json(body, url)
    try:
        return reply.model_validate(value)
    except ValidationError as err:
        first = err.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(step) for step in first["loc"]) or "(root)"
        raise SiteChanged(host=urlsplit(url).hostname, what=f"{urlsplit(url).path}, {key}: {first['type']}") from None
