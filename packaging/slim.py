"""On Linux: small libraries in the place of large ones that OpenCV and zbar are linked to and the program never calls.

FFmpeg (films), libavif (OpenCV's own reader of AVIF; ours is Pillow's) and what zbar shows a camera's picture with become
libraries of the same name whose functions return nothing. OpenBLAS, which OpenCV calls for large matrices alone, becomes one
that leads to Debian's reference LAPACK. Without a compiler or LAPACK the originals stay, and the package is some 80 MB larger.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection, GNUVerSymSection

EMPTY = {  # a library's name begins with → its functions', where they carry no version
    "libavcodec": "av",
    "libavformat": "av",
    "libavutil": "av",
    "libswscale": "sws",
    "libavif": "avif",
    "libX11": "X",
    "libdbus": "dbus",
    "libv4l2": "v4l2",
}
ALGEBRA = "libopenblas"
LAPACK = ("lapack/liblapack.so.3", "blas/libblas.so.3")  # Debian's reference ones, whatever the alternatives are set to


def reference_lapack() -> list[Path]:
    """LAPACK and BLAS of the system; nothing where one is missing."""
    found = [path for name in LAPACK for path in Path("/usr/lib").glob(f"*-linux-gnu/{name}")]
    return found if len(found) == len(LAPACK) and shutil.which("cc") else []


def slim(folder: Path) -> None:
    """Do it.

    Args:
        folder: of the libraries, ``_internal`` of PyInstaller.
    """
    compiler = shutil.which("cc")
    inside = {
        path.name: path for path in (*folder.glob("*.so.*"), *folder.glob("opencv*.libs/*")) if not path.is_symlink()
    }
    for module in (folder / "cv2" / "cv2.abi3.so", *folder.glob("libzbar.so.*")):
        if compiler is None or not module.is_file():
            continue
        with module.open("rb") as file:
            elf = ELFFile(file)
            needed = [tag.needed for tag in elf.get_section_by_name(".dynamic").iter_tags("DT_NEEDED")]
            wanted = _wanted(elf)
        for name in filter(inside.__contains__, needed):
            if name.startswith(tuple(EMPTY)):
                _make_empty(compiler, inside[name], wanted)
            elif name.startswith(ALGEBRA) and all((folder / Path(path).name).exists() for path in LAPACK):
                _make_leading(compiler, inside[name], [folder / Path(path).name for path in LAPACK])


def _wanted(elf: ELFFile) -> dict[str, dict[str, set[str]]]:
    """What the module asks of others: the library's name, or an empty one where no version is asked for → version → functions."""
    versions: dict[int, tuple[str, str]] = {}
    marks = None
    for section in elf.iter_sections():
        if isinstance(section, GNUVerNeedSection):
            for need, rows in section.iter_versions():
                versions |= {row["vna_other"]: (need.name, row.name) for row in rows}
        elif isinstance(section, GNUVerSymSection):
            marks = section
    wanted: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for number, symbol in enumerate(elf.get_section_by_name(".dynsym").iter_symbols()):
        if symbol["st_shndx"] == "SHN_UNDEF" and symbol.name:
            mark = marks.get_symbol(number)["ndx"] if marks else 0
            library, version = versions.get(mark, ("", ""))
            wanted[library][version].add(symbol.name)
    return wanted


def _make_empty(compiler: str, target: Path, wanted: dict[str, dict[str, set[str]]]) -> None:
    """A library with the functions that OpenCV wants of the target, each of which returns nothing."""
    prefix = next(functions for start, functions in EMPTY.items() if target.name.startswith(start))
    asked = dict(wanted.get(target.name) or {"": {name for name in wanted[""][""] if name.startswith(prefix)}})
    source = "".join(f"void *{name}(void) {{ return 0; }}\n" for names in asked.values() for name in sorted(names))
    script = "".join(
        f"{version} {{ global: {'; '.join(sorted(names))}; local: *; }};\n"
        for version, names in asked.items()
        if version
    )
    _compile(compiler, target, source or "extern int empty;\n", script, [])


def _make_leading(compiler: str, target: Path, others: list[Path]) -> None:
    """A library without a function of its own, that loads the others."""
    leading = ["-Wl,--no-as-needed", "-Wl,-rpath,$ORIGIN/..", *map(str, others)]
    _compile(compiler, target, "extern int empty;\n", "", leading)


def _compile(compiler: str, target: Path, source: str, script: str, more: list[str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        code, versions = Path(scratch) / "empty.c", Path(scratch) / "versions"
        code.write_text(source, encoding="utf-8")
        versions.write_text(script, encoding="utf-8")
        words = [compiler, "-shared", "-fPIC", "-nostdlib", "-fno-builtin", "-w", "-Os", f"-Wl,-soname,{target.name}"]
        words += [f"-Wl,--version-script,{versions}"] if script else []
        subprocess.run([*words, "-o", str(target), str(code), *more], check=True)
