"""Traces as OpenTelemetry's own SDK exports them."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

import trio_wsguard as wsguard
from trio_wsguard import ConnectionState

from ..shell.conftest import (
    accept,
    answer,
    close_with,
    deaf_after_handshake,
    drop,
    idle,
    quick,
)
from .guarded import network

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
    InMemorySpanExporter,
)

from trio_wsguard.instrumentation.opentelemetry import (
    open_tracing,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import trio_websocket

LIMIT = 15  # seconds; only a failing test ever waits so long


@attrs.define
class Traces:
    """A provider that exports into memory."""

    exporter: InMemorySpanExporter
    provider: TracerProvider

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that ended, in that order."""
        return list(self.exporter.get_finished_spans())


@pytest.fixture
def traces() -> Iterator[Traces]:
    """A provider of the SDK's."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield Traces(exporter, provider)
    provider.shutdown()


def seconds(span: ReadableSpan) -> float:
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.end_time - span.start_time) / 1e9


URL = "ws://user:pw@feed.example:81/v1?token=s3cret"


async def test_a_life_in_spans(traces: Traces) -> None:
    """A refused attempt, one that succeeds, and its connection: three spans, ended in time."""
    async with (
        network(ConnectionRefusedError("no"), accept(idle)) as net,
        net.open(url=URL, policy=quick(), wait=False) as ws,
        open_tracing(ws, tracer_provider=traces.provider),
    ):
        await ws.wait_connected()
        await trio.sleep(7)
    refused, attempt, connection = traces.spans
    assert [span.name for span in traces.spans] == [
        "websocket connect",
        "websocket connect",
        "websocket connection",
    ]
    for span in traces.spans:
        assert span.kind is trace.SpanKind.CLIENT
        assert span.attributes is not None
        assert span.attributes["server.address"] == "feed.example"
        assert span.attributes["server.port"] == 81
        assert span.attributes["url.scheme"] == "ws"
        assert span.attributes["network.protocol.name"] == "websocket"
        assert span.attributes["wsguard.guard"] == "test"
        assert not any(secret in span.to_json() for secret in ("pw", "s3cret"))
    assert refused.status.status_code is trace.StatusCode.ERROR
    assert refused.attributes is not None
    assert refused.attributes["error.type"] == "network"
    (event,) = refused.events
    assert (event.name, event.timestamp) == ("failure", refused.end_time)
    assert attempt.status.status_code is trace.StatusCode.UNSET
    assert attempt.attributes is not None
    assert attempt.attributes["wsguard.generation"] == 2
    assert connection.links[0].context == attempt.context
    assert seconds(connection) == pytest.approx(7, abs=1e-6)


async def test_a_lost_connection_is_an_error(traces: Traces) -> None:
    """A connection that was lost says why, and its anomalies are events at their time."""
    async with (
        network(deaf_after_handshake(), accept(idle)) as net,
        net.open(policy=quick(), wait=False) as ws,
        open_tracing(ws, tracer_provider=traces.provider),
    ):
        await ws.wait_state(ConnectionState.RECONNECTING)
        await ws.wait_connected()
    _, connection, attempt, last = traces.spans
    assert connection.attributes is not None
    assert connection.attributes["error.type"] == "heartbeat"
    assert connection.status.status_code is trace.StatusCode.ERROR
    assert connection.start_time is not None
    told = [
        (event.name, round((event.timestamp - connection.start_time) / 1e9, 3))
        for event in connection.events
    ]
    assert told == [
        ("anomaly", 20),  # the first beat is slow,
        ("anomaly", 25),  # and lost;
        ("anomaly", 30),  # nothing came for 30 s
        ("failure", 45),
    ]
    assert seconds(connection) == pytest.approx(45, abs=1e-3)
    assert last.links[0].context == attempt.context


async def test_an_anomaly_and_its_end_are_events(traces: Traces) -> None:
    """A silence that a message ends is two events of the connection's span."""

    async def speak_late(ws: trio_websocket.WebSocketConnection) -> None:
        await trio.sleep(40)
        await ws.send_message("at last")
        await idle(ws)

    async with (
        network(accept(speak_late)) as net,
        net.open(wait=False) as ws,
        open_tracing(ws, tracer_provider=traces.provider),
    ):
        assert await ws.get_message() == "at last"
    silence, end = traces.spans[-1].events
    assert (silence.name, end.name) == ("anomaly", "recovery")
    assert silence.attributes == {"wsguard.anomaly": "silence", "wsguard.value": 30}
    assert end.attributes == {"wsguard.anomaly": "silence", "wsguard.duration": 10}
    assert end.timestamp - silence.timestamp == pytest.approx(10e9)


async def test_a_final_close_is_no_error(traces: Traces) -> None:
    """A peer that is done ends the connection's span without an error."""
    async with (
        network(accept(close_with(1000, "bye"))) as net,
        net.open() as ws,
        open_tracing(ws, tracer_provider=traces.provider),
    ):
        await ws.wait_state(ConnectionState.CLOSED)
        await trio.sleep(1000)
    (connection,) = traces.spans
    assert connection.status.status_code is trace.StatusCode.UNSET
    assert connection.links == ()  # its attempt was before the block
    assert seconds(connection) < 1000  # not until the block was left


@pytest.mark.parametrize(
    ("handler", "found"),
    [
        (answer(b"HTTP/1.1 403 No\r\n\r\n"), {"http.response.status_code": 403}),
        (accept(close_with(4001)), {"wsguard.close_code": 4001}),
    ],
)
async def test_codes_are_attributes(traces: Traces, handler: Any, found: dict[str, int]) -> None:
    """HTTP statuses and close codes stand in the span of what they ended."""
    async with (
        network(handler) as net,
        net.open(wait=False, policy=quick(max_connection_failures=1)) as ws,
        open_tracing(ws, tracer_provider=traces.provider),
    ):
        await ws.wait_state(ConnectionState.FAILED)
    failed = traces.spans[-1]
    assert failed.attributes is not None
    assert found.items() <= failed.attributes.items()


async def test_entered_midway_it_begins_with_the_connection(traces: Traces) -> None:
    """A connection that stood before the block gets its span, from its own beginning on."""
    async with network() as net, net.open() as ws:
        async with open_tracing(ws, tracer_provider=traces.provider):
            changed = ws.snapshot().last_state_change_time
        (connection,) = traces.spans
    assert connection.start_time is not None
    assert connection.start_time / 1e9 == pytest.approx(changed, abs=1e-3)


async def test_no_span_while_there_is_no_connection(traces: Traces) -> None:
    """Waiting for the next attempt, or at rest, there is no span; its anomalies go nowhere."""
    policy = quick(watchdog=wsguard.WatchdogPolicy(silence_timeout=1))
    async with network(accept(idle)) as net, net.open(policy=policy) as ws:
        await trio.sleep(2)
        ws.disconnect()
        await ws.wait_state(ConnectionState.DISCONNECTED)
        async with open_tracing(ws, tracer_provider=traces.provider):
            await trio.sleep(100)
        assert traces.spans == []


async def test_spans_are_children_of_the_current_one(traces: Traces) -> None:
    """The span that is current on entering is the parent of all."""
    tracer = traces.provider.get_tracer("test")
    async with network(accept(drop), accept(idle)) as net, net.open(wait=False) as ws:
        with tracer.start_as_current_span("job") as job:
            async with open_tracing(ws, tracer_provider=traces.provider):
                await ws.wait_state(ConnectionState.RECONNECTING)
                await ws.wait_connected()
    spans = [span for span in traces.spans if span.name != "job"]
    assert len(spans) == 4
    for span in spans:
        assert span.parent == job.get_span_context()


async def test_nothing_outlives_the_block(traces: Traces) -> None:
    """An error just as something happened comes out as itself, and all spans are ended."""
    async with network() as net:

        async def leave() -> None:
            async with (
                net.open(wait=False) as ws,
                open_tracing(ws, tracer_provider=traces.provider),
            ):
                await ws.wait_connected()
                ws.force_reconnect("test")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await leave()
    assert [span.name for span in traces.spans] == ["websocket connect", "websocket connection"]


async def test_cancelling_ends_it_at_once(traces: Traces) -> None:
    """Cancelling the scope around it ends the open span and waits for nothing."""
    async with network() as net, net.open() as ws:
        with trio.fail_after(LIMIT), trio.CancelScope() as scope:
            async with open_tracing(ws, tracer_provider=traces.provider):
                scope.cancel()
                await trio.sleep_forever()
        assert scope.cancelled_caught
        assert len(traces.spans) == 1


async def test_the_address_of_a_unix_socket_is_its_path(traces: Traces) -> None:
    """A guard of a Unix socket has the socket's path as its server's address."""
    async with (
        network() as net,
        net.open(url="ws+unix:/run/a%20b.sock:/x", wait=False) as ws,
        open_tracing(ws, tracer_provider=traces.provider),
    ):
        await ws.wait_connected()
    assert traces.spans[-1].attributes is not None
    assert traces.spans[-1].attributes["server.address"] == "/run/a b.sock"
    assert "server.port" not in traces.spans[-1].attributes


async def test_the_port_of_a_scheme_is_told(traces: Traces) -> None:
    """A URL without a port has its scheme's."""
    async with (
        network() as net,
        net.open(url="ws://[::1]/", wait=False) as ws,
        open_tracing(ws, tracer_provider=traces.provider),
    ):
        await ws.wait_connected()
    assert traces.spans[-1].attributes is not None
    assert traces.spans[-1].attributes["server.address"] == "::1"
    assert traces.spans[-1].attributes["server.port"] == 80


async def stay(ws: trio_websocket.WebSocketConnection) -> None:
    await trio.sleep(3)


HANDLERS: dict[str, Any] = {
    "refused": ConnectionRefusedError(),
    "rejected": answer(b"HTTP/1.1 503 Busy\r\n\r\n"),
    "dropped": accept(drop),
    "closed": accept(close_with(1012)),
    "lost": accept(stay),
}


SPANS = {
    ConnectionState.CONNECTING: "websocket connect",
    ConnectionState.CONNECTED: "websocket connection",
}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(sorted(HANDLERS)), max_size=6), st.floats(0, 20), st.floats(0, 20))
def test_each_attempt_and_connection_is_one_span(
    script: list[str], start: float, duration: float
) -> None:
    """Whatever happens within the block has its span, in order, and nothing outside has one."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    async def run() -> list[ConnectionState]:
        handlers = [HANDLERS[name] for name in script]
        policy = quick(max_connection_failures=None)
        async with (
            network(*handlers, accept(idle)) as net,
            net.open(policy=policy, wait=False) as ws,
        ):
            await trio.sleep(start)
            states = [ws.state]
            async with ws.events() as events, open_tracing(ws, tracer_provider=provider):
                await trio.sleep(duration)
                with suppress(trio.WouldBlock):  # in the block: leaving it takes a moment
                    while True:
                        event = events.get_nowait()
                        if isinstance(event, wsguard.StateChange):
                            states.append(event.state)
            await trio.sleep(100)
            return states

    states = trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == [SPANS[state] for state in states if state in SPANS]
    assert all(seconds(span) >= 0 for span in spans)
    for before, span in pairwise(spans):
        if span.name == SPANS[ConnectionState.CONNECTED]:
            assert span.links[0].context == before.context
