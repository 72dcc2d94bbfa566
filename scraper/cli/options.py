"""The options that commands share, as typer reads them, and their conversion to Settings."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Mapping
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from scraper.cli import interrupt
from scraper.core.errors import MalformedProxy, UsageError
from scraper.core.messages import question_label, say
from scraper.core.output import complain
from scraper.core.questions import QUESTIONS, Question
from scraper.core.settings import (
    BrowserUse,
    ConnectTo,
    Language,
    Settings,
    browser_from_environment,
    language_from_environment,
    password_from_environment,
)

MOST_JOBS = 16
PROXY_SCHEMES = frozenset(("http", "https", "socks4", "socks4a", "socks5", "socks5h"))
Command = Callable[..., int]
Runs = Callable[[Coroutine[Any, Any, Any]], Any]
Source = Annotated[
    list[str],
    typer.Argument(
        help="Photo, scan, PDF, link, share text, folder or archive of DICOM, HAR file, "
        "or - for text or a file's bytes on standard input."
    ),
]
OneSource = Annotated[str, typer.Argument(metavar="SOURCE", help="As for grab.")]
Output = Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where studies go.")]
Proxy = Annotated[str, typer.Option(metavar="URL", help="For browser and direct traffic.")]
Json = Annotated[bool, typer.Option("--json", help="Standard output carries JSON Lines and nothing else.")]
Lang = Annotated[Language | None, typer.Option("--lang", help="Language of messages; by default the locale's.")]
_FIELDS = ", ".join(question.name for question in QUESTIONS)


def _option(kind: Any, default: Any, words: str, *names: str, **more: Any) -> tuple[Any, Any]:
    return Annotated[kind, typer.Option(*names, help=words, **more)], default


_SECONDS = {"min": 1, "metavar": "SECONDS"}
_OPTIONS: Mapping[str, tuple[Any, Any]] = {
    "output": (Output, Path("cloudfilm")),
    "answer": _option(list[str] | None, None, f"What the site will ask: {_FIELDS}.", metavar="FIELD=VALUE"),
    "password": _option(
        str | None, None, "Short for --answer password=VALUE; also CLOUDFILM_PASSWORD.", metavar="VALUE"
    ),
    "provider": _option(
        str, "", "Use this provider; `universal` forces capture; FILE.py is code that runs as you.", metavar="NAME"
    ),
    "browser": _option(
        BrowserUse, BrowserUse.AUTO, "Speak to the site directly where possible, or through the browser."
    ),
    "headed": _option(bool, False, "Show the browser window.", "--headed"),
    "series": _option(list[str] | None, None, "Only series whose number or description matches.", metavar="PATTERN"),
    "jobs": _option(int, 6, "Instances in flight at once.", min=1, max=MOST_JOBS),
    "rate": _option(float | None, None, "At most so many requests a second to one host.", min=0.01),
    "timeout": _option(float | None, None, "Give up on a site that is silent this long.", **_SECONDS),
    "give_up": _option(float | None, None, "End where nothing new came for this long; 300 by default.", **_SECONDS),
    "insecure": _option(bool, False, "Accept a broken TLS certificate.", "--insecure"),
    "connect_to": _option(
        list[str] | None, None, "Connect there instead, as in curl.", metavar="HOST:PORT:ADDRESS:PORT"
    ),
    "proxy": (Proxy, ""),
    "only": _option(int | None, None, "Of a source that holds several films, the N-th alone.", min=1, metavar="N"),
    "expect": _option(
        int | None,
        None,
        "How many images the viewer or the paper says there are; with --series, of those series.",
        min=1,
        metavar="N",
    ),
    "name": _option(
        str, "", "The study's folder: {date} {modality} {patient} {description} {label}.", metavar="TEMPLATE"
    ),
    "fetch_missing": _option(
        bool, False, "Ask, without the session, for what a HAR's lists name and it lacks.", "--fetch-missing"
    ),
    "as_json": (Json, False),
    "quiet": _option(bool, False, "Less on standard error.", "-q", "--quiet"),
    "verbose": _option(int, 0, "More on standard error.", "-v", "--verbose", count=True),
    "lang": (Lang, None),
}
"""The options that several commands have: name of the parameter → annotation and default, in the order of the help."""
_AS_GIVEN = frozenset(
    ("output", "provider", "browser", "headed", "jobs", "rate", "insecure", "proxy", "expect", "fetch_missing")
)


def takes(*names: str, **fixed: Any) -> Callable[[Command], Command]:
    """Give a command the shared options of these names; it is called with ``settings`` in their place.

    One that is a parameter of the command, it gets as well: ``as_json``, say; with a default, in its own words for it.

    Args:
        names: of ``_OPTIONS``.
        fixed: options, and fields of Settings, that are the same whatever the user says.
    """

    def decorate(command: Command) -> Command:
        own = {name: part for name, part in signature(command, eval_str=True).parameters.items() if name != "settings"}
        shared = {
            name: Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for name, (annotation, default) in _OPTIONS.items()
            if name in names
        }
        shared |= {name: own[name] for name in shared.keys() & own if own[name].default is not Parameter.empty}

        @wraps(command)
        def started(**given: Any) -> int:
            settings = settings_of({name: given[name] for name in shared}, **fixed)
            if settings.insecure:
                complain(say("insecure-warning", settings.language))
            return command(**{name: given[name] for name in own}, settings=settings)

        parts = [own[name].replace(kind=Parameter.KEYWORD_ONLY) for name in own if name not in shared]
        parts += [part.replace(kind=Parameter.KEYWORD_ONLY) for part in shared.values()]
        started.__dict__["__signature__"] = Signature(parts)
        started.__annotations__ = {part.name: part.annotation for part in parts}
        return started

    return decorate


def announce_code(settings: Settings) -> None:
    """Print once which providers are not ours but third-party code, and which of ours a plug-in replaces."""
    from scraper.registry.foreign_code import open_to_others, unannounced

    fresh = unannounced(settings.provider)
    for name in fresh:
        complain(say("provider.is-code", settings.language, name=name))
    if open_to_others(settings.provider):
        complain(say("provider.open-to-others", settings.language, name=settings.provider))
    if any(name != settings.provider for name in fresh):
        from scraper.registry.catalogue import known

        for name in known().replaced:
            complain(say("provider.replaces", settings.language, name=name))


def settings_of(options: Mapping[str, Any], **fields: Any) -> Settings:
    """Convert options, by the names of their parameters, to Settings; ``fields`` are taken as they are.

    Raises:
        UsageError: an unknown field, or a malformed option.
    """
    answers: dict[str, str] = {}
    for answer in options.get("answer") or ():
        name, equals, value = answer.partition("=")
        if not equals or name not in _FIELDS.split(", "):
            raise UsageError(f"--answer {name}: FIELD=VALUE, FIELD = {_FIELDS}")
        answers[name] = value
    password = options.get("password")
    if password := password_from_environment() if password is None else password:
        answers.setdefault("password", password)
    check_proxy(options.get("proxy", ""))
    if template := options.get("name", ""):
        from scraper.store.naming import check

        check(template)
    if timeout := options.get("timeout"):
        fields = {"timeout_s": timeout, "decode_timeout_s": timeout, **fields}
    if give_up := options.get("give_up"):
        fields = {"give_up_s": give_up, **fields}
    has_terminal = sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
    given = {
        "answers": answers,
        "connect_to": tuple(ConnectTo.parse(row) for row in options.get("connect_to") or ()),
        "language": options.get("lang") or language_from_environment(),
        "interactive": has_terminal and not options.get("as_json", False),
        "browser_path": browser_from_environment(),
        "series": tuple(options.get("series") or ()),
        "folder_name": template,
        "verbosity": -1 if options.get("quiet") else options.get("verbose", 0),
        **{name: value for name, value in options.items() if name in _AS_GIVEN},
    }
    return Settings(**{**given, **fields})


def check_proxy(proxy: str) -> None:
    """Reject an invalid proxy address; it may hold a password, which no message repeats.

    Raises:
        MalformedProxy: another scheme, no host, or an impossible port.
    """
    if not proxy:
        return
    scheme = proxy.partition("://")[0] if "://" in proxy else "http"
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        is_sound = scheme.lower() in PROXY_SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_sound = False
    if not is_sound:
        raise MalformedProxy(scheme=f"{scheme}://…")


def ask_for_count(settings: Settings, received: int) -> int | None:
    """Ask the person at the terminal how many images there are; None where unknown, or without a terminal."""
    if not settings.interactive:
        return None
    words = say("ask.expect", settings.language, received=received)
    given = str(typer.prompt(words, default="", show_default=False, err=True)).strip()
    return int(given) if given.isdecimal() and int(given) > 0 else None


def asker(settings: Settings) -> Callable[[Question, str, Path | None], str | None]:
    """Ask the person at the terminal, without echo; returns None where there is no terminal."""

    def ask(question: Question, host: str, picture: Path | None) -> str | None:
        if not settings.interactive:
            return None
        words = say("ask", settings.language, host=host, label=question_label(question.name, settings.language))
        if picture is not None:
            complain(say("ask.picture", settings.language, path=picture))
        return _hidden_input(f"{words}: ") or None

    return ask


def _hidden_input(words: str) -> str:
    """Read what a person types, without echo; empty at the end of input."""
    from getpass import getpass

    with interrupt.prompting():
        try:
            return getpass(words, stream=sys.stderr)
        except EOFError:
            return ""
