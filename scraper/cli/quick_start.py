"""Start a command quickly: no other is built, and absent options and plain words skip typer's own reading of values.

Typer loads pydantic and builds a schema for each option, which takes longer than reading an easy photo's codes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from typer import Typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_command_name

from scraper.core import output
from scraper.core.settings import Language

_WORDS: Mapping[str, Callable[[Any], Any]] = {
    "file": lambda words: [Path(word) for word in words],
    "annotate": Path,
    "lang": Language,
}
"""By the parameter's name, what makes its value of the words given; may raise ValueError."""


def command_for(app: Typer, words: Sequence[str]) -> Any:
    """The program on these words: with the one command that they begin with, else with all of them."""
    called = [
        info
        for info in app.registered_commands
        if words and info.callback is not None and (info.name or get_command_name(info.callback.__name__)) == words[0]
    ]
    if not called:
        return get_command(app)
    alone = copy.copy(app)
    alone.registered_commands = called
    return get_command(alone)


class Quick(TyperCommand):
    """Make the class of a typer command read its text parameters by itself."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The command's own parameters and ``--help``, each with its quick reader."""
        return _eased(super().get_params(ctx))


class QuickGroup(TyperGroup):
    """The same for the options before the command's name."""

    def get_help(self, ctx: Any) -> str:
        """The help in characters that standard output can hold."""
        return output.writable(super().get_help(ctx))

    def get_params(self, ctx: Any) -> list[Any]:
        """The group's own parameters and ``--help``, each with its quick reader."""
        return _eased(super().get_params(ctx))


def _eased(params: list[Any]) -> list[Any]:
    for param in params:
        if "process_value" not in vars(param):
            # an instance's own attribute wins over the class's method; where typer asks another way, it is slower only
            param.process_value = _reader(param)
    return params


def _reader(param: Any) -> Callable[[Any, Any], Any]:
    """The parameter's reader: plain, from its words, or, for anything else, typer's own."""
    usual: Callable[[Any, Any], Any] = param.process_value

    def process_value(ctx: Any, value: Any) -> Any:
        if param.multiple and not value and param.default is None and param.callback is None:
            return None
        if (param.required and not value) or param.multiple:
            return usual(ctx, value)
        if value is None:
            return None if param.callback is None else param.callback(ctx, param, None)
        if param.callback is None:
            if isinstance(value, int | float) and value is param.default:
                return value
            if param.name in _WORDS:
                try:
                    return _WORDS[param.name](value)
                except ValueError:
                    pass  # typer says what is wrong with it
        return usual(ctx, value)

    return process_value
