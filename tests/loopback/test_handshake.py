"""What servers answer to the handshake, byte by byte."""

from __future__ import annotations

import datetime
import email.utils
from typing import TYPE_CHECKING

import pytest
import trio

import trio_wsguard as wsguard
from trio_wsguard import ConnectionState, FailureKind

from .servers import (
    accept,
    accept_key,
    answer,
    close_at_once,
    echo,
    failure_of,
    failures_of,
    header,
    open_guard,
    quick,
    reset_at_once,
    respond,
    switching,
)

if TYPE_CHECKING:
    from .servers import Handler, Peer, Server

NOT_HTTP = {
    "random bytes": bytes(range(256)) * 4,
    "a banner of SSH": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    "a greeting of SMTP": b"220 mail.example ESMTP\r\n",
    "zeros": bytes(64),
    "an HTML page": b"<!doctype html><html></html>",
    "no status": b"HTTP/1.1 \r\n\r\n",
    "a word for a status": b"HTTP/1.1 okay fine\r\n\r\n",
}


@pytest.mark.parametrize("raw", NOT_HTTP.values(), ids=NOT_HTTP.keys())
async def test_what_is_no_http_is_found_at_once(server: Server, raw: bytes) -> None:
    """Garbage on a connection held open is PROTOCOL at once, without waiting for open_timeout."""
    server.script(answer(raw, hold=True))
    failure = await failure_of(server.url)
    assert failure.kind is FailureKind.PROTOCOL
    assert failure.transient
    assert failure.message.isprintable()


async def test_a_banner_before_the_request_is_found_at_once(server: Server) -> None:
    """A server that speaks first, as SSH does, is PROTOCOL at once."""

    async def banner(peer: Peer) -> None:
        await peer.send_all(NOT_HTTP["a banner of SSH"])
        await peer.mute()

    server.script(banner)
    failure = await failure_of(server.url)
    assert failure.kind is FailureKind.PROTOCOL


async def test_endless_headers_are_cut(server: Server) -> None:
    """An answer whose headers do not end is PROTOCOL, long before it fills the memory."""

    async def endless(peer: Peer) -> None:
        await peer.read_request()
        await peer.send_all(b"HTTP/1.1 101 Switching Protocols\r\n")
        while True:
            await peer.send_all(b"X-More: " + b"x" * 1000 + b"\r\n")

    server.script(endless)
    async with open_guard(server.url, wait=False, policy=quick(max_connection_failures=1)) as ws:
        await ws.wait_state(ConnectionState.FAILED)
        assert ws.snapshot().bytes_received < 2**20
        with pytest.raises(wsguard.GuardFailedError) as caught:
            await ws.get_message()
    assert caught.value.failures[0].kind is FailureKind.PROTOCOL


@pytest.mark.parametrize(
    "answered", ["bad key", "no key", "no upgrade", "subprotocol", "extension"]
)
async def test_a_wrong_101_is_a_protocol_failure(server: Server, answered: str) -> None:
    """A 101 that does not answer what was asked is PROTOCOL at once."""

    async def wrong(peer: Peer) -> None:
        key = accept_key(await peer.read_request())
        await peer.send_all(
            {
                "bad key": switching("AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
                "no key": switching(key).replace(b"Sec-WebSocket-Accept", b"X-Accept"),
                "no upgrade": switching(key).replace(b"Upgrade: websocket", b"X-Upgrade: no"),
                "subprotocol": switching(key, "Sec-WebSocket-Protocol: unasked"),
                "extension": switching(key, "Sec-WebSocket-Extensions: permessage-unasked"),
            }[answered]
        )
        await peer.mute()

    server.script(wrong)
    failure = await failure_of(server.url, subprotocols=["asked"])
    assert failure.kind is FailureKind.PROTOCOL
    assert failure.transient


@pytest.mark.parametrize("status", [100, 103])
async def test_other_informational_statuses_are_protocol_failures(
    server: Server, status: int
) -> None:
    """100 and 103 are no verdict about us, nor an upgrade: PROTOCOL, retried."""
    server.script(answer(f"HTTP/1.1 {status} Early\r\n\r\n".encode(), hold=True))
    failure = await failure_of(server.url)
    assert failure.kind is FailureKind.PROTOCOL
    assert failure.transient


async def _end_after_request(peer: Peer) -> None:
    await peer.read_request()


async def _reset_after_request(peer: Peer) -> None:
    await peer.read_request()
    await peer.reset()


async def _end_within_head(peer: Peer) -> None:
    await peer.read_request()
    await peer.send_all(b"HTTP/1.1 101 Switching Proto")


@pytest.mark.parametrize(
    "handler",
    [close_at_once, reset_at_once, _end_after_request, _reset_after_request, _end_within_head],
)
async def test_an_end_within_the_handshake_is_found_at_once(
    server: Server, handler: Handler
) -> None:
    """FIN or RST before the answer is complete is CLOSED at once, and retried."""
    server.script(handler)
    failure = await failure_of(server.url)
    assert failure.kind is FailureKind.CLOSED
    assert failure.transient


@pytest.mark.parametrize(
    ("raw", "hold"),
    [
        (b"HTTP/1.1 503 Busy\r\n\r\n", True),
        (b"HTTP/1.1 503 Busy\r\n\r\n", False),
        (b"HTTP/1.1 503 Busy\r\n\r\nsorry", True),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\ntruncated", False),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\ntruncated", True),
        (b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n", False),
        (b"HTTP/1.0 503 Busy\r\n\r\n", True),
    ],
)
async def test_a_refusal_is_told_by_its_head_alone(server: Server, raw: bytes, hold: bool) -> None:
    """A 503 is REJECTED at once, whether its body ends, is cut, or never comes."""
    server.script(answer(raw, hold=hold))
    failure = await failure_of(server.url)
    assert (failure.kind, failure.http_status) == (FailureKind.REJECTED, 503)
    assert failure.transient


@pytest.mark.parametrize(
    ("status", "transient"),
    [
        (200, True),
        (400, False),
        (401, False),
        (403, False),
        (404, False),
        (408, True),
        (410, False),
        (425, True),
        (426, False),
        (429, True),
        (500, True),
        (502, True),
        (503, True),
        (504, True),
    ],
)
async def test_statuses(server: Server, status: int, transient: bool) -> None:
    """Every 4xx but 408, 425 and 429 ends in FAILED at once; all other refusals are retried."""
    server.script(respond(status))
    failure = await failure_of(server.url)
    assert (failure.kind, failure.http_status) == (FailureKind.REJECTED, status)
    assert failure.transient is transient


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_in_seconds_is_honoured(server: Server, status: int) -> None:
    """Retry-After in seconds is waited for, where it is longer than the backoff."""
    server.script(respond(status, "Retry-After: 7"))
    (change,) = await failures_of(server.url)
    assert change.retry_in == 7
    assert change.failure is not None
    assert change.failure.retry_after == 7


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_as_a_date_is_honoured(server: Server, status: int) -> None:
    """Retry-After as an HTTP date is waited for."""
    now = datetime.datetime.now(datetime.UTC)
    then = email.utils.format_datetime(now + datetime.timedelta(seconds=100), usegmt=True)
    server.script(respond(status, f"Retry-After: {then}"))
    (change,) = await failures_of(server.url)
    assert change.retry_in is not None
    assert 60 < change.retry_in <= 100


@pytest.mark.parametrize("value", ["-5", "soon", "Mon, 01 Jan 2001 00:00:00 GMT", "99999999999999"])
async def test_odd_retry_after_is_harmless(server: Server, value: str) -> None:
    """A Retry-After that is past, unreadable or endless leaves a wait within the policy."""
    server.script(respond(503, f"Retry-After: {value}"))
    (change,) = await failures_of(server.url)
    assert change.retry_in is not None
    assert 0 < change.retry_in <= quick().backoff.max_retry_after


async def test_retry_after_does_not_outlive_its_answer(server: Server) -> None:
    """The next failure without Retry-After waits by the backoff alone."""
    server.script(respond(503, "Retry-After: 60"), respond(503))
    async with open_guard(server.url, wait=False) as ws, ws.events() as events:
        delays: list[float] = []
        async for event in events:
            if isinstance(event, wsguard.StateChange) and event.retry_in is not None:
                delays.append(event.retry_in)
                ws.reconnect_now()
                if len(delays) == 2:
                    break
    assert delays[0] == 60
    assert delays[1] <= 0.02


async def test_401_with_a_callable_for_headers_gets_one_fresh_try(server: Server) -> None:
    """After a 401 the headers are asked for once more; a second 401 ends in FAILED."""
    server.script(respond(401))
    asked: list[wsguard.Attempt] = []

    def headers(attempt: wsguard.Attempt) -> dict[str, str]:
        asked.append(attempt)
        return {"Authorization": f"Bearer {attempt.number}"}

    with pytest.raises(wsguard.GuardFailedError) as caught:
        async with open_guard(server.url, headers=headers):
            pass  # pragma: no cover
    assert [failure.http_status for failure in caught.value.failures] == [401, 401]
    sent = [header(head, "Authorization") for head in server.heads]
    assert sent == ["Bearer 1", "Bearer 2"]
    assert [attempt.number for attempt in asked] == [1, 2]


async def test_a_fresh_token_is_let_in(server: Server) -> None:
    """A token that expired is replaced by the headers callable, and the guard is connected."""
    server.script(respond(401), accept(echo))
    tokens = iter(["old", "new"])

    async def headers(attempt: wsguard.Attempt) -> dict[str, str]:
        await trio.lowlevel.checkpoint()
        return {"Authorization": f"Bearer {next(tokens)}"}

    async with open_guard(server.url, headers=headers) as ws:
        assert ws.generation == 2
    assert [header(head, "Authorization") for head in server.heads] == ["Bearer old", "Bearer new"]


async def test_a_refusal_arriving_in_pieces_is_read_whole(server: Server) -> None:
    """A head that comes byte by byte is understood as one that comes at once."""

    async def trickle(peer: Peer) -> None:
        await peer.read_request()
        for byte in b"HTTP/1.1 503 Busy\r\nRetry-After: 3\r\n\r\n":
            await peer.send_all(bytes([byte]))
            await trio.lowlevel.checkpoint()
        await peer.mute()

    server.script(trickle)
    (change,) = await failures_of(server.url)
    assert change.retry_in == 3
