"""A site whose key, salt or parameter has changed: its page still shows the study, and ``learn`` finds what is new."""

import base64
import json
import os
from collections.abc import Callable

import pytest

import providers.medapi
import providers.mtywcloud
import providers.shdc
import providers.sugh
from fixtures.sites.mtywcloud import site as mtywcloud
from fixtures.sites.shdc import site as shdc
from fixtures.sites.whuh import site as whuh
from fixtures.sites.zscloud import site as zscloud
from fixtures.world import World
from providers.products import imagecloud
from providers.sugh import Sugh
from scraper.authoring.heal import Healed, heal_link
from scraper.authoring.page_constants import Page, hypotheses
from scraper.authoring.trace import NotLearnt
from scraper.batch.workers.local import LocalWorker
from scraper.batch.workers.protocol import Job, done
from scraper.core import link
from scraper.core.errors import WrongOverride
from scraper.core.messages import describe
from scraper.core.model import Status, Via
from scraper.core.settings import BrowserUse, Language, Settings
from scraper.registry import catalogue, constants, overrides
from scraper.session.browser import find_browser
from scraper.testing import in_pipeline, settings_in
from scraper.ui.doctor import examine
from tests.programs import ran

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")

NEW_SHDC = shdc.KEY[::-1]
NEW_SALT = zscloud.SALT[::-1]
NEW_KEY = b"0F7C91B2E4D85A6637C1D09E82B4F5A3"
NEW_NUMBERS = bytes([4, 1, 9, 2, 6, 8, 3, 5])
# the site, a link of it, the provider, the constant that changed, its new value
CHANGES: dict[str, tuple[Callable[[], object], str, str, str, str | bytes]] = {
    "shdc, key": (lambda: shdc.ShdcSite(key=NEW_SHDC), shdc.VIEWER, "shdc", "KEY", NEW_SHDC),
    "zscloud, key": (
        lambda: zscloud.ZscloudSite(zscloud.NEXT_TOKEN_KEY),
        zscloud.share("AbC123xyz"),
        "zscloud",
        "TOKEN_KEY",
        b"the next release token k",
    ),
    "zscloud, salt": (
        lambda: zscloud.ZscloudSite(salt=NEW_SALT),
        zscloud.share("Accession"),
        "zscloud",
        "SALT",
        NEW_SALT,
    ),
    "mtywcloud, key": (
        lambda: mtywcloud.MtywcloudSite(key=NEW_KEY),
        mtywcloud.share(mtywcloud.BY_URL),
        "mtywcloud",
        "KEY",
        NEW_KEY,
    ),
    "mtywcloud, parameter": (
        lambda: mtywcloud.MtywcloudSite(parameter="payload"),
        mtywcloud.share(mtywcloud.BY_URL),
        "mtywcloud",
        "SEALED_PARAMETER",
        "payload",
    ),
    "whuh, key": (lambda: whuh.WhuhSite(sealed=False, key=NEW_NUMBERS), whuh.OPEN, "whuh", "KEY", NEW_NUMBERS),
}
EVERY_RUN = ("mtywcloud, parameter",)
ROWS = [pytest.param(name, marks=[] if name in EVERY_RUN else [pytest.mark.thorough]) for name in CHANGES]


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    """A user without overrides; afterwards every provider has the program's own values again."""
    monkeypatch.setenv("CLOUDFILM_DATA", str(tmp_path / "data"))
    yield tmp_path / "data"
    overrides.path().unlink(missing_ok=True)
    for name in ("shdc", "zscloud", "mtywcloud", "whuh"):
        overrides.apply(catalogue.known().by_name[name])


async def grabbed(world, folder, given, browser):
    return await in_pipeline(settings_in(world, folder, browser=browser), lambda run: run.grab(given))


async def healed(world, folder, given) -> Healed | None:
    return await in_pipeline(settings_in(world, folder, keep_programs=True), lambda run: heal_link(run, given))


@pytest.mark.thorough
@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_costs_the_direct_way_and_no_study(name, tmp_path):
    make, given, *_ = CHANGES[name]
    with World(make()) as world:
        result = await grabbed(world, tmp_path / "out", given, BrowserUse.AUTO)
    assert (result.status, result.via, result.exit_code) == (Status.COMPLETE, Via.BROWSER, 0), result
    assert result.counts.saved == result.counts.expected > 0


@pytest.mark.thorough
async def test_a_new_key_costs_a_batch_no_study(tmp_path):
    make, given, name, *_ = CHANGES["mtywcloud, key"]
    with World(make()) as world:
        settings = settings_in(world, tmp_path, browser=BrowserUse.AUTO)
        async with LocalWorker(settings, 1) as worker:
            outcome = await done(worker, Job("key", given, given, settings))
    ended = outcome.document
    assert (ended["status"], ended["via"], ended["provider"]) == ("complete", "browser", name)
    assert ended["instances"]["saved"] == ended["instances"]["expected"] > 0


@pytest.mark.parametrize("name", ROWS)
async def test_learn_finds_what_has_changed_and_the_direct_way_works_again(name, tmp_path):
    make, given, provider, constant, value = CHANGES[name]
    with World(make()) as world:
        found = await healed(world, tmp_path / "learn", given)
        assert found is not None
        assert {name: new for name, (_, new) in found.changes.items()} == {constant: value}
        before = await grabbed(world, tmp_path / "before", given, BrowserUse.NEVER)
        assert before.exit_code != 0, "nothing was saved, so nothing may have changed"
        found.save()
        result = await grabbed(world, tmp_path / "after", given, BrowserUse.NEVER)
    assert (result.status, result.via, result.provider) == (Status.COMPLETE, Via.DIRECT, provider), result
    saved = json.loads(overrides.path().read_text("utf-8"))[provider]
    assert set(saved) == {"since", "constants"}
    assert set(saved["constants"]) == {constant}


class CrowdedSite(mtywcloud.MtywcloudSite):
    """A page that holds more values of a key's shape than may be tried."""

    async def _page(self, request):
        answer = await super()._page(request)
        keys = json.dumps([f"{number:02d}7C91B2E4D85A6637C1D09E82B4F5A3" for number in range(20)])
        answer.body += f"<script>const keys = {keys}</script>".encode()
        answer.headers["content-length"] = str(len(answer.body))
        return answer


@pytest.mark.thorough
async def test_a_page_with_many_values_has_none_of_them_tried(tmp_path):
    with World(CrowdedSite(key=NEW_KEY)) as world:
        with pytest.raises(NotLearnt, match=r"too-many-constants\(.*count=21, most=5"):
            await healed(world, tmp_path, mtywcloud.share(mtywcloud.BY_URL))
        assert len(world.requests(path="api/Study/Info")) == 2, "the direct way and the page"


@pytest.mark.thorough
def test_the_command_shows_the_difference_and_keeps_it_where_asked(tmp_path):
    with World(mtywcloud.MtywcloudSite(parameter="payload")) as world:
        way = [part for row in world.connect_to for part in ("--connect-to", row)]
        words = ["learn", mtywcloud.share(mtywcloud.BY_URL), "--insecure", *way]
        shown = cloudfilm(*words, "--lang", "zh")
        assert not overrides.path().exists()
        saved = cloudfilm(*words, "--lang", "en", "--save")
        assert cloudfilm("grab", *words[1:], "--lang", "en", "-o", str(tmp_path / "out"), "--browser", "never")
    for text, word in ((shown, "原为 data"), (saved, "was data")):
        assert "SEALED_PARAMETER" in text
        assert "payload" in text
        assert word in text
    assert str(overrides.path()) in saved


# ---- the file of overrides

GOOD = {"text": NEW_SHDC}
OLD = {"text": shdc.KEY}
WRONG = {
    "no JSON": "{",
    "a list": [],
    "no date": {"shdc": {"constants": {"KEY": {**GOOD, "replaces": OLD}}}},
    "no constants": {"shdc": {"since": "2026-11-29", "constants": {}}},
    "bytes for a text": {"shdc": {"since": "2026-11-29", "constants": {"KEY": {"hex": "00ff", "replaces": OLD}}}},
    "an address": {"shdc": {"since": "2026-11-29", "constants": {"KEY": {"text": "https://a.test/", "replaces": OLD}}}},
    "a line break": {"shdc": {"since": "2026-11-29", "constants": {"KEY": {"text": "a\r\nb: c", "replaces": OLD}}}},
    "a path for a key": {"shdc": {"since": "2026-11-29", "constants": {"KEY": {"text": "/a/b", "replaces": OLD}}}},
    "no hexadecimal": {"shdc": {"since": "2026-11-29", "constants": {"KEY": {"hex": "zz", "replaces": OLD}}}},
    "too long": {"shdc": {"since": "2026-11-29", "constants": {"KEY": {"text": "a" * 300, "replaces": OLD}}}},
}


def write(folder, content):
    folder.mkdir()
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / overrides.NAME).write_text(text, encoding="utf-8")


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_override_is_one_sentence_and_changes_nothing(name, data_folder):
    write(data_folder, WRONG[name])
    with pytest.raises(WrongOverride) as caught:
        catalogue.find(link.parse_url(shdc.VIEWER))
    for language in Language:
        sentence = describe(caught.value, language)
        assert str(data_folder) in sentence
        assert "reason." not in sentence
    assert providers.shdc.KEY == shdc.KEY
    assert [finding.ok for finding in examine(Settings()) if finding.name.startswith("override")] == [False]


def test_an_override_of_one_product_leaves_the_other_providers_of_it_alone(data_folder):
    old, new = {"hex": mtywcloud.KEY.hex()}, {"hex": NEW_KEY.hex()}
    write(data_folder, {"mtywcloud": {"since": "2026-11-29", "constants": {"KEY": {**new, "replaces": old}}}})
    catalogue.find(link.parse_url(mtywcloud.share(mtywcloud.BY_URL)))
    assert providers.mtywcloud.imagecloud.KEY == NEW_KEY
    assert providers.medapi.imagecloud.KEY == imagecloud.KEY == mtywcloud.KEY


def test_a_release_with_another_value_ends_an_override(data_folder):
    row = {"text": NEW_SHDC, "replaces": {"text": "the key of a release"}}
    write(data_folder, {"shdc": {"since": "2026-11-29", "constants": {"KEY": row}}})
    catalogue.find(link.parse_url(shdc.VIEWER))
    assert providers.shdc.KEY == shdc.KEY
    assert [finding.ok for finding in examine(Settings()) if finding.name == "override shdc"] == [False]


def test_what_is_in_use_is_shown_with_its_date(data_folder):
    row = {**GOOD, "replaces": OLD}
    write(data_folder, {"shdc": {"since": "2026-11-29", "constants": {"KEY": row}}})
    assert json.loads(cloudfilm("providers", "shdc", "--json"))["override"] == "2026-11-29"
    findings = [json.loads(line) for line in cloudfilm("doctor", "--json").splitlines()]
    assert {"2026-11-29: KEY"} == {row["found"] for row in findings if row["name"] == "override shdc"}


# ---- what may replace what


def cloudfilm(*words: str) -> str:
    done = ran(*words, environment=os.environ)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def page(*texts: str, calls: tuple[tuple[str, bytes], ...] = ()) -> Page:
    return Page(texts, calls)


OF_PAGES = {
    "one key": (page('const k="NqT7wVzmBJNUsx4#"'), [{"KEY": "NqT7wVzmBJNUsx4#"}]),
    "the page still has it": (page(f'a="{shdc.KEY}";b="NqT7wVzmBJNUsx4#"'), []),
    "other kinds of characters": (page('a="getElementsByTag", b="0123456789012345"'), []),
    "another length": (page('a="NqT7wVzmBJNUsx4#9"'), []),
    "two keys": (
        page("a='NqT7wVzmBJNUsx4#',b=`x9T7wVzmBJNUsx4$`"),
        [{"KEY": "NqT7wVzmBJNUsx4#"}, {"KEY": "x9T7wVzmBJNUsx4$"}],
    ),
    "a path": (
        page(f'"{shdc.KEY}"', calls=(("https://a.test/api/v2/list?x=1", b""), ("https://a.test/other", b""))),
        [{"LIST": "/api/v2/list"}],
    ),
    "nothing": (page(""), []),
}


@pytest.mark.parametrize("name", OF_PAGES)
def test_only_texts_of_the_same_shape_are_proposed(name):
    held, expected = OF_PAGES[name]
    known = {"KEY": shdc.KEY, **({"LIST": "/api/v1/list"} if name == "a path" else {})}
    assert hypotheses(known, held, "") == expected


def test_bytes_are_found_in_every_notation():
    old, new = bytes(range(200, 216)), bytes(range(100, 116))
    packed = base64.b64encode(new).decode()
    for text in (f'"{packed}"', f"'{new.hex()}'", f"[{','.join(map(str, new))}]", f"({', '.join(map(hex, new))})"):
        assert hypotheses({"KEY": old}, page(text), "") == [{"KEY": new}], text


def test_the_path_of_a_call_is_a_constant_too():
    index, share = constants.constants(Sugh)["INDEX"], constants.constants(Sugh)["entry"]
    assert (index, share) == (
        "/api/cloudfilm-mgt/api/v1/study/json/index",
        "/api/cloudfilm/api/studyInfo/getClinicalByShareCode",
    )
    with constants.tried(Sugh, {"INDEX": "/v2/index", "entry": "/v2/share"}, {}):
        assert (providers.sugh.INDEX.url, Sugh.entry.url) == ("/v2/index", "/v2/share")
    assert (providers.sugh.INDEX.url, Sugh.entry.url) == (index, share)
