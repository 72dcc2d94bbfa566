"""Row 12: under an ordinary user the browser has its sandbox; tried as such a user where this machine lets us become one."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from scraper.session.browser.discovery import find_browser

ROOT = Path(__file__).parents[2]
PROGRAM = """
import asyncio, os, sys
from pathlib import Path
from scraper.core.settings import Settings
from scraper.session.browser import Browser

async def main():
    async with Browser(Settings(timeout_s=60, browser_path=sys.argv[1]), Path(sys.argv[2]) / "spool") as browser:
        window = await browser.window()
        await window.page.set_content("<title>calm</title>")
        browsers = {
            path.parent: path.read_bytes().replace(b"\\0", b" ") for path in Path("/proc").glob("[0-9]*/cmdline") if owned(path)
        }
        renderers = [folder for folder, words in browsers.items() if b"--type=renderer" in words]
        modes = {
            line.split()[1]
            for folder in renderers
            for line in (folder / "status").read_text().splitlines()
            if line.startswith("Seccomp:")
        }
        is_open = any(b"--no-sandbox" in words for words in browsers.values())
        print(browser.unfenced_why or "fenced", is_open, bool(renderers), *modes)
        await window.close()

def owned(path):
    try:
        return path.stat().st_uid == os.geteuid() and path.parent.name != str(os.getpid())  # whose words are these
    except OSError:
        return False

asyncio.run(main())
"""


USER = 65534  # nobody
BECOME = """
set -e
{mounts}
exec setpriv --reuid={user} --regid={user} --clear-groups env -i {environment} {words}
"""
# what lies in a home that others can't enter is shown to this process alone: a mount of its own over that home
MOUNTS = """
mkdir {folder}/prefix
mount --bind {prefix} {folder}/prefix
mount -t tmpfs -o mode=755 tmpfs {home}
mkdir -p {prefix}
mount --bind {folder}/prefix {prefix}
"""


def closed_folder(path: Path) -> Path | None:
    """The outermost folder above a path that other users can't enter."""
    return next((above for above in reversed(path.parents) if not above.stat().st_mode & 0o001), None)


def as_another(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """Run this interpreter as an ordinary user, in a folder of that user's own and a file system of its own."""
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": folder, "TMPDIR": folder, "PYTHONPATH": ROOT}
    prefix = Path(sys.base_prefix)
    home = closed_folder(prefix)
    mounts = MOUNTS.format(folder=folder, prefix=prefix, home=home) if home else ""
    script = BECOME.format(
        mounts=mounts,
        user=USER,
        environment=shlex.join(f"{name}={value}" for name, value in environment.items()),
        words=shlex.join([sys.executable, "-B", *map(str, words)]),
    )
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False, timeout=300, cwd=folder
    )


@pytest.mark.thorough
@pytest.mark.skipif(
    sys.platform != "linux"
    or os.geteuid() != 0
    or find_browser() is None
    or not (shutil.which("unshare") and shutil.which("setpriv")),
    reason="root alone can become another user",
)
def test_hostile_12_an_ordinary_users_browser_has_its_sandbox():
    folder, browser = Path(tempfile.mkdtemp(prefix="sandbox-", dir="/tmp")), find_browser()
    try:
        os.chown(folder, USER, USER)
        reached = as_another(folder, "-c", f"import playwright.async_api; open({str(browser)!r}, 'rb')")
        if reached.returncode:
            pytest.skip(f"an ordinary user reaches no interpreter or browser here: {reached.stderr[-200:]}")
        shutil.rmtree(folder / "prefix", ignore_errors=True)
        done = as_another(folder, "-c", PROGRAM, browser, folder)
        if done.returncode == 0 and done.stdout.startswith("system "):
            pytest.skip("this system lets ordinary users have no sandbox")
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout.split() == ["fenced", "False", "True", "2"]  # 2: seccomp with a filter
    finally:
        shutil.rmtree(folder, ignore_errors=True)
