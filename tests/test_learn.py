"""A provider is written from what a viewer did once, and then works without the browser."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.sites.generic_signed import site as signed
from fixtures.sites.generic_viewer.site import HOST, GenericViewer
from fixtures.world import World
from scraper.authoring import learn
from scraper.authoring.trace import NotLearnt
from scraper.core.model import Origin, Status, Via
from scraper.core.settings import BrowserUse
from scraper.registry import catalogue
from scraper.session.browser import find_browser
from scraper.testing import compare, in_pipeline, settings_in
from tests import lists

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")
SITE, LISTS = GenericViewer(slices=8, thin=5), lists.Lists()
LINKS = {
    "signed addresses": (f"https://{HOST}/v/signed", SITE),
    "fields": (f"https://{HOST}/v/fields", SITE),
    "WADO-URI": (f"https://{HOST}/v/wado", SITE),
    "a chain of calls": (f"https://{lists.HOST}/chain?code={lists.CODE}", LISTS),
    "a bare array and a cookie": (f"https://{lists.HOST}/array/{lists.CODE}", LISTS),
    "a password": (f"https://{lists.HOST}/login/{lists.CODE}", LISTS),
}
EVERY_RUN = ("a chain of calls",)
ROWS = [pytest.param(name, marks=[] if name in EVERY_RUN else [pytest.mark.thorough]) for name in LINKS]


@pytest.fixture(scope="module")
def world():
    with World(SITE, LISTS) as running:
        yield running


async def learnt(world: World, link: str, output: Path, **more) -> learn.Written:
    return await in_pipeline(settings_in(world, output, **more), lambda pipeline: learn.learn_link(pipeline, link))


@pytest.mark.parametrize("name", ROWS)
async def test_what_is_written_works(name, world, tmp_path):
    link, site = LINKS[name]
    answers = {"password": lists.PASSWORD} if name == "a password" else {}
    written = await learnt(world, link, tmp_path, answers=answers)
    path = tmp_path / "learnt.py"
    path.write_text(written.source, encoding="utf-8")
    assert written.instances == len(site.study.by_uid)
    sound(path)
    chosen = settings_in(world, tmp_path / "out", provider=str(path), browser=BrowserUse.NEVER, answers=answers)
    result = await in_pipeline(chosen, lambda pipeline: pipeline.grab(link))
    assert result.status is Status.COMPLETE, result
    assert result.counts.saved == len(site.study.by_uid)
    compare(tmp_path / "out", site.originals, Origin.ORIGINAL)
    assert world.unexpected == []


def sound(path: Path) -> None:
    """As the project's checks want it: clean, nothing but the contract, nothing of the study or the link."""
    source = path.read_text(encoding="utf-8")
    imported = {node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
    assert imported == {"__future__", "scraper.contract"}
    folder = path.parent / "providers"
    folder.mkdir()
    (folder / path.name).write_text(source, encoding="utf-8")
    root = Path(__file__).parent.parent
    for words in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "ruff",
                *words,
                "--config",
                root / "pyproject.toml",
                "--no-cache",
                folder / path.name,
            ],
            capture_output=True,
            text=True,
            cwd=path.parent,
        )
        assert done.returncode == 0, done.stdout + source
    for secret in {*SITE.originals, *LISTS.secrets}:
        assert secret not in source


@pytest.mark.thorough
async def test_dicomweb_needs_none(world, tmp_path):
    written = await learnt(world, f"https://{HOST}/v/dicomweb", tmp_path)
    assert (written.served_by, written.source) == ("dicomweb", "")


async def test_a_value_from_nowhere_is_not_written_and_the_viewer_watched(world, tmp_path):
    written = await learnt(world, f"https://{lists.HOST}/signed/{lists.CODE}", tmp_path)
    assert (written.proofs, written.instances) == (0, len(LISTS.study.by_uid))
    assert written.is_watched
    assert "discover" not in written.source
    path = tmp_path / f"{written.name}.py"
    path.write_text(written.source, encoding="utf-8")
    sound(path)
    assert not catalogue.from_file(path).asks_itself()


@pytest.mark.thorough
async def test_what_only_the_page_can_ask_for_is_watched(tmp_path):
    site = signed.GenericSigned()
    with World(site) as world:
        link = f"{signed.LINK}/ticket"
        written = await learnt(world, link, tmp_path)
        path = tmp_path / f"{written.name}.py"
        path.write_text(written.source, encoding="utf-8")
        sound(path)
        chosen = settings_in(world, tmp_path / "out", provider=str(path))
        result = await in_pipeline(chosen, lambda pipeline: pipeline.grab(link))
    assert (result.status, result.via) == (Status.COMPLETE, Via.BROWSER), result
    assert result.counts.saved == written.instances == len(site.originals)
    compare(tmp_path / "out", site.originals, Origin.ORIGINAL)


@pytest.mark.thorough
async def test_pictures_teach_nothing(world, tmp_path):
    with pytest.raises(NotLearnt, match="no-dicom-object"):
        await learnt(world, f"https://{HOST}/v/pictures", tmp_path)


async def test_a_provider_of_ones_own_that_does_not_load(tmp_path):
    (tmp_path / "broken.py").write_text("import nothing_of_that_name", encoding="utf-8")
    with pytest.raises(catalogue.UsageError, match="ModuleNotFoundError"):
        catalogue.from_file(tmp_path / "broken.py")
    (tmp_path / "empty.py").write_text("", encoding="utf-8")
    with pytest.raises(catalogue.UsageError, match="0 providers"):
        catalogue.from_file(tmp_path / "empty.py")
