"""What is a person's own goes to the link's site alone: answers, tokens, headers, whoever names another host."""

import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import serve

from scraper.contract import Deployment, Provider
from scraper.core.errors import ForeignHost
from scraper.core.link import parse_url
from scraper.core.model import Request
from scraper.core.questions import PASSWORD, TOKEN
from scraper.core.settings import Settings
from scraper.session import Session
from scraper.session.door import Door
from scraper.session.http.client import Cookie, Http
from scraper.session.http.pace import Pace
from scraper.testing import first_of
from tests.security.played import OTHER, PUBLIC, Played
from tests.security.test_hostile_addresses import Handler, answer, server

SECRET = "s3cret/张+1"
NAMES = {
    "film.hospital.test": [PUBLIC],
    "api.hospital.test": [PUBLIC],
    "other.test": [OTHER],
    "named.vendor.test": [OTHER],
    "hospital.test.evil.test": [OTHER],
    "evilhospital.test": [OTHER],
}
PRIVATE = ("Authorization", "token", "X-Auth", "Cookie", "sid")


@asynccontextmanager
async def talking(
    tmp_path, port: int, link: str = "http://film.hospital.test:{port}/s/1", **given
) -> AsyncIterator[Session]:
    settings = Settings(answers={"password": SECRET, "token": "t0k3n-of-a-person"}, timeout_s=5)
    http = Http(settings, Pace(4, None), door=Door(settings, Played(NAMES)))

    async def no_window() -> None:
        raise AssertionError

    session = Session(
        parse_url(link.format(port=port)),
        settings,
        http,
        start_window=no_window,
        ask=lambda *_: None,
        spool=tmp_path,
        **given,
    )
    try:
        yield session
    finally:
        await session.close()


def recording(seen: list[bytes]) -> Handler:
    async def handler(head: bytes, writer) -> None:
        seen.append(head)
        if b" /go?" in head:
            status, target = head.split(b" /go?", 1)[1].split(b" ")[0].decode().split("=", 1)
            writer.write(answer(b"", f"Location: {target}", status=f"{status} Moved"))
        else:
            writer.write(answer(b"{}"))

    return handler


def personal(head: bytes) -> list[str]:
    lines = head.decode("latin-1").lower()
    return [name for name in PRIVATE if f"\r\n{name.lower()}:" in lines]


HEADERS = dict.fromkeys(PRIVATE, "t0k3n") | {"Referer": "http://film.hospital.test/s/secret?token=1", "Accept": "x/y"}


@pytest.mark.parametrize("status", first_of([301, 302, 303, 307, 308]))
@pytest.mark.parametrize("host", ["other.test", "hospital.test.evil.test", "evilhospital.test"])
async def test_hostile_2_a_redirect_across_sites_keeps_nothing_of_a_person(tmp_path, status, host):
    seen: list[bytes] = []
    async with server(recording(seen)) as port, talking(tmp_path, port) as session:
        url = f"http://film.hospital.test:{port}/go?{status}=http://{host}:{port}/x"
        await session.get(url, headers=HEADERS)
    assert personal(seen[0]) == list(PRIVATE)
    assert personal(seen[1]) == []
    assert b"secret" not in seen[1]
    assert b"\r\nAccept: x/y" in seen[1]


async def test_hostile_2_a_redirect_within_the_site_keeps_a_sites_own_headers(tmp_path):
    seen: list[bytes] = []
    async with server(recording(seen)) as port, talking(tmp_path, port) as session:
        url = f"http://film.hospital.test:{port}/go?302=http://api.hospital.test:{port}/x"
        await session.get(url, headers=HEADERS)
    assert personal(seen[1]) == ["token", "X-Auth", "sid"]  # another host is never given Authorization or a cookie


@pytest.mark.parametrize("status", [307, 308])
async def test_hostile_2_a_posted_login_is_not_posted_again_to_another_site(tmp_path, status):
    seen: list[bytes] = []
    async with server(recording(seen)) as port, talking(tmp_path, port) as session:
        form = {"account": "138", "password": session.answer(PASSWORD)}
        with pytest.raises(ForeignHost):
            await session.post(
                f"http://film.hospital.test:{port}/go?{status}=http://other.test:{port}/login", form=form
            )
        response = await session.post(
            f"http://film.hospital.test:{port}/go?{status}=http://api.hospital.test:{port}/login", form=form
        )
    assert response.ok
    assert [head.split(b" ")[0] for head in seen] == [b"POST"] * 3
    assert all(b"Host: other.test" not in head for head in seen)


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_hostile_2_a_posted_login_that_leads_elsewhere_is_gone_to_without_it(tmp_path, status):
    seen: list[bytes] = []
    async with server(recording(seen)) as port, talking(tmp_path, port) as session:
        form = {"password": session.answer(PASSWORD)}
        await session.post(f"http://film.hospital.test:{port}/go?{status}=http://other.test:{port}/", form=form)
    assert seen[1].startswith(b"GET / ")
    assert b"Content-Type" not in seen[1]


def disguised(secret: str) -> dict[str, str]:
    raw = secret.encode()
    return {
        "plain": secret,
        "base64": base64.b64encode(raw).decode(),
        "md5": hashlib.md5(raw, usedforsecurity=False).hexdigest(),
        "MD5": hashlib.md5(raw, usedforsecurity=False).hexdigest().upper(),
        "sha256": hashlib.sha256(raw).hexdigest(),
        "hex": raw.hex(),
    }


@pytest.mark.parametrize("form", list(disguised(SECRET)))
@pytest.mark.parametrize("way", ["query", "form", "json", "header", "request"])
async def test_hostile_2_no_answer_goes_where_a_page_names_another_host(tmp_path, form, way):
    seen: list[bytes] = []
    async with server(recording(seen)) as port, talking(tmp_path, port) as session:
        value = disguised(session.answer(PASSWORD))[form]
        await session.get(f"http://film.hospital.test:{port}/between")  # so that it is not the first after the answer
        url = f"http://other.test:{port}/api/login"
        calls = {
            "query": lambda: session.get(url, params={"p": value}),
            "form": lambda: session.post(url, form={"p": value}),
            "json": lambda: session.post(url, json={"p": value}),
            "header": lambda: session.get(url, headers={"X-Pass": value.encode().decode("latin-1")}),
            "request": lambda: session.request(Request(url, "POST", {}, value.encode())),
        }
        if way == "header":
            assert (await calls[way]()).ok
        else:
            with pytest.raises(ForeignHost):
                await calls[way]()
    assert len(seen) == (2 if way == "header" else 1)
    assert not any(b"X-Pass" in head for head in seen)


async def test_hostile_2_an_encrypted_login_is_not_sent_to_another_site(tmp_path):
    async with server(recording([])) as port, talking(tmp_path, port) as session:
        session.answer(PASSWORD)
        with pytest.raises(ForeignHost):
            await session.post(f"http://other.test:{port}/login", data=b"\x80\x91cipher")


async def test_hostile_2_what_was_only_given_counts_too(tmp_path):
    seen: list[bytes] = []
    async with server(recording(seen)) as port, talking(tmp_path, port) as session:
        token = session.given(TOKEN)
        with pytest.raises(ForeignHost):
            await session.get(f"http://other.test:{port}/studies", params={"token": token})
        await session.get(f"http://other.test:{port}/studies", headers={"Accept": "a/b", "X-Requested-With": "x"})
    assert len(seen) == 1


async def test_hostile_2_tokens_of_a_site_stay_with_it(tmp_path):
    """A manifest names images on another host; the headers that open the site's own are not sent along."""
    seen: list[bytes] = []
    async with server(recording(seen)) as port, talking(tmp_path, port) as session:
        await session.request(Request(f"http://api.hospital.test:{port}/1", headers=HEADERS))
        await session.request(Request(f"http://other.test:{port}/1", headers=HEADERS, sign=lambda: {"sign": "x"}))
    assert personal(seen[0]) == list(PRIVATE)
    assert personal(seen[1]) == []
    assert b"\r\nsign:" not in seen[1].lower()
    assert b"Referer: http://film.hospital.test/\r\n" in seen[1]


async def test_hostile_2_a_host_that_the_provider_names_is_the_platforms_own(tmp_path):
    class Vendor(Provider):
        name = "vendor"
        deployments = (Deployment("film.hospital.test", "First Hospital"),)
        hosts = ("*.vendor.test",)

    seen: list[bytes] = []
    async with (
        server(recording(seen)) as port,
        talking(tmp_path, port, hosts=(*Vendor.shape().hosts, *Vendor.hosts)) as session,
    ):
        form = {"password": session.answer(PASSWORD)}
        await session.post(f"http://named.vendor.test:{port}/login", form=form, headers=HEADERS)
    assert personal(seen[0]) == list(PRIVATE)


async def test_hostile_2_a_host_that_the_persons_own_page_called_may_be_called_again(tmp_path):
    seen: list[bytes] = []
    async with server(recording(seen)) as port, talking(tmp_path, port) as session:
        session.http.door.note_call(f"http://other.test:{port}/api", ["token", "accept"])
        await session.post(f"http://other.test:{port}/login", form={"p": session.answer(PASSWORD)}, headers=HEADERS)
    assert personal(seen[0]) == ["token"]


async def test_hostile_2_nothing_of_a_person_leaves_tls(tmp_path):
    """The same site without TLS, where the link has it."""
    door = Door(Settings(), Played(NAMES))
    door.belongs_to("https://film.hospital.test/s/1")
    assert all(door.trusts(f"{scheme}://api.hospital.test/") for scheme in ("https", "wss"))
    assert not any(door.trusts(f"{scheme}://film.hospital.test/") for scheme in ("http", "ws"))
    assert door.cleared("http://film.hospital.test/", HEADERS).keys() == {"Referer", "Accept"}
    door.belongs_to("http://film.hospital.test/s/1")
    assert door.trusts("https://film.hospital.test/")


@pytest.mark.parametrize(
    ("link", "host", "is_one_site"),
    [
        ("a.hospital.com.cn", "b.hospital.com.cn", True),
        ("a.hospital.com.cn", "other.com.cn", False),
        ("a.github.io", "b.github.io", False),
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("pacs", "pacs", True),
        ("film.医院.cn", "api.xn--ekrs67m.cn", True),
        ("FILM.Hospital.cn.", "hospital.cn", True),
    ],
)
def test_hostile_2_a_site_is_a_registrable_domain(link, host, is_one_site):
    door = Door(Settings(), Played({}))
    door.belongs_to(f"https://{link}/x")
    assert door.trusts(f"https://{host}/y") is is_one_site


async def test_hostile_2_a_socket_of_another_site_gets_no_answer(tmp_path):
    heads, messages = [], []

    async def handle(connection) -> None:
        heads.append(connection.request.headers)
        async for message in connection:
            messages.append(message)
            await connection.send("ok")

    async with serve(handle, "127.0.0.1", 0) as running:
        port = running.sockets[0].getsockname()[1]
        async with talking(tmp_path, port) as session:
            secret = session.answer(PASSWORD)
            async with session.websocket(f"ws://other.test:{port}/x", headers={"token": "t0k3n"}) as socket:
                with pytest.raises(ForeignHost):
                    await socket.send(f'{{"p": "{secret}"}}')
            async with session.websocket(f"ws://api.hospital.test:{port}/x", headers={"token": "t0k3n"}) as socket:
                await socket.send(secret)
                await socket.receive()
    assert "token" not in heads[0]
    assert heads[1]["token"] == "t0k3n"
    assert messages == [secret]


async def test_hostile_2_cookies_of_a_link_with_tls_are_not_sent_without_it(tmp_path):
    seen: list[bytes] = []
    async with (
        server(recording(seen)) as port,
        talking(tmp_path, port, "https://film.hospital.test:{port}/s/1") as session,
    ):
        session.http.add_cookies([Cookie("sid", "c00kie", "film.hospital.test")])
        await session.get(f"http://film.hospital.test:{port}/x")
    async with server(recording(seen)) as port, talking(tmp_path, port) as session:
        session.http.add_cookies([Cookie("sid", "c00kie", "film.hospital.test")])
        await session.get(f"http://film.hospital.test:{port}/x")
    assert [b"c00kie" in head for head in seen] == [False, True]


@pytest.mark.parametrize(
    ("headers", "error"), [({"token": "t0k3n"}, ForeignHost), ({"Accept": "x/y"}, None)], ids=["token", "none"]
)
async def test_hostile_2_a_stranger_that_misses_the_token_is_named(tmp_path, headers, error):
    """A refusal for want of a token that was held back is no refusal: the program goes on to the browser."""

    async def refusing(head: bytes, writer) -> None:
        writer.write(answer(b"", status="401 Unauthorized"))

    async with server(refusing) as port, talking(tmp_path, port) as session:
        assert (await session.get(f"http://api.hospital.test:{port}/x", headers=headers)).status == 401
        if error is None:
            assert (await session.get(f"http://other.test:{port}/x", headers=headers)).status == 401
        else:
            with pytest.raises(error):
                await session.get(f"http://other.test:{port}/x", headers=headers)
