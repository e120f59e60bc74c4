"""The endpoint that Prometheus scrapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from .guarded import fake, network

pytest.importorskip("prometheus_client")

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.registry import Collector

from trio_wsguard.instrumentation.prometheus import (
    GuardCollector,
    MetricsServer,
    serve_metrics,
)

from .exposition import samples

if TYPE_CHECKING:
    from collections.abc import Iterable

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
LIMIT = 15  # seconds; only a failing test ever waits so long


async def ask(server: MetricsServer, request: bytes) -> tuple[bytes, bytes]:
    """Send bytes and read until the end: head and body."""
    stream = await trio.open_tcp_stream(server.host, server.port)
    async with stream:
        await stream.send_all(request)
        answer = b"".join([data async for data in stream])
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


async def test_a_real_scrape() -> None:
    """Whoever fetches the URL by HTTP finds the guards, those added later too."""
    import urllib.request

    def fetch(url: str) -> tuple[str, str]:
        with urllib.request.urlopen(url, timeout=LIMIT) as answer:  # noqa: S310 - loopback
            return answer.headers["Content-Type"], answer.read().decode()

    async with network() as net, net.open() as ws, serve_metrics(0, ws) as server:
        server.collector.add(fake("later"))
        content_type, text = await trio.to_thread.run_sync(fetch, server.url)
        assert content_type.startswith("text/plain; version=0.0.4")
        found = samples(text)
        assert found["wsguard_connection_state", "test", "connected"] == 1
        assert found["wsguard_connection_state", "later", "connected"] == 1


@pytest.mark.parametrize(
    ("request_bytes", "status", "text"),
    [
        (b"GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\n\r\n", b"200", b"# TYPE wsguard_"),
        (b"GET /metrics HTTP/1.0\r\n\r\n", b"200", b"# TYPE wsguard_"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"404", b"metrics are at /metrics"),
        (b"POST /metrics HTTP/1.1\r\nHost: x\r\n\r\n", b"405", b""),
        (b"\x16\x03\x01 is TLS\r\n\r\n", b"400", b"no HTTP request"),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 20_000, b"431", b"no HTTP request"),
        (b"", b"", b""),
    ],
)
async def test_requests(request_bytes: bytes, status: bytes, text: bytes) -> None:
    """Metrics are told to those who ask for them; all others are told what is wrong."""
    async with serve_metrics(0, fake()) as server:
        stream = await trio.open_tcp_stream(server.host, server.port)
        async with stream:
            await stream.send_all(request_bytes)
            if not request_bytes:
                await stream.send_eof()
            answer = b"".join([data async for data in stream])
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head[9:12] == status
    assert body.startswith(text) if not status.startswith(b"200") else text in body


async def test_openmetrics_for_those_who_accept_it() -> None:
    """The Accept header chooses the format, as Prometheus negotiates it."""
    request = f"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: {OPENMETRICS}\r\n\r\n"
    async with serve_metrics(0, fake()) as server:
        head, body = await ask(server, request.encode())
    assert b"application/openmetrics-text" in head
    assert body.endswith(b"# EOF\n")
    assert samples(body.decode(), is_openmetrics=True)


async def test_a_client_that_says_nothing_is_let_go(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A connection without a request is closed after a while."""
    async with serve_metrics(0) as server:
        assert await ask(server, b"") == (b"", b"")


async def test_a_client_that_leaves_disturbs_nobody() -> None:
    """A client that resets its connection in the middle is no error."""
    import socket
    import struct

    async with serve_metrics(0, *(fake(str(n)) for n in range(300))) as server:
        for _ in range(5):
            stream = await trio.open_tcp_stream(server.host, server.port)
            await stream.send_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await stream.aclose()
        head, _ = await ask(server, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b" 200 " in head


async def test_a_registry_is_served_too() -> None:
    """What a registry of the user's has is told beside the guards, whose metrics leave it again."""
    registry = CollectorRegistry()
    orders = Counter("orders", "Orders.", registry=registry)
    orders.inc()
    async with serve_metrics(0, fake(), registry=registry) as server:
        _, body = await ask(server, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        found = samples(body.decode())
        assert found["orders_total", "", ""] == 1
        assert ("wsguard_health_score", "feed", "") in found
    assert b"wsguard" not in generate_latest(registry)


async def test_a_collector_that_raises_is_heard_of() -> None:
    """What another collector raises comes out of the block as itself."""

    class Broken(Collector):
        def collect(self) -> Iterable[Any]:
            raise ZeroDivisionError

    registry = CollectorRegistry()
    registry.register(Broken())

    async def scrape() -> None:
        async with serve_metrics(0, registry=registry) as server:
            await ask(server, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            await trio.sleep_forever()

    with pytest.raises(ZeroDivisionError):
        await scrape()


async def test_errors_of_the_block_come_out_as_themselves() -> None:
    """An exception of the user's own leaves the block unwrapped, and the port is free again."""
    with pytest.raises(ZeroDivisionError):
        async with serve_metrics(0) as server:
            raise ZeroDivisionError
    async with serve_metrics(server.port) as again:
        assert again.url == f"http://127.0.0.1:{server.port}/metrics"


async def test_cancelling_ends_it_at_once() -> None:
    """Cancelling the scope around it ends the server with a client still connected."""
    with trio.CancelScope() as scope:
        async with (
            serve_metrics(0) as server,
            await trio.open_tcp_stream(server.host, server.port),
        ):
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_a_port_in_use_is_told() -> None:
    """A port that another listens on is an OSError on entering."""
    async with serve_metrics(0) as server:
        with pytest.raises(OSError, match=r"\S"):
            async with serve_metrics(server.port):
                raise AssertionError("entered")


async def test_ipv6_is_bracketed() -> None:
    """The URL of an IPv6 address is one."""
    assert MetricsServer("::1", 9464, GuardCollector()).url == "http://[::1]:9464/metrics"
