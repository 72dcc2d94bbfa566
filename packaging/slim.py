"""On Linux: small libraries in the place of large ones that OpenCV and zbar are linked to and the program never calls.

FFmpeg (films), libavif (OpenCV's own reader of AVIF; ours is Pillow's) and what zbar shows a camera's picture with become
libraries of the same name whose functions return nothing. OpenBLAS becomes one whose functions end the process: OpenCV calls
them for matrices of 25 rows and more (its hal_internal.cpp); of what we call, only findHomography solves equations, of 9 rows.
Without a compiler the originals stay, and the package is some 90 MB larger.
"""

from __future__ import annotations

import re
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
OF_ALGEBRA = re.compile(r"cblas_[sdcz]gemm|[sd](gesv|getrf|potrf|gels|geqrf|gesdd)_")
NOTHING, END = "return 0;", "__builtin_trap();"


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
                prefix = next(functions for start, functions in EMPTY.items() if name.startswith(start))
                bare = {function for function in wanted[""][""] if function.startswith(prefix)}
                _make(compiler, inside[name], dict(wanted.get(name) or {"": bare}), NOTHING)
            elif name.startswith(ALGEBRA):
                _make(compiler, inside[name], {"": set(filter(OF_ALGEBRA.fullmatch, wanted[""][""]))}, END)


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


def _make(compiler: str, target: Path, asked: dict[str, set[str]], body: str) -> None:
    """A library in the target's place.

    Args:
        compiler: of C.
        target: the library's file.
        asked: version, or an empty one → functions that are asked of the library.
        body: of each function.
    """
    source = "".join(f"void *{name}(void) {{ {body} }}\n" for names in asked.values() for name in sorted(names))
    script = "".join(
        f"{version} {{ global: {'; '.join(sorted(names))}; local: *; }};\n"
        for version, names in asked.items()
        if version
    )
    with tempfile.TemporaryDirectory() as scratch:
        code, versions = Path(scratch) / "empty.c", Path(scratch) / "versions"
        code.write_text(source or "extern int empty;\n", encoding="utf-8")
        versions.write_text(script, encoding="utf-8")
        words = [compiler, "-shared", "-fPIC", "-nostdlib", "-fno-builtin", "-w", "-Os", f"-Wl,-soname,{target.name}"]
        words += [f"-Wl,--version-script,{versions}"] if script else []
        subprocess.run([*words, "-o", str(target), str(code)], check=True)
