"""What was learnt of a viewer → the source text of a small provider that a person can read, mend and contribute."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from scraper.authoring.source_guard import (
    CONTRACT_NAMES,
    UnsafeSource,
    class_name,
    host_words,
    identifier,
    literal,
    raw_literal,
    template,
)
from scraper.authoring.trace import (
    Answered,
    Call,
    FromLink,
    FromReply,
    Part,
    Reference,
    Text,
    Tracer,
    host_of,
)
from scraper.capture.infer import templates
from scraper.core.domains import same_site
from scraper.core.link import ShareLink
from scraper.core.model import QUESTIONS
from scraper.core.schema import Reply

TAKEN: Final = frozenset(
    (*(name for name in dir(Reply) if not name.startswith("_")), "list", "str")
)  # names that a Reply has, and those that its annotations need
RESERVED: Final = frozenset(
    (
        "answer",
        "encode_query",
        "headers",
        "instances",
        "link",
        "listing",
        "number",
        "place",
        "quoted",
        "read",
        "self",
        "session",
    )
)  # of the written functions
LINE: Final = 120
QUOTED: Final = '''

def quoted(text: str) -> str:
    """Percent-encoded, as the site's own addresses have it."""
    return encode_query({"v": text}).partition("=")[2]
'''
Keys = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Identity:
    """The fields of a record that hold DICOM's own names, where there are such; empty: not given."""

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


@dataclass(slots=True)
class _Model:
    """A Reply class: its fields by the site's key."""

    name: str
    fields: dict[str, str] = field(default_factory=dict)  # key -> the rest of the line after the attribute's name

    def attribute(self, key: str) -> str:
        """The key as a Python name."""
        words = identifier(key, TAKEN)
        return f"{words}_" if words.startswith("model_") else words

    def add(self, key: str, kind: str, default: str = "") -> str:
        """A field; gives its attribute."""
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
        """The class."""
        return "\n".join([f"class {self.name}(Reply):", *(f"    {line}" for line in self.fields.values())])


class Writer:
    """Writes one provider.

    Args:
        learnt: what was learnt.
    """

    def __init__(self, learnt: InferredProvider) -> None:
        self._learnt = learnt
        self._models: list[_Model] = []
        self._names = {
            "AsyncIterator",
            "Deployment",
            "Instance",
            "Provider",
            "Reply",
            "Series",
            "Session",
            "ShareLink",
            "WadoUri",
        }
        self._replies: dict[int, _Model] = {}  # call -> the model of its answer
        self._wrapped = isinstance(learnt.sample, list)

    def text(self) -> str:
        """The module's source."""
        body = self._discover()
        learnt = self._learnt
        for question in self._questions():
            self._names.add(question.upper())
        if any("Field(" in model.text for model in self._models):
            self._names.add("Field")
        helper = ""
        if "quoted(" in body:
            helper = QUOTED
            self._names.add("encode_query")
        asks = [name.upper() for name in self._questions()]
        listed = ", ".join(asks) + ("," if len(asks) == 1 else "")
        lines = [
            self._header(),
            "from __future__ import annotations\n",
            fitted("from scraper.contract import ", "(", sorted(self._names, key=_import_order), ")", 0) + "\n",
            *(f"\n{model.text}\n" for model in self._models),
            f"\nclass {self._provider_name()}(Provider):",
            f"    name = {literal(learnt.name)}",
            "    # assumed: from one link; its values are the named groups",
            f"    route = {raw_literal(learnt.route)}",
            *([f"    asks = ({listed})"] if asks else []),
            *self._about(),
            f"    deployments = (Deployment({literal(host_of(learnt.link))}, {literal(learnt.link.host)}),)"
            "  # its name goes here",
            *self._hosts(body),
            *self._marks(),
            "",
            "    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Series]:",
            body,
        ]
        return "\n".join(lines).rstrip("\n") + "\n" + helper

    def _provider_name(self) -> str:
        """The class's name: none of Python's or of the contract's."""
        name = class_name(self._learnt.name)
        is_taken = keyword.iskeyword(name) or hasattr(builtins, name) or name in CONTRACT_NAMES
        return f"{name}Site" if is_taken or name in {model.name for model in self._models} else name

    # ---- the head

    def _header(self) -> str:
        learnt = self._learnt
        notes = dict.fromkeys(["the route's shape, from one link", *learnt.tracer.assumed])
        assumed = "\n".join(f"assumed: {note}" for note in notes)
        return (
            f'"""{host_words(learnt.link.host)}: a viewer that was watched once, not yet looked at by a person.\n\n'
            f'{assumed}\n"""\n'
        )

    def _about(self) -> list[str]:
        """What the provider says of itself."""
        learnt = self._learnt
        proofs = f"one link, {learnt.rule.proofs} requests of the viewer reproduced"
        return [
            f"    facts = {literal(f'cloudfilm learn, {learnt.month}: {proofs}')}",
            f"    verified = {literal(f'the link that it was learnt from, {learnt.month}')}",
        ]

    def _hosts(self, body: str) -> list[str]:
        """Other sites' hosts that the viewer itself called: what is a person's own may go there."""
        named = sorted(set(re.findall(r"""["']https?://([A-Za-z0-9.-]+)""", body)))
        others = [host for host in named if not same_site(host, self._learnt.link.host)]
        listed = ", ".join(map(literal, others))
        return [f"    hosts = ({listed},)  # as the viewer called them"] if others else []

    def _marks(self) -> list[str]:
        plain = re.sub(r"\(\?P<\w+>[^)]*\)", "", self._learnt.route)
        words = re.findall(r"[A-Za-z]{3,}", plain)
        if len(words) < 3:
            return ["    # assumed: no marks; the link's shape is too plain to betray the platform on another host"]
        return ["    marks = (route,)  # assumed: nobody else's links look like this"]

    def _questions(self) -> list[str]:
        used = {
            part.reference.question
            for call in self._learnt.tracer.calls
            for text in _texts(call)
            for part in text
            if isinstance(part, Part) and isinstance(part.reference, Answered)
        }
        return [question.name for question in QUESTIONS if question.name in used]

    # ---- the calls

    def _discover(self) -> str:
        learnt = self._learnt
        lines = ["await session.get(link.url)  # sets a cookie"] if learnt.visits else []
        calls = learnt.tracer.calls
        needed = {
            part.reference.call
            for text in [
                *(text for call in calls for text in _texts(call)),
                *learnt.literals,
                *(header for _, header in learnt.headers),
            ]
            for part in text
            if isinstance(part, Part) and isinstance(part.reference, FromReply)
        }
        bodies = []
        for number in range(len(calls)):
            model = self._model_of(number) if number in needed | {learnt.listing} else None
            bodies.append((number, model))
        loops = self._loops()
        for number, model in bodies:
            lines += self._call(number, model)
        return "\n".join(f"        {line}" for line in [*lines, *loops])

    def _model_of(self, number: int) -> _Model:
        if number not in self._replies:
            last = number == self._learnt.listing
            self._replies[number] = _Model("ListReply" if last else f"Reply{number + 1}")
        return self._replies[number]

    def _call(self, number: int, model: _Model | None) -> list[str]:
        call = self._learnt.tracer.calls[number]
        method = "post" if call.exchange.method == "POST" else "get"
        given = [self._address(call.url)]
        if call.headers:
            given.append("headers=" + mapping({name: self._value(text) for name, text in call.headers}, 12))
        if call.json is not None:
            given.append("json=" + mapping({name: self._json(item) for name, item in call.json.items()}, 12))
        if call.form is not None:
            given.append("form=" + mapping({name: self._value(item) for name, item in call.form.items()}, 12))
        if call.body is not None:
            given.append(f"data={self._value(call.body)}.encode()")
        variable = self._variable(number)
        if model is not None and number == self._learnt.listing and self._wrapped:
            self._names.add("read")
            return [
                fitted(f"answer = await session.{method}", "(", given, ")", 8),
                f"""{variable} = read(b'{{"items": ' + answer.body + b"}}", {model.name}, answer.url)""",
            ]
        if model is None:
            return [fitted(f"await session.{method}", "(", given, ")", 8)]
        return [fitted(f"{variable} = await session.{method}", "(", [*given, f"reply={model.name}"], ")", 8)]

    def _variable(self, number: int) -> str:
        return "listing" if number == self._learnt.listing else f"reply{number + 1}"

    def _json(self, value: Text | float | None) -> str:
        return self._value(value) if isinstance(value, tuple) else literal(value)

    # ---- the loops over the list

    def _loops(self) -> list[str]:
        """From the list's answer to ``yield Series(…)``."""
        learnt = self._learnt
        steps = list(learnt.rule.shape[1:])
        if self._wrapped:
            steps = ["items", *steps]
        walk = _Walk(self, steps, _first(learnt))
        lines, indent = [], ""
        last = max(place for place, step in enumerate(steps) if step == "*")
        counters: list[str] = []
        for place, step in enumerate(steps[:last]):
            if step == "*":
                variable = walk.variable(place)
                counters.append(f"place{len(counters) or ''}")
                lines.append(f"{indent}for {counters[-1]}, {variable} in enumerate({walk.expression(place)}, 1):")
                indent += "    "
        record = walk.variable(last)
        address = walk.address()
        uid = walk.field(learnt.identity.sop_instance_uid)
        key = "".join(f"{{{counter}}}/" for counter in counters) + "{number}"
        wanted = [address, *(["headers"] if learnt.headers else [])]
        source = fitted("WadoUri", "(", wanted, ")", len(indent) + 16, after=1)
        if learnt.headers:
            lines.insert(0, "headers = " + mapping({name: self._value(text) for name, text in learnt.headers}, 8))
        deep = len(indent) + 8
        made = [uid or '""', source, f'key=f"{key}"', "number=number"]
        lines += [
            f"{indent}instances = tuple(",
            f"{indent}    " + fitted("Instance", "(", made, ")", deep + 4),
            f"{indent}    for number, {record} in enumerate({walk.expression(last)}, 1)",
            f"{indent})",
        ]
        study = walk.field(learnt.identity.study_instance_uid, above=True)
        series = walk.field(learnt.identity.series_instance_uid, above=True)
        at = "".join(f"-{{{counter}}}" for counter in counters)
        named = f'key=f"list{at}"' if counters else 'key="list"'
        # one list of everything may hold several series: then its length is no series' count
        count = ["len(instances)"] if counters else []
        shown = [study or '""', series or '""', "instances", *count, named]
        lines.append(indent + fitted("yield Series", "(", shown, ")", deep))
        self._models += [
            *walk.models(),
            *(model for number, model in sorted(self._replies.items()) if model not in walk.models()),
        ]
        return lines

    # ---- values

    def _reference(self, reference: Reference) -> str:
        match reference:
            case FromLink(group):
                return "link['" + identifier_of(group) + "']"
            case Answered(question):
                return f"session.answer({question.upper()})"
            case FromReply(call, path):
                return self._of_reply(call, path)

    def _of_reply(self, call: int, path: Keys) -> str:
        """An earlier answer's field as an expression; its models grow by what is needed."""
        model, expression = self._model_of(call), self._variable(call)
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

    def _inner(self, name: str) -> _Model:
        for model in self._models:
            if model.name == name:
                return model
        self._models.append(_Model(name))
        return self._models[-1]

    def reply_model(self) -> _Model:
        """The model of the list's answer."""
        return self._model_of(self._learnt.listing)

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

    def _value(self, text: Text) -> str:
        return formatted(self.pieces(text))

    def _address(self, text: Text) -> str:
        return self.joined(self.pieces(text))

    def joined(self, pieces: list[tuple[str, str]]) -> str:
        """An address: relative to the link where it is on the link's own host."""
        origin = self._learnt.link.origin
        if pieces and pieces[0][0] == "literal" and pieces[0][1].startswith((origin + "/", origin)):
            rest = pieces[0][1].removeprefix(origin)
            if not rest or rest.startswith("/"):
                pieces = ([("literal", rest)] if rest else []) + pieces[1:]
                return f"link.join({formatted(pieces)})"
        return formatted(pieces)

    @property
    def learnt(self) -> InferredProvider:
        """What is written from."""
        return self._learnt


class _Walk:
    """The way from the list's answer to its records: models and expressions for each step.

    Args:
        writer: whose models grow.
        steps: keys, and ``*`` for an array.
        levels: for each step that is a place of an object: what it holds there, in a sample.
    """

    def __init__(self, writer: Writer, steps: Sequence[str | int], levels: Mapping[int, Mapping[str, Any]]) -> None:
        self._writer = writer
        self._steps = steps
        self._levels = levels
        self._made: dict[int, _Model] = {}
        self._names: dict[int, str] = {}
        self._model(0)
        for place in range(len(steps)):
            self._field(place)

    def _model(self, place: int) -> _Model:
        """The model of the object that stands after ``place`` steps."""
        if place not in self._made:
            if place == 0:
                self._made[0] = self._writer.reply_model()
            else:
                key = next(str(step) for step in reversed(self._steps[:place]) if step != "*")
                name = class_name(key) + "Reply"
                while name in {model.name for model in self._made.values()}:
                    name = "Inner" + name
                self._made[place] = _Model(name)
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

    def models(self) -> list[_Model]:
        """Inner ones first."""
        return [self._made[place] for place in sorted(self._made, reverse=True)]

    def expression(self, place: int) -> str:
        """What stands after ``place`` steps."""
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
        """The name of the loop over the array that is step ``place``."""
        if place not in self._names:
            key = next((str(step) for step in reversed(self._steps[:place]) if step != "*"), "item")
            name = _Model("").attribute(key).rstrip("_") or "item"
            is_last = "*" not in self._steps[place + 1 :]
            single = name[:-3] + "y" if name.endswith("ies") and name != "series" else name.removesuffix("s")
            single = f"one_{single}" if keyword.iskeyword(single) or hasattr(builtins, single) else single
            single = {"serie": "one_series", "item": "item", "list": "entry"}.get(single, single)
            if single in self._names.values() or single in RESERVED or single.startswith(("reply", "place")):
                single = "image" if is_last and single != "image" else f"{single}_{place}"
            self._names[place] = single
        return self._names[place]

    def field(self, name: str, *, above: bool = False) -> str:
        """A field of a record, or of what stands around it, as an expression; empty where it can't be named there.

        Args:
            name: the site's key; ``learn.ITSELF`` does not count.
            above: only what stands around the innermost array.
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
        learnt = self._writer.learnt
        last = len(self._steps)
        pieces: list[tuple[str, str]] = []
        blanks = learnt.rule.template.blanks
        for text, blank in zip(learnt.literals, [*blanks, None], strict=True):
            pieces += self._writer.pieces(text)
            if blank is not None:
                name, is_quoted = blank
                value = self.variable(last - 1) if name == templates.WHOLE_RECORD else self.field(name)
                pieces.append(("value", f"quoted({value})" if is_quoted else value))
        if len(pieces) == 1 and pieces[0][0] == "value":
            return f"link.join({pieces[0][1]})"
        return self._writer.joined(pieces)


def _first(learnt: InferredProvider) -> dict[int, Mapping[str, Any]]:
    """The objects on the way to the first record: after how many steps → the object."""
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


def _texts(call: Call) -> Iterator[Text]:
    yield call.url
    yield from (text for _, text in call.headers)
    yield from (text for text in (call.json or {}).values() if isinstance(text, tuple))
    yield from (call.form or {}).values()
    if call.body is not None:
        yield call.body


def fitted(head: str, opening: str, items: Sequence[str], closing: str, indent: int, *, after: int = 0) -> str:
    """A call or a list on one line where it fits, else one item a line, as the formatter has it.

    Args:
        head: what stands before it.
        opening: the bracket.
        items: what is inside; an item of several lines is indented along.
        closing: the other bracket.
        indent: columns that the first line will stand in.
        after: columns that follow on its last line.
    """
    bare = head.startswith("from ")
    line = head + ("" if bare else opening) + ", ".join(items) + ("" if bare else closing)
    if "\n" not in line and len(line) + indent + after <= LINE:
        return line
    pad = " " * indent
    inner = "".join(f"{pad}    {item}," + "\n" for item in items)
    return f"{head}{opening}\n{inner}{pad}{closing}"


def mapping(items: Mapping[str, str], indent: int) -> str:
    """A dict's display."""
    pairs = [f"{literal(name)}: {value}" for name, value in items.items()]
    return fitted("", "{", pairs, "}", indent)


def formatted(pieces: Sequence[tuple[str, str]]) -> str:
    """A Python expression for literals and values in a row."""
    if len(pieces) == 1 and pieces[0][0] == "value":
        return pieces[0][1]
    if all(kind == "literal" for kind, _ in pieces):
        return literal("".join(text for _, text in pieces))
    return template(pieces)


def identifier_of(group: str) -> str:
    """A named group of the route, which stands in quotes within a formatted text.

    Raises:
        UnsafeSource: it is no plain name.
    """
    if not group.isascii() or not group.isidentifier():
        raise UnsafeSource("a name of the link can't be written down")
    return group


def _import_order(name: str) -> tuple[int, str]:
    """As the import sorter has it: constants, classes, functions."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name
