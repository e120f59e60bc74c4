"""TLS on loopback sockets, with certificates of a CA made for the test."""

from __future__ import annotations

import datetime
import gc
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
import trio_websocket
import trustme

import trio_wsguard as wsguard
from trio_wsguard import ConnectionState, FailureKind
from trio_wsguard._shell import tls

from .servers import (
    BEATING,
    Server,
    accept,
    answer,
    close_at_once,
    close_with,
    drop,
    echo,
    eventually,
    failure_of,
    needs_proc,
    open_files,
    open_guard,
    quick,
    redirect,
    reset_at_once,
    respond,
    server_context,
    take_no_bytes,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .servers import Handler, Peer


async def test_a_good_certificate_connects(
    tls_server: Server, client_context: ssl.SSLContext
) -> None:
    """A certificate of a trusted CA for the right name connects, and messages flow."""
    tls_server.script(accept(echo))
    async with open_guard(tls_server.url, ssl_context=client_context) as ws:
        await ws.send_message("x" * 100_000)
        assert await ws.get_message() == "x" * 100_000


async def test_comes_back_after_a_reset_under_tls(
    tls_server: Server, client_context: ssl.SSLContext
) -> None:
    """An RST or a FIN without TLS's own goodbye is CLOSED, and the next connection works."""
    tls_server.script(
        accept(lambda ws: ws.get_message()), reset_at_once, close_at_once, accept(echo)
    )
    async with open_guard(tls_server.url, ssl_context=client_context) as ws, ws.events() as events:
        await ws.send_message("drop me")
        kinds = [
            event.failure.kind
            async for event in _changes_until_generation(events, 4)
            if event.failure is not None
        ]
        assert kinds == [FailureKind.CLOSED] * 3
        await ws.send_message("back")
        assert await ws.get_message() == "back"


async def _changes_until_generation(
    events: wsguard.EventStream, generation: int
) -> AsyncIterator[wsguard.StateChange]:
    async for event in events:
        if isinstance(event, wsguard.StateChange):
            yield event
            if (event.generation, event.state) == (generation, ConnectionState.CONNECTED):
                return


async def test_an_untrusted_authority_is_fatal(tls_server: Server) -> None:
    """A certificate of an unknown CA is TLS and ends in FAILED after one attempt."""
    tls_server.script(accept(echo))
    failure = await failure_of(tls_server.url)
    assert failure.kind is FailureKind.TLS
    assert not failure.transient
    assert len(tls_server.accepted_at) == 1


async def test_failing_certificates_raise_with_their_cause(tls_server: Server) -> None:
    """With wait=True a refused certificate leaves the block's entry as GuardFailedError."""
    tls_server.script(accept(echo))
    with pytest.raises(wsguard.GuardFailedError) as caught:
        async with open_guard(tls_server.url):
            pass  # pragma: no cover
    group = caught.value.__cause__
    assert isinstance(group, ExceptionGroup)
    cause = group.exceptions[0].__cause__
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__
    assert cause is not None


async def test_a_wrong_host_name_is_fatal(server: Server, client_context: ssl.SSLContext) -> None:
    """A certificate for another name is TLS and fatal."""
    server.ssl_context = server_context("other.example")
    server.script(accept(echo))
    failure = await failure_of(server.url, ssl_context=client_context)
    assert (failure.kind, failure.transient) == (FailureKind.TLS, False)


async def test_an_expired_certificate_is_fatal(
    server: Server, client_context: ssl.SSLContext
) -> None:
    """A certificate whose time is over is TLS and fatal."""
    then = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    server.ssl_context = server_context("127.0.0.1", not_after=then)
    server.script(accept(echo))
    failure = await failure_of(server.url, ssl_context=client_context)
    assert (failure.kind, failure.transient) == (FailureKind.TLS, False)


async def test_a_plain_server_under_a_wss_url_is_retried(
    server: Server, client_context: ssl.SSLContext
) -> None:
    """A server that speaks no TLS is TLS, found at once, and retried: it may be on the mend."""

    async def plain(peer: trio.abc.Stream) -> None:
        await peer.receive_some()
        await peer.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.receive_some()

    server.script(plain)
    url = server.url.replace("ws:", "wss:")
    failure = await failure_of(url, ssl_context=client_context)
    assert (failure.kind, failure.transient) == (FailureKind.TLS, True)


@pytest.mark.parametrize("handler", [close_at_once, reset_at_once])
async def test_an_end_within_the_tls_handshake_is_retried(
    server: Server, client_context: ssl.SSLContext, handler: object
) -> None:
    """A FIN or an RST in the TLS handshake is told at once, and retried."""
    server.script(handler)  # type: ignore[arg-type]
    url = server.url.replace("ws:", "wss:")
    failure = await failure_of(url, ssl_context=client_context)
    assert failure.kind in (FailureKind.TLS, FailureKind.CLOSED)
    assert failure.transient


async def test_a_silent_tls_handshake_is_bounded(
    server: Server, client_context: ssl.SSLContext
) -> None:
    """A TLS handshake without an answer ends by open_timeout, as TIMEOUT."""

    async def silent(peer: trio.abc.Stream) -> None:
        while await peer.receive_some():
            pass

    server.script(silent)
    url = server.url.replace("ws:", "wss:")
    policy = quick(open_timeout=0.2)
    failure = await failure_of(url, ssl_context=client_context, policy=policy)
    assert failure.kind is FailureKind.TIMEOUT


async def test_a_garbage_answer_under_tls_is_found_at_once(
    tls_server: Server, client_context: ssl.SSLContext
) -> None:
    """What is no HTTP is PROTOCOL at once, under TLS too."""
    tls_server.script(answer(b"220 smtp ready\r\n", hold=True))
    failure = await failure_of(tls_server.url, ssl_context=client_context)
    assert failure.kind is FailureKind.PROTOCOL


async def test_a_redirect_from_tls_to_plain_is_refused(
    tls_server: Server, server: Server, client_context: ssl.SSLContext
) -> None:
    """No redirect leads from wss to ws: it is PROTOCOL, and the plain server sees nothing."""
    server.script(accept(echo))
    tls_server.script(redirect(server.url))
    failure = await failure_of(tls_server.url, ssl_context=client_context)
    assert failure.kind is FailureKind.PROTOCOL
    assert server.accepted_at == []


async def test_a_peer_that_blocks_senders_under_tls_is_found(
    tls_server: Server, client_context: ssl.SSLContext
) -> None:
    """The beats find a peer that takes no bytes under TLS too, and free the blocked sender."""
    tls_server.script(take_no_bytes, accept(echo))
    policy = quick(heartbeat=BEATING)
    async with open_guard(tls_server.url, ssl_context=client_context, policy=policy) as ws:
        with pytest.raises(wsguard.ConnectionLostError) as caught:
            await ws.send_message(bytes(24 * 2**20))
        assert caught.value.maybe_sent
        assert caught.value.failure is not None
        assert caught.value.failure.kind is FailureKind.HEARTBEAT
        await ws.send_message("next")
        assert await ws.get_message() == "next"


async def test_cancelling_a_stalled_send_under_tls_drops_the_connection(
    tls_server: Server, client_context: ssl.SSLContext
) -> None:
    """A send cancelled midway under TLS is prompt and costs the connection, and no failure."""
    tls_server.script(take_no_bytes, accept(echo))
    async with open_guard(tls_server.url, ssl_context=client_context) as ws:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ws.send_message, bytes(24 * 2**20))
            await trio.testing.wait_all_tasks_blocked(0.05)
            nursery.cancel_scope.cancel()
        await ws.send_message("next")
        assert await ws.get_message() == "next"
        assert ws.generation == 2
        assert ws.snapshot().connection_failures == 0


async def test_leaving_under_tls_does_the_close_handshake(
    tls_server: Server, client_context: ssl.SSLContext
) -> None:
    """Leaving the block tells the server 1000 under TLS, and so does cancelling around it."""
    codes: list[int] = []

    async def listen(ws: trio_websocket.WebSocketConnection) -> None:
        try:
            await echo(ws)
        except trio_websocket.ConnectionClosed:
            assert ws.closed is not None
            codes.append(ws.closed.code)

    tls_server.script(accept(listen))
    policy = quick(close_timeout=5)
    async with open_guard(tls_server.url, ssl_context=client_context, policy=policy):
        pass
    await eventually(lambda: codes == [1000])
    with trio.CancelScope() as scope:
        async with open_guard(tls_server.url, ssl_context=client_context):
            scope.cancel()
            await trio.sleep_forever()
    await eventually(lambda: codes == [1000, 1000])


@needs_proc
async def test_abnormal_ends_under_tls_leave_no_open_socket(
    tls_server: Server, client_context: ssl.SSLContext
) -> None:
    """Failed TLS handshakes, resets and lost connections leave no socket open."""
    ends = [reset_at_once, close_at_once, accept(drop), accept(close_with(1002)), respond(503)]
    tls_server.script(*ends * 4, accept(echo))
    before = open_files()
    policy = quick(max_connection_failures=None)
    async with open_guard(tls_server.url, ssl_context=client_context, policy=policy) as ws:
        await eventually(lambda: ws.generation == 21)
        await ws.wait_connected()
    await eventually(lambda: open_files() <= before)


# --- sessions -------------------------------------------------------------------

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


class Resumptions(list[bool]):
    """Notes, for each connection of a server, whether it took up an earlier session."""

    def note(self, handler: Handler) -> Handler:
        async def note(peer: Peer) -> None:
            assert isinstance(peer._stream, trio.SSLStream)
            self.append(peer._stream.session_reused)
            await handler(peer)

        return note


@pytest.fixture(params=VERSIONS, ids=["1.2", "1.3"])
def version(request: pytest.FixtureRequest, tls_server: Server) -> ssl.TLSVersion:
    """The version of TLS that the server speaks."""
    found: ssl.TLSVersion = request.param
    assert tls_server.ssl_context is not None
    tls_server.ssl_context.maximum_version = found
    return found


async def test_the_next_connection_takes_up_the_session(
    tls_server: Server, client_context: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    """After the first connection every other resumes, whatever ended the one before."""
    reused = Resumptions()
    handlers = [accept(drop), respond(503), accept(close_with(1001)), accept(echo)]
    tls_server.script(*map(reused.note, handlers))
    async with open_guard(tls_server.url, ssl_context=client_context) as ws:
        await eventually(lambda: ws.generation == 4)
        await ws.send_message("x" * 100_000)
        assert await ws.get_message() == "x" * 100_000
        ws.force_reconnect()
        await eventually(lambda: ws.generation == 5)
        await ws.wait_connected()
    assert reused == [False, True, True, True, True]


async def test_a_server_that_takes_up_no_session(
    tls_server: Server, client_context: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    """A server that gives no tickets is connected to all the same."""
    reused = Resumptions()
    assert tls_server.ssl_context is not None
    tls_server.ssl_context.options |= ssl.OP_NO_TICKET
    tls_server.ssl_context.num_tickets = 0
    tls_server.script(*[reused.note(accept(drop))] * 2, reused.note(accept(echo)))
    async with open_guard(tls_server.url, ssl_context=client_context) as ws:
        await eventually(lambda: ws.generation == 3)
        await ws.send_message("x")
        assert await ws.get_message() == "x"
    assert len(reused) == 3
    assert not reused[0]


async def test_a_server_that_restarts_with_new_keys(
    tls_server: Server, client_context: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    """A server that cannot read the ticket is connected to at the first try."""
    reused = Resumptions()
    tls_server.script(reused.note(accept(echo)))
    async with open_guard(tls_server.url, ssl_context=client_context) as ws:
        await tls_server.stop()
        tls_server.ssl_context = server_context("127.0.0.1")
        tls_server.ssl_context.maximum_version = version
        await tls_server.start()
        await eventually(lambda: len(reused) == 2)
        await ws.send_message("x")
        assert await ws.get_message() == "x"
        ws.force_reconnect()
        await eventually(lambda: len(reused) == 3)
    assert reused == [False, False, True]


async def test_a_session_that_a_server_chokes_on_is_offered_once(
    tls_server: Server, client_context: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    """After a handshake that failed with a session the next one is made without."""
    reused = Resumptions()
    context = tls_server.ssl_context

    async def choke(peer: Peer) -> None:
        tls_server.ssl_context = context
        await peer.receive_some()
        await peer.reset()

    tls_server.script(reused.note(accept(echo)))
    async with open_guard(tls_server.url, ssl_context=client_context) as ws:
        tls_server.ssl_context = None
        tls_server.script(choke, reused.note(accept(echo)))
        ws.force_reconnect()
        await eventually(lambda: ws.generation == 3)
        await ws.wait_connected()
    assert reused == [False, False]


async def test_a_session_vouches_for_no_new_certificate(
    tls_server: Server, client_context: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    """Where the keys are new the certificate is looked at, and one that is not trusted is fatal."""
    tls_server.script(accept(echo))
    async with open_guard(tls_server.url, ssl_context=client_context) as ws:
        await tls_server.stop()
        tls_server.ssl_context = server_context("127.0.0.1", ca=trustme.CA())
        tls_server.ssl_context.maximum_version = version
        await tls_server.start()
        await ws.wait_state(ConnectionState.FAILED)
        with pytest.raises(wsguard.GuardFailedError) as caught:
            await ws.get_message()
        assert caught.value.failures[-1].kind is FailureKind.TLS


async def test_no_session_goes_to_another_origin(
    tls_server: Server, client_context: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    """A server is offered its own sessions alone, though the other could read them."""
    reused, others = Resumptions(), Resumptions()
    async with trio.open_nursery() as nursery:
        other = Server(nursery, ssl_context=tls_server.ssl_context)
        await other.start()
        tls_server.script(reused.note(respond(503)))
        other.script(*[others.note(respond(503))] * 2, others.note(accept(echo)))
        urls = [tls_server.url, other.url]
        policy = quick(max_connection_failures=None)
        async with open_guard(urls, ssl_context=client_context, policy=policy) as ws:
            assert ws.generation == 6
        assert reused == others == [False, True, True]
        # The same address under another name.
        urls = [other.url, other.url.replace("127.0.0.1", "localhost")]
        other.script(others.note(respond(503)), others.note(accept(echo)))
        async with open_guard(urls, ssl_context=client_context):
            assert others[-2:] == [False, False]
        nursery.cancel_scope.cancel()


async def test_no_session_goes_from_one_guard_to_another(
    tls_server: Server, client_context: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    """Two guards share nothing but the context they were given."""
    reused = Resumptions()
    tls_server.script(reused.note(accept(echo)))
    for _ in range(2):
        async with open_guard(tls_server.url, ssl_context=client_context):
            pass
    assert reused == [False, False]


async def test_a_certificate_is_looked_at_once_a_day(
    tls_server: Server,
    client_context: ssl.SSLContext,
    version: ssl.TLSVersion,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sessions that follow each other do not put off a look at the certificate for ever."""
    reused = Resumptions()
    tls_server.script(reused.note(accept(echo)))
    async with open_guard(tls_server.url, ssl_context=client_context) as ws:

        async def reconnect() -> None:
            ws.force_reconnect()
            await ws.wait_state(ConnectionState.RECONNECTING)
            await ws.wait_connected()

        looked_at = trio.current_time()  # or a little earlier
        await trio.sleep(0.2)
        await reconnect()
        monkeypatch.setattr(tls, "_MAX_AGE", trio.current_time() - looked_at)
        await reconnect()
        monkeypatch.undo()
        await reconnect()
    assert reused == [False, True, False, True]


def living_sessions() -> int:
    gc.collect()
    return sum(isinstance(one, ssl.SSLSession) for one in gc.get_objects())


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_no_session_outlives_its_guard(
    tls_server: Server, client_context: ssl.SSLContext, is_cancelled: bool
) -> None:
    """Once the block is left no session is kept, though the guard object is."""
    tls_server.script(accept(drop), accept(echo))
    before = living_sessions()
    with trio.CancelScope() as scope:
        async with open_guard(tls_server.url, ssl_context=client_context) as ws:
            await eventually(lambda: ws.generation == 2)
            await ws.wait_connected()
            ws.force_reconnect()
            await eventually(lambda: ws.generation == 3)
            await ws.wait_connected()
            ws.disconnect()
            await ws.wait_state(ConnectionState.DISCONNECTED)
            assert living_sessions() > before
            ws.connect()
            await ws.wait_connected()
            if is_cancelled:
                scope.cancel()
                await trio.sleep_forever()
    assert living_sessions() == before


async def test_sessions_are_bounded() -> None:
    """Of many origins only the last ones are remembered."""
    client = tls.TLSClient(None)
    session: Any = type("Session", (), {"has_ticket": True})()
    for port in range(100):
        client._keep(session, tls._Checked((True, "a", port), 0.0))
    assert [origin[2] for origin in client._sessions] == list(range(84, 100))
