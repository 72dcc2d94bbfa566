"""Takes out of a built package what nobody needs, and the symbols that only a debugger reads: ``prune.py FOLDER``."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from contents import CODECS, LEFT_OUT_FILES
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from PyInstaller.depend.bindepend import get_imports
from slim import slim

LOADED_BY_NAME = ("libzbar", "libpython", "Python")
LIBRARIES = (".so", ".dylib", ".pyd", ".dll", ".node")


def prune(folder: Path) -> None:
    """Do it all.

    Args:
        folder: of the libraries, ``_internal`` of PyInstaller.
    """
    for pattern in LEFT_OUT_FILES:
        for path in [path for path in folder.glob(pattern) if path.is_file() or path.is_symlink()]:
            path.unlink()
    for path in (folder / "imagecodecs").glob("_*"):
        if path.suffix in (".so", ".pyd") and path.name.partition(".")[0] not in CODECS:
            path.unlink()
    if sys.platform == "linux":
        slim(folder)
    drop_orphans(folder)
    if sys.platform == "linux":
        strip(folder)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def is_library(path: Path) -> bool:
    """Whether it is a shared library or a program."""
    return path.suffix in LIBRARIES or ".so." in path.name or path.name in ("node", "node.exe")


def libraries(folder: Path) -> Iterator[Path]:
    """Every real one, no links."""
    yield from (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and is_library(path))


def linked_to(path: Path) -> set[str]:
    """Names of the libraries that one names itself.

    On Linux PyInstaller asks the system's linker, which also names what the originals of the small libraries (slim.py) need.
    """
    if sys.platform != "linux":
        return {Path(name).name for name, _ in get_imports(str(path))}
    with path.open("rb") as file:
        try:
            dynamic = ELFFile(file).get_section_by_name(".dynamic")
        except ELFError:
            return set()
        return {tag.needed for tag in dynamic.iter_tags("DT_NEEDED")} if dynamic else set()


def drop_orphans(folder: Path) -> None:
    """Remove the libraries that no module of the package is linked to any more: of the system, and in wheels' own folders."""
    while True:
        needed = {name for path in libraries(folder) for name in linked_to(path)}
        orphans = [
            path
            for path in folder.rglob("*")
            if is_library(path)
            and (path.is_file() or path.is_symlink())
            and (
                (path.parent == folder and path.name.startswith("lib"))
                or path.parent.name.endswith((".libs", ".dylibs"))
            )
            and not path.name.startswith(LOADED_BY_NAME)
            and (path.name not in needed or not path.exists())
        ]
        if not orphans:
            return
        for path in orphans:
            path.unlink()


def strip(folder: Path) -> None:
    """Remove symbols, where what remains can be loaded: a wheel's patched libraries come out of it with shifted segments."""
    program = shutil.which("strip")
    if program is None:
        return
    for path in libraries(folder):
        stripped = path.with_name(f"{path.name}.stripped")
        done = subprocess.run(
            [program, "--strip-unneeded", "-o", str(stripped), str(path)], check=False, stderr=subprocess.DEVNULL
        )
        if done.returncode == 0 and is_loadable(stripped.read_bytes()):
            stripped.replace(path)
        stripped.unlink(missing_ok=True)


def is_loadable(data: bytes) -> bool:
    """Whether each segment of a 64-bit ELF file lies in the file as it does in memory, modulo its alignment (elf(5), PT_LOAD)."""
    (table,) = struct.unpack_from("<Q", data, 0x20)
    size, count = struct.unpack_from("<HH", data, 0x36)
    for place in range(table, table + size * count, size):
        kind, _, offset, address, _, _, _, alignment = struct.unpack_from("<IIQQQQQQ", data, place)
        if kind == 1 and alignment > 1 and (offset - address) % alignment:
            return False
    return True


if __name__ == "__main__":
    prune(Path(sys.argv[1]))
