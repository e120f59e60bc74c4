"""``trio-wsguard demo``: a guard, a server on loopback, and five faults."""

from __future__ import annotations

import sys
from typing import Final

import attrs
import trio
from rich import box
from rich.table import Table
from rich.text import Text

import trio_wsguard as wsguard
from trio_wsguard.cli import lines
from trio_wsguard.cli.demo_server import DemoServer, open_demo_server
from trio_wsguard.cli.faults import FAULTS, Verdict, undergo
from trio_wsguard.cli.record import Limits, RecordOptions, open_recorder
from trio_wsguard.cli.session import run_session
from trio_wsguard.cli.view import Screen, open_screen

DEFAULT_SECONDS: Final = 16.0
MIN_SECONDS: Final = 8.0
_FAULT_SECONDS: Final = 6.3  # what the faults themselves take, all together
_STATUS_INTERVAL: Final = 2.5
_MOMENT: Final = 0.02

# Everything in tenths of seconds, so that a demo is over before it bores.
POLICY: Final = wsguard.GuardPolicy(
    heartbeat=wsguard.HeartbeatPolicy(
        interval=0.5, send_timeout=0.5, response_timeout=0.7, slow_response=0.35
    ),
    backoff=wsguard.BackoffPolicy(
        closed=wsguard.LinearBackoff(step=0.2, cap=1),
        network=wsguard.LinearBackoff(step=0.2, cap=0.6),
        other=wsguard.LinearBackoff(step=0.3, cap=1),
    ),
    watchdog=wsguard.WatchdogPolicy(silence_timeout=1.2),
    flapping=wsguard.FlappingPolicy(lifetime=0.3),
    max_connection_failures=None,
    stable_after=0.5,
    open_timeout=3,
    close_timeout=1,
)


class _Demo:
    """One run: what is shown where, and what came of each fault."""

    def __init__(self, server: DemoServer, screen: Screen, calm: float) -> None:
        self.verdicts: list[Verdict] = []
        self._server = server
        self._screen = screen
        self._calm = calm

    async def run(self, ws: wsguard.GuardedWebSocket) -> None:
        """Go through the faults while the feed is read."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_read, ws)
            await ws.wait_connected()
            for number, fault in enumerate(FAULTS, 1):
                await self._pause(f"next fault: {fault.name}")
                self._screen.task = f"fault {number} of {len(FAULTS)}: {fault.name}"
                self._screen.note("FAULT", f"{number} of {len(FAULTS)}: {fault.name}")
                verdict = await undergo(fault, ws, self._server)
                self.verdicts.append(verdict)
                await trio.sleep(_MOMENT)  # so that the events stand above the verdict
                self._screen.note("survived" if verdict.is_survived else "LOST", _told(verdict))
            await self._pause("all faults are over")
            nursery.cancel_scope.cancel()

    async def _pause(self, what: str) -> None:
        self._screen.task = what
        await trio.sleep(self._calm)


async def _read(ws: wsguard.GuardedWebSocket) -> None:
    async for _ in ws:
        pass  # the figures count what arrives


def _told(verdict: Verdict) -> str:
    if verdict.problem is not None:
        return f"could not be done: {lines.printable(verdict.problem)}"
    if verdict.detected_at is None:
        return f"expected {verdict.fault.expected}, which was not detected"
    text = f"detected after {lines.seconds(verdict.detected_after)}"
    if verdict.ready_at is None:
        return f"{text}, but not ready again"
    return f"{text}, ready again after {lines.seconds(verdict.ready_after)}"


@attrs.frozen(kw_only=True)
class DemoOptions:
    """What ``demo`` was asked for; see its ``--help``."""

    total: float = DEFAULT_SECONDS
    record: RecordOptions = attrs.field(factory=RecordOptions)


async def run_demo(options: DemoOptions) -> int:
    """Run the demo.

    Returns:
        The exit code: 0 only if every fault was survived, and recorded if it was to be.

    Raises:
        OSError: What happens cannot be recorded.
    """
    calm = max(0.3, (options.total - _FAULT_SECONDS) / (len(FAULTS) + 1))
    with (
        open_recorder(options.record, POLICY) as recorder,
        open_screen(status_interval=_STATUS_INTERVAL, limits=Limits.of(POLICY)) as screen,
    ):
        async with open_demo_server() as server:
            demo = _Demo(server, screen, calm)
            screen.note("demo", f"a server on {server.url}, {len(FAULTS)} faults")
            opening = wsguard.open_guarded_websocket(server.url, policy=POLICY, wait=False)
            session = await run_session(opening, screen, demo.run, recorder)
    screen.table(summary_table(demo.verdicts))
    survived = sum(verdict.is_survived for verdict in demo.verdicts)
    ended = "interrupted; " if session.is_interrupted else ""
    screen.write(f"{ended}{survived} of {len(FAULTS)} faults survived")
    if recorder.error is not None:
        sys.stderr.write(f"trio-wsguard: {lines.printable(recorder.error)}\n")
        return 1
    return 0 if survived == len(FAULTS) else 1


def summary_table(verdicts: list[Verdict]) -> Table:
    """Sum up what became of the guard under each fault."""
    # Narrow enough for 80 columns, with the longest name of an exception unbroken.
    table = Table(
        box=box.SIMPLE_HEAD,
        title=Text("Summary", "bold"),
        title_justify="left",
        pad_edge=False,
    )
    table.add_column("Fault", no_wrap=True)
    table.add_column("Detected as", overflow="fold")
    table.add_column("after", justify="right", no_wrap=True)
    table.add_column("ready in", justify="right", no_wrap=True)
    table.add_column("survived", no_wrap=True)
    for verdict in verdicts:
        found = "nothing" if verdict.failure is None else lines.printable(str(verdict.failure))
        if verdict.detected_at is None:
            found = f"{found} (expected {verdict.fault.expected})"
        table.add_row(
            Text(verdict.fault.name),
            Text(found),
            Text(lines.seconds(verdict.detected_after)),
            Text(lines.seconds(verdict.ready_after)),
            Text("yes", "bold green") if verdict.is_survived else Text("no", "bold red"),
        )
    return table
