"""From a list's reply to its records: the loops, models and expressions of a written provider."""

from __future__ import annotations

import builtins
import keyword
from collections.abc import Mapping, Sequence
from typing import Any, Final

from scraper.authoring.inferred import InferredProvider
from scraper.authoring.reply_models import Expressions, ReplyModel
from scraper.authoring.source_guard import class_name
from scraper.capture.infer import templates

RESERVED: Final = frozenset(
    ("encode_query", "headers", "instances", "link", "listing", "number", "place", "quoted", "self", "session")
)  # of the written functions


class ListWalk:
    """The path from the list's response to its records: models and expressions for each step.

    Args:
        expressions: whose models get fields.
        steps: keys, and ``*`` for an array.
        levels: a sample object for each step that leads to an object.
    """

    def __init__(
        self, expressions: Expressions, steps: Sequence[str | int], levels: Mapping[int, Mapping[str, Any]]
    ) -> None:
        self._expressions = expressions
        self._steps = steps
        self._levels = levels
        self._made: dict[int, ReplyModel] = {}
        self._names: dict[int, str] = {}
        self._model(0)
        for place in range(len(steps)):
            self._field(place)

    def _model(self, place: int) -> ReplyModel:
        """The model of the object after ``place`` steps."""
        if place not in self._made:
            if place == 0:
                self._made[0] = self._expressions.reply_model()
            else:
                key = next(str(step) for step in reversed(self._steps[:place]) if step != "*")
                name = class_name(key) + "Reply"
                while name in {model.name for model in self._made.values()}:
                    name = "Inner" + name
                self._made[place] = ReplyModel(name)
        return self._made[place]

    def _is_object(self, place: int) -> bool:
        return place == 0 or place in self._levels

    def _kind(self, place: int) -> str:
        if place == len(self._steps):
            return self._model(place).name if self._is_object(place) else "str"
        if self._steps[place] == "*":
            return f"list[{self._kind(place + 1)}]"
        return self._model(place).name

    def _field(self, place: int) -> None:
        step = self._steps[place]
        if step != "*":
            kind = self._kind(place + 1)
            nested = kind.startswith("list[") and "*" in self._steps[:place]
            self._model(place).add(str(step), kind, "default_factory=list" if nested else "")

    def models(self) -> list[ReplyModel]:
        """The models, inner ones first."""
        return [self._made[place] for place in sorted(self._made, reverse=True)]

    def expression(self, place: int) -> str:
        """The expression for the object after ``place`` steps."""
        start, base = 0, "listing"
        for at in range(place - 1, -1, -1):
            if self._steps[at] == "*":
                start, base = at + 1, self.variable(at)
                break
        for at in range(start, place):
            model = self._model(at)
            base += "." + model.fields[str(self._steps[at])].partition(":")[0]
        return base

    def variable(self, place: int) -> str:
        """The name of the loop variable over the array at step ``place``."""
        if place not in self._names:
            key = next((str(step) for step in reversed(self._steps[:place]) if step != "*"), "item")
            name = ReplyModel("").attribute(key).rstrip("_") or "item"
            is_last = "*" not in self._steps[place + 1 :]
            single = name[:-3] + "y" if name.endswith("ies") and name != "series" else name.removesuffix("s")
            single = f"one_{single}" if keyword.iskeyword(single) or hasattr(builtins, single) else single
            single = {"serie": "one_series", "item": "item", "list": "entry"}.get(single, single)
            if single in self._names.values() or single in RESERVED or single.startswith(("reply", "place")):
                single = "image" if is_last and single != "image" else f"{single}_{place}"
            self._names[place] = single
        return self._names[place]

    def field(self, name: str, *, above: bool = False) -> str:
        """A field of a record, or of an enclosing object, as an expression; empty where it can't be reached.

        Args:
            name: the site's key; ``learn.ITSELF`` does not count.
            above: only objects around the innermost array.
        """
        if not name:
            return ""
        last = max(place for place, step in enumerate(self._steps) if step == "*")
        for place in sorted(self._levels, reverse=True):
            if name in self._levels[place] and not (above and place > last):
                model = self._model(place)
                attribute = model.add(name, "str", '""') if above else model.add(name, "str")
                return f"{self._base(place)}.{attribute}"
        return ""

    def _base(self, place: int) -> str:
        if place and self._steps[place - 1] == "*":
            return self.variable(place - 1)
        return self.expression(place)

    def address(self) -> str:
        """The image's address, for the loop's current record."""
        learnt = self._expressions.learnt
        last = len(self._steps)
        pieces: list[tuple[str, str]] = []
        blanks = learnt.rule.template.blanks
        for text, blank in zip(learnt.literals, [*blanks, None], strict=True):
            pieces += self._expressions.pieces(text)
            if blank is not None:
                name, is_quoted = blank
                value = self.variable(last - 1) if name == templates.WHOLE_RECORD else self.field(name)
                pieces.append(("value", f"quoted({value})" if is_quoted else value))
        if len(pieces) == 1 and pieces[0][0] == "value":
            return f"link.join({pieces[0][1]})"
        return self._expressions.joined(pieces)


def first_record(learnt: InferredProvider) -> dict[int, Mapping[str, Any]]:
    """The objects on the path to the first record: number of steps → object."""
    found: dict[int, Mapping[str, Any]] = {}
    offset = 1 if isinstance(learnt.sample, list) else 0

    def down(value: Any, steps: Sequence[str | int], place: int) -> bool:
        if isinstance(value, Mapping):
            found[place] = value
        if not steps:
            return True
        inner = value if isinstance(value, list) and steps[0] == "*" else []
        if isinstance(value, Mapping) and steps[0] in value:
            inner = [value[steps[0]]]
        for item in inner:
            for above in [at for at in found if at > place]:
                del found[above]
            if down(item, steps[1:], place + 1):
                return True
        return False

    down(learnt.sample, list(learnt.rule.shape[1:]), offset)
    return found
