"""What a bare machine can be asked to do: run a program, install a Debian package, download a file.

For Python 3.8 or newer and nothing else; no step asks anything, with or without root.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def say(text: str) -> None:
    """One line of talk, on standard error."""
    print(f"[setup] {text}", file=sys.stderr, flush=True)


def run(command: Sequence[object], timeout_s: float = 900, *, quiet: bool = True) -> bool:
    """Run a program without input; when it fails, the end of its output is shown, unless ``quiet``.

    Returns:
        whether it ended with 0, in time.
    """
    words = [str(word) for word in command]
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            start_new_session=True,  # so that its children end with it
        )
    except OSError as err:
        if not quiet:
            say(f"{words[0]}: {err}")
        return False
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except BaseException as err:
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        if isinstance(err, subprocess.TimeoutExpired):
            say(f"{words[0]}: given up after {timeout_s:.0f} s")
            return False
        raise
    if process.returncode and not quiet:
        tail = output.decode("utf-8", "replace").strip().splitlines()[-15:]
        say("\n        ".join([f"{' '.join(words[:4])} … ended with {process.returncode}", *tail]))
    return process.returncode == 0


def privilege() -> list[str] | None:
    """What makes a command run as root: nothing, ``sudo -n``, or None where root can't be had."""
    if os.name != "posix":
        return None
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and run(["sudo", "-n", "true"], timeout_s=10):
        return ["sudo", "-n"]
    return None


@contextmanager
def services_stay_off(root: list[str]) -> Iterator[None]:
    """While a package is installed, its service is not started (Orthanc's would listen on the network)."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    script = "printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d"
    run([*root, "sh", "-c", script])
    try:
        yield
    finally:
        run([*root, "rm", "-f", str(policy)])


def apt(*packages: str) -> bool:
    """Install Debian packages, with the lists at hand, else with fresh ones; False where that can't be done."""
    root = privilege()
    if root is None or not shutil.which("apt-get"):
        return False
    get = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-q"]
    get += ["-o", "DPkg::Lock::Timeout=180", "-o", "Acquire::Retries=3"]
    install = [*get, "install", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold", *packages]
    with services_stay_off(root):
        if run(install):
            return True
        run([*get, "update"], timeout_s=300)
        return run(install, quiet=False)


def has_library(name: str) -> bool:
    """Whether the dynamic linker finds ``name`` (``zbar``)."""
    code = "import ctypes.util, sys; sys.exit(0 if ctypes.util.find_library(sys.argv[1]) else 1)"
    if run([sys.executable, "-c", code, name]):
        return True
    places = ("/usr/lib", "/usr/local/lib", "/opt/homebrew/lib")
    return any(next(Path(place).glob(f"**/lib{name}.*"), None) for place in places if Path(place).is_dir())


def reachable(url: str) -> bool:
    """Whether a server answers at all within a few seconds, whatever it says."""
    try:
        urllib.request.urlopen(url, timeout=6).close()  # noqa: S310  fixed https addresses
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def fetch(url: str, target: Path) -> bool:
    """Download one file whole, or not at all."""
    part = target.with_name(target.name + ".part")
    try:
        with urllib.request.urlopen(url, timeout=30) as answer, part.open("wb") as file:  # noqa: S310  fixed https addresses
            shutil.copyfileobj(answer, file)
    except OSError as err:
        say(f"{url}: {err}")
        part.unlink() if part.exists() else None
        return False
    part.replace(target)
    return True
