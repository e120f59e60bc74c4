"""Metrics and traces for OpenTelemetry (extra ``otel``).

Only the API is needed here: without an SDK that the program sets up, all of
it does nothing. Metrics have the names that OpenTelemetry's own rules turn
into those of Prometheus (``wsguard.reconnects`` into
``wsguard_reconnects_total``), so that rules and dashboard go on fitting: all
but the response times, which here are counters and not a histogram.
"""

from __future__ import annotations

import threading
import urllib.parse
import weakref
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final

import trio
from opentelemetry import context, metrics, trace
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

import trio_wsguard as wsguard
from trio_wsguard._shell.nursery import open_flat_nursery
from trio_wsguard.instrumentation.guards import PATIENCE, GuardSet
from trio_wsguard.instrumentation.metrics import (
    GUARD_LABEL,
    INFINITE,
    METRICS,
    SUM,
    Figures,
    Metric,
    MetricKind,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping

    from opentelemetry.metrics import Meter, MeterProvider
    from opentelemetry.trace import Span, TracerProvider

    Read = Callable[[Figures], Iterable[tuple[dict[str, str], float]]]

SCOPE: Final = "trio_wsguard"
_UNITS: Final = {"seconds": "s", "bytes": "By", "ratio": "1", "": ""}  # as UCUM has them
_PORTS: Final = {"ws": 80, "wss": 443}
_NANOSECONDS: Final = 1e9  # a second


# --- metrics -------------------------------------------------------------------


class _Source:
    """The guards of all blocks that observe with one provider.

    The API has no way to take a callback back, and an SDK ignores a second one
    for the same instrument: so there is one of these for each provider, and
    blocks come and go in it.
    """

    def __init__(self) -> None:
        self.guards: list[GuardSet] = []
        self._lock = threading.Lock()
        self._told: set[str] = set()
        self._reading: tuple[Figures, ...] | None = None

    def read(self, name: str) -> tuple[Figures, ...]:
        """Read the guards once for all instruments of a collection.

        An instrument that asks again begins a new collection.
        """
        with self._lock:
            if name in self._told:
                self._told, self._reading = set(), None
            self._told.add(name)
            reading = self._reading
        if reading is None:  # not under the lock: trio itself may be the next to ask
            reading = tuple(figures for guards in self.guards[:] for figures in guards.read())
            self._reading = reading
        return reading


_SOURCES: Final[weakref.WeakKeyDictionary[MeterProvider, _Source]] = weakref.WeakKeyDictionary()


@contextmanager
def observe_guards(
    *guards: wsguard.GuardedWebSocket,
    meter_provider: MeterProvider | None = None,
    patience: float = PATIENCE,
) -> Iterator[GuardSet]:
    """Tell OpenTelemetry the metrics of guards as long as the block runs.

    To be entered within a run of trio. An exporter in a thread of its own is
    held up for `patience` at most; while the loop is stalled it is told the
    last figures, whose age ``wsguard.figures_timestamp`` shows. The response
    times are told as counters of their buckets, their sum and their count,
    since the API has no histogram that is observed.

    Args:
        guards: The first guards; more can be added to what the block is given.
        meter_provider: ``None`` for the global one.
        patience: Seconds that an exporter in another thread waits for trio.

    Raises:
        ValueError: Two guards have one name.
    """
    provider = metrics.get_meter_provider() if meter_provider is None else meter_provider
    observed = GuardSet(patience)
    for ws in guards:
        observed.add(ws)
    if provider not in _SOURCES:
        _SOURCES[provider] = _Source()
        _create_instruments(provider.get_meter(SCOPE), _SOURCES[provider])
    source = _SOURCES[provider]
    source.guards.append(observed)
    try:
        yield observed
    finally:
        source.guards.remove(observed)


def metric_name(metric: Metric) -> str:
    """Name a metric as OpenTelemetry does: without unit and ``_total``, which its unit implies."""
    # Not every exporter puts a ratio's suffix back, and none puts it there twice.
    name = metric.name if metric.unit == "ratio" else metric.base_name
    return name.replace("_", ".", 1)


def _create_instruments(meter: Meter, source: _Source) -> None:
    for metric in METRICS:
        name, unit = metric_name(metric), _UNITS[metric.unit]
        if metric.kind is MetricKind.HISTOGRAM:
            parts = (("bucket", "", _buckets), ("sum", unit, _sum), ("count", "", _count))
            for part, unit_of_part, read in parts:
                callback = _callback(source, f"{name}.{part}", _bind(read, metric))
                meter.create_observable_counter(
                    f"{name}.{part}", [callback], unit_of_part, metric.help
                )
            continue
        callback = _callback(source, name, _bind(_plain, metric))
        if metric.kind is MetricKind.COUNTER:
            meter.create_observable_counter(name, [callback], unit, metric.help)
        else:
            meter.create_observable_gauge(name, [callback], unit, metric.help)


def _callback(
    source: _Source, name: str, read: Read
) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_options: CallbackOptions) -> Iterator[Observation]:
        for figures in source.read(name):
            for labels, value in read(figures):
                yield Observation(value, {GUARD_LABEL: figures.name, **labels})

    return observe


def _bind(
    read: Callable[[Metric, Mapping[str, float]], Iterable[tuple[dict[str, str], float]]],
    metric: Metric,
) -> Read:
    return lambda figures: read(metric, metric.values(figures))


def _plain(metric: Metric, values: Mapping[str, float]) -> Iterator[tuple[dict[str, str], float]]:
    for key, value in values.items():
        yield ({} if metric.label is None else {metric.label.name: key}), value


def _buckets(metric: Metric, values: Mapping[str, float]) -> Iterator[tuple[dict[str, str], float]]:
    return _plain(metric, {key: value for key, value in values.items() if key != SUM})


def _sum(_metric: Metric, values: Mapping[str, float]) -> Iterable[tuple[dict[str, str], float]]:
    return [({}, values[SUM])]


def _count(_metric: Metric, values: Mapping[str, float]) -> Iterable[tuple[dict[str, str], float]]:
    return [({}, values[INFINITE])]


# --- traces --------------------------------------------------------------------


@asynccontextmanager
async def open_tracing(
    ws: wsguard.GuardedWebSocket, *, tracer_provider: TracerProvider | None = None
) -> AsyncIterator[None]:
    """Trace a guard as long as the block runs: a span for each attempt and each connection.

    Both are of kind CLIENT and children of the span that is current on
    entering; a connection's span links to that of its attempt. A failure is
    the span's status, its ``error.type`` and an event of it; anomalies are
    events too. Leaving the block ends the span that is open.

    Args:
        ws: The guard.
        tracer_provider: ``None`` for the global one.
    """
    tracer = trace.get_tracer(SCOPE, tracer_provider=tracer_provider)
    async with ws.events() as events, open_flat_nursery() as nursery:
        spans = _Spans(ws, tracer)
        nursery.start_soon(_follow, events, spans)
        try:
            yield
        finally:
            nursery.cancel_scope.cancel()
            spans.finish(events)


async def _follow(events: wsguard.EventStream, spans: _Spans) -> None:
    async for event in events:
        spans.note(event)


class _Spans:
    """Makes spans of a guard's events: at most one is open at a time.

    Times are the events' own: the beginning by the wall clock, the rest by the
    monotonic one, so that a clock put right does not end a span before it began.
    """

    def __init__(self, ws: wsguard.GuardedWebSocket, tracer: trace.Tracer) -> None:
        self._name = ws.name
        self._tracer = tracer
        self._context = context.get_current()
        self._span: Span | None = None
        self._began_at = 0.0
        self._began_time = 0.0
        self._attempt: trace.SpanContext | None = None
        snapshot = ws.snapshot()
        age = max(0.0, snapshot.time - snapshot.last_state_change_time)
        self._begin(
            snapshot.connection_state,
            trio.current_time() - age,
            snapshot.time - age,
            snapshot.generation,
        )

    def note(self, event: wsguard.Event) -> None:
        """Take an event in."""
        if isinstance(event, wsguard.StateChange):
            self._end(event)
            self._begin(event.state, event.at, event.time, event.generation)
            if self._span is not None:
                self._span.set_attributes(_endpoint(event.endpoint))
        elif self._span is not None and isinstance(event, wsguard.Anomaly | wsguard.Recovery):
            attributes: dict[str, str | float] = {"wsguard.anomaly": event.kind.value}
            if isinstance(event, wsguard.Anomaly):
                attributes["wsguard.value"] = event.value
            else:
                attributes["wsguard.duration"] = event.duration
            name = type(event).__name__.lower()
            self._span.add_event(name, attributes, self._time(event.at))

    def finish(self, events: wsguard.EventStream) -> None:
        """Take in what is left, and end the span that is open."""
        try:
            while True:
                self.note(events.get_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            pass
        if self._span is not None:
            self._span.end(self._time(trio.current_time()))

    def _time(self, at: float) -> int:
        """Tell a moment as OpenTelemetry does: nanoseconds since 1970."""
        return round((self._began_time + max(0.0, at - self._began_at)) * _NANOSECONDS)

    def _begin(
        self, state: wsguard.ConnectionState, at: float, unix: float, generation: int
    ) -> None:
        names = {
            wsguard.ConnectionState.CONNECTING: "websocket connect",
            wsguard.ConnectionState.CONNECTED: "websocket connection",
        }
        if state not in names:
            return
        self._began_at, self._began_time = at, unix
        is_attempt = state is wsguard.ConnectionState.CONNECTING
        self._span = self._tracer.start_span(
            names[state],
            context=self._context,
            kind=SpanKind.CLIENT,
            attributes={
                "wsguard.guard": self._name,
                "wsguard.generation": generation,
                "network.protocol.name": "websocket",
            },
            links=[] if is_attempt or self._attempt is None else [Link(self._attempt)],
            start_time=self._time(at),
        )
        self._attempt = self._span.get_span_context() if is_attempt else None

    def _end(self, change: wsguard.StateChange) -> None:
        span, self._span = self._span, None
        if span is None:
            return
        span.set_attributes({**_endpoint(change.endpoint), "wsguard.reason": change.reason})
        if change.failure is not None:
            attributes = _failure(change.failure)
            span.set_attributes(attributes)
            span.add_event("failure", attributes, self._time(change.at))
            span.set_status(Status(StatusCode.ERROR, change.failure.message))
        span.end(self._time(change.at))


def _endpoint(url: str) -> dict[str, str | int]:
    """Tell where to, by the semantic conventions of clients; nothing while it is not known."""
    if not url:
        return {}
    parts = urllib.parse.urlsplit(url)
    if parts.hostname is None:  # a Unix socket, whose path is the address
        path = urllib.parse.unquote(parts.path.partition(":")[0])
        return {"server.address": path, "url.scheme": parts.scheme}
    return {
        "server.address": parts.hostname,
        "server.port": parts.port or _PORTS[parts.scheme],
        "url.scheme": parts.scheme,
    }


def _failure(failure: wsguard.Failure) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {"error.type": failure.kind.value}
    if failure.http_status is not None:
        attributes["http.response.status_code"] = failure.http_status
    if failure.close_code is not None:
        attributes["wsguard.close_code"] = failure.close_code
    return attributes
