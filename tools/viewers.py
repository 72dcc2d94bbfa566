"""The viewers that the tests look through, and what checks or draws pages, as npm publishes them: pinned by SHA-512."""

from __future__ import annotations

import base64
import hashlib
import shutil
import tarfile
from pathlib import Path

from machine import ROOT, fetch, run, say

OHIF = "3.13.2"
OHIF_SHA512 = "WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
DWV = {  # npm's name and version → what is wanted of it, and its archive's SHA-512
    "dwv@0.36.4": (
        "package/dist/",
        "kXGlujGcCKSJD6s0THa2z4Kn/aVCdltvbgrn8g2WcTA8TgLZJHp6Z0Tbu3gxkerIaMCrTC4TbaWJI0nq9tPAFg==",
    ),
    "konva@10.2.0": (
        "package/konva.min.js",
        "JBoz0Xjbf49UPxCZegZ4WseqOzJ+C4AUDOtJ9eBve5RS5Fcq/u8TdBD5fDl/uPFInpC3a9uycm0sRyZpF4hheg==",
    ),
    "jszip@3.10.1": (
        "package/dist/jszip.min.js",
        "xXDvecyTpGLrqFrvkrUSoxxfJI5AH7U8zxxtVclpsUtMCq4JQ290LY8AW5c7Ggnr/Y/oK+bQMbqK2qmtk3pN4g==",
    ),
}

AXE = "axe-core@4.14.1"  # finds what a keyboard or a screen reader can't use; MPL 2.0, used by the tests alone
AXE_SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="

MERMAID = "mermaid@12.3.0"  # draws the diagrams of the pages; MIT
MERMAID_SHA512 = "4113TdXeLAsMruJ79OpFL5O8+LTFXhQqZ260rF3tgUmiNAtRm4Uume04I+65PRN6yZ69J4f8rVYWW8zRk65UYw=="


def npm_package(name: str, sha512: str, wanted: str, folder: Path) -> bool:
    """A package as npm publishes it, under ``folder/package``: its files whose names begin with ``wanted``.

    Args:
        name: ``name@version``.
        sha512: of its archive, in base64.
        wanted: the beginning of the names that are unpacked; source maps are not.
        folder: where to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plain, _, version = name.rpartition("@")
    archive = folder / f"{plain.lstrip('@').replace('/', '-')}-{version}.tgz"

    def sound() -> bool:
        if not archive.is_file():
            return False
        return base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() == sha512

    if not sound() and shutil.which("npm"):
        run(["npm", "pack", name, "--silent", "--pack-destination", folder], timeout_s=300)
    if not sound():
        fetch(f"https://registry.npmjs.org/{plain}/-/{plain.rpartition('/')[2]}-{version}.tgz", archive)
    if not sound():
        return False
    unpacking = folder / "unpacking"
    shutil.rmtree(unpacking, ignore_errors=True)
    with tarfile.open(archive) as tar:
        members = [
            member
            for member in tar.getmembers()
            if member.isfile()
            and ".." not in member.name
            and member.name.startswith(wanted)
            and not member.name.endswith(".map")
        ]
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # Python 3.11.2 has none
        tar.extractall(unpacking, members=members, **safe)  # noqa: S202  its SHA-512 is pinned, and names are checked above
    shutil.rmtree(folder / "package", ignore_errors=True)
    (unpacking / "package").replace(folder / "package")
    shutil.rmtree(unpacking, ignore_errors=True)
    archive.unlink()
    return True


def ohif(folder: Path = ROOT / ".cache" / "ohif") -> str:
    """The OHIF viewer, under ``.cache/ohif/package``; returns what is missing."""
    if (folder / "package" / "dist" / "index.html").is_file():
        return ""
    say(f"fetching OHIF {OHIF} (50 MB)")
    if npm_package(f"@ohif/app@{OHIF}", OHIF_SHA512, "package/dist/", folder):
        return ""
    return f"OHIF (npm pack @ohif/app@{OHIF}): the test with the real viewer is skipped"


def dwv(folder: Path = ROOT / ".cache" / "dwv") -> str:
    """The dwv viewer and what it is made of, under ``.cache/dwv/NAME/package``; returns what is missing."""
    for name, (wanted, sha512) in DWV.items():
        target = folder / name.partition("@")[0]
        if not (target / "package").is_dir():
            say(f"fetching {name}")
            if not npm_package(name, sha512, wanted, target):
                return f"{name} (npm pack {name}): the test with that viewer is skipped"
    return ""


def axe(folder: Path = ROOT / ".cache" / "axe") -> str:
    """The checker of accessibility, under ``.cache/axe/package``; returns what is missing."""
    if (folder / "package" / "axe.min.js").is_file():
        return ""
    say(f"fetching {AXE}")
    if npm_package(AXE, AXE_SHA512, "package/axe.min.js", folder):
        return ""
    return f"axe-core (npm pack {AXE}): the window's pages are not checked for accessibility"


def mermaid(folder: Path = ROOT / ".cache" / "mermaid") -> str:
    """What draws the diagrams of the pages, under ``.cache/mermaid/package``; returns what is missing."""
    if (folder / "package" / "dist" / "mermaid.min.js").is_file():
        return ""
    say(f"fetching {MERMAID}")
    if npm_package(MERMAID, MERMAID_SHA512, "package/dist/mermaid.min.js", folder):
        return ""
    return f"mermaid (npm pack {MERMAID}): the diagrams of the pages stay text"
