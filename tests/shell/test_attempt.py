"""What an attempt asks of the user and of the server, in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import trio_wsguard as wsguard
from trio_wsguard import ConnectionState, FailureKind

from .conftest import Net, accept, answer, drop, idle, quick

if TYPE_CHECKING:
    import trio

    from .conftest import Handler


def noting(seen: list[bytes], handler: Handler) -> Handler:
    """Keep the request's bytes, then go on as the handler does."""

    async def note(stream: trio.abc.Stream) -> None:
        class Noted:
            def __getattr__(self, name: str) -> Any:
                return getattr(stream, name)

            async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
                data = await stream.receive_some(max_bytes)
                seen.append(bytes(data))
                return data

        await handler(Noted())  # type: ignore[arg-type]

    return note


def redirect(location: str, status: int = 302) -> Handler:
    """Answer with a redirect."""
    head = f"HTTP/1.1 {status} Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    return answer(head.encode())


async def test_headers_and_subprotocols_arrive(net: Net) -> None:
    """Extra headers, subprotocols and the Host header are in the request."""
    seen: list[bytes] = []
    net.script(noting(seen, accept(idle, subprotocol="v1")))
    async with net.open(
        url="ws://sim:81/p?q=1", headers={"X-Key": "k"}, subprotocols=["v2", "v1"]
    ) as ws:
        assert ws.subprotocol == "v1"
        ws.disconnect()
        await ws.wait_state(ConnectionState.DISCONNECTED)
        assert ws.subprotocol is None
    request = seen[0].decode()
    assert "Sec-WebSocket-Protocol: v2, v1\r\n" in request
    assert request.startswith("GET /p?q=1 HTTP/1.1\r\n")
    assert "Host: sim:81\r\n" in request
    assert "X-Key: k\r\n" in request


@pytest.mark.parametrize("is_async", [False, True])
async def test_callables_are_asked_before_every_attempt(net: Net, is_async: bool) -> None:
    """Url and headers callables, plain or async, are told number, generation and failure."""
    told: list[wsguard.Attempt] = []

    def url(attempt: wsguard.Attempt) -> str:
        told.append(attempt)
        return f"ws://sim/{attempt.generation}"

    async def url_later(attempt: wsguard.Attempt) -> str:
        return url(attempt)

    net.script(ConnectionRefusedError(), accept(drop), accept(idle))
    async with net.open(wait=False, policy=quick(), url=url_later if is_async else url) as ws:
        await ws.wait_connected()
        await ws.wait_state(ConnectionState.RECONNECTING)
        await ws.wait_connected()
    assert [(a.number, a.generation) for a in told] == [(1, 1), (2, 2), (1, 3)]
    kinds = [a.last_failure.kind if a.last_failure else None for a in told]
    assert kinds == [None, FailureKind.NETWORK, FailureKind.CLOSED]


async def test_endpoints_are_tried_in_turn(net: Net) -> None:
    """Several URLs are tried in turn after failures, and each outage begins with the first."""
    asked: list[str] = []

    async def dial(target: wsguard.Target) -> trio.abc.Stream:
        asked.append(target.host)
        return await net.dial(target)

    refused = ConnectionRefusedError()
    net.script(refused, refused, refused, accept(drop), accept(idle))
    urls = ["ws://a/", "ws://b/", "ws://c/"]
    async with net.open(url=urls, dial=dial, policy=quick(), wait=False) as ws:
        await ws.wait_connected()
        await ws.wait_state(ConnectionState.RECONNECTING)
        await ws.wait_connected()
    assert asked == ["a", "b", "c", "a", "a"]


async def test_credentials_do_not_follow_to_another_origin(net: Net) -> None:
    """A redirect to another origin drops Authorization and Cookie, and does not stick."""
    seen: list[bytes] = []
    net.script(
        noting(seen, redirect("ws://other/x")),
        noting(seen, accept(drop)),
        noting(seen, accept(idle)),
    )
    headers = {"Authorization": "Bearer s3cret", "Cookie": "s3cret", "X-Plain": "1"}
    async with net.open(policy=quick(), headers=headers) as ws:
        await ws.wait_state(ConnectionState.RECONNECTING)
        await ws.wait_connected()
        assert ws.generation == 2
    first, redirected, again = [text.decode() for text in seen if text.startswith(b"GET")]
    assert "s3cret" in first
    assert "Host: other\r\n" in redirected
    assert "s3cret" not in redirected
    assert "X-Plain: 1" in redirected
    assert "Host: sim\r\n" in again
    assert "s3cret" in again


async def test_credentials_stay_within_the_origin(net: Net) -> None:
    """A redirect within the origin keeps the credentials."""
    seen: list[bytes] = []
    net.script(redirect("/elsewhere", 307), noting(seen, accept(idle)))
    async with net.open(headers={"Authorization": "Bearer s3cret"}):
        assert seen[0].startswith(b"GET /elsewhere HTTP/1.1\r\n")
        assert b"s3cret" in seen[0]


async def test_redirects_are_bounded(net: Net) -> None:
    """The sixth redirect in one attempt is a protocol failure."""
    net.script(redirect("/again"))
    with pytest.raises(wsguard.GuardFailedError) as caught:
        async with net.open(policy=quick(max_connection_failures=1)):
            raise AssertionError("entered")
    assert caught.value.failures[0].kind is FailureKind.PROTOCOL
    assert len(net.dialed_at) == 6
