"""Notifications posted over real sockets."""

from __future__ import annotations

import logging
import socket
import ssl
from typing import TYPE_CHECKING

import pytest
import trio
import trustme

from trio_wsguard.instrumentation import AlertmanagerSink, SinkError, WebhookSink, open_notifier
from trio_wsguard.instrumentation.webhook_sink import webhook_body

from .http_server import HttpServer, answer, endless, nothing, open_http_server, reading
from .kit import AT_ONCE, guard_named, notification, raised

httpx = pytest.importorskip("httpx")

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TOLD = notification(raised("A"))


@pytest.fixture
async def server() -> AsyncIterator[HttpServer]:
    """An HTTP server."""
    async with open_http_server() as one:
        yield one


async def closed(server: HttpServer) -> None:
    """Wait until no connection is left."""
    await server.wait_until(lambda: server.open_count == 0)


async def test_a_post_arrives(server: HttpServer) -> None:
    """A whole request, and no connection is kept."""
    sink = WebhookSink(f"{server.url}/hook?key=1", headers={"X-Tenant": "one"})
    await sink.send(TOLD)
    await closed(server)
    (asked,) = server.asked
    assert asked.target == "/hook?key=1"
    assert asked.headers["x-tenant"] == "one"
    assert asked.headers["connection"] == "close"
    assert asked.json == webhook_body(TOLD, server.url)


async def test_a_sink_serves_one_notification_after_another(server: HttpServer) -> None:
    """From the guard's event to the server, and the end of it, too."""
    guard = guard_named()
    async with open_notifier(guard, sinks=[WebhookSink(server.url)], grouping=AT_ONCE):
        guard.begin("A")
        await server.wait_until(lambda: len(server.asked) == 1)
    assert [asked.json["status"] for asked in server.asked] == ["firing", "resolved"]
    await closed(server)


async def test_a_redirect_is_not_followed(server: HttpServer) -> None:
    """What was sent, and the credentials, go to whom the user named and nobody else."""
    server.answers.extendleft([answer(307, Location=f"{server.url}/elsewhere")])
    with pytest.raises(SinkError, match="answered 307") as failed:
        await WebhookSink(server.url).send(TOLD)
    assert not failed.value.is_transient
    await closed(server)
    assert len(server.asked) == 1


async def test_a_refusal_says_why(server: HttpServer) -> None:
    """The text of the answer is in the error, and when to come again."""
    server.answers.appendleft(answer(503, "try later", Retry_After="7"))
    with pytest.raises(SinkError, match="answered 503: try later") as failed:
        await WebhookSink(server.url).send(TOLD)
    assert (failed.value.is_transient, failed.value.retry_after) == (True, 7.0)
    await closed(server)


async def test_nobody_listens() -> None:
    """A refused connection is worth another try."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(SinkError, match="ConnectionRefusedError") as failed:
            await WebhookSink(f"http://127.0.0.1:{port}/").send(TOLD)
    assert failed.value.is_transient


@pytest.mark.parametrize("raw", [b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/1.1 2"])
async def test_no_http(server: HttpServer, raw: bytes) -> None:
    """Garbage, and an answer that breaks off, are worth another try."""

    async def break_off(stream: trio.abc.Stream) -> None:
        await stream.send_all(raw)
        await stream.aclose()

    server.answers.appendleft(break_off)
    with pytest.raises(SinkError, match="ProtocolError") as failed:
        await WebhookSink(server.url).send(TOLD)
    assert failed.value.is_transient
    await closed(server)


async def test_a_body_without_end_is_not_read(server: HttpServer) -> None:
    """A good status is enough."""
    server.answers.appendleft(endless)
    await WebhookSink(server.url).send(TOLD)
    await closed(server)


@pytest.mark.parametrize("silent", [nothing, reading])
async def test_cancelling_closes_the_connection(server: HttpServer, silent: object) -> None:
    """A post to a server that never answers is cut at once, and its socket is closed."""
    server.answers.appendleft(silent)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(WebhookSink(server.url).send, TOLD)
        await server.wait_until(lambda: bool(server.asked))
        nursery.cancel_scope.cancel()
    if silent is reading:
        await closed(server)


async def test_tls(caplog: pytest.LogCaptureFixture) -> None:
    """A certificate is looked at: who is not trusted gets nothing, and the log no secret."""
    caplog.set_level(logging.INFO)
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with open_http_server(context) as server:
        url = f"{server.url}/s3cret"
        async with httpx.AsyncHTTPTransport(verify=trusting) as transport:
            await WebhookSink(url, transport=transport).send(TOLD)
        with pytest.raises(SinkError, match="CERTIFICATE_VERIFY_FAILED"):
            await WebhookSink(url).send(TOLD)
        await closed(server)
    assert len(server.asked) == 1
    assert "s3cret" not in caplog.text


async def test_alerts_arrive(server: HttpServer) -> None:
    """Alertmanager's API is asked the same way."""
    await AlertmanagerSink(server.url).send(TOLD)
    (asked,) = server.asked
    assert asked.target == "/api/v2/alerts"
    assert [alert["labels"]["alertname"] for alert in asked.json] == ["A"]
    await closed(server)
