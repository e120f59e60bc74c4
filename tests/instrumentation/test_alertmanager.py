"""Alerts posted to Alertmanager's API, over a transport in memory."""

from __future__ import annotations

import datetime
import json
import time
from typing import Any

import attrs
import pytest
import trio

import trio_wsguard as wsguard
from trio_wsguard.instrumentation import AlertmanagerSink, SinkPolicy, open_notifier

from .kit import QUICK, guard_named, notification, raised, resolved

pytest.importorskip("httpx")
from .test_webhook import Web


def posts(web: Web) -> list[list[Any]]:
    return [json.loads(request.content) for request in web.requests]


def unix(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()


def briefly(web: Web) -> list[tuple[int, str, str]]:
    """In which second which alerts were posted as open, and which as over."""
    told = []
    for at, post in zip(web.asked_at, posts(web), strict=True):
        # Unix time hardly moves in these tests: what is open ends far ahead of it.
        ahead = {a["labels"]["alertname"]: unix(a["endsAt"]) > time.time() + 60 for a in post}
        firing, over = (
            sorted(name for name, is_on in ahead.items() if is_on == on) for on in (True, False)
        )
        told.append((int(at), "".join(firing), "".join(over)))
    return told


async def test_an_alert_as_it_is_posted() -> None:
    """Labels, annotations and times, as the API wants them."""
    web = Web(200)
    sink = AlertmanagerSink(
        "https://alerts.example/prefix/",
        labels={"service": "ticker"},
        interval=60,
        generator_url="https://dash.example/",
        transport=web.transport,
    )
    await sink.send(notification(raised("A", unix=1e9 - 5), resolved("C"), unix=1e9))
    (request,) = web.requests
    assert str(request.url) == "https://alerts.example/prefix/api/v2/alerts"
    firing, over = json.loads(request.content)
    assert firing == {
        "labels": {
            "service": "ticker",
            "alertname": "A",
            "guard": "feed",
            "severity": "warning",
        },
        "annotations": {
            "summary": "A of feed",
            "description": "queue_depth is 11 (> 10)",
            "advice": "look after A",
        },
        "startsAt": "2001-09-09T01:46:35.000Z",
        "endsAt": "2001-09-09T01:49:40.000Z",
        "generatorURL": "https://dash.example/",
    }
    assert (over["startsAt"], over["endsAt"]) == (
        "2001-09-09T01:46:10.000Z",
        "2001-09-09T01:46:40.000Z",
    )
    plain = AlertmanagerSink("http://alerts.example", transport=web.transport)
    await plain.send(notification(raised("A")))
    assert "generatorURL" not in posts(web)[1][0]
    assert plain.name == "http://alerts.example"


async def test_it_is_told_at_once_and_again() -> None:
    """Not grouped, told within a second, again every interval, and its end once."""
    web, guard = Web(200), guard_named()
    sink = AlertmanagerSink("http://am/", interval=1200, transport=web.transport)
    async with open_notifier(guard, sinks=[sink], grouping=QUICK):
        await trio.sleep(1.5)
        guard.begin("A")
        await trio.sleep(5.2)
        guard.begin("B")
        await trio.sleep(3000)
        guard.end("A")
        await trio.sleep(5000)
    assert briefly(web) == [
        (1, "A", ""),
        (7, "AB", ""),
        (1207, "AB", ""),
        (2407, "AB", ""),
        (3007, "B", "A"),
        (4207, "B", ""),
        (5407, "B", ""),
        (6607, "B", ""),
        (7807, "B", ""),
        (8006, "", "B"),
    ]


async def test_a_cancelled_program_says_nothing_and_its_alerts_end() -> None:
    """The last word on an alert has an end, three intervals ahead."""
    web, guard = Web(200), guard_named()
    with trio.move_on_after(200):
        async with open_notifier(
            guard, sinks=[AlertmanagerSink("http://am/", transport=web.transport)]
        ):
            await trio.sleep(1)
            guard.begin("A")
            await trio.sleep_forever()
    assert [int(at) for at in web.asked_at] == [1, 61, 121, 181]
    first, *_ = posts(web)
    lasts = unix(first[0]["endsAt"]) - unix(first[0]["startsAt"])
    assert lasts == pytest.approx(180, abs=10)  # Unix time is the real one


async def test_a_failed_post_is_soon_followed_by_the_next() -> None:
    """Three tries, and a minute later all that is open anew."""
    web, guard = Web(503, 503, 503, 200), guard_named()
    policy = SinkPolicy(max_attempts=3, backoff=wsguard.LinearBackoff(step=1, cap=9))
    sink = AlertmanagerSink("http://am/", policy=policy, transport=web.transport)
    async with open_notifier(guard, sinks=[sink]) as notifier:
        await trio.sleep(1)
        guard.begin("A")
        await trio.sleep(80)
        (figures,) = notifier.sinks
    assert [int(at) for at in web.asked_at[:4]] == [1, 2, 4, 61]
    assert (figures.sent, figures.failed) == (1, 1)


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("grouping", {"policy": SinkPolicy(grouping=wsguard.Grouping())}),
        ("interval", {"interval": 0}),
        ("labels", {"labels": {"alertname": "x"}}),
        ("labels", {"labels": {"no-name": "x"}}),
        ("labels", {"labels": {"empty": ""}}),
        ("labels", {"labels": {"number": 3}}),
        ("labels", {"labels": {3: "x"}}),
    ],
)
def test_settings_are_checked(field: str, options: Any) -> None:
    """What cannot work is refused when built, by field."""
    with pytest.raises(wsguard.PolicyError) as refused:
        AlertmanagerSink("http://am/", **options)
    assert refused.value.field == field


def test_a_policy_keeps_the_rest() -> None:
    """Only the grouping is the sink's own."""
    policy = SinkPolicy(timeout=3, max_queue=7)
    served = AlertmanagerSink("http://am/", policy=policy).policy
    assert attrs.evolve(served, grouping=None) == policy
