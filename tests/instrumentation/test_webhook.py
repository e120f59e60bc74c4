"""Notifications posted to a URL, over a transport in memory."""

from __future__ import annotations

import json
import logging
import pickle
import sys
from typing import TYPE_CHECKING, Any

import pytest
import trio

import trio_wsguard as wsguard
from trio_wsguard.instrumentation import (
    AlertmanagerSink,
    SinkError,
    SinkPolicy,
    WebhookSink,
    open_notifier,
)
from trio_wsguard.instrumentation.webhook_sink import webhook_body

from .kit import AT_ONCE, guard_named, notification, raised, resolved

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

httpx = pytest.importorskip("httpx")

URL = "https://user:s3cret@hooks.example/services/s3cret?token=s3cret"
ORIGIN = "https://hooks.example"


class Web:
    """Answers requests, the oldest answer first, the last one for ever."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.requests: list[Any] = []
        self.asked_at: list[float] = []
        self.transport = httpx.MockTransport(self._answer)

    async def _answer(self, request: Any) -> Any:
        self.requests.append(request)
        self.asked_at.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            await trio.sleep_forever()
        return answer() if callable(answer) else httpx.Response(answer)


def test_the_body_is_alertmanagers() -> None:
    """The fields of Alertmanager's webhooks, with two of ours at the end."""
    told = notification(
        raised("A"),
        resolved("C", unix=1e9 + 30),
        group=(("guard", "feed"),),
        reason=wsguard.NotificationReason.NEW,
    )
    body = webhook_body(told, "ops")
    firing, over = body.pop("alerts")
    assert body == {
        "version": "4",
        "groupKey": 'trio_wsguard:{"guard": "feed"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "ops",
        "groupLabels": {"guard": "feed"},
        "commonLabels": {"guard": "feed"},
        "commonAnnotations": {},
        "externalURL": "",
        "reason": "new",
        "level": "warning",
    }
    assert len(firing.pop("fingerprint")) == 16
    assert firing == {
        "status": "firing",
        "labels": {"alertname": "A", "guard": "feed", "severity": "warning"},
        "annotations": {
            "summary": "A of feed",
            "description": "queue_depth is 11 (> 10)",
            "advice": "look after A",
        },
        "startsAt": "2001-09-09T01:46:40.000Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
    }
    assert (over["status"], over["labels"]["severity"]) == ("resolved", "critical")
    assert (over["startsAt"], over["endsAt"]) == (
        "2001-09-09T01:46:40.000Z",
        "2001-09-09T01:47:10.000Z",
    )
    assert webhook_body(notification(resolved("A")), "ops")["status"] == "resolved"


async def test_it_is_posted_as_json() -> None:
    """One POST, with the user's headers and the URL's own credentials."""
    web = Web(204)
    sink = WebhookSink(URL, headers={"X-Tenant": "one"}, transport=web.transport)
    await sink.send(notification(raised("A")))
    (request,) = web.requests
    assert request.method == "POST"
    assert (request.url.path, request.url.query) == ("/services/s3cret", b"token=s3cret")
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["X-Tenant"] == "one"
    assert request.headers["Authorization"] == "Basic dXNlcjpzM2NyZXQ="
    assert json.loads(request.content) == webhook_body(notification(raised("A")), sink.name)


async def test_a_header_of_the_users_wins() -> None:
    """A token given by header replaces the URL's credentials."""
    web = Web(200)
    sink = WebhookSink(URL, headers={"Authorization": "Bearer x"}, transport=web.transport)
    await sink.send(notification(raised("A")))
    assert web.requests[0].headers.get_list("Authorization") == ["Bearer x"]


@pytest.mark.parametrize(
    ("status", "is_transient"),
    [
        *((status, False) for status in (301, 307, 400, 401, 404)),
        *((status, True) for status in (408, 425, 429, 500, 503, 599)),
    ],
)
async def test_what_an_answer_means(status: int, is_transient: bool) -> None:
    """All but 2xx fail; 408, 425, 429 and 5xx are worth another try, a redirect is not followed."""
    web = Web(lambda: httpx.Response(status, text="no", headers={"Location": "/x"}))
    with pytest.raises(SinkError) as failed:
        await WebhookSink(URL, transport=web.transport).send(notification(raised("A")))
    assert failed.value.is_transient is is_transient
    assert str(failed.value) == f"{ORIGIN} answered {status}: no"
    assert len(web.requests) == 1


async def test_what_the_other_end_says_is_escaped_and_cut() -> None:
    """No control character and no novel of a peer reaches a log."""
    web = Web(lambda: httpx.Response(400, content=b"\x1b[31m\n" + b"x" * 9000))
    with pytest.raises(SinkError) as failed:
        await WebhookSink(URL, transport=web.transport).send(notification(raised("A")))
    assert str(failed.value).startswith(f"{ORIGIN} answered 400: \\x1b[31m\\nxxx")
    assert len(str(failed.value)) < 500


@pytest.mark.parametrize("headers", [{}, {"Content-Length": "99999"}, {"Content-Length": "x"}])
async def test_a_long_answer_is_not_read(headers: dict[str, str]) -> None:
    """The status counts; what has no end, or a far one, holds nobody up."""

    async def endless() -> AsyncIterator[bytes]:
        raise AssertionError("read")
        yield b""

    web = Web(lambda: httpx.Response(500, headers=headers, content=endless()))
    with pytest.raises(SinkError, match=f"^{ORIGIN} answered 500$"):
        await WebhookSink(URL, transport=web.transport).send(notification(raised("A")))


@pytest.mark.parametrize(
    ("value", "expected"), [("7", 7.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), ("soon", None)]
)
async def test_retry_after_is_read(value: str, expected: float | None) -> None:
    """Seconds and dates are understood; what is neither counts as absent."""
    web = Web(lambda: httpx.Response(503, headers={"Retry-After": value}))
    with pytest.raises(SinkError) as failed:
        await WebhookSink(URL, transport=web.transport).send(notification(raised("A")))
    assert failed.value.retry_after == expected


async def test_it_is_tried_until_it_is_taken() -> None:
    """Refused connections, a hang, a busy server: then it goes, and the bodies are the same."""
    busy: Callable[[], Any] = lambda: httpx.Response(429, headers={"Retry-After": "20"})  # noqa: E731
    web = Web(httpx.ConnectError("refused"), None, busy, 200)
    policy = SinkPolicy(timeout=3, backoff=wsguard.LinearBackoff(step=1, cap=9))
    sink, guard = WebhookSink(URL, policy=policy, transport=web.transport), guard_named()
    async with open_notifier(guard, sinks=[sink], grouping=AT_ONCE) as notifier:
        await trio.sleep(1)
        guard.begin("A")
        await trio.sleep(60)
        (figures,) = notifier.sinks
    assert web.asked_at[:4] == [1, 2, 7, 27]
    assert len({request.content for request in web.requests[:4]}) == 1
    assert (figures.name, figures.sent, figures.retries, figures.failed) == (ORIGIN, 1, 3, 0)


async def test_no_secret_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    """Neither path, query nor password of the URL reaches a log, a figure or an error."""
    caplog.set_level(logging.DEBUG)
    web = Web(200, 500, httpx.ConnectError("refused"), 404)
    headers = {"Authorization": "Bearer s3cret"}
    sink = WebhookSink(URL, headers=headers, transport=web.transport)
    guard = guard_named()
    async with open_notifier(guard, sinks=[sink], grouping=AT_ONCE) as notifier:
        await trio.sleep(1)
        for name in "ABC":
            guard.begin(name)
            await trio.sleep(100)
        assert notifier.sinks[0].last_failure is not None
        assert "s3cret" not in repr(notifier.sinks)
    assert "s3cret" not in caplog.text + repr(sink) + str(notifier.sinks)
    assert f"{ORIGIN} answered 404" in caplog.text


@pytest.mark.parametrize(
    "url", ["", "hooks.example", "ftp://s3cret@a/", "http:///s3cret", "http://a:s3cret/", 3]
)
def test_a_url_that_is_none_is_refused(url: Any) -> None:
    """Only http and https, and what was given is not repeated."""
    with pytest.raises(wsguard.PolicyError, match="url=") as refused:
        WebhookSink(url)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("kind", [WebhookSink, AlertmanagerSink])
def test_without_httpx_it_says_what_to_install(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named."""
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(wsguard.PolicyError, match=r"pip install 'trio-wsguard\[alerts\]'"):
        kind("http://a/")


def test_errors_can_be_pickled() -> None:
    """All facts survive."""
    error = pickle.loads(pickle.dumps(SinkError("no", False, 3.0)))  # noqa: S301 - our own
    assert (error.message, error.is_transient, error.retry_after) == ("no", False, 3.0)
