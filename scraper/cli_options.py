"""The options that the commands share, as typer reads them, and what turns them into Settings."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from scraper.errors import UsageError
from scraper.lang import question_label, say
from scraper.model import QUESTIONS, Question
from scraper.settings import (
    BrowserUse,
    ConnectTo,
    Language,
    Settings,
    browser_from_environment,
    language_from_environment,
    password_from_environment,
)

MOST_JOBS = 16
Source = Annotated[
    list[str], typer.Argument(help="Photo, scan, PDF, link, share text, or - for text on standard input.")
]
OneSource = Annotated[str, typer.Argument(metavar="SOURCE", help="As for grab.")]
Output = Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where studies go.")]
Answer = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FIELD=VALUE", help="What the site will ask: " + ", ".join(q.name for q in QUESTIONS) + "."
    ),
]
Password = Annotated[
    str | None,
    typer.Option(metavar="VALUE", help="Short for --answer password=VALUE; also CLOUDFILM_PASSWORD."),
]
ProviderName = Annotated[
    str, typer.Option("--provider", metavar="NAME", help="Use this recipe; `universal` forces capture.")
]
Browser = Annotated[
    BrowserUse, typer.Option(help="Speak to the site directly where possible, or through the browser.")
]
Headed = Annotated[bool, typer.Option("--headed", help="Show the browser window.")]
SeriesPattern = Annotated[
    list[str] | None,
    typer.Option("--series", metavar="PATTERN", help="Only series whose number or description matches."),
]
Expect = Annotated[
    int | None,
    typer.Option(
        "--expect", min=1, metavar="N",
        help="How many images the viewer or the paper says there are; with --series, of those series.",
    ),
]  # fmt: skip
Jobs = Annotated[int, typer.Option(min=1, max=MOST_JOBS, help="Instances in flight at once.")]
Rate = Annotated[float | None, typer.Option(min=0.01, help="At most so many requests a second to one host.")]
Timeout = Annotated[
    float | None, typer.Option(min=1, metavar="SECONDS", help="Give up on a site that is silent this long.")
]
Insecure = Annotated[bool, typer.Option("--insecure", help="Accept a broken TLS certificate.")]
ConnectToOption = Annotated[
    list[str] | None,
    typer.Option("--connect-to", metavar="HOST:PORT:ADDRESS:PORT", help="Connect there instead, as in curl."),
]
Proxy = Annotated[str, typer.Option(metavar="URL", help="For browser and direct traffic.")]
Json = Annotated[bool, typer.Option("--json", help="Standard output carries JSON Lines and nothing else.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Less on standard error.")]
Verbose = Annotated[int, typer.Option("-v", "--verbose", count=True, help="More on standard error.")]
Lang = Annotated[
    Language | None, typer.Option("--lang", help="Language of messages; by default the locale's.")
]


def complain(*sentences: str) -> None:
    """Talk, on standard error."""
    typer.echo(" ".join(sentences), err=True)


def settings_of(
    *, answers: list[str] | None, password: str | None, connect_to: list[str] | None, language: Language | None,
    as_json: bool, **rest: Any,
) -> Settings:  # fmt: skip
    """The options as Settings.

    Raises:
        UsageError: an unknown field, or a malformed option.
    """
    given: dict[str, str] = {}
    names = [question.name for question in QUESTIONS]
    for one in answers or []:
        name, equals, value = one.partition("=")
        if not equals or name not in names:
            raise UsageError(f"--answer {name}: FIELD=VALUE, FIELD = {', '.join(names)}")
        given[name] = value
    password = password if password is not None else password_from_environment()
    if password:
        given.setdefault("password", password)
    interactive = sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty() and not as_json
    return Settings(
        answers=given,
        connect_to=tuple(ConnectTo.parse(row) for row in connect_to or []),
        language=language or language_from_environment(),
        interactive=interactive,
        browser_path=browser_from_environment(),
        **rest,
    )


def ask_for_count(settings: Settings, received: int) -> int | None:
    """Ask the person at the terminal how many images there are; None where that is not known, or nobody sits there."""
    if not settings.interactive:
        return None
    words = say("ask.expect", settings.language, received=received)
    given = str(typer.prompt(words, default="", show_default=False, err=True)).strip()
    return int(given) if given.isdecimal() and int(given) > 0 else None


def asker(settings: Settings) -> Callable[[Question, str, Path | None], str | None]:
    """Asks the person at the terminal, hidden; gives None where there is no terminal."""

    def ask(question: Question, host: str, picture: Path | None) -> str | None:
        if not settings.interactive:
            return None
        words = say(
            "ask", settings.language, host=host, label=question_label(question.name, settings.language)
        )
        if picture is not None:
            typer.echo(say("ask.picture", settings.language, path=picture), err=True)
        return str(typer.prompt(words, default="", hide_input=True, show_default=False, err=True)) or None

    return ask
