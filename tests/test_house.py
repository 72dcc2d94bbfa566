"""Rules about names, shape and files that a program can check."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import scraper
from scraper.core.errors import CloudfilmError
from scraper.core.messages import catalogue, describe, describe_problem, say
from scraper.core.model import Problem
from scraper.core.settings import Language
from tools import house

ROOT = Path(__file__).resolve().parent.parent
OURS = sorted(path for top in ("cloudfilm", "scraper", "providers") for path in (ROOT / top).rglob("*.py"))
DOORS = {
    "playwright": ("scraper/session/browser",),
    "curl_cffi": ("scraper/session/http/client",),
    "cv2": ("scraper/source/qr",),
    "pyzbar": ("scraper/source/qr",),
    "zxingcpp": ("scraper/source/qr",),
    "pypdfium2": ("scraper/source/documents",),
    "PIL": (
        "scraper/source/pages",
        "scraper/source/documents",
        "scraper/source/qr/annotate",
        "scraper/dicom/pixels",
        "scraper/dicom/encode",
        "scraper/export/pictures",
        "scraper/export/contact_sheet",
    ),
    "websockets": ("scraper/session/websocket",),
    "pydicom": (
        "scraper/dicom",
        "scraper/verify",
        "scraper/export",
        "scraper/viewer",
        "scraper/testing",
        "scraper/session/dimse",
        "scraper/source/documents",
    ),
    "pynetdicom": ("scraper/session/dimse",),
    "distributed": ("scraper/batch/workers/cluster",),
    "fsspec": ("scraper/batch/target",),
    "typer": ("scraper/cli",),
    "jinja2": ("scraper/batch/report",),
    "selectolax": ("scraper/core/html",),
    "pydantic": ("scraper/core/schema", "scraper/contract"),
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def texts() -> tuple[tuple[str, str], ...]:
    return tuple((name_of(path), path.read_text(encoding="utf-8")) for path in OURS)


@cache
def tree_of(name: str) -> ast.Module:
    return ast.parse(dict(texts())[name])


def trees(word: str) -> Iterator[tuple[str, ast.Module]]:
    """The modules in whose text a word stands: to take all of them apart costs seconds."""
    yield from ((name, tree_of(name)) for name, text in texts() if word in text)


def imported(tree: ast.Module) -> set[str]:
    """Top-level names of what a module imports when it runs; what only a type checker sees is no door."""
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def importers_of(library: str) -> set[str]:
    """The modules that import a library."""
    return {name for name, tree in trees(library) if library in imported(tree)}


@pytest.mark.parametrize("library", sorted(DOORS))
def test_one_door_per_library(library):
    importers = importers_of(library)
    assert {name for name in importers if not name.startswith(DOORS[library])} == set()
    assert importers, f"nobody uses {library}: drop the dependency"


def calls(dotted: str) -> dict[str, int]:
    """How often each module calls or reads ``dotted``, a module's name and one of its names."""
    last = dotted.rpartition(".")[2]
    found = {
        name: sum(
            isinstance(node, ast.Attribute) and node.attr == last and ast.unparse(node) == dotted
            for node in ast.walk(tree)
        )
        for name, tree in trees(f".{last}")
    }
    return {name: count for name, count in found.items() if count}


def test_one_event_loop():
    assert calls("asyncio.run") == {
        "scraper/cli/interrupt.py": 1,
        "scraper/session/proxy/program.py": 1,  # a program of its own
    }


def test_the_environment_is_read_in_one_place():
    # of processes that are started, and of the language before anything is loaded
    handed_on = (
        "scraper/isolation/process.py",
        "scraper/ui/doctor.py",
        "scraper/session/browser/process.py",
        "scraper/cli/interrupt_words.py",
    )
    assert (set(calls("os.environ")) | set(calls("os.getenv"))) - set(handed_on) == {"scraper/core/settings.py"}


def test_every_module_has_its_layer():
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = " ".join(pyproject["tool"]["importlinter"]["contracts"][0]["layers"])
    modules = {f"scraper.{module.name}" for module in pkgutil.iter_modules(scraper.__path__)}
    assert modules - set(re.findall(r"[\w.]+", layers)) == set()


def test_no_platform_imports_another():
    platforms = [
        path
        for path in (ROOT / "providers").iterdir()
        if path.name not in ("__init__.py", "products", "toolkit", "__pycache__", "py.typed")
    ]
    stems = {path.stem for path in platforms}
    for path in (file for entry in platforms for file in ([entry] if entry.is_file() else entry.glob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("providers"):
                module = (node.module or "").split(".")
                names = {module[1]} if len(module) > 1 else {alias.name for alias in node.names}
                own = path.stem if path.parent.name == "providers" else path.parent.name
                assert not names & (stems - {own}), f"{path.name} imports {names & stems}"


def test_exported_names():
    assert scraper.__all__ == ["grab", "Settings", "Result", "Status", "Problem", "CloudfilmError", "__version__"]
    assert all(getattr(scraper, name) for name in scraper.__all__)
    with pytest.raises(AttributeError):
        scraper.nothing_of_that_name  # noqa: B018  the access itself is what is tried


async def test_other_programs_call_grab(tmp_path):
    result = await scraper.grab("a text without any address", scraper.Settings(output=tmp_path / "out"))
    assert (result.status, result.exit_code) == (scraper.Status.FAILED, 3)
    assert isinstance(result.error, scraper.CloudfilmError)


def test_import_is_cheap():
    code = "import sys, scraper; print(*(name.partition('.')[0] for name in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert not set(loaded.split()) & {*DOORS, "numpy", "rich", "asyncio"}


def every_error() -> list[type[CloudfilmError]]:
    """Every subclass in the tree, wherever it stands."""
    for module in pkgutil.walk_packages(scraper.__path__, "scraper."):
        importlib.import_module(module.name)
    found = [CloudfilmError]
    for error in found:
        found += error.__subclasses__()
    return [error for error in found[1:] if error.__module__.startswith(("scraper.", "providers."))]


@pytest.mark.parametrize("language", Language)
def test_every_error_speaks(language):
    errors = every_error()
    assert len(errors) > 40
    assert [error.__name__ for error in errors if not describe(error("said by the site"), language)] == []
    hints = [{"hint_en", "hint_zh"} & set(catalogue()[error().code]) for error in errors]
    assert [error.__name__ for error, hint in zip(errors, hints, strict=True) if len(hint) == 1] == []


def called(call: ast.Call) -> str:
    """The last part of a function's name."""
    return getattr(call.func, "attr", "") or getattr(call.func, "id", "")


def problem_codes() -> set[str]:
    """The first argument, or ``code=``, of every ``Problem(…)`` in the code."""
    codes = set()
    for _, tree in trees("Problem("):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and called(node) == "Problem":
                given = [*node.args[:1], *(word.value for word in node.keywords if word.arg == "code")]
                codes |= {value.value for value in given if isinstance(value, ast.Constant)}
    return codes


@pytest.mark.parametrize("language", Language)
def test_every_problem_speaks(language):
    codes = sorted(problem_codes())
    assert len(codes) > 40
    assert [code for code in codes if not describe_problem(Problem(code, ("1.2.3",)), language)] == []


def message_names() -> set[str]:
    """The names that ``say("…", …)`` is called with; a watcher's short messages are under ``say.…``."""
    names = set()
    for _, tree in trees("say("):
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or called(node) != "say":
                continue
            if node.args and isinstance(node.args[0], ast.Constant):
                function = ast.unparse(node.func)
                if function in ("say", "lang.say"):
                    names.add(node.args[0].value)
                elif function.endswith(".say"):
                    names.add(f"say.{node.args[0].value}")
    return names


@pytest.mark.parametrize("language", Language)
def test_every_saying_is_there(language):
    names = sorted(message_names())
    assert len(names) > 30
    assert [name for name in names if not say(name, language)] == []


def test_no_message_without_a_use():
    literals = {
        found.partition("{")[0]  # of f"report.origin.{…}" and f"listen.phone-{…}" the begin
        for _, source in texts()
        for quoted in (r'"([^"\\\n]+)"', r"'([^'\\\n]+)'")
        for found in re.findall(quoted, source)
    }
    codes = {error().code for error in every_error()}
    begun = {text for text in literals if text.endswith((".", "-"))}
    unused = {
        name
        for name in catalogue()
        if not ({name, name.partition(".")[2]} & literals or name in codes)
        and not {name[: name.rfind(mark) + 1] for mark in ".-"} & begun
    }
    assert unused == set()


@pytest.mark.parametrize(("english", "chinese"), [("en", "zh"), ("hint_en", "hint_zh")])
def test_both_languages_fill_in_the_same(english, chinese):
    def fields(text: str) -> set[str]:
        return set(re.findall(r"\{(\w+)\}", text))

    entries = catalogue().items()
    assert [name for name, entry in entries if fields(entry.get(english, "")) != fields(entry.get(chinese, ""))] == []


def test_a_chinese_sentence_has_chinese_in_it():
    def has_words(text: str) -> bool:
        return bool(re.search("[A-Za-z]{2}", re.sub(r"\{\w+\}", "", text)))

    texts = {name: entry["zh"] for name, entry in catalogue().items() if has_words(entry["en"])}
    assert [name for name, text in texts.items() if not re.search("[一-鿿]", text)] == []


def committed() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git work tree")
    return [path for name in listed.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def test_no_paths_of_one_machine():
    places = {f"{Path.home()}/", f"{ROOT}/", "/" + "root/", "/" + "work/", "." + "library/"}
    mark = re.compile(
        rb"(?<![\w.])(?:" + b"|".join(re.escape(place).encode() for place in places if len(place) > 2) + b")"
    )
    guilty = [name_of(path) for path in committed() if mark.search(path.read_bytes()[:500_000])]
    assert guilty == []


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("def told(x): ...", "told: a retired word in `told`"),
        ("def read(said_by): ...", "said: a retired word in `said_by`"),
        ("class LeafNode: ...", "leaf: a retired word in `LeafNode`"),
        ("class A:\n    def __init__(self):\n        self._kept = 1", "kept: a retired word in `_kept`"),
        ("import json as anew", "anew: a retired word in `anew`"),
        ("for twice in (): ...", "twice: a retired word in `twice`"),
        ("class Listed: ...", "Listed: a retired word in `Listed`"),
    ],
)
def test_a_retired_word_is_found(source, fault):
    (found,) = house.retired_names("scraper/one.py", ast.parse(source))
    assert fault in found


@pytest.mark.parametrize(
    "source",
    [
        "folded = saidel = 1",
        "def test_what_is_said_twice(): ...",
        "print(err.said)",
        "class ListedSeries(StudyGone): ...",
    ],
)
def test_other_words_are_not(source):
    assert house.retired_names("scraper/one.py", ast.parse(source)) == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ('"""A recipe."""', ["recipe"]),
        ('def read():\n    """First.\n\n    Second: done anew.\n    """', ["anew"]),
        ("x = 1  # it was told\n", ["told"]),
        ('x = "told"  # a text of the program\n', []),
    ],
)
def test_a_retired_word_in_prose_is_found(source, words):
    found = house.retired_prose("scraper/one.py", source, ast.parse(source))
    assert [line.split(": ")[1] for line in found] == words


def test_a_package_only_reexports():
    source = '"""A room."""\nfrom a import b\n__all__ = ["b"]\ndef c(): ...'
    assert house.working_packages("scraper/a/__init__.py", ast.parse(source)) == [
        "scraper/a/__init__.py:4: a package's __init__ only re-exports"
    ]


@pytest.mark.parametrize(("reason", "count"), [("", 1), ("Over 400 lines because it is one table.", 0)])
def test_a_long_module_says_why(reason, count):
    text = f'"""A module.\n\n{reason}\n"""\n' + "x = 1\n" * 400
    assert len(house.oversized("scraper/a.py", text, ast.parse(text))) == count


def test_no_rooms_for_everything():
    assert not {path.stem for path in OURS} & {"utils", "util", "common", "helpers", "misc"}


def providers() -> list[tuple[str, ast.Module]]:
    return [(name, tree_of(name)) for name, _ in texts() if name.startswith("providers/")]


@pytest.mark.parametrize(
    ("field", "count"),
    [
        ('name: str | None = ""', 1),
        ("rows: None | list[int] = []", 1),
        ("rows: dict[str, str] | None = Field(None)", 1),
        ('name: str = ""', 0),
        ("name: str | None", 0),
        ("signed: bool | None = None", 0),
    ],
)
def test_a_provider_lets_the_house_fill_in_what_is_absent(field, count):
    source = f"class ListReply(CheckedReply):\n    {field}"
    assert len(house.needless_nones("providers/aurora.py", ast.parse(source))) == count
    assert house.needless_nones("scraper/aurora.py", ast.parse(source)) == []


def test_a_provider_speaks_to_a_page_through_the_screen():
    """``session.page`` is the browser library's own object; a provider fills, presses and reads ``session.screen``."""
    guilty = [
        f"{name}:{node.lineno} {ast.unparse(node)}"
        for name, tree in providers()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and (node.attr == "locator" or (node.attr == "page" and ast.unparse(node.value).endswith("session")))
    ]
    assert guilty == []


def test_a_provider_has_no_cipher_of_its_own():
    assert [name for name, tree in providers() if "cryptography" in imported(tree)] == []
