"""Models of a site's replies, and references to their fields, as Python source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from scraper.authoring.inferred import InferredProvider
from scraper.authoring.python_text import formatted, identifier_of
from scraper.authoring.source_guard import class_name, identifier, literal
from scraper.authoring.trace import Answered, FromLink, FromReply, Reference, Text
from scraper.core.schema import Reply

TAKEN: Final = frozenset(
    (*(name for name in dir(Reply) if not name.startswith("_")), "list", "str")
)  # names that a Reply has, and those that its annotations need
Keys = tuple[str | int, ...]


@dataclass(slots=True)
class ReplyModel:
    """A Reply class: its fields by the site's key; ``bare_list``: the field for an answer that is a list itself."""

    name: str
    fields: dict[str, str] = field(default_factory=dict)  # key -> the rest of the line after the attribute's name
    bare_list: str = ""

    def attribute(self, key: str) -> str:
        """The key as a Python name."""
        words = identifier(key, TAKEN)
        return f"{words}_" if words.startswith("model_") else words

    def add(self, key: str, kind: str, default: str = "") -> str:
        """Add a field; returns its attribute."""
        attribute = self.attribute(key)
        others = {self.attribute(text) for text in self.fields if text != key}
        while attribute in others:
            attribute += "_"
        alias = f"alias={literal(key)}" if attribute != key else ""
        given = ", ".join(part for part in (default, alias) if part)
        self.fields[key] = f"{attribute}: {kind}" + (f" = Field({given})" if given else "")
        return attribute

    @property
    def text(self) -> str:
        """The source of the class."""
        lines = [f"bare_list = {literal(self.bare_list)}"] if self.bare_list else []
        return "\n".join([f"class {self.name}(Reply):", *(f"    {line}" for line in [*lines, *self.fields.values()])])


class Expressions:
    """Values of requests as Python expressions; the reply models get the fields that these need.

    Args:
        learnt: the inferred provider.

    Attributes:
        models: of parts of replies, inner ones first.
        replies: the model of each call's response.
    """

    def __init__(self, learnt: InferredProvider) -> None:
        self.learnt = learnt
        self.models: list[ReplyModel] = []
        self.replies: dict[int, ReplyModel] = {}

    def model_of(self, number: int) -> ReplyModel:
        """The model of a call's response."""
        if number not in self.replies:
            last = number == self.learnt.listing
            self.replies[number] = ReplyModel("ListReply" if last else f"Reply{number + 1}")
        return self.replies[number]

    def variable(self, number: int) -> str:
        """The name of the variable with a call's response."""
        return "listing" if number == self.learnt.listing else f"reply{number + 1}"

    def _reference(self, reference: Reference) -> str:
        match reference:
            case FromLink(group):
                return "link['" + identifier_of(group) + "']"
            case Answered(question):
                return f"session.answer({question.upper()})"
            case FromReply(call, path):
                return self._of_reply(call, path)

    def _of_reply(self, call: int, path: Keys) -> str:
        """A field of an earlier response as an expression; its models get the needed fields."""
        model, expression = self.model_of(call), self.variable(call)
        for place, step in enumerate(path):
            last = place == len(path) - 1
            following = path[place + 1] if not last else None
            if isinstance(step, int):
                expression += f"[{step}]"
                continue
            if last or (isinstance(following, int) and place == len(path) - 2):
                expression += "." + model.add(step, "str" if last else "list[str]")
            else:
                inner = self._inner(f"{model.name.removesuffix('Reply')}{class_name(step)}")
                expression += "." + model.add(step, f"list[{inner.name}]" if isinstance(following, int) else inner.name)
                model = inner
        return expression

    def _inner(self, name: str) -> ReplyModel:
        for model in self.models:
            if model.name == name:
                return model
        self.models.append(ReplyModel(name))
        return self.models[-1]

    def reply_model(self) -> ReplyModel:
        """The model of the list's response."""
        return self.model_of(self.learnt.listing)

    def pieces(self, text: Text) -> list[tuple[str, str]]:
        """A text as ("literal" or "value", …) pieces."""
        out = []
        for part in text:
            if isinstance(part, str):
                out.append(("literal", part))
            else:
                value = self._reference(part.reference)
                out.append(("value", f"quoted({value})" if part.quoted else value))
        return out

    def value(self, text: Text) -> str:
        """A text as an expression."""
        return formatted(self.pieces(text))

    def address(self, text: Text) -> str:
        """An address as an expression."""
        return self.joined(self.pieces(text))

    def joined(self, pieces: list[tuple[str, str]]) -> str:
        """An address, relative to the link where it is on the link's own host."""
        origin = self.learnt.link.origin
        if pieces and pieces[0][0] == "literal" and pieces[0][1].startswith((origin + "/", origin)):
            rest = pieces[0][1].removeprefix(origin)
            if not rest or rest.startswith("/"):
                pieces = ([("literal", rest)] if rest else []) + pieces[1:]
                return f"link.join({formatted(pieces)})"
        return formatted(pieces)
