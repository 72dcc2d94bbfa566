"""Find code that nothing uses: names, by vulture, and modules that no other file mentions; ``make check`` runs it.

    python -m tools.dead_code

Tests do not count as a use: what only a test calls is dead, unless ``ALLOWED`` says why it stays.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Final

from pydicom.datadict import tag_for_keyword
from vulture import Vulture
from vulture.core import Item

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDERS: Final = ("scraper", "providers", "tools", "packaging")
PUBLIC: Final = ("scraper/api/", "scraper/testing/")  # what other people's programs and tests call

# Name -> who uses it, where vulture can't see it.
ALLOWED: Final = {
    "__init_subclass__": "Python calls it",
    "__getattr__": "Python's: the package's names are loaded at first use",
    "list_": "typer: the command `list`",
    "app_": "typer: the command `app`",
    "own_window": "a process of its own calls it, by its name in a text",
    "_defaults_for_empties": "pydantic calls it",
    "model_config": "pydantic reads it",
    "C_STORE": "names a type in a cast",
    "on_broken_pipe": "rich calls it",
    "setup": "Dask calls it",
    "teardown": "Dask calls it",
    "number_format": "a spreadsheet's cell",
    "_generate_next_value_": "enum calls it",
    "row_factory": "sqlite3 reads it",
    "process_redirect": "websockets calls it",
    "capture_signals": "uvicorn calls it",
    "tls_clienthello": "mitmproxy calls it of an addon",
    "tls_failed_client": "mitmproxy calls it of an addon",
    "server_connect": "mitmproxy calls it of an addon",
    "server_connected": "mitmproxy calls it of an addon",
    "server_connect_error": "mitmproxy calls it of an addon",
    "responseheaders": "mitmproxy calls it of an addon",
    "websocket_message": "mitmproxy calls it of an addon",
    "ignore_connection": "mitmproxy reads it",
    "lastResort": "logging reads it",
    "pause_writing": "asyncio calls it",
    "resume_writing": "asyncio calls it",
    "eof_received": "asyncio calls it",
    "unraisablehook": "Python calls it",
    "reading_validation_mode": "pydicom reads it",
    "DECODER_DEPENDENCIES": "pydicom reads it of a plug-in",
    "is_available": "pydicom calls it of a plug-in",
    "decode_frame": "pydicom calls it of a plug-in",
    "create": "py7zr calls it: the writer of an entry",
    "LOG_REQUEST_IDENTIFIERS": "pynetdicom reads it",
    "application_context_name": "pynetdicom reads it",
    "called_ae_title": "pynetdicom reads it",
    "calling_ae_title": "pynetdicom reads it",
    "maximum_length_received": "pynetdicom reads it",
    "implementation_class_uid": "pynetdicom reads it",
    "implementation_version_name": "pynetdicom reads it",
    "LOG_RESPONSE_IDENTIFIERS": "pynetdicom reads it",
    "is_undefined_length": "pydicom reads it",
    "preamble": "pydicom reads it",
    "LOAD_TRUNCATED_IMAGES": "Pillow reads it",
    "LOG_HANDLER_LEVEL": "pynetdicom reads it",
    "LEAVE_OUT": "a user's choice (--burned-in leave-out)",
    "acse_timeout": "pynetdicom reads it",
    "connection_timeout": "pynetdicom reads it",
    "dimse_timeout": "pynetdicom reads it",
    "network_timeout": "pynetdicom reads it",
    "require_called_aet": "pynetdicom reads it",
    "maximum_associations": "pynetdicom reads it",
    "supported_contexts": "pynetdicom reads it",
    "asked_hosts": "tests/security proves by it where a browser went",
}


@cache
def _providers_in(path: Path) -> frozenset[str]:
    """The provider classes of a module; the registry finds them by their base class."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.bases)


@cache
def _named_in_calls() -> frozenset[str]:
    """The names in braces in the texts of the providers: a call is filled with the fields of a reply by their names."""
    texts = (path.read_text(encoding="utf-8") for path in (ROOT / "providers").rglob("*.py"))
    nodes = (node for text in texts for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant))
    return frozenset(
        name
        for node in nodes
        if isinstance(node.value, str)
        for names in re.findall(r"\{([\w|.]+)", node.value)
        for name in re.split(r"[|.]", names)
    )


def _is_used(item: Item) -> bool:
    """Whether something uses it that vulture can't see."""
    name = Path(item.filename).resolve().relative_to(ROOT).as_posix()
    if item.typ == "class" and name.startswith("providers/"):
        return item.name in _providers_in(Path(item.filename))
    if name.startswith("providers/") and item.name in _named_in_calls():
        return True
    if item.typ == "attribute" and tag_for_keyword(item.name) is not None:
        return True  # an element of a data set
    return name.startswith(PUBLIC) or item.name in ALLOWED


def _unmentioned_modules() -> list[Path]:
    """Modules of the program whose name stands in no other file: vulture takes a copy's names for uses of the copied ones."""
    texts = {path: path.read_text(encoding="utf-8") for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    words = Counter(word for text in texts.values() for word in set(re.findall(r"\w+", text)))
    own = {path: set(re.findall(r"\w+", text)) for path, text in texts.items()}
    modules = [path for path in sorted((ROOT / "scraper").rglob("*.py")) if not path.stem.startswith("__")]
    return [path for path in modules if words[path.stem] == (path.stem in own[path])]


def main() -> int:
    """Print unused code, and permissions that are no longer needed; 1 where there is any."""
    vulture = Vulture(ignore_decorators=["@route"])  # the contract calls what is so marked
    vulture.scavenge([str(ROOT / folder) for folder in FOLDERS])
    unused = list(vulture.get_unused_code(min_confidence=60))
    dead = [item for item in unused if not _is_used(item)]
    for item in dead:
        path = Path(item.filename).resolve().relative_to(ROOT).as_posix()
        print(f"{path}:{item.first_lineno}: {item.message}")
    modules = _unmentioned_modules()
    for module in modules:
        print(f"{module.relative_to(ROOT).as_posix()}: no other file mentions this module")
    spare = sorted(ALLOWED.keys() - {str(item.name) for item in unused})
    for name in spare:
        print(f"tools/dead_code.py: {name} is used again, or gone: take it off ALLOWED")
    return int(bool(dead or modules or spare))


if __name__ == "__main__":
    sys.exit(main())
