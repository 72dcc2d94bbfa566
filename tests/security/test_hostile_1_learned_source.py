"""Row 1: nothing that a site says runs: what ``learn`` writes holds a site's texts as literals only."""

import ast
import builtins
import random
from dataclasses import replace

import pytest

from scraper.authoring import learn
from scraper.authoring.emit import Writer
from scraper.authoring.inferred import Identity, InferredProvider
from scraper.authoring.source_guard import (
    UnsafeSource,
    check_source,
    class_name,
    host_words,
    identifier,
    literal,
    raw_literal,
    template,
)
from scraper.authoring.trace import Call, FromLink, FromReply, NotLearnt, Part, Tracer, groups_of
from scraper.capture.infer import templates
from scraper.core.link import ShareLink
from scraper.session.browser.traffic import Exchange

RUNS = "__import__('builtins').__dict__.__setitem__('PWNED', 1)"
BREAKS = (
    "\\",
    "\\\\",
    '"',
    "'",
    '"""',
    "'''",
    '\\"',
    "\\'",
    "\n",
    "\r",
    "\r\n",
    "\x0c",
    "\x0b",
    "\x85",
    "\u2028",
    "\u2029",
    "\0",
    "{",
    "}",
    "{{",
    "}}",
    "\\N{",
    "\\x22",
    "\\u0022",
    "#",
    ")",
    "]",
    ",",
    ";",
    ":",
    "(",
    "f'",
    "b'",
    "\t",
    " ",
    "!r}",
    ":>{",
    "\ud800",
    "\udfff",
    "\u202e",
    "\ufeff",
    "\u200b",
    "％",
    "＂",
    "𝐚",
    "ª",
    "²",
    "ﬁ",
    "_",
    "__class__",
    "_x__",
    "𝒆𝒙𝒆𝒄",
)
WHOLE = (
    "class",
    "None",
    "True",
    "import",
    "match",
    "print",
    "eval",
    "__init__",
    "__class__",
    "model_config",
    "model_fields",
    "self",
    "link",
    "session",
    "read",
    "quoted",
    "str",
    "list",
    "tuple",
    "Series",
    "Provider",
    "Reply",
    "Field",
    "json",
    "number",
    "place1",
    "",
    "-1",
    "1e999",
    "nan",
    "lambda: 0",
    "# -*- coding: utf-7 -*-",
    "+ACI-+AA0-",
    "a" * 5000,
    "测试",
    "名 称",
    "x" * 63 + "\\",
)
KNOWN_CALLS = {
    "Deployment",
    "Field",
    "Instance",
    "Series",
    "WadoUri",
    "encode_query",
    "enumerate",
    "len",
    "quoted",
    "read",
    "tuple",
    "get",
    "post",
    "answer",
    "join",
    "encode",
    "partition",
}


def hostile_texts(count: int, seed: int = 16) -> list[str]:
    """Seeded texts that try to leave the literal, the comment, the name or the line that they stand in."""
    rng = random.Random(seed)
    texts = [*WHOLE, *(text + RUNS + other for text in BREAKS for other in ("", *BREAKS[:8]))]
    while len(texts) < count:
        pieces = [rng.choice((*BREAKS, RUNS, "a", "patientId", "x=1")) for _ in range(rng.randint(1, 9))]
        texts.append("".join(pieces))
    return texts[:count]


TEXTS = hostile_texts(5000)


def test_hostile_1_each_door_keeps_every_text_a_text():
    for text in TEXTS:
        for door in (literal, raw_literal):
            try:
                written = door(text)
            except UnsafeSource:
                continue
            assert ast.literal_eval(written) == text
            assert written.isprintable()
        for key in (identifier(text), class_name(text)):
            assert key.isascii() and key.isidentifier(), ascii(text)
            assert not key.startswith("_") and not key.endswith("__")
        assert host_words(text).isprintable() and '"' not in host_words(text) and "\\" not in host_words(text)
        try:
            made = template([("literal", text), ("value", "link['code']"), ("literal", text)])
        except UnsafeSource:
            continue
        assert eval(made, {"link": {"code": "-"}}) == f"{text}-{text}"  # noqa: S307  # what the test is about


def traced(link: ShareLink, words: list[str], keys: list[str]) -> Tracer:
    """Two calls with a hostile text in every place: addresses, headers, fields, bodies."""
    tracer = Tracer(link, groups_of(link)[1], {}, [])
    seen = Exchange("https://a.test/list", "xhr", method="POST")
    reply = Part(FromReply(0, (keys[0], 0, keys[1])), quoted=True)
    tracer.calls += [
        Call(
            seen,
            (f"https://a.test/{words[0]}", Part(FromLink("code"))),
            ((words[1], (words[2],)),),
            json={words[3]: (words[4], Part(FromLink("code"))), keys[2]: 1.5, "n": None},
        ),
        Call(replace(seen), ("/x?y=", reply, words[5]), form={words[6]: (words[7],)}),
        Call(replace(seen), (link.origin, "/", words[8]), body=(words[9], reply)),
    ]
    return tracer


def hostile_learnt(words: list[str]) -> InferredProvider:
    """Everything that a provider is written from, a hostile text in each place."""
    keys = words[10:18]
    link = ShareLink(f"https://a.test/s/Ab12Cd34?{words[18]}=Zz91Kk22")
    record = {keys[3]: "1", keys[4]: "1.2.3", keys[5]: "1.2"}
    sample = {keys[6]: [{keys[7]: [record, record], keys[5]: "1.2"}]}
    rule = templates.Rule(
        templates.Template(("", ""), ((keys[3], 1),)), {(0,): ("a", "b")}, 2, shape=(0, keys[6], "*", keys[7], "*")
    )
    literals = ((words[19], Part(FromLink("code"), quoted=True)), (words[20],))
    identity = Identity(keys[4], keys[5], keys[5])
    tracer = traced(link, words, keys)
    tracer.assumed.append("where an answer lists several, the first is meant")
    return InferredProvider(
        link,
        groups_of(link)[0],
        class_name(words[21]).lower(),
        tracer,
        2,
        rule,
        literals,
        ((words[22], (words[23],)),),
        sample,
        identity,
        visits=True,
        month="2026-01",
    )


def assert_harmless(source: str) -> None:
    """Nothing is called but what the writer calls; checked without the code under test."""
    tree = ast.parse(source.encode())
    for node in ast.walk(tree):
        assert not isinstance(node, (ast.Import, ast.Lambda, ast.Delete, ast.Global, ast.With, ast.Try))
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "?")
            assert name in KNOWN_CALLS, name
        if isinstance(node, (ast.Name, ast.Attribute)):
            assert not (node.id if isinstance(node, ast.Name) else node.attr).startswith("_")


@pytest.mark.thorough
def test_hostile_1_a_thousand_texts_in_every_place_of_a_provider_run_nothing():
    rng = random.Random(61)
    places, written, mild = (24, 0, ["patientId", "a/b", "url", "imageList", 'he said "x"', "back\\", "{x}", "测试"])
    for place in range(places):
        for text in rng.sample(TEXTS, 1248 // places):
            words = [rng.choice(mild) + str(number) for number in range(places)]
            words[place] = text
            try:
                source = learn.written_source(hostile_learnt(words))
            except NotLearnt:
                continue
            written += 1
            assert_harmless(source)
            if written % 20 == 0:
                exec(compile(source, "learnt.py", "exec"), {"__name__": "learnt"})  # noqa: S102  # what the test is about
    assert written > 500
    assert not hasattr(builtins, "PWNED")


@pytest.mark.thorough
def test_hostile_1_every_text_in_one_of_the_places():
    written = 0
    for number, text in enumerate(TEXTS):
        words = [f"plain{place}" for place in range(24)]
        words[number % 24] = text
        try:
            source = learn.written_source(hostile_learnt(words))
        except NotLearnt:
            continue
        written += 1
        assert_harmless(source)
    assert written > 2_500


def test_hostile_1_the_values_that_took_the_closing_quote():
    words = [f"plain{number}" for number in range(24)]
    words[4] = "\\"
    words[6] = f', {RUNS}, "'
    words[9] = 'x" + ' + RUNS + "\\"
    source = learn.written_source(hostile_learnt(words))
    assert_harmless(source)


BAD = (
    "import os",
    "from os import system",
    "from scraper.contract import os",
    "from scraper.contract import read as exec",
    "from . import x",
    "exec('1')",
    "x = 1",
    "def quoted(text: str) -> str:\n    return eval(text)",
    "def quoted(text: str = open('x')) -> str:\n    return text",
    "class A(Reply):\n    a: str = print('x')",
    "class A(Reply):\n    a: __import__('os').system('x')",
    "class A(Reply, metaclass=Field):\n    a: str",
    "class A(Provider):\n    name = ().__class__",
    "class A(Provider):\n    name = [x for x in (1,)]",
    "class A(Provider):\n    route = read.__globals__",
    "class A(Provider):\n    discover = lambda self: 0",
    "class A(Provider):\n    async def discover(self):\n        await session.request(link)",
    "class A(Provider):\n    async def discover(self):\n        link.url.format(session)",
    "class A(Provider):\n    async def discover(self):\n        read(*session)",
    "class A(Provider):\n    async def discover(self):\n        encode_query = eval",
    "class A(Provider):\n    async def discover(self):\n        quoted = eval",
    "class A(Provider):\n    @read\n    async def discover(self):\n        pass",
    "class A(Provider):\n    async def discover(self):\n        f'{link!r}'",
    "class A(Provider):\n    async def discover(self):\n        f'{link:>{session}}'",
    "class A(Provider):\n    async def discover(self):\n        (yield (x := 1))",
    "class Provider(Reply):\n    a: str",
    "# -*- coding: utf-7 -*-\n+AGUAeABlAGM-",
    "while 1: pass",
    "with read: pass",
    "try:\n    pass\nexcept Reply:\n    pass",
    "assert 0",
    "del read",
    "global x",
    "class A(Reply):\n    a\u200bb: str",
    "(" * 5000,
)


@pytest.mark.parametrize("source", BAD)
def test_hostile_1_another_kind_of_source_is_not_imported(source):
    with pytest.raises(UnsafeSource):
        check_source(source + "\n")


def test_hostile_1_the_check_lets_the_writers_own_files_pass():
    source = Writer(hostile_learnt([f"plain{number}" for number in range(24)])).text()
    check_source(source)
