"""Whose configuration counts, and to whom a link's token goes: a viewer whose host holds more than one, and strangers."""

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fixtures.sites import Address, application
from fixtures.sites.dicomweb import other
from fixtures.world import World
from providers.dicomweb.provider import DicomWeb
from scraper.core.errors import SiteChanged
from scraper.testing import Case, check, run

STRANGER = Address("stranger.test")
SIBLING = Address("api.dicomweb.test")


def configuration(root: str) -> str:
    return f"window.config = {{dataSources: [{{configuration: {{qidoRoot: '{root}', wadoRoot: '{root}'}}}}]}};"


class Stranger:
    """Another site: it records what it receives, and refuses everybody."""

    def __init__(self) -> None:
        self.addresses = (STRANGER,)
        self.originals: dict[str, bytes] = {}
        self.heads: list[str] = []
        self.app = application(Route("/{path:path}", self._answer))

    async def _answer(self, request: Request) -> Response:
        self.heads.append(
            str(request.url) + " " + " ".join(f"{name}: {value}" for name, value in request.headers.items())
        )
        return Response("", 401, headers={"WWW-Authenticate": "Bearer"})


class Viewer(other.OtherService):
    """The service behind a viewer whose page loads a configuration of its own; the root's and the one beside are others'.

    ``loaded`` is what the page's own configuration names; ``script`` is how the page refers to it.
    """

    def __init__(
        self, loaded: str, script: str = "conf/app-config.js?v=3", beside: str = f"{STRANGER.origin}/rs"
    ) -> None:
        super().__init__()
        self.addresses = (other.ADDRESS, SIBLING)
        page = f'<!doctype html><base href="/ohif/"><script src="{script}"></script><div id=root></div>'
        first = [
            Route("/ohif/viewer", lambda _: Response(page, media_type="text/html")),
            Route("/ohif/conf/app-config.js", lambda _: Response(configuration(loaded), media_type="text/javascript")),
            Route("/ohif/app-config.js", lambda _: Response(configuration(beside), media_type="text/javascript")),
            Route("/app-config.js", lambda _: Response(configuration(beside), media_type="text/javascript")),
        ]
        service, pages = self.app, application(*first)

        async def app(scope, receive, send) -> None:
            known = any(scope.get("path") == route.path for route in first)
            await (pages if known else service)(scope, receive, send)

        self.app = app


@pytest.mark.parametrize(
    ("loaded", "script"),
    [
        (f"{other.ADDRESS.origin}/", "conf/app-config.js?v=3"),
        (f"{other.ADDRESS.origin}/", "/ohif/conf/app-config.js"),
        ("/", "conf/app-config.js"),
        (f"{SIBLING.origin}/", f"{other.ADDRESS.origin}/ohif/conf/app-config.js"),
    ],
    ids=["base", "path", "relative root", "the site's other host"],
)
async def test_verdicts_b19_the_configuration_that_the_page_loads_comes_first(tmp_path, loaded, script):
    stranger = Stranger()
    with World(Viewer(loaded, script), stranger) as world:
        await check(DicomWeb, Case("its own", other.link(other.FILES)), world, tmp_path)
    assert stranger.heads == []


async def test_verdicts_b19_no_token_goes_to_a_host_that_a_configuration_names(tmp_path):
    stranger = Stranger()
    with World(Viewer(f"{STRANGER.origin}/rs"), stranger) as world:
        result = await run(DicomWeb, Case("a stranger", other.link(other.FILES)), world, tmp_path)
    assert isinstance(result.error, SiteChanged)  # no refusal: with --browser auto the viewer itself is watched
    assert stranger.heads
    assert not any("t0k" in head or "authorization" in head or "Bearer" in head for head in stranger.heads)


async def test_verdicts_b19_a_given_token_does_not_go_there_either(tmp_path):
    stranger = Stranger()
    case = Case("a stranger", other.link(other.FILES), answers={"token": "g1ven-token"})
    with World(Viewer(f"{STRANGER.origin}/rs"), stranger) as world:
        result = await run(DicomWeb, case, world, tmp_path)
    assert isinstance(result.error, SiteChanged)
    assert not any("g1ven" in head or "authorization" in head for head in stranger.heads)


async def test_verdicts_b19_a_service_that_breaks_is_watched_in_the_browser(tmp_path):
    """Whatever is no refusal is a change, which is then opened in the browser."""
    with World(Viewer("http://127.0.0.1:9/rs")) as world:
        result = await run(DicomWeb, Case("inside", other.link(other.FILES)), world, tmp_path)
    assert isinstance(result.error, SiteChanged)
