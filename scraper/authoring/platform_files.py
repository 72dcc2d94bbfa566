"""The files of a new provider: the provider, its emulated site, the facts, and the tests; green as they are written.

Without a bundle, what is written is a small platform that works: a link with a code, one call that lists a study, one file for
each image. With a bundle (``cloudfilm record``) whose lists explain its requests, provider and site are those of the bundle: the
provider makes its requests, the site answers as it did, with an invented patient's images, and the test downloads them.
Whoever adds the platform then replaces one assumption after another by what was observed.
"""

from __future__ import annotations

import ast
import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

from scraper.authoring import platform_texts as templates
from scraper.authoring.learn import written_source
from scraper.authoring.recorded_site import answers_of
from scraper.authoring.recording import BundleUnread, Recording, learnt_from, read_bundle
from scraper.authoring.trace import NotLearnt
from scraper.core.messages import words_of
from scraper.core.safe_text import escaped_json, visible
from scraper.core.settings import Language
from scraper.session.browser.traffic import WEBSOCKET_IN, WEBSOCKET_OUT

NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
MOST_CALLS: Final = 60  # that are listed in the facts
MOST_KEYS: Final = 12  # of one answer
HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
KEY: Final = re.compile(r"[A-Za-z_][\w.-]{0,40}")
CODE: Final = "Ab12Cd34"


class ScaffoldError(Exception):
    """What was asked for can't be written; the text says why."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request of a bundle, as the facts list it."""

    method: str
    host: str
    path: str
    status: int
    kind: str
    keys: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """For the table of facts."""
        names = f", its names {', '.join(self.keys)}" if self.keys else ""
        return f"`{self.method} {self.host}{self.path}`: {self.status}, {self.kind or 'no type'}{names}"


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a bundle taught.

    Attributes:
        source: of the provider.
        class_name: of the provider in it.
        answers: of the emulated site, as JSON.
        assumed: what one link can't prove.
        has_other_link: the site has a link that it refuses.
    """

    source: str
    class_name: str
    answers: str
    assumed: tuple[str, ...] = ()
    has_other_link: bool = False


@dataclass(frozen=True, slots=True)
class Platform:
    """What the files are filled with.

    Attributes:
        name: of the provider.
        host: of its links.
        before: the part of the link's path before the code, with its slashes.
        calls: of the bundle, in order.
        learnt: None: the skeleton is written.
        why_not: why a bundle taught nothing.
    """

    name: str
    host: str
    before: str = "/s/"
    calls: tuple[Call, ...] = ()
    learnt: Learnt | None = None
    why_not: str = ""

    @property
    def module(self) -> str:
        """The name as a module's."""
        return self.name.replace("-", "_")

    @property
    def class_name(self) -> str:
        """The name as a class's."""
        own = "".join(word.capitalize() for word in self.module.split("_"))
        return self.learnt.class_name if self.learnt else own


async def new_platform(name: str, bundle: Path | None = None, source: str = "") -> Platform:
    """The platform that files are written for.

    Args:
        name: of the provider.
        bundle: of ``cloudfilm record``.
        source: of a provider that was tried on the link which the bundle shows; by default it is written from the bundle.

    Raises:
        ScaffoldError: the name is no provider's name, or the bundle can't be read.
    """
    if not NAME.fullmatch(name):
        raise ScaffoldError(f"{name}: a name is of lower-case letters and digits, as aurora or aurora-cloud")
    if bundle is None:
        return Platform(name, f"film.{name.replace('_', '-')}.test")
    with tempfile.TemporaryDirectory(prefix="cloudfilm-bundle-") as folder:
        try:
            recording = read_bundle(bundle, Path(folder) / "bodies")
        except BundleUnread as err:
            raise ScaffoldError(str(err)) from err
        host = recording.link.parts.hostname or ""
        if not HOST.fullmatch(host):
            raise ScaffoldError(f"{bundle}: the bundle names no link")
        before = re.sub(r"[^A-Za-z0-9/_~-]", "", recording.link.parts.path.rpartition("/")[0]) + "/"
        calls = tuple(_calls(recording))
        try:
            learnt = await _learnt(name, recording, Path(folder) / "objects", source)
        except NotLearnt as err:
            return Platform(name, host, before, calls, why_not=str(words_of(err.values["what"], Language.EN)))
        return Platform(name, host, before, calls, learnt)


async def _learnt(name: str, recording: Recording, spool: Path, source: str) -> Learnt:
    """Provider and site of a recording.

    Raises:
        NotLearnt: its lists do not explain its requests for images.
    """
    learnt, observations = await learnt_from(recording, spool)
    learnt = learnt.named(name)
    source = source or written_source(learnt, recording.link.url)
    site = answers_of(learnt, observations)
    answers = escaped_json(json.dumps(site, ensure_ascii=False, indent=1))
    assumed = tuple(dict.fromkeys(learnt.tracer.assumed))
    return Learnt(source, _class_in(source), answers, assumed, bool(site["other_link"]))


def _class_in(source: str) -> str:
    """The name of the provider's class."""
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    return next(node.name for node in classes if ast.unparse(node.bases[0]) == "Provider")


def write(platform: Platform, root: Path) -> list[Path]:
    """Write the files under ``root``, a checkout or a package of one's own; gives their paths, the test's last.

    Raises:
        ScaffoldError: one of them exists.
    """
    learnt, site = platform.learnt, f"fixtures/sites/{platform.module}"
    contents = {
        f"providers/{platform.module}.py": templates.PROVIDER,
        f"{site}/__init__.py": '"""The emulated site."""\n',
        f"{site}/site.py": templates.SITE if learnt is None else templates.RECORDED_SITE,
        f"{site}/README.md": templates.FACTS if learnt is None else templates.RECORDED_FACTS,
        f"tests/providers/test_{platform.module}.py": templates.TESTS if learnt is None else templates.RECORDED_TESTS,
    }
    month = f"{datetime.now(UTC):%Y-%m}"
    listed = "\n".join(f"| {call.line} | observed in a bundle, {month} |" for call in platform.calls)
    assumed = "".join(f"\n| {visible(text)} | assumed |" for text in (learnt.assumed if learnt else ()))
    values = {
        "NAME": platform.name,
        "MODULE": platform.module,
        "CLASS": platform.class_name,
        "HOST": platform.host,
        "BEFORE": platform.before,
        "CODE": CODE,
        "CALLS": f"\n{listed}" if listed else "",
        "ASSUMED": assumed,
        "CASES": templates.TWO_CASES if learnt and learnt.has_other_link else templates.ONE_CASE,
        "OTHER_IMPORT": templates.OTHER_IMPORT if learnt and learnt.has_other_link else "",
    }
    texts = {name: _filled(text, values) for name, text in contents.items()}
    if learnt is not None:
        texts[f"providers/{platform.module}.py"] = learnt.source
        texts = {**dict(list(texts.items())[:3]), f"{site}/answers.json": learnt.answers + "\n", **texts}
    for name in texts:
        if (root / name).exists():
            raise ScaffoldError(f"{root / name} exists; nothing was written")
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [root / name for name in texts]


def _filled(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"<<(\w+)>>", lambda match: values[match[1]], text)


def _keys(body: bytes) -> tuple[str, ...]:
    """The names at the top of a JSON answer."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return ()
    names = [str(name) for name in value] if isinstance(value, dict) else []
    return tuple(f"`{name}`" for name in names if KEY.fullmatch(name))[:MOST_KEYS]


def _varying(match: re.Match[str]) -> str:
    """An ellipsis for a long word with a digit in it, which differs from image to image."""
    return "…" if any(map(str.isdigit, match[0])) else match[0]


def _calls(recording: Recording) -> list[Call]:
    """Each kind of call once, in the order in which they were first made; values of queries are left out."""
    found: dict[tuple[str, str, str], Call] = {}
    for exchange in recording.exchanges:
        parts = urlsplit(exchange.url)
        if exchange.kind in (WEBSOCKET_IN, WEBSOCKET_OUT):
            continue
        names = "&".join(dict.fromkeys(name for name, _ in parse_qsl(parts.query, keep_blank_values=True)))
        path = re.sub(r"[0-9a-zA-Z_.-]{6,}", _varying, parts.path)
        path = visible(path + (f"?{names}" if names else ""))
        kind = re.sub(r"[^\w/+.-]", "", exchange.content_type.partition(";")[0])
        host = re.sub(r"[^0-9A-Za-z.:-]", "", parts.hostname or "")
        path = re.sub(
            r"[|`<>]", lambda found: quote(found[0]), path
        )  # what ends a cell, a word of code, or begins markup
        key = (re.sub(r"[^A-Z]", "", exchange.method), host, path)
        if key not in found and len(found) < MOST_CALLS:
            keys = _keys(exchange.read()) if "json" in kind else ()
            found[key] = Call(*key, exchange.status, kind, keys)
    return list(found.values())
