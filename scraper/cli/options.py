"""The options that the commands share, as typer reads them, and their conversion to Settings."""

from __future__ import annotations

import sys
from collections.abc import Callable
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
Source = Annotated[
    list[str],
    typer.Argument(
        help="Photo, scan, PDF, link, share text, folder or archive of DICOM, HAR file, "
        "or - for text or a file's bytes on standard input."
    ),
]
OneSource = Annotated[str, typer.Argument(metavar="SOURCE", help="As for grab.")]
Output = Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where studies go.")]
Answer = Annotated[
    list[str] | None,
    typer.Option(metavar="FIELD=VALUE", help="What the site will ask: " + ", ".join(q.name for q in QUESTIONS) + "."),
]
Password = Annotated[
    str | None, typer.Option(metavar="VALUE", help="Short for --answer password=VALUE; also CLOUDFILM_PASSWORD.")
]
ProviderName = Annotated[
    str,
    typer.Option(
        "--provider",
        metavar="NAME",
        help="Use this provider; `universal` forces capture; FILE.py is code that runs as you.",
    ),
]
Browser = Annotated[BrowserUse, typer.Option(help="Speak to the site directly where possible, or through the browser.")]
Headed = Annotated[bool, typer.Option("--headed", help="Show the browser window.")]
SeriesPattern = Annotated[
    list[str] | None,
    typer.Option("--series", metavar="PATTERN", help="Only series whose number or description matches."),
]
Expect = Annotated[
    int | None,
    typer.Option(
        "--expect",
        min=1,
        metavar="N",
        help="How many images the viewer or the paper says there are; with --series, of those series.",
    ),
]
Jobs = Annotated[int, typer.Option(min=1, max=MOST_JOBS, help="Instances in flight at once.")]
Rate = Annotated[float | None, typer.Option(min=0.01, help="At most so many requests a second to one host.")]
Timeout = Annotated[
    float | None, typer.Option(min=1, metavar="SECONDS", help="Give up on a site that is silent this long.")
]
GiveUp = Annotated[
    float | None,
    typer.Option(
        "--give-up", min=1, metavar="SECONDS", help="End where nothing new came for this long; 300 by default."
    ),
]
Insecure = Annotated[bool, typer.Option("--insecure", help="Accept a broken TLS certificate.")]
ConnectToOption = Annotated[
    list[str] | None,
    typer.Option("--connect-to", metavar="HOST:PORT:ADDRESS:PORT", help="Connect there instead, as in curl."),
]
Proxy = Annotated[str, typer.Option(metavar="URL", help="For browser and direct traffic.")]
Only = Annotated[
    int | None, typer.Option("--only", min=1, metavar="N", help="Of a source that holds several films, the N-th alone.")
]
FetchMissing = Annotated[
    bool, typer.Option("--fetch-missing", help="Ask, without the session, for what a HAR's lists name and it lacks.")
]
Name = Annotated[
    str,
    typer.Option(
        "--name", metavar="TEMPLATE", help="The study's folder: {date} {modality} {patient} {description} {label}."
    ),
]
Pages = Annotated[
    bool | None,
    typer.Option(
        "--pages/--no-pages",
        help="Write a page to look at into each study's folder; by default for up to 20 studies and 1 GB.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Standard output carries JSON Lines and nothing else.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Less on standard error.")]
Verbose = Annotated[int, typer.Option("-v", "--verbose", count=True, help="More on standard error.")]
Lang = Annotated[Language | None, typer.Option("--lang", help="Language of messages; by default the locale's.")]


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


def settings_of(
    *,
    answers: list[str] | None,
    password: str | None,
    connect_to: list[str] | None,
    language: Language | None,
    as_json: bool,
    **rest: Any,
) -> Settings:
    """Convert the options to Settings.

    Raises:
        UsageError: an unknown field, or a malformed option.
    """
    given: dict[str, str] = {}
    names = [question.name for question in QUESTIONS]
    for answer in answers or []:
        name, equals, value = answer.partition("=")
        if not equals or name not in names:
            raise UsageError(f"--answer {name}: FIELD=VALUE, FIELD = {', '.join(names)}")
        given[name] = value
    password = password if password is not None else password_from_environment()
    if password:
        given.setdefault("password", password)
    check_proxy(str(rest.get("proxy", "")))
    if template := str(rest.get("folder_name", "")):
        from scraper.store.naming import check

        check(template)
    interactive = sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty() and not as_json
    return Settings(
        answers=given,
        connect_to=tuple(ConnectTo.parse(row) for row in connect_to or []),
        language=language or language_from_environment(),
        interactive=interactive,
        browser_path=browser_from_environment(),
        **rest,
    )


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
