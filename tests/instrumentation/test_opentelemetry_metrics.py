"""Metrics as OpenTelemetry's own SDK collects them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
import trio.testing

import trio_wsguard as wsguard
from trio_wsguard.instrumentation.metrics import METRICS, SUM, Figures, MetricKind

from .guarded import fake, network

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from trio_wsguard.instrumentation.opentelemetry import (
    metric_name,
    observe_guards,
    open_tracing,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


LIMIT = 15  # seconds; only a failing test ever waits so long
LOSSES = "wsguard.connection_losses"


@attrs.define
class Meters:
    """A provider with a reader in memory."""

    reader: InMemoryMetricReader
    provider: MeterProvider

    def collect(self) -> dict[tuple[str, str, str], float]:
        """Collect all points: by name, guard and other label."""
        data: Any = self.reader.get_metrics_data()
        found: dict[tuple[str, str, str], float] = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                assert scope.scope.name == "trio_wsguard"
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        labels = dict(point.attributes)
                        guard = labels.pop("guard")
                        found[metric.name, guard, "".join(labels.values())] = point.value
        return found


@pytest.fixture
def meters() -> Iterator[Meters]:
    """A provider of the SDK's."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    yield Meters(reader, provider)
    provider.shutdown()


def expected(figures: Figures) -> dict[tuple[str, str, str], float]:
    """Tell what must be collected, from the table itself."""
    found: dict[tuple[str, str, str], float] = {}
    for metric in METRICS:
        name = metric_name(metric)
        for key, value in metric.values(figures).items():
            if metric.kind is not MetricKind.HISTOGRAM:
                found[name, figures.name, key] = value
            elif key == SUM:
                found[f"{name}.sum", figures.name, ""] = value
            else:
                found[f"{name}.bucket", figures.name, key] = value
                if key == "+Inf":
                    found[f"{name}.count", figures.name, ""] = value
    return found


def test_names_are_unique() -> None:
    """Without unit and suffix, no two metrics have one name."""
    names = {metric_name(metric) for metric in METRICS}
    assert len(names) == len(METRICS)
    assert {"wsguard.reconnects", "wsguard.silence", "wsguard.received"} < names


async def test_all_metrics_are_observed(meters: Meters) -> None:
    """Every metric of the table is collected with the guard's figures."""
    times = wsguard.ResponseTimes(count=2, sum=0.5, buckets=(0, 0, 0, 0, 2, 2, 2, 2, 2, 2))
    guard = fake(
        losses=2,
        silence=3.5,
        mean_time_between_failures=60.0,
        failures={wsguard.FailureKind.TLS: 2},
        response_time=times,
    )
    with observe_guards(guard, meter_provider=meters.provider):
        assert meters.collect() == expected(Figures(name="feed", snapshot=guard.now))


async def test_units_are_base_units(meters: Meters) -> None:
    """Units are UCUM's, of which Prometheus' exporters make the suffix again."""
    with observe_guards(fake(), meter_provider=meters.provider):
        data: Any = meters.reader.get_metrics_data()
    (scope,) = data.resource_metrics[0].scope_metrics
    units = {metric.name: metric.unit for metric in scope.metrics}
    assert units["wsguard.silence"] == "s"
    assert units["wsguard.received"] == "By"
    assert units["wsguard.uptime_ratio"] == "1"
    assert units["wsguard.response_time.sum"] == "s"
    assert units["wsguard.response_time.count"] == ""


async def test_each_collection_is_fresh(meters: Meters) -> None:
    """Every collection reads the guards anew, once, also in another thread."""
    guard = fake(losses=1)
    with observe_guards(guard, meter_provider=meters.provider):
        assert meters.collect()[LOSSES, "feed", ""] == 1
        guard.now = attrs.evolve(guard.now, losses=2)
        assert meters.collect()[LOSSES, "feed", ""] == 2
        guard.now = attrs.evolve(guard.now, losses=3)
        found = await trio.to_thread.run_sync(meters.collect)
        assert found[LOSSES, "feed", ""] == 3


async def test_guards_come_and_go(meters: Meters) -> None:
    """What was added and removed shows at the next collection; blocks do so, too."""
    first, second = fake("a"), fake("b")
    with observe_guards(first, meter_provider=meters.provider) as guards:
        guards.add(second)
        assert {key[1] for key in meters.collect()} == {"a", "b"}
        guards.remove(first)
        assert {key[1] for key in meters.collect()} == {"b"}
    assert meters.collect() == {}
    with (
        observe_guards(first, meter_provider=meters.provider),
        observe_guards(second, meter_provider=meters.provider),
    ):
        assert {key[1] for key in meters.collect()} == {"a", "b"}


async def test_a_stalled_loop_holds_up_no_exporter(meters: Meters) -> None:
    """While trio is stalled, an exporter waits once for all instruments; it gets old figures."""
    guard = fake(losses=1)
    with observe_guards(guard, meter_provider=meters.provider, patience=0.01):
        meters.collect()
        guard.now = attrs.evolve(guard.now, losses=2)
        found: list[dict[tuple[str, str, str], float]] = []
        thread = threading.Thread(target=lambda: found.append(meters.collect()))
        thread.start()
        thread.join(LIMIT)  # nothing of trio runs meanwhile
        assert found[0][LOSSES, "feed", ""] == 1


async def test_without_an_sdk_nothing_happens() -> None:
    """The API alone observes and traces nothing, and costs no error."""
    async with network() as net, net.open() as ws:
        with observe_guards(ws):
            async with open_tracing(ws):
                await trio.lowlevel.checkpoint()
