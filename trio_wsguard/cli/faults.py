"""The faults of the demo: how each is done, and what the guard must find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import trio

import trio_wsguard as wsguard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_wsguard.cli.demo_server import DemoServer

_DOWN_SECONDS: Final = 1.2
_RETRY_AFTER: Final = 1.0
_LIMIT: Final = 12.0  # seconds after which a fault counts as not survived
_TOLERANCE: Final = 0.01  # seconds that a timer may differ from what was asked for


@attrs.frozen(kw_only=True)
class Fault:
    """One fault.

    Args:
        name: What it is, in a few words.
        strike: Does it.
        expected: What it must be detected as, in a few words.
        is_expected: Tells whether a failure is that.
    """

    name: str
    strike: Callable[[DemoServer], Awaitable[None]]
    expected: str
    is_expected: Callable[[wsguard.Failure], bool]


@attrs.define(kw_only=True)
class Verdict:
    """What became of the guard under one fault.

    Attributes:
        fault: The fault.
        struck_at: When it began, in monotonic seconds.
        failure: What was detected: what was expected, or else the last failure.
        detected_at: When what was expected was detected.
        ready_at: When the guard was CONNECTED again after that.
        problem: Why the fault could not be done, if it could not.
    """

    fault: Fault
    struck_at: float
    failure: wsguard.Failure | None = None
    detected_at: float | None = None
    ready_at: float | None = None
    problem: str | None = None

    def take(self, change: wsguard.StateChange) -> None:
        """Take a state change into account."""
        if self.detected_at is None:
            self.failure = change.failure or self.failure
            if change.failure is not None and self.fault.is_expected(change.failure):
                self.detected_at = change.at
        elif change.state is wsguard.ConnectionState.CONNECTED:
            self.ready_at = change.at

    @property
    def detected_after(self) -> float | None:
        """Seconds from the fault until it was detected."""
        return None if self.detected_at is None else self.detected_at - self.struck_at

    @property
    def ready_after(self) -> float | None:
        """Seconds from the fault until the guard was ready again."""
        return None if self.ready_at is None else self.ready_at - self.struck_at

    @property
    def is_survived(self) -> bool:
        """Whether it was detected as expected, and the guard came back as it should."""
        if self.failure is None or self.detected_at is None or self.ready_at is None:
            return False
        # Coming back sooner than the server asked for is no survival.
        asked_for = self.failure.retry_after or 0.0
        return self.ready_at - self.detected_at >= asked_for - _TOLERANCE


async def undergo(fault: Fault, ws: wsguard.GuardedWebSocket, server: DemoServer) -> Verdict:
    """Put a guard through a fault, and wait until it is ready again or time is up."""
    verdict = Verdict(fault=fault, struck_at=trio.current_time())
    async with ws.events() as events:
        with trio.move_on_after(_LIMIT):
            try:
                await fault.strike(server)
            except OSError as exc:  # another program took the port meanwhile
                verdict.problem = str(exc)
                return verdict
            async for event in events:
                if isinstance(event, wsguard.StateChange):
                    verdict.take(event)
                if verdict.ready_at is not None:
                    break
    return verdict


async def _reset(server: DemoServer) -> None:
    await server.reset()


async def _restart(server: DemoServer) -> None:
    await server.close(1012, "service restart")


async def _go_down(server: DemoServer) -> None:
    await server.down()
    await trio.sleep(_DOWN_SECONDS)
    await server.up()


async def _fall_silent(server: DemoServer) -> None:
    await trio.lowlevel.checkpoint()
    server.fall_silent()


async def _refuse(server: DemoServer) -> None:
    server.refuse(1, _RETRY_AFTER)
    await server.close(1001, "going away")


FAULTS: Final = (
    Fault(
        name="abrupt reset",
        strike=_reset,
        expected="CLOSED without a close frame",
        is_expected=lambda failure: (
            failure.kind is wsguard.FailureKind.CLOSED and failure.close_code in (None, 1006)
        ),
    ),
    Fault(
        name="close 1012",
        strike=_restart,
        expected="CLOSED with code 1012",
        is_expected=lambda failure: failure.close_code == 1012,
    ),
    Fault(
        name=f"server down {_DOWN_SECONDS:g} s",
        strike=_go_down,
        expected="NETWORK: refused",
        is_expected=lambda failure: failure.kind is wsguard.FailureKind.NETWORK,
    ),
    Fault(
        name="silent peer",
        strike=_fall_silent,
        expected="HEARTBEAT",
        is_expected=lambda failure: failure.kind is wsguard.FailureKind.HEARTBEAT,
    ),
    Fault(
        name=f"503, Retry-After: {_RETRY_AFTER:g}",
        strike=_refuse,
        expected="REJECTED with 503 and Retry-After",
        is_expected=lambda failure: (
            failure.http_status == 503 and failure.retry_after == _RETRY_AFTER
        ),
    ),
)
