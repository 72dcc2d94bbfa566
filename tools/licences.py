"""Write ``docs/licences.md``: what a default install brings, under which licence, and how large each part is.

    python -m tools.licences [--check]

The packages are those that the distribution's metadata asks for, on this system, with what they ask for in turn. A licence
is what the package itself declares (``License-Expression``, classifiers, or the ``License`` field). Sizes are those of the
installed files here. ``--check`` writes nothing: it fails where a package is under a GPL or declares nothing, or is not on the
page.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PAGE = Path(__file__).parent.parent / "docs" / "licences.md"
BINARIES = {  # libraries inside wheels, as their own licence files say; looked at in November 2026
    "imagecodecs": "CharLS (BSD-3), OpenJPEG (BSD-2), OpenJPH (BSD-2), libjpeg-turbo (BSD-3, IJG), libjxl (BSD-3) and others, "
    "all permissive; its folder `licenses` has each",
    "simplejpeg": "libjpeg-turbo (BSD-3, IJG)",
    "opencv-contrib-python-headless": "FFmpeg (LGPL-2.1), OpenBLAS (BSD-3)",
    "playwright": "Node.js (MIT and others), the driver (Apache-2.0); no browser",
    "pi-heif": "libheif (LGPL-3), libde265 (LGPL-3); decoders only, no x265",
    "curl-cffi": "libcurl-impersonate (MIT), BoringSSL (ISC, OpenSSL), nghttp2 (MIT)",
    "pypdfium2": "PDFium (BSD-3, Apache-2.0)",
    "zxing-cpp": "ZXing-C++ (Apache-2.0)",
    "pyzbar": "on Windows: zbar (LGPL-2.1)",
    "dcm2niix": "the program dcm2niix (BSD-2)",
    "numpy": "OpenBLAS (BSD-3), libgfortran (GPL-3 with the runtime exception)",
    "pillow": "libjpeg-turbo, libtiff, libwebp, FreeType and others, all permissive",
}
DECLARED = {  # packages whose metadata says nothing that a program can read
    "simplejpeg": "MIT",
    "pi-heif": "BSD-3-Clause",
    "publicsuffixlist": "MPL-2.0",
}


def closure(name: str) -> dict[str, Distribution]:
    """Canonical name → distribution, of everything that a default install of ``name`` brings."""
    found: dict[str, Distribution] = {}
    waiting = [(name, frozenset[str]())]
    while waiting:
        wanted, extras = waiting.pop()
        key = canonicalize_name(wanted)
        try:
            package = distribution(wanted)
        except PackageNotFoundError:
            continue
        if key in found and not extras:
            continue
        found[key] = package
        for line in package.requires or ():
            requirement = Requirement(line)
            asked = (
                [requirement.marker.evaluate({"extra": extra}) for extra in (extras or {""})]
                if requirement.marker
                else [True]
            )
            if any(asked) and canonicalize_name(requirement.name) not in found:
                waiting.append((requirement.name, frozenset(requirement.extras)))
    return found


def licence(package: Distribution) -> str:
    """What the package declares; empty where it declares nothing."""
    head = package.metadata
    if expression := head.get("License-Expression"):
        return str(expression)
    classified = [row.rpartition(" :: ")[2] for row in head.get_all("Classifier", []) if row.startswith("License ::")]
    if classified := [row for row in classified if row != "OSI Approved"]:
        return ", ".join(classified)
    lines = str(head.get("License") or "").strip().splitlines()
    return lines[0][:60] if lines else DECLARED.get(canonicalize_name(head["Name"]), "")


def _is_gpl(declared: str) -> bool:
    return "GPL" in declared.replace("LGPL", "")


def megabytes(package: Distribution) -> float:
    """Size of the installed files, in MB."""
    paths = (Path(str(package.locate_file(file))) for file in package.files or ())
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def page(packages: dict[str, Distribution]) -> str:
    """The page's Markdown."""
    sizes = {name: megabytes(package) for name, package in packages.items()}
    rows = [
        f"| {name} | {licence(package)} | {sizes[name]:.1f} | {BINARIES.get(name, '')} |"
        for name, package in sorted(packages.items(), key=lambda item: (-sizes[item[0]], item[0]))
    ]
    return "\n".join(
        (
            "# Licences",
            "",
            "cloudfilm is under the [MIT licence](../LICENSE). This page is written by `python -m tools.licences`:",
            "what a default install brings on Linux, each under the licence that it declares, with the size of its files.",
            "",
            f"In all {len(rows)} packages and {sum(sizes.values()):.0f} MB, without the browser.",
            "",
            "| package | licence | MB | libraries in its wheel |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
        )
    )


def main() -> int:
    """Write the page, or with ``--check`` name the packages that a default install must not bring."""
    packages = closure("cloudfilm")
    del packages["cloudfilm"]
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page(packages), encoding="utf-8")
        return 0
    declared_by = {name: licence(package) for name, package in packages.items()}
    listed = re.findall(r"^\| ([\w.-]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    if missing := sorted(packages.keys() - set(listed)):  # other systems and Pythons have fewer
        sys.stderr.write(f"docs/licences.md lacks {', '.join(missing)}: python -m tools.licences\n")
        return 1
    refused = {name: declared for name, declared in declared_by.items() if not declared or _is_gpl(declared)}
    for name, declared in refused.items():
        sys.stderr.write(f"{name}: {declared or 'declares no licence'}\n")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
