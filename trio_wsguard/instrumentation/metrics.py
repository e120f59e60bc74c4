"""What is measured of a guard, as metrics: one table.

Prometheus, OpenTelemetry, the alerting rules, the dashboard and the docs are
all made from `METRICS`, so that they cannot disagree. Names follow Prometheus'
rules: base units as a suffix, ``_total`` for what only grows. Labels are the
guard's name and at most one more, whose values are known beforehand.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

import attrs

import trio_wsguard as wsguard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Values = Mapping[str, float]

GUARD_LABEL: Final = "guard"
NO_LABEL: Final = ""  # the key of the value of a metric without a label of its own
SUM: Final = "sum"  # the key of a histogram's sum, beside those of its buckets
INFINITE: Final = "+Inf"


class MetricKind(enum.Enum):
    """How a metric behaves."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@attrs.frozen(kw_only=True)
class Figures:
    """What was read of one guard at one moment.

    Attributes:
        name: The guard's name, fit for a label.
        snapshot: Its figures.
        levels: The levels of its open alerts.
        before: Where the counters of earlier guards of this name stood, by
            metric and label: a counter goes on, and never back.
    """

    name: str
    snapshot: wsguard.Snapshot
    levels: tuple[wsguard.AlertLevel, ...] = ()
    before: Mapping[str, Values] = attrs.field(factory=dict)


@attrs.frozen
class Label:
    """A label besides the guard's name, and all the values that it can have."""

    name: str
    values: tuple[str, ...]

    @classmethod
    def of(cls, name: str, kinds: Iterable[enum.Enum]) -> Label:
        """Make a label of an enum's values."""
        return cls(name, tuple(str(kind.value) for kind in kinds))


@attrs.frozen(kw_only=True)
class Metric:
    """One metric.

    Attributes:
        name: As Prometheus has it.
        kind: How it behaves.
        help: What it tells, in a sentence.
        advice: What to do about it.
        figure: The figure of the snapshot that it is, as alert rules name it;
            empty where it is none.
        unit: The base unit, which ends the name; empty for plain counts.
        label: The label besides the guard's name, if it has one; of a
            histogram the buckets' bounds.
        read: Gives the value for each of the label's values (for `NO_LABEL`
            without a label); none where nothing is known yet.
    """

    name: str
    kind: MetricKind
    help: str
    advice: str
    figure: str = ""
    unit: str = ""
    label: Label | None = None
    read: Callable[[Figures], Values]

    @property
    def base_name(self) -> str:
        """The name without ``_total`` and without the unit."""
        return self.name.removesuffix("_total").removesuffix(f"_{self.unit}")

    def values(self, figures: Figures) -> Values:
        """Tell the value for each of the label's values."""
        values, before = self.read(figures), figures.before.get(self.name)
        return values if before is None else {k: v + before.get(k, 0) for k, v in values.items()}


def totals(figures: Figures) -> dict[str, Values]:
    """Tell where all that only grows stands, by metric and label."""
    growing = (metric for metric in METRICS if metric.kind is not MetricKind.GAUGE)
    return {metric.name: metric.values(figures) for metric in growing}


def _figure(name: str) -> Callable[[Figures], Values]:
    def read(figures: Figures) -> Values:
        value = getattr(figures.snapshot, name)
        return {} if value is None else {NO_LABEL: value}

    return read


def _moment(name: str) -> Callable[[Figures], Values]:
    def read(figures: Figures) -> Values:
        value = getattr(figures.snapshot, name)
        return {NO_LABEL: value} if value else {}  # 0.0 is for never

    return read


def _by_kind(name: str, kinds: type[enum.Enum]) -> Callable[[Figures], Values]:
    def read(figures: Figures) -> Values:
        counts = getattr(figures.snapshot, name)
        return {kind.value: counts.get(kind, 0) for kind in kinds}

    return read


def _count(label: Label, kinds: Iterable[enum.Enum]) -> Values:
    counts = dict.fromkeys(label.values, 0.0)
    for kind in kinds:
        counts[kind.value] += 1
    return counts


def _buckets(figures: Figures) -> Values:
    times = figures.snapshot.response_time
    counts = dict(zip(_BOUNDS.values, (*times.buckets, times.count), strict=True))
    return {**counts, SUM: times.sum}


_STATE: Final = Label.of("state", wsguard.ConnectionState)
_FAILURE: Final = Label.of("kind", wsguard.FailureKind)
_ANOMALY: Final = Label.of("kind", wsguard.AnomalyKind)
_LEVEL: Final = Label.of("level", wsguard.AlertLevel)
_BOUNDS: Final = Label("le", (*map(str, wsguard.RESPONSE_TIME_BUCKETS), INFINITE))


def _gauge(name: str, figure: str, about: str, advice: str, *, unit: str = "") -> Metric:
    return Metric(
        name=f"wsguard_{name}",
        kind=MetricKind.GAUGE,
        help=about,
        advice=advice,
        figure=figure,
        unit=unit,
        read=_figure(figure),
    )


def _counter(name: str, figure: str, about: str, advice: str, *, unit: str = "") -> Metric:
    gauge = _gauge(f"{name}_total", figure, about, advice, unit=unit)
    return attrs.evolve(gauge, kind=MetricKind.COUNTER)


def _timestamp(name: str, figure: str, about: str, advice: str) -> Metric:
    gauge = _gauge(f"{name}_timestamp_seconds", figure, about, advice, unit="seconds")
    return attrs.evolve(gauge, read=_moment(figure))


METRICS: Final[tuple[Metric, ...]] = (
    Metric(
        name="wsguard_connection_state",
        kind=MetricKind.GAUGE,
        help="1 for the state that the guard is in, 0 for all others.",
        advice="FAILED needs a person: see the last failure, cure it, then reset().",
        label=_STATE,
        read=lambda figures: _count(_STATE, (figures.snapshot.connection_state,)),
    ),
    _gauge(
        "health_score",
        "score",
        "Health from 0 to 100: less 10 for each failure in a row, 2 for each second of delay.",
        "Below 80 look at failures and response times, which it is made of.",
    ),
    _gauge(
        "consecutive_failures",
        "connection_failures",
        "Attempts failed and connections lost in a row.",
        "Find out why before max_connection_failures ends in FAILED.",
    ),
    _gauge(
        "uptime_ratio",
        "uptime_ratio",
        "Connected time per time since the guard was opened, 0 to 1.",
        "Compare with what the feed promises; the losses and their kinds tell the rest.",
        unit="ratio",
    ),
    _gauge(
        "mean_time_between_failures_seconds",
        "mean_time_between_failures",
        "Connected seconds per lost connection; absent before the first loss.",
        "If it is the same number again and again, look for a timeout of that length in between.",
        unit="seconds",
    ),
    _counter(
        "connection_attempts",
        "attempts",
        "Attempts to connect.",
        "Many more than connections: see the failed ones.",
    ),
    _counter(
        "connection_attempts_failed",
        "failed_attempts",
        "Attempts to connect that failed.",
        "The kinds of failure say where: name, network, TLS, or the server itself.",
    ),
    _counter(
        "connections",
        "connections",
        "Connections made ready.",
        "Growing fast: the connections do not last; see flapping.",
    ),
    _counter(
        "reconnects",
        "reconnects",
        "Connections made ready after the first.",
        "Messages between two connections may be missing; fetch them in on_connect.",
    ),
    _counter(
        "connection_losses",
        "losses",
        "Connections lost by an outside cause.",
        "Regular: a proxy's idle timeout, beat more often. At once for many: the server.",
    ),
    Metric(
        name="wsguard_failures_total",
        kind=MetricKind.COUNTER,
        help="Attempts failed and connections lost, by the kind of failure.",
        advice="network, timeout: the path. rejected, tls: credentials. protocol: the server.",
        label=_FAILURE,
        read=_by_kind("failures", wsguard.FailureKind),
    ),
    Metric(
        name="wsguard_anomalies_total",
        kind=MetricKind.COUNTER,
        help="Anomalies raised, by kind.",
        advice="Each kind has its own cure; see the table of anomalies.",
        label=_ANOMALY,
        read=_by_kind("anomalies", wsguard.AnomalyKind),
    ),
    Metric(
        name="wsguard_open_anomalies",
        kind=MetricKind.GAUGE,
        help="1 for each kind of anomaly that is raised and not yet recovered.",
        advice="local_stall, slow_consumer: this program is slow. Others: the peer or the path.",
        label=_ANOMALY,
        read=lambda figures: _count(_ANOMALY, figures.snapshot.open_anomalies),
    ),
    Metric(
        name="wsguard_open_alerts",
        kind=MetricKind.GAUGE,
        help="Alerts raised and not yet resolved, by level.",
        advice="Do what the alert advises; the log and the events say which it is.",
        label=_LEVEL,
        read=lambda figures: _count(_LEVEL, figures.levels),
    ),
    _counter(
        "messages_received",
        "messages_received",
        "Messages read, without answers to beats.",
        "No growth while connected is silence.",
    ),
    _counter(
        "duplicates_dropped",
        "duplicates_dropped",
        "Messages read that were repeats, and were dropped.",
        "Many after each reconnect: resume from connection.last_key, and not from further back.",
    ),
    _counter(
        "messages_sent",
        "messages_sent",
        "Messages written.",
        "No growth while the program sends: it waits for a connection.",
    ),
    _counter(
        "received_bytes",
        "bytes_received",
        "Bytes read from the streams; of TLS, what is inside.",
        "For capacity; per message it tells their mean size.",
        unit="bytes",
    ),
    _counter(
        "sent_bytes",
        "bytes_sent",
        "Bytes written to the streams; of TLS, what is inside.",
        "For capacity; per message it tells their mean size.",
        unit="bytes",
    ),
    _gauge(
        "queued_messages",
        "queue_depth",
        "Messages waiting for the application.",
        "Near max_queue reading stops: take messages faster, or in batches (get_messages).",
    ),
    _gauge(
        "silence_seconds",
        "silence",
        "Seconds since the last message; absent while not connected.",
        "A subscription that got lost, or a feed at rest: the connection itself may be sound.",
        unit="seconds",
    ),
    _counter(
        "heartbeats_sent",
        "beats_sent",
        "Beats sent.",
        "No growth while connected: the program's own loop stands still.",
    ),
    _counter(
        "heartbeats_answered",
        "beats_answered",
        "Beats answered well.",
        "Fewer than those sent: see the missed ones.",
    ),
    _counter(
        "heartbeats_missed",
        "beats_missed",
        "Beats not sent or not answered in time.",
        "Single ones: a slow path. Three in a row end the connection.",
    ),
    Metric(
        name="wsguard_response_time_seconds",
        kind=MetricKind.HISTOGRAM,
        help="How long beats waited for their answer.",
        advice="Above 5 s: the server or the path is overloaded.",
        unit="seconds",
        label=_BOUNDS,
        read=_buckets,
    ),
    _timestamp(
        "last_message",
        "last_message_received_time",
        "When a message last arrived, in Unix seconds; absent before the first.",
        "Unlike the silence it goes on over reconnects: time() less this is the feed's age.",
    ),
    _timestamp(
        "last_heartbeat",
        "last_heartbeat_time",
        "When a beat was last sent, in Unix seconds; absent before the first.",
        "Older than max_interval while connected: the program's own loop stands still.",
    ),
    _timestamp(
        "last_heartbeat_response",
        "last_heartbeat_response",
        "When a beat was last answered well, in Unix seconds; absent before the first.",
        "Much older than the last beat: the peer is about to be given up.",
    ),
    _timestamp(
        "last_connected",
        "last_successful_connection",
        "When a connection last became ready, in Unix seconds; absent before the first.",
        "Always recent: the connections do not last.",
    ),
    _timestamp(
        "last_state_change",
        "last_state_change_time",
        "When the state last changed, in Unix seconds.",
        "Long ago in any state but connected: nobody has cured it yet.",
    ),
    _timestamp(
        "figures",
        "time",
        "When all these figures were read, in Unix seconds.",
        "More than a scrape ago: the program's loop is stalled, and all else here is old.",
    ),
)
"""All metrics, in the order in which they are told."""
