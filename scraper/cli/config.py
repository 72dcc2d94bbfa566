"""The settings file: defaults for options, never answers; and words that stand before or after any command.

Source: TOML, where the platform keeps a program's settings (``platformdirs``), or where ``--config`` says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from scraper.core.errors import UnreadableFile, UsageError
from scraper.core.settings import BrowserUse, Language

NAME: Final = "config.toml"
LARGEST: Final = 64 * 1024  # bytes
MOST_DOTS: Final = 500  # of a line: the time that a key takes to read grows with the square of its steps
_KINDS: Final[dict[str, type | tuple[type, ...]]] = {
    "output": str,
    "lang": str,
    "jobs": int,
    "rate": (int, float),
    "timeout": (int, float),
    "give_up": (int, float),
    "proxy": str,
    "provider": str,
    "name": str,
    "browser": str,
    "parallel": int,
}
_CHOICES: Final = {"lang": tuple(Language), "browser": tuple(BrowserUse)}
_COMMANDS: Final = (
    "grab",
    "list",
    "batch",
    "verify",
    "export",
    "send",
    "decode",
    "doctor",
    "providers",
    "view",
    "learn",
)


@dataclass(frozen=True, slots=True)
class Globals:
    """What stands on the command line for every command: the file of defaults, the log file, the rest of the words."""

    words: list[str]
    config: Path | None = None
    has_config: bool = True
    log_file: Path | None = None
    defaults: dict[str, Any] = field(default_factory=dict)

    def default_map(self) -> dict[str, Any]:
        """The defaults, for each command that has such an option."""
        return {command: dict(self.defaults) for command in _COMMANDS}


def default_file() -> Path:
    """Where the settings file is, if there is one."""
    from platformdirs import user_config_path

    return user_config_path("cloudfilm", appauthor=False) / NAME


def taken(arguments: list[str]) -> Globals:
    """Take ``--config FILE``, ``--no-config`` and ``--log-file FILE`` out of the words, and move a leading ``--lang`` back.

    Raises:
        UsageError: an option without its value, or a settings file with a wrong line.
        UnreadableFile: the file named is not there, or no TOML.
    """
    words: list[str] = []
    found: dict[str, str] = {}
    leading: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if word == "--":
            words += [word, *rest]
            break
        if name == "--no-config":
            found[name] = "yes"
        elif name in ("--config", "--log-file") or (name == "--lang" and _command_in(words) is None):
            if not equals and not rest:
                raise UsageError(f"{name}: FILE" if name != "--lang" else f"{name}: zh, en")
            given = value if equals else rest.pop(0)
            if name == "--lang":
                leading = [name, given]
            else:
                found[name] = given
        else:
            words.append(word)
    command = _command_in(words)
    if command is not None:
        words[command + 1 : command + 1] = leading
    has_config = "--no-config" not in found
    named = Path(found["--config"]) if "--config" in found else None
    path = named or (default_file() if has_config else None)
    defaults: dict[str, Any] = {}
    if has_config and path is not None and (named is not None or path.is_file()):
        defaults = read(path)
    log_file = Path(found["--log-file"]) if "--log-file" in found else None
    return Globals(words, path if defaults or named else None, has_config, log_file, defaults)


def _command_in(words: list[str]) -> int | None:
    """Where the command's name stands, if it does."""
    return next((place for place, word in enumerate(words) if not word.startswith("-")), None)


def read(path: Path) -> dict[str, Any]:
    """The defaults of a settings file, by the option's name.

    Raises:
        UnreadableFile: it is not there, too large, or no TOML. UsageError: an unknown name, or a value of another kind.
    """
    import tomllib

    try:
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
        if len(text) > LARGEST or any(line.count(b".") > MOST_DOTS for line in text.splitlines()):
            raise UnreadableFile(path=str(path))
        values = tomllib.loads(text.decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as err:  # of text and TOML: both are values' errors
        raise UnreadableFile(path=str(path)) from err
    for name, value in values.items():
        kind = _KINDS.get(name)
        if kind is None:
            raise UsageError(f"{path}: {name}? ({', '.join(sorted(_KINDS))})")
        if not isinstance(value, kind) or isinstance(value, bool) or not _is_sound(value):
            raise UsageError(f"{path}: {name} = {value!r}")
        if name in _CHOICES and value not in _CHOICES[name]:
            raise UsageError(f"{path}: {name} = {value!r} ({', '.join(_CHOICES[name])})")
    return values


def _is_sound(value: object) -> bool:
    """Whether it is no number beyond all numbers, and no text with a character that ends a line or turns a terminal."""
    return value.isprintable() if isinstance(value, str) else isinstance(value, (int, float)) and math.isfinite(value)


def log_to(path: Path) -> None:
    """Write the redacted log to a file that its owner alone can read.

    Raises:
        NotWritable: it can't be written.
    """
    import logging
    import os

    from scraper.core.errors import NotWritable
    from scraper.core.log import logger

    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as err:
        raise NotWritable(path=str(path)) from err
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
