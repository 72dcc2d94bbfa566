"""Viewers of many makes, by the universal capture: each whole, or not called complete."""

import pytest

from fixtures.sites.generic_socket import site as sockets
from fixtures.sites.generic_variants.site import GenericVariants
from fixtures.world import World
from providers.universal import Universal
from scraper.core.model import Status, Via
from scraper.session.browser import find_browser
from scraper.testing import Case, check, run

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")

SITE, SOCKETS = GenericVariants(), sockets.GenericSocket()
ALL = {item.uid: len(item.instances) for item in SITE.study.series}
EVERY_RUN = ("li.zhang",)
WHOLE = (
    "li.zhang",
    "button.c640",
    "div.fu.c640",
    "td.gong",
    "custom.images.header.path",
    "ids.body.div",
    "flat.div.name.cookie",
    "each.li.name",
    "sizes.button.fu.keys",
    "shadow.div.images",
    "batch.li",
    "batch.custom.shadow.swipe.at",
    "batch.each.li.name.c640",
    "ticket.div",
    "ticket.flat.td.name.keys.at",
    "ticket.each.button.name.pull",
    "swipe.ticket.at",
    "touch.ticket.li.c640",
    "touch.batch.sizes.shadow",
    "staged.header",
    "each-staged.header.path.flat",
    "staged.cookie.sizes.each.div",
)


@pytest.fixture(scope="module")
def world():
    with World(SITE, SOCKETS) as running:
        yield running


def case(words: str, **more) -> Case:
    return Case(words, SITE.link(words), ways=(Via.BROWSER,), **({"series": ALL} | more))


ROWS = [pytest.param(text, marks=[] if text in EVERY_RUN else [pytest.mark.thorough]) for text in WHOLE]


@pytest.mark.parametrize("words", ROWS)
async def test_verdicts_a1_every_make_of_viewer_comes_whole(words, world, tmp_path):
    await check(Universal, case(words), world, tmp_path, Via.BROWSER)


SHUT = {  # makes whose rows do nothing → what has to be missing, besides what came
    "batch.shut.name": [12, 8],
    "ticket.flat.shut.name": [12, 8],
    "ticket.each.shut.name": [None, None],
    "ticket.sizes.shut.name": [12, 8],
}


@pytest.mark.parametrize("words", [pytest.param(text, marks=pytest.mark.thorough) for text in SHUT])
async def test_verdicts_a1_siblings_of_what_came_are_expected(words, world, tmp_path):
    result = await run(Universal, case(words), world, tmp_path, Via.BROWSER)
    assert (result.status, result.exit_code) == (Status.INCOMPLETE, 7)
    rows = [row for study in result.studies for row in study.series]
    assert [row.expected for row in rows if not row.saved] == SHUT[words]
    assert [problem.code for row in rows if not row.saved for problem in row.problems if problem.fatal] == [
        "missing-series"
    ] * 2


@pytest.mark.parametrize(
    "kind", ["jsonhead", *(pytest.param(literal, marks=pytest.mark.thorough) for literal in ("jsonlength", "linehead"))]
)
async def test_verdicts_a1_a_header_in_words_is_read_as_words(kind, world, tmp_path):
    series = {item.uid: len(item.images) for item in SOCKETS.study.series}
    link = f"https://{sockets.HOST}/view/{kind}"
    await check(Universal, Case(kind, link, ways=(Via.BROWSER,), series=series), world, tmp_path, Via.BROWSER)
