"""The files added to every export: a page that explains it, in both languages, and a manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Final

from scraper.core.provenance import made_by

SCHEMA: Final = 1  # of manifest.json; raised when a key changes its meaning
READ_ME: Final = "READ ME 请先阅读.html"
READ_ME_ON_DISC: Final = "README.HTM"  # where names have eight letters and three
MANIFEST: Final = "manifest.json"


@dataclass(frozen=True, slots=True)
class Companion:
    """A small file in an export."""

    name: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of an export, for its manifest."""

    name: str
    size: int
    sha256: str


Extra = Callable[[Sequence[Entry], tuple[int, int]], Sequence[Companion]]
"""Gives more companions, by the files of a part and the part's place: a page to look at the images, say."""


@dataclass(frozen=True, slots=True)
class Companions:
    """What stands beside the files of one export.

    Attributes:
        target: what was made.
        status: ``complete``, or ``incomplete`` where the study is not whole.
        options: the user's, for the manifest; no path, no name.
        provider: that the studies came from, where their own report says so.
        extra: more of them.
    """

    target: str
    status: str
    options: Mapping[str, object] = field(default_factory=dict)
    provider: tuple[str, ...] = ()
    extra: tuple[Extra, ...] = ()

    def made(self, entries: Sequence[Entry], part: tuple[int, int] = (1, 1)) -> list[Companion]:
        """The companions of a part (its place, of how many)."""
        found = [companion for more in self.extra for companion in more(entries, part)]
        page = _PAGE.format(
            target=escape(self.target),
            part_en=f"<p>Part {part[0]} of {part[1]}: unpack all parts into one folder.</p>" if part[1] > 1 else "",
            part_zh=f"<p>第 {part[0]} 部分，共 {part[1]} 部分：请全部解压到同一文件夹。</p>" if part[1] > 1 else "",
            short_en="" if self.status == "complete" else "<p><b>The study is not complete.</b></p>",
            short_zh="" if self.status == "complete" else "<p><b>该检查不完整。</b></p>",
        )
        return [*found, Companion(READ_ME, page.encode()), Companion(MANIFEST, self._manifest(entries, part))]

    def _manifest(self, entries: Sequence[Entry], part: tuple[int, int]) -> bytes:
        document = {
            "schema": SCHEMA,
            "made": made_by({"to": self.target, **self.options}),
            "provider": list(self.provider),
            "status": self.status,
            "part": part[0],
            "parts": part[1],
            "files": [{"name": entry.name, "size": entry.size, "sha256": entry.sha256} for entry in entries],
        }
        return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()

    def write(self, folder: Path) -> None:
        """Put them into a folder that holds the files."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        entries = [Entry(path.relative_to(folder).as_posix(), path.stat().st_size, sha256_of(path)) for path in paths]
        for companion in self.made(entries):
            path = folder / companion.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(companion.data)


def sha256_of(path: Path) -> str:
    """Of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_PAGE: Final = """<!DOCTYPE html>
<html lang="zh"><meta charset="utf-8"><title>READ ME 请先阅读</title>
<style>body{{font:16px/1.6 sans-serif;max-width:42em;margin:2em auto;padding:0 1em}}h2{{margin-top:2em}}</style>
<h2>请先阅读</h2>
{part_zh}{short_zh}
<p>这里是一次或多次影像检查的原始数据（DICOM 格式，{target}）。扩展名为 .dcm 的文件是影像本身，
普通看图软件打不开。</p>
<ul><li>医生：请导入 PACS 或 DICOM 阅片软件（如 RadiAnt、Weasis、Horos）。按 患者/检查/序列 分文件夹。</li>
<li>患者：把整个压缩包或文件夹交给医生即可，请勿删改其中的文件。</li>
<li>manifest.json 列出每个文件及其校验值（SHA-256）。</li></ul>
<p>由 cloudfilm 生成。影像属于个人健康信息，请妥善保管。</p>
<h2 lang="en">Read me</h2>
{part_en}{short_en}
<p lang="en">These are the original data of one or more imaging studies (DICOM, {target}). Files that end in .dcm are the images;
ordinary picture viewers don't open them.</p>
<ul lang="en"><li>Doctors: import the folder into a PACS or a DICOM viewer (RadiAnt, Weasis, Horos).
Folders are patient/study/series.</li>
<li>Patients: hand on the whole archive or folder, and change nothing in it.</li>
<li>manifest.json lists every file with its checksum (SHA-256).</li></ul>
<p lang="en">Made by cloudfilm. Images are personal health data: keep them safe.</p>
</html>
"""
