"""The pages against the program: commands, options, tables, the tree, and what links lead to."""

import os
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

from scraper.core.errors import ExitCode
from scraper.core.settings import Language
from tests.programs import ran
from tools import index_readme, readme, site

ROOT = Path(__file__).resolve().parent.parent
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
LINKING = (
    "README.md",
    "README.zh-CN.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "tests/benchmarks/README.md",
    "tests/benchmarks/decode.md",
    *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
)
TWINS = sorted(
    path.relative_to(ROOT).as_posix().removesuffix(".zh-CN.md")
    for path in (*ROOT.glob("*.zh-CN.md"), *(ROOT / "docs").glob("*.zh-CN.md"))
)  # pages in both languages, without their suffix
READ_BY_EVERYBODY = {
    "README",
    "docs/photo",
    "docs/wechat",
    "docs/install",
    "docs/window",
    "docs/sources",
    "docs/platforms",
    "docs/problems",
    "docs/privacy",
    "docs/batch",
    "docs/archives",
    "docs/commands",
    "docs/exports",
    "docs/sending",
    "docs/completeness",
    "docs/unknown-viewers",
}
CONTRACT = """
-o --output --answer --password --provider --browser --headed --series --jobs --rate --timeout --insecure --connect-to
--proxy --only --expect --give-up --json -q -v
"""  # the options of `grab` that scripts rely on
LANGUAGES = pytest.mark.parametrize("language", Language)


def page(name: str, language: Language = Language.EN) -> str:
    """A page's text."""
    return (ROOT / f"{name}{readme.SUFFIXES[language]}").read_text(encoding="utf-8")


def words_of_help(text: str) -> str:
    """Help without colours and boxes."""
    return re.sub(r"\x1b\[[0-9;]*m|[│╭╮╰╯─]", " ", text)


@cache
def help_of(*command: str) -> str:
    variables = {**os.environ, "COLUMNS": "240", "NO_COLOR": "1", "TERM": "dumb", "LC_ALL": "C.UTF-8"}
    done = ran(*command, "--help", environment=variables, before="import sys; sys.argv[0] = 'cloudfilm'")
    assert done.returncode == 0, done.stderr
    return words_of_help(done.stdout.decode())


def commands_of_help() -> set[str]:
    listed = help_of().partition("Commands")[2]
    return {found[1] for line in listed.splitlines() if (found := re.match(r"\s*([a-z]+)\s{2,}\S", line))}


def typed(text: str) -> list[str]:
    """What a reader may type: each line of the shell blocks that calls the tool, and the table of commands."""
    lines = [
        line for block in re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL) for line in block.splitlines()
    ]
    calls = [line.partition("  #")[0].removeprefix("$ ") for line in lines]
    calls += re.findall(r"`(cloudfilm [^`]+)`", text)
    return [call[call.index("cloudfilm ") :] for call in calls if re.match(r"(\w+=\S+ )?cloudfilm ", call)]


WITH_COMMANDS = [name for name in LINKING if typed((ROOT / name).read_text(encoding="utf-8"))]


def test_what_families_nurses_and_clinics_read_is_there_in_chinese():
    assert set(TWINS) == READ_BY_EVERYBODY


@LANGUAGES
def test_the_readme_fits_one_screen_and_names_what_a_newcomer_types(language):
    text = page("README", language)
    assert len(text.splitlines()) <= 120
    for words in ("make demo", "make test", "pipx install cloudfilm", "uv tool install cloudfilm", "cloudfilm doctor"):
        assert words in text


@pytest.mark.parametrize("name", WITH_COMMANDS)
def test_every_command_shown_exists_with_its_options(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    for call in typed(text):
        words = re.sub(r"'[^']*'", "TEXT", call.partition("|")[0]).split()[1:]
        command = words[0]
        if command.startswith("--"):
            assert command in help_of(), call
            continue
        assert command in commands_of_help(), call
        for option in (word for word in words[1:] if word.startswith("-") and word != "-"):
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", help_of(command)), call


@LANGUAGES
def test_the_table_of_commands_is_the_help(language):
    assert set(re.findall(r"^\| `cloudfilm (\w+)", page("docs/commands", language), re.MULTILINE)) == commands_of_help()


@pytest.mark.parametrize("option", CONTRACT.split())
def test_the_options_that_scripts_rely_on(option):
    assert re.search(rf"(?<![\w-]){option}(?![\w-])", help_of("grab"))


@pytest.mark.parametrize("name", [name for name in TWINS if name != "docs/window"])
def test_both_languages_show_the_same_commands(name):
    assert typed(page(name)) == typed(page(name, Language.ZH))


@LANGUAGES
def test_every_exit_code_has_its_row(language):
    rows = re.findall(r"^\| (\d+) \| [^|`]+ \|$", page("docs/problems", language), re.MULTILINE)
    assert [int(code) for code in rows] == [code.value for code in ExitCode]


@LANGUAGES
def test_tables_are_up_to_date(language):
    text = "".join(path.read_text(encoding="utf-8") for path in readme.pages(language))
    assert readme.renewed(text, language) == text, "run `make readme`"
    assert set(re.findall(r"<!-- table: (\w+) -->", text)) == set(readme.ROWS)


def tree_of(text: str) -> dict[str, set[str]]:
    """The entries of each top-level folder in the page's tree, by the folder's name; ``*.py`` and ``<name>/`` are patterns."""
    tree = re.search(r"^## The tree\n+```\n(.*?)```", text, re.DOTALL | re.MULTILINE)
    assert tree is not None
    entries: dict[str, set[str]] = {}
    folder = ""
    for line in tree[1].splitlines():
        indent, name = len(line) - len(line.lstrip()), line.split()[0]
        if indent == 0:
            folder = name.rstrip("/")
            entries[folder] = set()
        elif indent == 2 and name[0] not in "*<":
            entries[folder].add(name.rstrip("/").removesuffix(".py"))
    return entries


def modules_in(folder: str) -> set[str]:
    """The modules and packages at the top of a folder."""
    return {
        path.name.removesuffix(".py")
        for path in (ROOT / folder).iterdir()
        if path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py")))
    }


def test_the_tree_names_every_module_at_the_top_of_the_program():
    assert tree_of(ARCHITECTURE)["scraper"] == modules_in("scraper")


def test_the_tree_names_every_package_below_the_providers():
    named = tree_of(ARCHITECTURE)["providers"]
    assert named == {"products", "toolkit"}
    assert [name for name in named if not (ROOT / "providers" / name).is_dir()] == []


def test_the_tree_names_folders_that_exist():
    assert [name for name in tree_of(ARCHITECTURE) if not (ROOT / name).is_dir()] == []


@pytest.mark.parametrize("page", LINKING)
def test_paths_on_a_page_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"`((?:scraper|providers|fixtures|tests|tools|docs)/[\w./-]*)`", text)
    invented = "aurora"  # the platform that CONTRIBUTING adds as an example
    assert [name for name in named if invented not in name and not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", LINKING)
def test_links_inside_the_tree_lead_somewhere(page):
    path = ROOT / page
    links = re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8"))
    assert [target for target in links if "://" not in target and not leads_somewhere(path, target)] == []


def leads_somewhere(page: Path, target: str) -> bool:
    """Whether a relative link names a file of the tree and, behind ``#``, a heading of it."""
    name, _, anchor = target.partition("#")
    path = page.parent / name if name else page
    if not path.exists() or not path.resolve().is_relative_to(ROOT):
        return False
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
    return not anchor or anchor in {re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in headings}


def test_the_glossary_is_in_order_and_names_each_word_once():
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = [word.lower() for word in re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE)[2:]]
    assert len(words) > 40
    assert words == sorted(set(words))


def makefile() -> str:
    return (ROOT / "Makefile").read_text(encoding="utf-8")


def test_make_knows_what_the_pages_call():
    targets = set(re.findall(r"^([a-z-]+):", makefile(), re.MULTILINE))
    pages = "".join((ROOT / name).read_text(encoding="utf-8") for name in LINKING if name != "CHANGELOG.md")
    called = {
        word
        for code in re.findall(r"```sh\n.*?```|`[^`\n]+`", pages, re.DOTALL)
        for word in re.findall(r"\bmake ([a-z-]+)", code)
    }
    assert {"demo", "test", "docs", "help"} <= called <= targets


def test_the_optional_parts_that_pages_name_exist():
    pages = "".join((ROOT / name).read_text(encoding="utf-8") for name in LINKING if name != "CHANGELOG.md")
    parts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {"app"} <= set(re.findall(r"cloudfilm\[(\w+)\]", pages)) <= set(parts)


def test_make_help_lists_every_target():
    targets = set(re.findall(r"^\.PHONY: (.+)$", makefile(), re.MULTILINE)[0].split())
    listed = set(re.findall(r'^\t@echo "make ([\w-]+)', makefile(), re.MULTILINE))
    assert listed == targets - {"tested", "checked"}  # the halves of ``test``


def test_the_site_holds_every_page_and_its_navigation_names_each():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = re.findall(r": ([\w-]+\.md)$", text.partition("\nnav:\n")[2], re.MULTILINE)
    pages = {place for place in site.sources().values() if place.endswith(".md") and not place.endswith(".zh.md")}
    assert sorted(named) == sorted(pages)


@pytest.mark.parametrize(
    ("page", "target", "wanted"),
    [
        ("README.md", "docs/photo.md", "photo.md"),
        ("README.md", "LICENSE", "licence.md"),
        ("README.zh-CN.md", "docs/photo.zh-CN.md", "photo.md"),
        ("docs/photo.zh-CN.md", "window.zh-CN.md#窗口", "window.md#窗口"),
        ("docs/security.md", "../SECURITY.md", "report-a-weakness.md"),
        ("CONTRIBUTING.md", "tests/benchmarks/README.md", "benchmarks.md"),
        ("docs/json.md", "study.schema.json", "study.schema.json"),
        ("docs/json.md", "https://example.org/a.md", "https://example.org/a.md"),
        ("docs/json.md", "nowhere.md", "nowhere.md"),
    ],
)
def test_a_link_of_the_repository_becomes_one_of_the_site(page, target, wanted):
    assert site.site_link(target, page, site.sources()) == wanted


def test_the_site_leaves_code_as_it_is():
    text = "[a](docs/photo.md)\n\n```sh\n[a](docs/photo.md)\n```\n"
    assert site.site_page(text, "README.md", site.sources()) == text.replace("(docs/photo.md)", "(photo.md)", 1)


def test_only_pages_with_diagrams_load_what_draws_them(tmp_path, monkeypatch):
    monkeypatch.setattr(site, "SITE", tmp_path)
    monkeypatch.setattr(site, "MERMAID", tmp_path / "mermaid.min.js")
    (tmp_path / "mermaid.min.js").write_text("drawing")
    (tmp_path / "assets").mkdir()
    (tmp_path / "zh").mkdir()
    with_diagram, without = tmp_path / "zh" / "architecture.html", tmp_path / "index.html"
    with_diagram.write_text('<body><pre class="diagram"><code>flowchart</code></pre></body>')
    without.write_text("<body>mermaid</body>")
    site.draw_diagrams()
    assert '<script src="../assets/mermaid.min.js"></script>' in with_diagram.read_text()
    assert (tmp_path / "assets" / "mermaid.min.js").read_text() == "drawing"
    assert without.read_text() == "<body>mermaid</body>"


def test_on_the_package_index_every_link_of_the_readme_leads_somewhere():
    address = "https://code.test/someone/cloudfilm/blob/v1"
    text = index_readme.with_address((ROOT / "README.md").read_text(encoding="utf-8"), address)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert links
    assert all(link.startswith("https://") for link in links)
    assert f"{address}/docs/photo.md" in links
    assert "docs/photo.md)" not in text.replace(f"{address}/docs/photo.md)", "")
