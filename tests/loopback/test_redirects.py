"""Where an attempt goes and as whom: redirects, callables, several endpoints, user info."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
import trio

import trio_wsguard as wsguard
from trio_wsguard import ConnectionState, FailureKind

from .servers import (
    accept,
    drop,
    echo,
    failure_of,
    header,
    open_guard,
    quick,
    redirect,
    respond,
)

if TYPE_CHECKING:
    from .servers import Server

SECRETS = {"Authorization": "Bearer s3cret", "Cookie": "id=s3cret", "X-Plain": "1"}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed_within_the_attempt(server: Server, status: int) -> None:
    """A redirect is followed at once, with the headers, and is no failure."""
    server.script(redirect("/there?q=1", status), accept(echo))
    async with open_guard(server.url + "here", headers=SECRETS) as ws:
        assert ws.generation == 1
        assert ws.snapshot().connection_failures == 0
        await ws.send_message("hello")
        assert await ws.get_message() == "hello"
    assert server.paths == ["/here", "/there?q=1"]
    assert header(server.heads[1], "Authorization") == "Bearer s3cret"


async def test_credentials_do_not_follow_to_another_origin(
    server: Server, other_server: Server
) -> None:
    """Another port is another origin: Authorization and Cookie stay behind, the rest goes along."""
    server.script(redirect(other_server.url + "x"))
    other_server.script(accept(echo))
    async with open_guard(server.url, headers=SECRETS):
        pass
    assert header(server.heads[0], "Cookie") == "id=s3cret"
    (head,) = other_server.heads
    assert "s3cret" not in head
    assert header(head, "X-Plain") == "1"
    assert header(head, "Host") == f"127.0.0.1:{other_server.port}"


async def test_user_info_does_not_follow_to_another_origin(
    server: Server, other_server: Server
) -> None:
    """User and password of the first URL are not sent to where it redirects."""
    server.script(redirect(other_server.url))
    other_server.script(accept(echo))
    async with open_guard(server.url.replace("//", "//user:s3cret@")):
        pass
    assert header(server.heads[0], "Authorization") is not None
    assert header(other_server.heads[0], "Authorization") is None


async def test_credentials_do_not_come_back_over_a_detour(
    server: Server, other_server: Server
) -> None:
    """Sent back by another origin, a request still lacks the credentials."""
    server.script(redirect(other_server.url), accept(echo))
    other_server.script(redirect(server.url + "back"))
    async with open_guard(server.url, headers=SECRETS):
        pass
    assert server.paths == ["/", "/back"]
    assert header(server.heads[1], "Authorization") is None


async def test_an_http_location_means_ws(server: Server, other_server: Server) -> None:
    """A Location that says http: is followed as the ws: it stands for."""
    server.script(redirect(other_server.url.replace("ws:", "http:")))
    other_server.script(accept(echo))
    async with open_guard(server.url) as ws:
        assert ws.state is ConnectionState.CONNECTED


async def test_at_most_five_redirects_are_followed(server: Server) -> None:
    """Five redirects are followed; the sixth makes the attempt fail as PROTOCOL."""
    server.script(*[redirect(f"/{n}") for n in range(5)], accept(echo))
    async with open_guard(server.url):
        pass
    assert len(server.heads) == 6
    server.heads.clear()
    server.script(redirect("/loop"))
    failure = await failure_of(server.url, policy=quick(max_connection_failures=2))
    assert failure.kind is FailureKind.PROTOCOL
    assert failure.transient
    assert server.paths[:7] == ["/", *["/loop"] * 5, *server.paths[6:7]]


async def test_a_redirect_does_not_stick(server: Server, other_server: Server) -> None:
    """The attempt after a loss asks the first server again, with its credentials."""
    server.script(redirect(other_server.url), accept(echo))
    other_server.script(accept(drop))
    async with open_guard(server.url, headers=SECRETS) as ws:
        await ws.wait_state(ConnectionState.RECONNECTING)
        await ws.wait_connected()
        assert ws.generation == 2
    assert len(other_server.heads) == 1
    assert [header(head, "Authorization") for head in server.heads] == ["Bearer s3cret"] * 2


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/", "http://[", "mailto:x@y", "ws://:80/"])
async def test_a_redirect_to_nowhere_is_a_protocol_failure(server: Server, location: str) -> None:
    """A Location that is no WebSocket URL is PROTOCOL, not an error of the guard's."""
    server.script(redirect(location))
    failure = await failure_of(server.url)
    assert failure.kind is FailureKind.PROTOCOL
    assert failure.transient


async def test_a_redirect_without_location_is_a_refusal(server: Server) -> None:
    """A 302 that leads nowhere is REJECTED with its status."""
    server.script(respond(302))
    failure = await failure_of(server.url)
    assert (failure.kind, failure.http_status) == (FailureKind.REJECTED, 302)


@pytest.mark.parametrize("is_async", [False, True])
async def test_callables_are_asked_before_every_attempt(server: Server, is_async: bool) -> None:
    """Url and headers callables, plain or async, are told number, generation and last failure."""
    server.script(respond(503), accept(drop), accept(echo))
    told: list[wsguard.Attempt] = []

    def url(attempt: wsguard.Attempt) -> str:
        return f"{server.url}{attempt.generation}"

    def headers(attempt: wsguard.Attempt) -> dict[str, str]:
        told.append(attempt)
        return {"X-Attempt": str(attempt.number)}

    async def url_later(attempt: wsguard.Attempt) -> str:
        await trio.lowlevel.checkpoint()
        return url(attempt)

    async def headers_later(attempt: wsguard.Attempt) -> dict[str, str]:
        await trio.lowlevel.checkpoint()
        return headers(attempt)

    async with open_guard(
        url_later if is_async else url, headers=headers_later if is_async else headers
    ) as ws:
        await ws.wait_state(ConnectionState.RECONNECTING)
        await ws.wait_connected()
        assert ws.generation == 3
    assert [(a.number, a.generation) for a in told] == [(1, 1), (2, 2), (1, 3)]
    kinds = [a.last_failure.kind if a.last_failure else None for a in told]
    assert kinds == [None, FailureKind.REJECTED, FailureKind.CLOSED]
    assert server.paths == ["/1", "/2", "/3"]
    assert [header(head, "X-Attempt") for head in server.heads] == ["1", "2", "1"]


async def test_a_fatal_error_in_a_callable_ends_the_guard(server: Server) -> None:
    """FatalError from headers() fails the guard for good, before any connection is made."""
    server.script(accept(echo))

    def headers(attempt: wsguard.Attempt) -> dict[str, str]:
        raise wsguard.FatalError("no account")

    with pytest.raises(wsguard.GuardFailedError) as caught:
        async with open_guard(server.url, headers=headers):
            pass  # pragma: no cover
    assert [failure.transient for failure in caught.value.failures] == [False]
    assert server.accepted_at == []


async def test_endpoints_are_tried_in_turn(server: Server, other_server: Server) -> None:
    """Several URLs are tried in turn after failures, and a new outage begins with the first."""
    await server.stop()
    other_server.script(respond(503), accept(echo))
    async with open_guard([server.url, other_server.url]) as ws:
        assert ws.generation == 4  # refused, 503, refused, accepted
        await ws.send_message("hello")
        assert await ws.get_message() == "hello"
        server.script(accept(echo))
        await server.start()
        ws.force_reconnect()
        await ws.wait_state(ConnectionState.RECONNECTING)
        await ws.wait_connected()
    assert len(other_server.heads) == 2
    assert len(server.heads) == 1


async def test_user_info_becomes_basic_authorization(server: Server) -> None:
    """User and password in the URL are decoded and sent as Basic, and shown nowhere."""
    server.script(accept(echo))
    url = server.url.replace("//", "//me%40home:p%3Ass@")
    async with open_guard(url, name=None) as ws:
        assert "p%3Ass" not in ws.name
        assert "me%40home" not in ws.name
    value = header(server.heads[0], "Authorization")
    assert value == "Basic " + base64.b64encode(b"me@home:p:ss").decode()
    assert header(server.heads[0], "Host") == f"127.0.0.1:{server.port}"


async def test_a_header_of_ones_own_wins_over_user_info(server: Server) -> None:
    """An Authorization header given goes out instead of the URL's user and password."""
    server.script(accept(echo))
    url = server.url.replace("//", "//user:pass@")
    async with open_guard(url, headers={"authorization": "Bearer t"}):
        pass
    assert server.heads[0].lower().count("authorization:") == 1
    assert header(server.heads[0], "Authorization") == "Bearer t"
