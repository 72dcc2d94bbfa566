"""How the viewer's image requests follow from the manifests it received, inferred and checked.

A manifest is any JSON value; its records are the objects in its arrays, each with what stands around it. A guess is a template
whose blanks are fields of a record. It is kept only where it reproduces, exactly, requests that the viewer itself made, and
no request that it seems to cover contradicts it. Values that no manifest contained are never tried.
"""

from __future__ import annotations

import base64
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote, quote_plus, urljoin

from scraper.capture.observe.received import Manifest

MAX_RECORDS: Final = 50_000
MAX_DEPTH: Final = 16
MIN_VALUE: Final = 1
MIN_PROOFS: Final = 2  # requests of the viewer that a guess must reproduce
MAX_SAMPLES: Final = 8
MAX_COMPARED: Final = 300  # arrays, each with each
MAX_TOTAL: Final = 6  # digits
FLAT: Final = 2  # indices of a record that stands in the one array of its answer: the answer's and its own
_DOTTED: Final = re.compile(r"\d\.")
_DIGITS: Final = re.compile(r"(?<!\d)\d{1,4}(?!\d)")
ENCLOSING: Final = "^"  # before the name of a field around a record whose own field has the same name
WHOLE_RECORD: Final = ""  # the field that stands for a record that is a text

# Names under which an object keeps its entries as an array would: a UID, a UUID or hash, a short number; no DICOM tag.
_KEYED: Final = re.compile(
    r"[0-2](\.\d+){4,}|[0-9a-f]{12,}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{1,5}", re.IGNORECASE
)
# What a list that comes a page at a time says beside each page: how many entries all of them have.
_TOTAL: Final = re.compile(
    r"^(total|total_?(count|num(ber)?|elements|records?|rows?|images?|hits)|(records?|rows?|all|items?)_?(total|count|num))$",
    re.IGNORECASE,
)
_LOADER: Final = re.compile(r"^(wadouri|wadors|dicomweb):(?=https?://|/)")  # a viewer's own word before an address

Path = tuple[str | int, ...]


def _base64(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


ENCODINGS: Final[tuple[Callable[[str], str], ...]] = (  # the ways in which pages write a value into a request
    str,
    lambda value: quote(value, safe=""),
    lambda value: quote(value, safe="!'()*"),  # encodeURIComponent
    lambda value: quote_plus(value, safe="*"),  # URLSearchParams, a form
    lambda value: quote(value, safe=";/?:@&=+$,#!'()*"),  # encodeURI
    lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    _base64,
    lambda value: quote(_base64(value), safe=""),
)
BASE64_FROM: Final = 6
ASKED: Final = ("http", "ws", "call:")  # what requests begin with; ``call:`` is one of a function of the page
SHORTEST_PACKED: Final = 6  # characters; the base64 of a shorter value stands in any text by chance


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of an array: its own fields and those around it (nearest wins), and where it stands."""

    fields: Mapping[str, str]
    own: frozenset[str]
    place: Path

    @property
    def array(self) -> Path:
        """Where the innermost array stands that the record is in."""
        last = max(index for index, step in enumerate(self.place) if isinstance(step, int))
        return self.place[:last]

    @property
    def shape(self) -> Path:
        """The place with every index blanked, and every id that an object has for an index: records of one kind share it."""
        return tuple("*" if isinstance(step, int) or _KEYED.fullmatch(step) else step for step in self.place)


@dataclass(frozen=True, slots=True)
class Template:
    """Literals and blanks, alternating; each blank is a field and its place in ``ENCODINGS`` (0: as it is)."""

    literals: tuple[str, ...]
    blanks: tuple[tuple[str, int], ...]

    def fill(self, record: Record) -> str | None:
        """The address for a record; None where it lacks a field."""
        out = [self.literals[0]]
        for (name, way), literal in zip(self.blanks, self.literals[1:], strict=True):
            value = record.fields.get(name)
            if value is None:
                return None
            out += [ENCODINGS[way](value), literal]
        return "".join(out)

    def fits(self, address: str) -> bool:
        """Whether an address may be made by this template: its literals in their order, and something in every blank."""
        first, last = self.literals[0], self.literals[-1]
        if len(self.literals) == 1:
            return address == first
        at, end = len(first), len(address) - len(last)
        if not address.startswith(first) or not address.endswith(last):
            return False
        for literal in self.literals[1:-1]:
            found = address.find(literal, at + 1, end)
            if found < 0:
                return False
            at = found + len(literal)
        return at < end


@dataclass(frozen=True, slots=True)
class Rule:
    """A template that stood its proof, and the addresses it gives, by the array that they stand in, in order."""

    template: Template
    addresses: Mapping[Path, tuple[str, ...]]
    proofs: int
    source: str = ""  # the manifest's address without its query
    shape: Path = ()  # where its records stand, every index blanked; the first step is the answer's number
    records: Mapping[str, Record] = field(default_factory=dict)  # address -> the record that gave it
    is_ambiguous: bool = False  # one address for two records that differ

    @property
    def is_flat(self) -> bool:
        """Whether all addresses stand in one array that no other array is around."""
        return len(self.addresses) == 1 and self.shape.count("*") <= FLAT

    def tells_apart(self, series: int) -> bool:
        """Whether it gives that many series: an array each, or one list with as many values of some field."""
        if not self.is_flat:
            return len(self.addresses) >= series
        columns: dict[str, set[str]] = defaultdict(set)
        for record in self.records.values():
            for name in record.own:
                columns[name].add(record.fields[name])
        return series <= 1 or any(len(column) == series < self.count for column in columns.values())

    @property
    def count(self) -> int:
        """How many addresses it gives."""
        return sum(map(len, self.addresses.values()))


def rules(
    manifests: Sequence[Manifest],
    requested: Sequence[str],
    read: Callable[[Any], Iterable[Record]] | None = None,
    must: frozenset[str] = frozenset(),
) -> list[Rule]:
    """Every rule that explains some of the requests, the one that gives most first.

    Args:
        manifests: the JSON that the viewer received.
        requested: addresses whose answers were DICOM objects.
        read: gives a list's records; those that ``records`` gives, where it is None.
        must: one of these fields must be in the template.
    """
    found: dict[frozenset[str], Rule] = {}
    for url, group in groups(manifests, read or records):
        rule = _rule(group, url, requested, must)
        if rule is not None:
            rule = replace(rule, source=url, shape=group[0].shape)
            found.setdefault(frozenset(text for some in rule.addresses.values() for text in some), rule)
    return sorted(found.values(), key=lambda rule: rule.count, reverse=True)


def groups(
    manifests: Sequence[Manifest], read: Callable[[Any], Iterable[Record]]
) -> Iterator[tuple[str, list[Record]]]:
    """The records of one shape, with the address of the call that they came from; a call's answers are one list.

    Addresses whose paths differ in numbers and the like alone are of one call: one answer a series.
    """
    calls: dict[str, list[Manifest]] = defaultdict(list)
    for manifest in manifests:
        calls[call_of(manifest.url)].append(manifest)
    for answers in calls.values():
        url = answers[0].url.partition("?")[0]
        by_shape: dict[Path, list[Record]] = defaultdict(list)
        for record in read([manifest.value for manifest in answers]):
            by_shape[record.shape].append(record)
        for group in by_shape.values():
            yield url, group


def call_of(url: str) -> str:
    """An address without its query, and without the parts of its path that may be values."""
    scheme, slashes, rest = url.partition("?")[0].partition("://")
    host, *path = rest.split("/")
    return "/".join((scheme + slashes + host, *("0" if any(map(str.isdecimal, step)) else step for step in path)))


def records(value: Any) -> Iterator[Record]:
    """Every object and every text that stands in an array, however deep, with the fields around it."""
    waiting: list[tuple[Any, Path, dict[str, str]]] = [(value, (), {})]
    count = 0
    while waiting and count < MAX_RECORDS:
        item, place, around = waiting.pop()
        if len(place) > MAX_DEPTH:
            continue
        if isinstance(item, Mapping):
            own = {str(name): text for name, inner in item.items() if (text := _plain(inner)) is not None}
            hidden = {f"{ENCLOSING}{name}": text for name, text in around.items() if name in own}
            fields = around | hidden | own
            if any(isinstance(step, int) for step in place):
                count += 1
                yield Record(fields, frozenset(own), place)
            waiting += reversed(
                [
                    (inner, (*place, str(name)), fields)
                    for name, inner in item.items()
                    if isinstance(inner, (Mapping, list))
                ]
            )
        elif isinstance(item, list):
            later: list[tuple[Any, Path, dict[str, str]]] = []
            for index, inner in enumerate(item):
                text = _plain(inner)
                if text is not None:
                    count += 1
                    yield Record(around | {WHOLE_RECORD: text}, frozenset((WHOLE_RECORD,)), (*place, index))
                elif isinstance(inner, (Mapping, list)):
                    later.append((inner, (*place, index), around))
            waiting += reversed(later)  # what is taken last stands first


def stated_total(group: Iterable[Record]) -> int:
    """How many entries the answers say, around their array, that a list has; 0 where none does, or arrays stand in arrays."""
    found = {
        int(value)
        for record in group
        for name, value in record.fields.items()
        if name not in record.own
        and _TOTAL.match(name)
        and value.isdecimal()
        and len(value) <= MAX_TOTAL
        and record.shape.count("*") <= FLAT  # of thousands of fields, this is asked of a few
    }
    return max(found, default=0)


def _plain(value: Any) -> str | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        return _LOADER.sub("", value)
    return str(value) if isinstance(value, (int, float)) else None


def _rule(group: Sequence[Record], url: str, requested: Sequence[str], must: frozenset[str]) -> Rule | None:
    """The first template that the requests confirm; preferably one that distinguishes all records."""
    tried: set[Template] = set()
    ambiguous: Rule | None = None  # taken where there is no better one
    for address in requested[:MIN_PROOFS] if not must else _spread(requested):
        words = set(_DIGITS.findall(address))
        for record in group:
            if must and not any(record.fields[name] in words for name in must):
                continue
            for template in templates(record, address, url):
                named = {name for name, _ in template.blanks}
                if template in tried or (must and not must & named):
                    continue
                tried.add(template)
                rule = validated(template, group, requested, MIN_PROOFS + bool(must))
                if rule is not None and not rule.is_ambiguous:
                    return rule
                ambiguous = ambiguous or rule
    return ambiguous


def _spread(requested: Sequence[str]) -> Sequence[str]:
    """Some of the requests, from the whole of them: a single one may contain the same number in two places."""
    return requested[:: max(1, len(requested) // MAX_SAMPLES)][:MAX_SAMPLES]


def templates(record: Record, address: str, base: str) -> Iterator[Template]:
    """How the address may be made of the record: from a field that is the address, or from several that stand in it."""
    for name in sorted(record.own):
        value = record.fields[name]
        if "/" in value and urljoin(base, value) == address:
            yield (
                Template((address.removesuffix(value), ""), ((name, 0),))
                if address.endswith(value)
                else Template(("", ""), ((name, 0),))
            )
    blanks = _blanks(record.fields, record.own, address)
    if any(name in record.own for _, _, name, _ in blanks):
        yield template_of(address, sorted(blanks))


def filled_by(fields: Mapping[str, str], address: str) -> Template | None:
    """The template whose blanks are all of some fields' values that stand in a request; None where none does."""
    blanks = _blanks(fields, frozenset(fields), address)
    return template_of(address, sorted(blanks)) if blanks else None


def _blanks(fields: Mapping[str, str], own: frozenset[str], address: str) -> list[tuple[int, int, str, int]]:
    """Where values stand in a request: begin, end, field, way of writing; the longest first, no two over each other."""
    blanks: list[tuple[int, int, str, int]] = []
    for name, value in sorted(fields.items(), key=lambda item: (-len(item[1]), item[0] not in own, item[0])):
        if len(value) > len(address):
            continue  # an image in a list, perhaps; no way of writing it is shorter
        for text, way in spellings(value).items():
            for at in places(address, text):
                if all(at + len(text) <= start or at >= end for start, end, _, _ in blanks):
                    blanks.append((at, at + len(text), name, way))
    return blanks


@lru_cache(maxsize=MAX_RECORDS)
def spellings(value: str) -> Mapping[str, int]:
    """How a value may stand in a request → the way of writing it; the plainest where several agree."""
    found: dict[str, int] = {}
    for way, write in enumerate(ENCODINGS):
        if way < BASE64_FROM or len(value) >= SHORTEST_PACKED:
            found.setdefault(write(value), way)
    return found


def places(address: str, text: str) -> Iterator[int]:
    """Where the text stands in the address as a whole word."""
    if len(text) < MIN_VALUE or text not in address:  # as a rule it is not, and that is soon known
        return
    for match in re.finditer(re.escape(text), address):
        before, after = address[match.start() - 1 : match.start()], address[match.end() : match.end() + 1]
        if text.isdigit() and (
            _DOTTED.fullmatch(address[max(match.start() - 2, 0) : match.start()])
            or _DOTTED.fullmatch(address[match.end() : match.end() + 2][::-1])
        ):
            continue  # a part of a UID
        if not (before.isalnum() and text[0].isalnum()) and not (after.isalnum() and text[-1].isalnum()):
            yield match.start()


def template_of(address: str, blanks: Sequence[tuple[int, int, str, int]]) -> Template:
    """The template that a request is, with some of its places blanked."""
    literals, names, at = [], [], 0
    for start, end, name, quoted in blanks:
        literals.append(address[at:start])
        names.append((name, quoted))
        at = end
    return Template((*literals, address[at:]), tuple(names))


def validated(template: Template, group: Sequence[Record], requested: Sequence[str], least: int) -> Rule | None:
    """The rule, where it reproduces what was requested and nothing that was requested speaks against it.

    Reject a rule that gives no address for some record of the list: it would leave a silent gap.
    """
    addresses: dict[Path, list[str]] = defaultdict(list)
    given: dict[str, Record] = {}
    is_ambiguous = False
    for record in group:
        address = template.fill(record)
        if address is None or not address.startswith(ASKED):
            return None
        addresses[record.array].append(address)
        is_ambiguous = is_ambiguous or (address in given and given[address].fields != record.fields)
        given[address] = record
    made = {text for some in addresses.values() for text in some}
    proofs = made & set(requested)
    against = [text for text in requested if text not in made and template.literals[0] and template.fits(text)]
    once = {place: tuple(dict.fromkeys(some)) for place, some in addresses.items()}
    is_shared = least > MIN_PROOFS and sum(map(len, once.values())) > len(made)  # two things counted, one request
    if len(proofs) < least or against or is_shared:
        return None
    alike: dict[tuple[str, ...], Path] = {}
    for place, some in once.items():
        alike.setdefault(some, place)  # one list may be asked for twice
    sets = {some: frozenset(some) for some in alike} if len(alike) <= MAX_COMPARED else {}
    unique = {  # a list of some of them may come before that of all
        place: some for some, place in alike.items() if not any(sets[some] < other for other in sets.values())
    }
    total = stated_total(group)
    if (
        len(unique) > 1
        and sum(map(len, unique.values())) <= total
        and all(len(some) < total for some in unique.values())
    ):
        pages = tuple(address for some in unique.values() for address in some)
        unique = {next(iter(unique)): tuple(dict.fromkeys(pages))}  # pages of one list
    return Rule(template, unique, len(proofs), records=given, is_ambiguous=is_ambiguous)
