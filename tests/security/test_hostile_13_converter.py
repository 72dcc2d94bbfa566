"""Row 13: the converter to NIfTI is a program in C++ that reads a stranger's files; one that was taken over wins nothing."""

import json
import subprocess
import sys

import pytest

from scraper.isolation.other_program import environment, fenced
from tests.security.memory import MB

ATTACK = """
import json, os, socket, subprocess, sys
def tried(work):
    try:
        work()
    except (OSError, MemoryError):
        return "refused"
    return "done"
print(json.dumps({
    "outside": tried(lambda: open(sys.argv[1], "w").close()),
    "inside": tried(lambda: open(sys.argv[2], "w").close()),
    "socket": tried(socket.socket),
    "process": tried(lambda: subprocess.run(["true"], close_fds=False)),
    "fork": tried(os.fork),
    "memory": tried(lambda: bytearray(1 << 30)),
    "secret": "SECRET" in os.environ,
}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the fence is Linux's")
def test_hostile_13_a_converter_that_was_taken_over_reaches_nothing_but_its_folder(tmp_path, monkeypatch):
    """Until now it ran with the network, the user's environment, and leave to write and start what it liked."""
    monkeypatch.setenv("SECRET", "4711")
    made = tmp_path / "made"
    made.mkdir()
    command = [sys.executable, "-S", "-c", ATTACK, str(tmp_path / "outside"), str(made / "volume")]
    done = subprocess.run(
        fenced(command, made, 256 * MB), capture_output=True, check=True, timeout=60, env=environment(made)
    )
    reached = json.loads(done.stdout)
    assert reached.pop("inside") == "done"
    assert not reached.pop("secret")
    assert set(reached.values()) == {"refused"}
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
