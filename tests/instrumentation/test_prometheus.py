"""Metrics as Prometheus reads them."""

from __future__ import annotations

import threading
import time
from typing import Any

import attrs
import pytest
import trio
import trio.testing

import trio_wsguard as wsguard
from trio_wsguard import ConnectionState
from trio_wsguard.instrumentation.metrics import METRICS, SUM, Figures, MetricKind

from ..shell.conftest import accept, drop, idle, quick
from .guarded import SNAPSHOT, fake, needs_promtool, network, promtool

pytest.importorskip("prometheus_client")

from prometheus_client import CollectorRegistry, generate_latest

from trio_wsguard.instrumentation.prometheus import (
    GuardCollector,
    render,
)

from .exposition import samples

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
LIMIT = 15  # seconds; only a failing test ever waits so long


def collected(*guards: Any) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(GuardCollector(*guards))
    return registry


def expected(figures: Figures) -> dict[tuple[str, str, str], float]:
    """Tell what must be read back, from the table itself."""
    found: dict[tuple[str, str, str], float] = {}
    for metric in METRICS:
        for key, value in metric.values(figures).items():
            if metric.kind is not MetricKind.HISTOGRAM:
                found[metric.name, figures.name, key] = value
            elif key == SUM:
                found[f"{metric.name}_sum", figures.name, ""] = value
            else:
                found[f"{metric.name}_bucket", figures.name, key] = value
                if key == "+Inf":
                    found[f"{metric.name}_count", figures.name, ""] = value
    return found


BUSY = attrs.evolve(
    SNAPSHOT,
    losses=3,
    failures={wsguard.FailureKind.CLOSED: 3},
    anomalies={wsguard.AnomalyKind.SILENCE: 2},
    open_anomalies=(wsguard.AnomalyKind.SILENCE,),
    messages_received=10**7,
    bytes_received=12345678901,
    silence=31.25,
    uptime_ratio=0.9975,
    mean_time_between_failures=1234.5,
    last_message_received_time=1.7e9,
    response_time=wsguard.ResponseTimes(count=5, sum=1.5, buckets=(0, 0, 1, 2, 3, 4, 4, 4, 4, 5)),
)
NAMES = ["feed", 'wss://h/p "x"\\\n{}', "Börse \u202e", ""]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("accept_header", ["", OPENMETRICS])
async def test_exposition_is_read_back(name: str, accept_header: str) -> None:
    """Both formats give every figure back, whatever the guard is called."""
    guard = fake(name)
    guard.now = attrs.evolve(BUSY, name=name)
    body, content_type = await render(collected(guard), accept_header)
    is_openmetrics = "openmetrics" in content_type
    assert is_openmetrics == bool(accept_header)
    found = samples(body.decode(), is_openmetrics=is_openmetrics)
    assert found == expected(Figures(name=name, snapshot=guard.now))


async def test_a_name_that_is_no_text_is_escaped() -> None:
    """A lone surrogate in a name does not break the exposition."""
    body, _ = await render(collected(fake("\ud800")))
    assert rb'guard="\\ud800"' in body


async def test_rendered_piecewise_is_the_same() -> None:
    """What `render` writes a metric at a time is what the library writes at once."""
    registry = collected(fake("a"), fake("b"))
    assert (await render(registry))[0] == generate_latest(registry)


@needs_promtool
async def test_promtool_has_no_complaint() -> None:
    """Names, units, help texts and types are as Prometheus' own linter wants them."""
    body, _ = await render(collected(fake("a", losses=1), fake("b")))
    assert promtool("check", "metrics", text=body.decode()) == ""


async def test_figures_of_a_real_guard() -> None:
    """A guard that went through failures shows them."""
    async with (
        network(ConnectionRefusedError(), accept(drop), accept(idle)) as net,
        net.open(policy=quick(), name="feed") as ws,
    ):
        registry = collected(ws)
        await trio.sleep(100)
        await ws.wait_connected()
        found = samples((await render(registry))[0].decode())
        assert found["wsguard_connection_state", "feed", "connected"] == 1
        assert found["wsguard_connection_attempts_failed_total", "feed", ""] == 1
        assert found["wsguard_failures_total", "feed", "network"] == 1
        assert found["wsguard_failures_total", "feed", "closed"] == 1
        assert found["wsguard_reconnects_total", "feed", ""] == 1
        assert found["wsguard_open_anomalies", "feed", "silence"] == 1
        assert found["wsguard_response_time_seconds_count", "feed", ""] >= 5
        assert found["wsguard_open_alerts", "feed", "critical"] == 0


async def test_guards_come_and_go() -> None:
    """The series of a removed guard vanish; under the same name the counters go on."""
    collector = GuardCollector(fake("a", losses=2))
    registry = CollectorRegistry()
    registry.register(collector)
    second = fake("b", losses=3)
    collector.add(second)
    losses = "wsguard_connection_losses_total"
    assert registry.get_sample_value(losses, {"guard": "b"}) == 3
    collector.remove(second)
    assert registry.get_sample_value(losses, {"guard": "b"}) is None
    assert registry.get_sample_value(losses, {"guard": "a"}) == 2
    collector.add(fake("b", losses=1))
    assert registry.get_sample_value(losses, {"guard": "b"}) == 4


async def test_one_name_is_one_guard() -> None:
    """A second guard of a name is refused, and so is removing one that was not added."""
    collector = GuardCollector(fake("a"))
    with pytest.raises(ValueError, match="'a'"):
        collector.add(fake("a"))
    with pytest.raises(KeyError):
        collector.remove(fake("a"))
    with pytest.raises(KeyError):
        collector.remove(fake("b"))


async def test_two_collectors_in_one_registry_are_refused() -> None:
    """A registry sees that it has these metrics already, without reading them."""
    registry = collected()
    with pytest.raises(ValueError, match="wsguard_connection_state"):
        registry.register(GuardCollector())


def test_time_is_of_the_wall_clock() -> None:
    """The figures' timestamp can be compared with Prometheus' time()."""

    async def read() -> float:
        async with network() as net, net.open() as ws:
            assert ws.state is ConnectionState.CONNECTED
            found = samples(generate_latest(collected(ws)).decode())
            return found["wsguard_figures_timestamp_seconds", "test", ""]

    before = time.time()
    assert before <= trio.run(read) <= time.time()


# --- threads -------------------------------------------------------------------


async def test_a_scrape_in_a_thread_is_fresh() -> None:
    """A registry scraped in another thread shows the figures of that moment."""
    guard = fake(losses=1)
    registry = collected(guard)
    for losses in (1, 2):
        guard.now = attrs.evolve(guard.now, losses=losses)
        text = await trio.to_thread.run_sync(generate_latest, registry)
        assert samples(text.decode())["wsguard_connection_losses_total", "feed", ""] == losses


async def test_a_stalled_loop_holds_up_no_scrape() -> None:
    """While trio is stalled, scrapes are told the last figures, with their own old time."""
    guard = fake(losses=1, time=1e9)
    registry = CollectorRegistry()
    registry.register(GuardCollector(guard, patience=0.01))
    generate_latest(registry)
    guard.now = attrs.evolve(guard.now, losses=2, time=2e9)
    texts: list[bytes] = []
    thread = threading.Thread(target=lambda: texts.append(generate_latest(registry)))
    thread.start()
    thread.join(LIMIT)  # nothing of trio runs meanwhile
    found = samples(texts[0].decode())
    assert found["wsguard_connection_losses_total", "feed", ""] == 1
    assert found["wsguard_figures_timestamp_seconds", "feed", ""] == 1e9
    text = await trio.to_thread.run_sync(generate_latest, registry)
    assert samples(text.decode())["wsguard_figures_timestamp_seconds", "feed", ""] == 2e9


async def test_a_guard_removed_during_a_stall_is_gone() -> None:
    """What is told again without trio leaves out the guards that were removed."""
    guard = fake()
    collector = GuardCollector(guard, fake("other"), patience=0.01)
    assert len(list(collector.collect())) == len(METRICS)
    collector.remove(guard)
    found: list[str] = []

    def scrape() -> None:
        found.extend(s.labels["guard"] for family in collector.collect() for s in family.samples)

    thread = threading.Thread(target=scrape)
    thread.start()
    thread.join(LIMIT)
    assert set(found) == {"other"}


def test_after_the_run_there_is_nothing() -> None:
    """A collector that outlives its run of trio tells no series, at once."""

    async def make() -> CollectorRegistry:
        return collected(fake())

    assert samples(generate_latest(trio.run(make)).decode()) == {}
