"""``trio-wsguard bench URL``: how long a reconnect takes, against the user's own server.

A cut is abrupt (`GuardedWebSocket.force_reconnect`): no close handshake, no
failure counted, no delay. What is measured is the time from the cut until the
guard is CONNECTED again: name, dial, TLS and handshake.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import attrs
import click
import trio
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress

import trio_wsguard as wsguard
from trio_wsguard.cli import lines
from trio_wsguard.cli.watch import insecure_context

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MAX_FAILURES: Final = 3  # in a row: who measures has made sure that the server runs
_CLOSE_TIMEOUT: Final = 1.0
_PERCENTILES: Final = {"min": 0, "p50": 50, "p90": 90, "p99": 99, "max": 100}
_ENDINGS: Final = (wsguard.GuardFailedError, wsguard.ConnectionClosedError)
_COLOUR: Final = "#d9480f"


@attrs.frozen(kw_only=True)
class BenchOptions:
    """What ``bench`` was asked for; see its ``--help``."""

    url: str
    count: int = 20
    pause: float = 0.5
    headers: Mapping[str, str] = attrs.field(factory=dict)
    transport: str = "trio-websocket"
    plot: Path | None = None
    is_json: bool = False
    is_insecure: bool = False


@attrs.define(kw_only=True)
class Latencies:
    """What a run came to.

    Attributes:
        name: The URL without its secrets.
        seconds: From each cut until connected again, in order.
        failed_attempts: Attempts that failed meanwhile; their time is in the figures.
        error: Why it ended before its time; ``None`` if it did not.
    """

    name: str
    seconds: list[float] = attrs.field(factory=list)
    failed_attempts: int = 0
    error: str | None = None

    def distribution(self) -> dict[str, float]:
        """Give the least, three percentiles (by nearest rank) and the greatest; empty if none."""
        ranked = sorted(self.seconds)
        if not ranked:
            return {}
        return {
            name: ranked[max(0, math.ceil(percent / 100 * len(ranked)) - 1)]
            for name, percent in _PERCENTILES.items()
        }


def policy_of_bench() -> wsguard.GuardPolicy:
    """Make the settings: no delay after a cut, and not many attempts at a server that is gone."""
    return attrs.evolve(
        wsguard.GuardPolicy.low_latency(),
        max_connection_failures=_MAX_FAILURES,
        close_timeout=_CLOSE_TIMEOUT,
    )


async def run_bench(options: BenchOptions) -> int:
    """Cut a connection of our own again and again, and tell how long it took to come back.

    Returns:
        The exit code: 0 if every cut was followed by a connection.

    Raises:
        PolicyError: A setting is wrong.
        click.ClickException: The picture cannot be drawn.
    """
    if options.plot is not None:
        _check_plot(options.plot)
    opening = wsguard.open_guarded_websocket(
        options.url,
        policy=policy_of_bench(),
        transport=options.transport,
        headers=options.headers,
        ssl_context=insecure_context() if options.is_insecure else None,
    )
    latencies = Latencies(name="")
    try:
        async with opening as ws, trio.open_nursery() as nursery:
            latencies.name = ws.name
            nursery.start_soon(_drain, ws)
            await _cut_often(ws, options, latencies)
            nursery.cancel_scope.cancel()
    except _ENDINGS as exc:  # of the very first connection
        latencies.error = str(exc)
    if latencies.seconds:
        _tell(options, latencies)
    if latencies.error is None:
        return 0
    sys.stderr.write(f"trio-wsguard: {lines.printable(latencies.error)}\n")
    return 1


async def _cut_often(
    ws: wsguard.GuardedWebSocket, options: BenchOptions, latencies: Latencies
) -> None:
    console = Console(stderr=True)
    columns = ("reconnects", BarColumn(), MofNCompleteColumn())
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        try:
            for _ in bar.track(range(options.count)):
                # Before each cut, the first too: the server gets its rest.
                await trio.sleep(options.pause)
                await ws.wait_connected()
                await _cut(ws, latencies)
        except _ENDINGS as exc:
            latencies.error = str(exc)


async def _cut(ws: wsguard.GuardedWebSocket, latencies: Latencies) -> None:
    attempts = ws.snapshot().attempts
    began = trio.current_time()
    ws.force_reconnect("bench")
    try:
        await ws.wait_connected()
        latencies.seconds.append(trio.current_time() - began)
        attempts += 1  # the one that succeeded
    finally:
        latencies.failed_attempts += ws.snapshot().attempts - attempts


async def _drain(ws: wsguard.GuardedWebSocket) -> None:
    """Take whatever the server sends: a full queue would be another measurement."""
    with suppress(wsguard.WSGuardError):  # the one who cuts is told, too
        while True:
            await ws.get_messages()


def _tell(options: BenchOptions, latencies: Latencies) -> None:
    if options.is_json:
        pairs = {
            "url": latencies.name,
            "transport": options.transport,
            "count": len(latencies.seconds),
            "failed_attempts": latencies.failed_attempts,
            **latencies.distribution(),
            "latencies": latencies.seconds,
        }
        click.echo(json.dumps(pairs))
    else:
        click.echo(f"Reconnect latency of {latencies.name}, {len(latencies.seconds)} cuts")
        for name, value in latencies.distribution().items():
            click.echo(f"  {name:>4}  {value * 1000:10,.2f} ms")
        click.echo(f"  failed attempts: {latencies.failed_attempts}")
    if options.plot is not None:
        draw(options.plot, latencies)


def _check_plot(path: Path) -> None:
    """Refuse before the measurement what would fail after it."""
    if importlib.util.find_spec("matplotlib") is None:
        raise click.ClickException("--plot needs matplotlib: pip install matplotlib")
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise click.UsageError(f"--plot {str(path)!r}: must end with .png, .svg or .pdf")
    if not path.absolute().parent.is_dir():
        raise click.UsageError(f"--plot {str(path)!r}: there is no such folder")


def draw(path: Path, latencies: Latencies) -> None:
    """Draw the latencies: how many took how long, and each in its turn."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    values = [value * 1000 for value in latencies.seconds]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    ranked = sorted(values)
    shares = [(at + 1) / len(ranked) * 100 for at in range(len(ranked))]
    left.step([ranked[0], *ranked], [0, *shares], where="post", color=_COLOUR)
    left.margins(x=0.16)  # room for the last percentile's label
    left.set_xlabel("ms from the cut until connected")
    left.set_ylabel("% of reconnects, at most so long")
    right.plot(range(1, len(values) + 1), values, "o", markersize=3, color=_COLOUR)
    right.set_xlabel("cut")
    right.set_ylabel("ms")
    right.set_ylim(bottom=0)
    for name, value in latencies.distribution().items():
        if name.startswith("p"):
            _mark(left, name, value * 1000)
    # A dollar would begin a formula.
    name = latencies.name.replace("$", r"\$")
    figure.suptitle(f"{name}: {len(values)} reconnects", fontweight="bold")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _mark(panel: Any, name: str, value: float) -> None:
    panel.axvline(value, color="#868e96", linestyle="--", linewidth=0.8)
    panel.annotate(f" {name} {value:,.2f}", (value, int(name[1:]) - 8), fontsize=8, color="#495057")
