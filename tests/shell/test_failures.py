"""Every row of the failure table that a byte stream can show, in virtual time."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trio

import trio_wsguard as wsguard
from trio_wsguard import ConnectionState, FailureKind

from .conftest import Net, accept, answer, close_with, drop, idle, quick

if TYPE_CHECKING:
    from .conftest import Handler

OK_HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


async def failure_of(net: Net, handler: Handler | BaseException, **options: Any) -> Any:
    """Let one connection fail and tell how, and after how many seconds."""
    net.script(handler)
    options.setdefault("policy", quick(max_connection_failures=1))
    async with net.open(wait=False, **options) as ws, ws.events() as events:
        async for event in events:
            if isinstance(event, wsguard.StateChange) and event.failure is not None:
                return event.failure, event.at - net.dialed_at[0]
    raise AssertionError("nothing failed")


@pytest.mark.parametrize(
    ("answered", "hold", "kind"),
    [
        (b"", False, FailureKind.CLOSED),
        (b"HTTP/1.1 101 Switch", False, FailureKind.CLOSED),
        (b"SSH-2.0-OpenSSH_9.2\r\n", True, FailureKind.PROTOCOL),
        (b"\x16\x03\x01\x02\x00", True, FailureKind.PROTOCOL),
        (OK_HEAD + b"Sec-WebSocket-Accept: bm9wZQ==\r\n\r\n", True, FailureKind.PROTOCOL),
        (OK_HEAD + b"\r\n", True, FailureKind.PROTOCOL),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", True, FailureKind.PROTOCOL),
        (b"HTTP/1.1 100 Continue\r\n\r\n", True, FailureKind.PROTOCOL),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", True, FailureKind.PROTOCOL),
        (b"HTTP/1.1 abc What\r\n\r\n", True, FailureKind.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", True, FailureKind.REJECTED),
        (b"HTTP/1.1 503 Busy\r\n\r\n", True, FailureKind.REJECTED),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 99\r\n\r\ncut", False, FailureKind.REJECTED),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", True, FailureKind.REJECTED),
        (b"HTTP/1.1 101 X\r\n" + b"X: y\r\n" * 20_000, True, FailureKind.PROTOCOL),
    ],
)
async def test_a_bad_answer_fails_at_once(
    net: Net, answered: bytes, hold: bool, kind: FailureKind
) -> None:
    """A handshake answered badly fails as its kind without waiting for a timeout."""
    failure, seconds = await failure_of(net, answer(answered, hold=hold))
    assert failure.kind is kind
    assert seconds == 0


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1001, FailureKind.CLOSED),
        (1011, FailureKind.CLOSED),
        (1012, FailureKind.CLOSED),
        (1013, FailureKind.CLOSED),
        (3000, FailureKind.CLOSED),
        (4000, FailureKind.CLOSED),
        (1002, FailureKind.PROTOCOL),
        (1003, FailureKind.PROTOCOL),
        (1007, FailureKind.PROTOCOL),
        (1008, FailureKind.PROTOCOL),
        (1009, FailureKind.PROTOCOL),
    ],
)
async def test_close_codes(net: Net, code: int, kind: FailureKind) -> None:
    """A close code of the peer is retried as the kind that the table says."""
    failure, _ = await failure_of(net, accept(close_with(code, "why\x1b[31m")))
    assert (failure.kind, failure.close_code, failure.transient) == (kind, code, True)
    assert "\x1b" not in failure.message


async def test_a_request_that_cannot_be_written_fails_at_once(net: Net) -> None:
    """A peer that resets before the request is written is CLOSED without waiting."""

    async def dial(target: wsguard.Target) -> trio.abc.Stream:
        client, server = trio.testing.memory_stream_pair()
        net.dialed_at.append(trio.current_time())
        await trio.aclose_forcefully(server)
        return client

    failure, seconds = await failure_of(net, ConnectionResetError(), dial=dial)
    assert failure.kind is FailureKind.CLOSED
    assert seconds == 0


async def test_a_fatal_close_code_is_not_retried(net: Net) -> None:
    """A close code that the policy calls fatal ends in FAILED after one connection."""
    net.script(accept(close_with(4401)))
    policy = quick(fatal_close_codes={4401})
    async with net.open(wait=False, policy=policy) as ws:
        await ws.wait_state(ConnectionState.FAILED)
        assert len(net.dialed_at) == 1


async def test_other_close_codes_can_be_final(net: Net) -> None:
    """final_close_codes can be chosen; with it empty, 1000 is retried."""
    net.script(accept(close_with(1000)), accept(idle))
    async with net.open(wait=False, policy=quick(final_close_codes=())) as ws:
        await ws.wait_state(ConnectionState.RECONNECTING)
        await ws.wait_connected()


@pytest.mark.parametrize(
    ("error", "kind", "transient"),
    [
        (ConnectionRefusedError(111, "Connection refused"), FailureKind.NETWORK, True),
        (OSError(113, "No route to host"), FailureKind.NETWORK, True),
        (socket.gaierror(-2, "Name or service not known"), FailureKind.NETWORK, True),
        (ConnectionResetError(104, "reset"), FailureKind.CLOSED, True),
        (TimeoutError(), FailureKind.TIMEOUT, True),
        (trio.TooSlowError(), FailureKind.TIMEOUT, True),
        (ssl.SSLCertVerificationError("bad certificate"), FailureKind.TLS, False),
        (ssl.SSLError("bad record"), FailureKind.TLS, True),
        (Exception("proxy timeout"), FailureKind.TIMEOUT, True),
        (Exception("whatever"), FailureKind.OTHER, True),
        (wsguard.FatalError("no such account"), FailureKind.OTHER, False),
    ],
)
async def test_what_a_dial_raises(
    net: Net, error: Exception, kind: FailureKind, transient: bool
) -> None:
    """A dial's exception becomes a failure of its kind; the original is its cause."""
    failure, _ = await failure_of(net, error)
    assert (failure.kind, failure.transient) == (kind, transient)


async def test_eof_and_oversize_and_broken_frames(net: Net) -> None:
    """EOF is CLOSED with 1006; an oversized message and a broken frame are PROTOCOL."""
    failure, _ = await failure_of(net, accept(drop))
    assert (failure.kind, failure.close_code) == (FailureKind.CLOSED, 1006)

    async def shout(ws: Any) -> None:
        await ws.send_message("x" * 2000)
        await idle(ws)

    policy = quick(max_connection_failures=1, max_message_size=1000)
    failure, _ = await failure_of(net, accept(shout), policy=policy)
    assert (failure.kind, failure.close_code) == (FailureKind.PROTOCOL, 1009)

    async def babble(ws: Any) -> None:
        await ws._stream.send_all(b"\x8f\x00garbage")
        await trio.sleep_forever()

    failure, _ = await failure_of(net, accept(babble))
    assert failure.kind is FailureKind.PROTOCOL


@pytest.mark.parametrize(
    ("status", "transient"),
    [(400, False), (401, False), (404, False), (408, True), (425, True), (429, True), (500, True)],
)
async def test_statuses(net: Net, status: int, transient: bool) -> None:
    """A status of ours to mend is fatal; one that asks to come back is not."""
    raw = f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode()
    failure, _ = await failure_of(net, answer(raw))
    assert (failure.kind, failure.http_status) == (FailureKind.REJECTED, status)
    assert failure.transient is transient


async def test_one_fresh_try_after_401(net: Net) -> None:
    """401 with callable headers is retried once with fresh ones, and is then fatal."""
    net.script(answer(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"))
    told: list[wsguard.Attempt] = []

    def headers(attempt: wsguard.Attempt) -> dict[str, str]:
        told.append(attempt)
        return {"Authorization": f"Bearer {attempt.number}"}

    async with net.open(wait=False, policy=quick(), headers=headers) as ws:
        await ws.wait_state(ConnectionState.FAILED)
    assert [(a.number, a.generation) for a in told] == [(1, 1), (2, 2)]
    assert told[1].last_failure is not None
    assert told[1].last_failure.http_status == 401


async def test_on_connect_errors_fail_the_attempt(net: Net) -> None:
    """What on_connect raises fails the attempt as OTHER; the next one may succeed."""
    net.script(accept(idle))
    calls: list[int] = []

    async def on_connect(connection: wsguard.Connection) -> None:
        calls.append(connection.generation)
        if len(calls) < 3:
            raise ValueError("login refused")

    async with net.open(policy=quick(), on_connect=on_connect) as ws, ws.events():
        assert calls == [1, 2, 3]
        assert ws.snapshot().connection_failures == 2
        assert ws.snapshot().losses == 0


async def test_a_fatal_error_in_on_connect_is_final(net: Net) -> None:
    """FatalError from on_connect ends in FAILED at once, with the error as its cause."""
    net.script(accept(idle))

    async def on_connect(connection: wsguard.Connection) -> None:
        raise wsguard.FatalError("account closed")

    with pytest.raises(wsguard.GuardFailedError) as caught:
        async with net.open(on_connect=on_connect):
            raise AssertionError("entered")
    assert len(net.dialed_at) == 1
    group = caught.value.__cause__
    assert isinstance(group, ExceptionGroup)
    assert isinstance(group.exceptions[0].__cause__, wsguard.FatalError)


async def test_a_wrong_url_from_a_callable_is_not_retried(net: Net) -> None:
    """A url() that returns no WebSocket URL fails the guard instead of retrying for ever."""
    net.script(accept(idle))
    async with net.open(wait=False, url=lambda _: "http://x/") as ws:
        await ws.wait_state(ConnectionState.FAILED)
        assert net.dialed_at == []
        assert ws.snapshot().attempts == 1
