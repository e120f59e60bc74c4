"""Metrics for Prometheus (extra ``prometheus``).

Two ways. `serve_metrics` is an HTTP endpoint that lives in trio: no threads,
figures as of the scrape, and no answer while the loop is stalled, which
Prometheus shows as ``up == 0``. `GuardCollector` goes into a registry that
something else exposes, from whatever thread; there
``wsguard_figures_timestamp_seconds`` shows a stalled loop.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import attrs
import h11
import trio
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from trio_wsguard._shell.nursery import open_flat_nursery
from trio_wsguard.instrumentation.guards import PATIENCE, GuardSet
from trio_wsguard.instrumentation.metrics import (
    GUARD_LABEL,
    METRICS,
    SUM,
    Figures,
    Metric,
    MetricKind,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from prometheus_client.metrics_core import Metric as Family

    import trio_wsguard as wsguard

PATH: Final = "/metrics"
_MAX_REQUEST: Final = 16 * 1024  # bytes of a request's head
_TIMEOUT: Final = 10.0  # seconds for one request and its answer; Prometheus' scrape_timeout
_OPENMETRICS: Final = "application/openmetrics-text"
_EOF: Final = b"# EOF\n"


class GuardCollector(Collector):
    """The metrics of guards, for a registry of `prometheus_client`.

    Make it within a run of trio, then ``registry.register(collector)``. It may
    be scraped from any thread, and holds up none for longer than `patience`.

    Args:
        guards: The first guards; more can be added at any time.
        patience: Seconds that a scrape in another thread waits for trio before
            it is told the figures read last.
    """

    def __init__(self, *guards: wsguard.GuardedWebSocket, patience: float = PATIENCE) -> None:
        self._guards = GuardSet(patience)
        for ws in guards:
            self.add(ws)

    def add(self, ws: wsguard.GuardedWebSocket) -> None:
        """Tell a guard's metrics from now on; its name is its label.

        Raises:
            ValueError: A guard of this name is told already.
        """
        self._guards.add(ws)

    def remove(self, ws: wsguard.GuardedWebSocket) -> None:
        """Tell a guard's metrics no more; their series vanish.

        Raises:
            KeyError: It was not added.
        """
        self._guards.remove(ws)

    def describe(self) -> Iterator[Family]:
        """Tell the metrics without values, by which a registry sees duplicates."""
        return self._families(())

    def collect(self) -> Iterator[Family]:
        """Tell the metrics, all as of one moment."""
        return self._families(self._guards.read())

    def _families(self, guards: Iterable[Figures]) -> Iterator[Family]:
        for metric in METRICS:
            yield _KINDS[metric.kind](metric, guards)


def _labels(metric: Metric) -> list[str]:
    return [GUARD_LABEL] if metric.label is None else [GUARD_LABEL, metric.label.name]


def _plain_family(
    make: type[CounterMetricFamily | GaugeMetricFamily], metric: Metric, guards: Iterable[Figures]
) -> Family:
    family = make(metric.name, metric.help, labels=_labels(metric), unit=metric.unit)
    for figures in guards:
        for key, value in metric.values(figures).items():
            labels = [figures.name] if metric.label is None else [figures.name, key]
            family.add_metric(labels, value)
    return family


def _histogram_family(metric: Metric, guards: Iterable[Figures]) -> Family:
    family = HistogramMetricFamily(metric.name, metric.help, labels=[GUARD_LABEL], unit=metric.unit)
    for figures in guards:
        values = dict(metric.values(figures))
        total = values.pop(SUM)
        family.add_metric([figures.name], list(values.items()), total)
    return family


_KINDS: Final[dict[MetricKind, Callable[[Metric, Iterable[Figures]], Family]]] = {
    MetricKind.COUNTER: partial(_plain_family, CounterMetricFamily),
    MetricKind.GAUGE: partial(_plain_family, GaugeMetricFamily),
    MetricKind.HISTOGRAM: _histogram_family,
}


@attrs.frozen
class MetricsServer:
    """An endpoint that serves metrics; made by `serve_metrics`.

    Attributes:
        host: Where it listens.
        port: Where it listens.
        collector: The metrics that it serves; guards come and go there.
    """

    host: str
    port: int
    collector: GuardCollector

    @property
    def url(self) -> str:
        """Where Prometheus finds it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{PATH}"


@asynccontextmanager
async def serve_metrics(
    port: int = 0,
    *guards: wsguard.GuardedWebSocket,
    host: str = "127.0.0.1",
    registry: CollectorRegistry | None = None,
) -> AsyncIterator[MetricsServer]:
    """Serve the metrics of guards at ``http://host:port/metrics`` as long as the block runs.

    Args:
        port: TCP port; 0 for any free one.
        guards: The first guards; more can be added to `.collector`.
        host: The address to listen on. Metrics are no secret, but nobody's business
            either: ``"0.0.0.0"`` only behind a firewall.
        registry: Served too, such as `prometheus_client.REGISTRY`; the guards'
            metrics are registered in it meanwhile. ``None`` for the guards alone.

    Raises:
        OSError: The port cannot be listened on.
        ValueError: Two guards have one name, or the registry has these metrics already.
    """
    collector = GuardCollector(*guards)
    registry = CollectorRegistry() if registry is None else registry
    listeners = await trio.open_tcp_listeners(port, host=host)
    registry.register(collector)
    try:
        async with open_flat_nursery() as nursery:
            # Its handlers are ours, so that what a collector raises comes out as itself.
            serve = partial(trio.serve_listeners, handler_nursery=nursery)
            await nursery.start(serve, partial(_serve, registry), listeners)
            yield MetricsServer(host, listeners[0].socket.getsockname()[1], collector)
            nursery.cancel_scope.cancel()
    finally:
        registry.unregister(collector)


async def _serve(registry: CollectorRegistry, stream: trio.SocketStream) -> None:
    """Answer one request; whoever is slow or leaves is let go."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_REQUEST)
    with trio.move_on_after(_TIMEOUT):
        try:
            request = await _read_request(connection, stream)
            if request is not None:
                await _answer(connection, stream, request, registry)
        except trio.BrokenResourceError:
            return  # it left


async def _read_request(
    connection: h11.Connection, stream: trio.SocketStream
) -> h11.Request | None:
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError as exc:
            await _send(connection, stream, exc.error_status_hint, b"no HTTP request\n")
            return None
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            return None  # closed without a request
        connection.receive_data(await stream.receive_some())


async def _answer(
    connection: h11.Connection,
    stream: trio.SocketStream,
    request: h11.Request,
    registry: CollectorRegistry,
) -> None:
    if request.method != b"GET":
        await _send(connection, stream, 405, b"", ("Allow", "GET"))
    elif request.target.partition(b"?")[0] != PATH.encode():
        await _send(connection, stream, 404, f"metrics are at {PATH}\n".encode())
    else:
        accept = b",".join(value for name, value in request.headers if name == b"accept")
        body, content_type = await render(registry, accept.decode("latin-1"))
        await _send(connection, stream, 200, body, ("Content-Type", content_type))


async def _send(
    connection: h11.Connection,
    stream: trio.SocketStream,
    status: int,
    body: bytes,
    *headers: tuple[str, str],
) -> None:
    # One request a connection: nothing to keep alive, time out or count.
    common = (("Content-Length", str(len(body))), ("Connection", "close"))
    head = connection.send(h11.Response(status_code=status, headers=[*headers, *common]))
    await stream.send_all(b"".join((head or b"", body)))


class _OneFamily(Collector):
    def __init__(self, family: Family) -> None:
        self._family = family

    def collect(self) -> Iterable[Family]:
        return (self._family,)


async def render(registry: CollectorRegistry, accept: str = "") -> tuple[bytes, str]:
    """Write a registry's metrics as text, a metric at a time.

    In between others get their turn: a thousand guards are megabytes of text.

    Args:
        registry: What to write.
        accept: The Accept header, which chooses between Prometheus' format and OpenMetrics.

    Returns:
        The text, and its content type.
    """
    encode, content_type = choose_encoder(accept)
    pieces: list[bytes] = []
    for family in registry.collect():
        pieces.append(encode(_OneFamily(family)).removesuffix(_EOF))
        await trio.lowlevel.checkpoint()
    if content_type.startswith(_OPENMETRICS):
        pieces.append(_EOF)
    return b"".join(pieces), content_type
