"""An ISO 9660 image of a CD's layout: names of eight letters, and the page for people under its full name, too (Joliet)."""

from __future__ import annotations

from pathlib import Path

from pycdlib import PyCdlib

from scraper.export.companions import MANIFEST, READ_ME, READ_ME_ON_DISC

_SHORT = {READ_ME: READ_ME_ON_DISC, MANIFEST: "MANIFEST.JSN"}


def burn(folder: Path, image: Path) -> None:
    """Write the image of a folder with a DICOMDIR (PS3.12 F, ISO 9660 level 1)."""
    disc = PyCdlib()
    disc.new(interchange_level=1, joliet=3, vol_ident="CLOUDFILM")
    try:
        for path in sorted(folder.rglob("*")):
            parts = path.relative_to(folder).parts
            long = "/" + "/".join(parts)
            short = "/" + "/".join(_SHORT.get(part, part).upper() for part in parts)
            if path.is_dir():
                disc.add_directory(short, joliet_path=long)
            else:
                disc.add_file(str(path), f"{short}{'' if '.' in short.rpartition('/')[2] else '.'};1", joliet_path=long)
        disc.write(str(image))
    finally:
        disc.close()
