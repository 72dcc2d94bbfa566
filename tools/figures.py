"""Print the figures of the code: lines, longest modules, tests: ``python -m tools.figures [JUNIT.xml …]``.

Lines of the providers (median, 90th percentile, longest) and how much of them is data; lines of each room of ``scraper/``;
seconds of each tier of the tests, one file of ``pytest --junit-xml`` a tier (``make figures`` takes those of the last runs here).

Data is what says *what*: constants of a module, attributes of a class, reply models, and the decorators that route links. It is
counted against all lines that hold something, but for docstrings and imports.
"""

from __future__ import annotations

import argparse
import ast
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
SHARED = ("products", "toolkit")
MODELS = ("Reply", "Row")


@dataclass(frozen=True, slots=True)
class Module:
    """One module: its lines, those that hold something, and those of them that are data."""

    path: Path
    lines: int
    code: int
    data: int

    @property
    def name(self) -> str:
        """Its path below the repository."""
        return self.path.relative_to(ROOT).as_posix()


def measured(path: Path) -> Module:
    """Count one module."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    filled = {number for number, line in enumerate(text.splitlines(), 1) if line.strip()}
    apart = set(_lines(_docstrings(tree))) | set(_lines(_imports(tree)))
    return Module(path, len(text.splitlines()), len(filled - apart), len((filled - apart) & set(_lines(_data(tree)))))


def _lines(nodes: Iterator[ast.stmt | ast.expr]) -> Iterator[int]:
    for node in nodes:
        yield from range(node.lineno, (node.end_lineno or node.lineno) + 1)


def _docstrings(tree: ast.Module) -> Iterator[ast.stmt]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield first


def _imports(tree: ast.Module) -> Iterator[ast.stmt]:
    yield from (node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom)))


def _data(tree: ast.Module) -> Iterator[ast.stmt | ast.expr]:
    """Constants, attributes, reply models, decorators; a class's own line stands for the attributes below it."""
    for node in tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            yield node
        if isinstance(node, ast.ClassDef) and any(_is_model(base) for base in node.bases):
            yield ast.Pass(lineno=node.lineno, end_lineno=node.end_lineno)
        elif isinstance(node, ast.ClassDef):
            attributes = [item for item in node.body if isinstance(item, (ast.Assign, ast.AnnAssign))]
            yield from attributes
            if attributes:
                yield ast.Pass(lineno=node.lineno, end_lineno=node.lineno)
            for item in node.body:
                if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    yield from item.decorator_list


def _is_model(base: ast.expr) -> bool:
    return ast.unparse(base).endswith(MODELS)


def is_provider(path: Path) -> bool:
    """Does a module hold a provider: a class with a ``name``, whatever it inherits from."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.ClassDef) and any(map(_is_name, node.body)) for node in tree.body)


def _is_name(item: ast.stmt) -> bool:
    return (
        isinstance(item, ast.Assign)
        and isinstance(item.value, ast.Constant)
        and any(isinstance(target, ast.Name) and target.id == "name" for target in item.targets)
    )


def percentile(values: list[int], share: float) -> int:
    """The smallest value that at least this share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * round(share * 100) // 100) - 1)]


def _report(title: str, modules: list[Module]) -> Iterator[str]:
    lines = [module.lines for module in modules]
    longest = max(modules, key=lambda module: module.lines)
    share = sum(module.data for module in modules) / sum(module.code for module in modules)
    yield (
        f"{title}: {len(modules)} modules, {sum(lines)} lines; median {statistics.median(lines):.0f}, "
        f"p90 {percentile(lines, 0.9)}, longest {longest.lines} ({longest.name}); data {share:.0%} of the code"
    )


def rooms() -> Iterator[str]:
    """Lines of each room of ``scraper/``."""
    for entry in sorted((ROOT / "scraper").iterdir()):
        files = sorted(entry.rglob("*.py")) if entry.is_dir() else [entry] if entry.suffix == ".py" else []
        if files:
            count = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)
            yield f"  {entry.name:<20} {len(files):>3} modules {count:>6} lines"


def tier(path: Path) -> str:
    """Seconds of one tier, from pytest's JUnit file: by the clock, and of all its rows together (which ran side by side).

    Those of the processor (``tests/conftest.py`` writes them) say the same on a busy machine as on a quiet one.
    """
    tree = ElementTree.parse(path)  # noqa: S314  # our own file
    cases = list(tree.iter("testcase"))
    clock = sum(float(suite.get("time", 0)) for suite in tree.iter("testsuite"))
    slowest = sorted(((float(case.get("time", 0)), case.get("name", "")) for case in cases), reverse=True)[:3]
    worst = ", ".join(f"{name} {seconds:.0f} s" for seconds, name in slowest)
    total = sum(float(case.get("time", 0)) for case in cases)
    noted = path.with_suffix(".cpu")
    taken = f"{float(noted.read_text(encoding='utf-8')):>6.0f} s of the processor, " if noted.is_file() else ""
    spent = f"{clock:>6.0f} s by the clock, {taken}{total:>6.0f} s of rows"
    return f"  {path.stem:<10} {len(cases):>5} rows {spent}; slowest: {worst}"


def main() -> int:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("junit", nargs="*", type=Path, help="one file of pytest --junit-xml for each tier")
    parser.add_argument("--each", action="store_true", help="a line for each provider")
    given = parser.parse_args()
    files = [path for path in sorted((ROOT / "providers").rglob("*.py")) if path.name != "__init__.py"]
    holders = [path for path in files if is_provider(path)]
    providers = [measured(path) for path in holders]
    shared = [measured(path) for path in files if path.relative_to(ROOT).parts[1] in SHARED]
    inner = [measured(path) for path in files if path not in holders and path.relative_to(ROOT).parts[1] not in SHARED]
    out = [*_report("providers", providers), *_report("their inner modules", inner), *_report("shared", shared)]
    if given.each:
        for module in sorted(providers, key=lambda module: module.lines):
            share = f"{module.data / max(module.code, 1):.0%}"
            out.append(f"  {module.name:<45} {module.lines:>4} lines, data {share:>4}")
    out += ["scraper/", *rooms()]
    out += ["tests", *map(tier, given.junit)] if given.junit else []
    sys.stdout.write("\n".join(out) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
