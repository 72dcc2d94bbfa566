"""Write the source text of a small provider that a person can read, correct and contribute."""

from __future__ import annotations

import builtins
import keyword
import re
from typing import Final

from scraper.authoring.inferred import InferredProvider
from scraper.authoring.list_walk import ListWalk, first_record
from scraper.authoring.python_text import fitted, import_order, mapping
from scraper.authoring.reply_models import Expressions, ReplyModel
from scraper.authoring.source_guard import CONTRACT_NAMES, class_name, host_words, literal, raw_literal
from scraper.authoring.trace import Answered, FromReply, Part, Text, host_of
from scraper.core.domains import same_site
from scraper.core.questions import QUESTIONS

QUOTED: Final = '''

def quoted(text: str) -> str:
    """Percent-encoded, as the site's own addresses have it."""
    return encode_query({"v": text}).partition("=")[2]
'''


class Writer:
    """Writes one provider.

    Args:
        learnt: the inferred provider.
        example: an invented link, for a provider whose facts stand beside its emulated site; empty: they stand in the file.
    """

    def __init__(self, learnt: InferredProvider, example: str = "") -> None:
        self._learnt = learnt
        self._example = example
        self._expressions = Expressions(learnt)
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
        self._wrapped = isinstance(learnt.sample, list)

    def text(self) -> str:
        """The module's source."""
        body = self._discover()
        learnt = self._learnt
        for question in self._questions():
            self._names.add(question.upper())
        if any("Field(" in model.text for model in self._expressions.models):
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
            fitted("from scraper.contract import ", "(", sorted(self._names, key=import_order), ")", 0) + "\n",
            *(f"\n{model.text}\n" for model in self._expressions.models),
            f"\nclass {self.provider_name()}(Provider):",
            f"    name = {literal(learnt.name)}",
            "    # assumed: from one link; its values are the named groups",
            f"    route = {raw_literal(learnt.route)}",
            *([f"    asks = ({listed})"] if asks else []),
            *self._about(),
            f"    deployments = (Deployment({literal(host_of(learnt.link))}, {literal(learnt.link.host)}),)"
            "  # its name goes here",
            *self._hosts(body),
            *self._distinctive_routes(),
            "",
            "    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Series]:",
            body,
        ]
        return "\n".join(lines).rstrip("\n") + "\n" + helper

    def provider_name(self) -> str:
        """The class's name, distinct from Python's and the contract's names."""
        name = class_name(self._learnt.name)
        is_taken = keyword.iskeyword(name) or hasattr(builtins, name) or name in CONTRACT_NAMES
        return f"{name}Site" if is_taken or name in {model.name for model in self._expressions.models} else name

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
        if self._example:
            return [f"    example = {literal(self._example)}"]
        proofs = f"one link, {learnt.rule.proofs} requests of the viewer reproduced"
        verified = "a recording of its viewer alone" if learnt.is_recorded else "the link that it was learnt from"
        return [
            f"    facts = {literal(f'cloudfilm learn, {learnt.month}: {proofs}')}",
            f"    verified = {literal(f'{verified}, {learnt.month}')}",
        ]

    def _hosts(self, body: str) -> list[str]:
        """Other sites' hosts that the viewer itself called, and which may therefore get a person's answers."""
        named = sorted(set(re.findall(r"""["']https?://([A-Za-z0-9.-]+)""", body)))
        others = [host for host in named if not same_site(host, self._learnt.link.host)]
        listed = ", ".join(map(literal, others))
        return [f"    hosts = ({listed},)  # as the viewer called them"] if others else []

    def _distinctive_routes(self) -> list[str]:
        plain = re.sub(r"\(\?P<\w+>[^)]*\)", "", self._learnt.route)
        words = re.findall(r"[A-Za-z]{3,}", plain)
        if len(words) < 3:
            return ["    # assumed: the link's shape is too plain to be recognised on another host"]
        return ["    distinctive_routes = (route,)  # assumed: nobody else's links look like this"]

    def _questions(self) -> list[str]:
        used = {
            part.reference.question
            for call in self._learnt.tracer.calls
            for text in call.texts
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
                *(text for call in calls for text in call.texts),
                *learnt.literals,
                *(header for _, header in learnt.headers),
            ]
            for part in text
            if isinstance(part, Part) and isinstance(part.reference, FromReply)
        }
        bodies = []
        for number in range(len(calls)):
            model = self._expressions.model_of(number) if number in needed | {learnt.listing} else None
            bodies.append((number, model))
        loops = self._loops()
        for number, model in bodies:
            lines += self._call(number, model)
        return "\n".join(f"        {line}" for line in [*lines, *loops])

    def _call(self, number: int, model: ReplyModel | None) -> list[str]:
        call = self._learnt.tracer.calls[number]
        method = "post" if call.exchange.method == "POST" else "get"
        given = [self._expressions.address(call.url)]
        if call.headers:
            given.append("headers=" + mapping({name: self._expressions.value(text) for name, text in call.headers}, 12))
        if call.json is not None:
            given.append("json=" + mapping({name: self._json(item) for name, item in call.json.items()}, 12))
        if call.form is not None:
            given.append(
                "form=" + mapping({name: self._expressions.value(item) for name, item in call.form.items()}, 12)
            )
        if call.body is not None:
            given.append(f"data={self._expressions.value(call.body)}.encode()")
        variable = self._expressions.variable(number)
        if model is None:
            return [fitted(f"await session.{method}", "(", given, ")", 8)]
        return [fitted(f"{variable} = await session.{method}", "(", [*given, f"reply={model.name}"], ")", 8)]

    def _json(self, value: Text | float | None) -> str:
        return self._expressions.value(value) if isinstance(value, tuple) else literal(value)

    # ---- the loops over the list

    def _loops(self) -> list[str]:
        """The loops from the list's response to ``yield Series(…)``."""
        learnt = self._learnt
        steps = list(learnt.rule.shape[1:])
        if self._wrapped:
            steps = ["items", *steps]
            self._expressions.reply_model().bare_list = "items"
        walk = ListWalk(self._expressions, steps, first_record(learnt))
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
            lines.insert(
                0, "headers = " + mapping({name: self._expressions.value(text) for name, text in learnt.headers}, 8)
            )
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
        self._expressions.models += [
            *walk.models(),
            *(model for number, model in sorted(self._expressions.replies.items()) if model not in walk.models()),
        ]
        return lines
