"""Children that hostile bytes have taken over: each row of ``LIES`` is what such a one says or does in place of its work."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scraper.isolation.child import Say, answer_questions
from tests.security import captured

PASSWORDS = "/etc/passwd"
SOUND = {"name": "a.dcm", "kind": "part10", "number": 1, "damage": "", "is_list": False}


def _link(folder: Path, say: Say) -> None:
    (folder / "000001").symlink_to(PASSWORDS)
    say(**SOUND)
    say(end=True)


def _folder(folder: Path, say: Say) -> None:
    (folder / "000001").mkdir()
    say(**SOUND)
    say(end=True)


def _two_names(folder: Path, say: Say) -> None:
    (folder / "000001").write_bytes(b"x")
    os.link(folder / "000001", folder / "000002")
    say(**SOUND)
    say(end=True)


def _same_again(folder: Path, say: Say) -> None:
    (folder / "000001").write_bytes(b"x")
    say(**SOUND)
    (folder / "000001").write_bytes(b"y")
    say(**SOUND)
    say(end=True)


def _raw(message: bytes) -> Callable[[Path, Say], None]:
    def lie(_: Path, __: Say) -> None:
        for number in range(3, 20):  # the pipe to the parent is one of these
            try:
                os.write(number, message)
            except OSError:
                continue

    return lie


def _hangs(_: Path, __: Say) -> None:
    time.sleep(3600)  # ended by its parent


def _reply(**named: object) -> Callable[[Path, Say], None]:
    def lie(_: Path, say: Say) -> None:
        say(**{**SOUND, **named})
        say(end=True)

    return lie


LIES: dict[str, Callable[[Path, Say], None]] = {
    "a link in place of a file": _link,
    "a folder in place of a file": _folder,
    "a file with two names": _two_names,
    "one file twice": _same_again,
    "a file that is not there": _reply(),
    "a number that is a path": _reply(number="../../etc/passwd"),
    "a number below one": _reply(number=-1),
    "a number without end": _reply(number=10**30),
    "a name that is a list": _reply(name=["a"]),
    "a kind that there is not": _reply(kind="shell"),
    "a damage that speaks to the terminal": _reply(number=0, damage="a zip \x1b]52;c;aGk=\x07"),
    "a claim with keys too few": lambda _, say: say(name="a"),
    "no message": _raw(b"\xff\xfe\n"),
    "a list in place of a message": _raw(b"[]\n"),
    "a message without its length": _raw(b"{}\n"),
    "a length below nothing": _raw(b'{"length": -1}\n'),
    "more bytes than may come": _raw(b'{"length": 99999999999}\n'),
    "a nest": _raw(b"[" * 100_000 + b"\n"),
    "a line without end": _raw(b"a" * (2 << 20)),
    "dies": lambda *_: os._exit(3),
    "hangs": _hangs,
}


def _starved(say: Say) -> None:
    """Work for three seconds, as where others have the processor: a tenth of the time."""
    for _ in range(30):
        time.sleep(0.09)
        until = time.process_time() + 0.01
        while time.process_time() < until:
            pass
    say(end=True)


def _work(folder: Path, outside: Path, question: dict[str, Any], say: Say) -> None:
    if "starved" in question:
        _starved(say)
    elif "lie" in question:
        LIES[question["lie"]](folder, say)
    elif (folder.parent / "lie").exists():
        LIES[(folder.parent / "lie").read_text()](folder, say)
    else:
        reached = {
            "network": captured.open_socket(),
            "program": captured.start_program(),
            "outside": captured.write_file(outside),
            "parent": captured.kill_parent(),
            "inside": captured.write_file(folder / "mine") if str(folder) != "." else "refused",
            "memory": captured.take_memory(),
        }
        say(json.dumps(reached).encode(), end=True)


def serve() -> None:
    """The child's life: its own folder, then a file outside of it, on the command line."""
    arguments = [*sys.argv[1:], "", ""]
    folder, outside = Path(arguments[0]), Path(arguments[1])
    writable = (folder,) if arguments[0] else ()
    answer_questions(lambda question, _, say: _work(folder, outside, question, say), 512 << 20, writable, 1 << 20)
