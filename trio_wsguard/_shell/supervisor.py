"""The one task that moves a guard's state, through all its connections.

It has one method for each state. Calls of the user only leave a wish and wake
it, so two wishes never race, and whoever reads the state sees a legal one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import trio

from trio_wsguard._core.events import AnomalyKind
from trio_wsguard._core.liveness import Raise
from trio_wsguard._core.monitor import GiveUp, Retry
from trio_wsguard._core.state import (
    CLOSED,
    CONNECTED,
    CONNECTING,
    DISCONNECTED,
    FAILED,
    RECONNECTING,
    ConnectionState,
)
from trio_wsguard._errors import (
    ConnectFailedError,
    ConnectionClosedError,
    ConnectionLostError,
    GuardFailedError,
)
from trio_wsguard._shell.attempt import Attempt, Opener
from trio_wsguard._shell.connection import Connection, Setup
from trio_wsguard._shell.ending import NORMAL_CLOSURE, Ending, timed_out
from trio_wsguard._shell.flag import Flag

if TYPE_CHECKING:
    from trio_wsguard._core.failure import Failure

_REMEMBERED: Final = 16  # failures told when the guard gives up


@attrs.frozen
class CloseReason:
    """Why a guard closed: the close code and the reason (RFC 6455, section 7.1)."""

    code: int
    reason: str = ""


@attrs.define
class Wishes:
    """What the user asked for and the guard's task has not done yet."""

    is_wanted: bool = True
    is_hurried: bool = False
    close: CloseReason | None = None
    woken: Flag = attrs.field(factory=Flag)


class Supervisor:
    """Lives through the connections of one guard.

    Args:
        setup: What its connections share.
        opener: What opens them.

    Attributes:
        connection: The present or last connection.
        wishes: What the user asked for.
        closed: Why the guard is closed; ``None`` as long as it is not.
        is_over: Set once nothing will happen any more.
    """

    def __init__(self, setup: Setup, opener: Opener) -> None:
        self.connection: Connection | None = None
        self.wishes = Wishes()
        self.closed: CloseReason | None = None
        self.is_over = Flag()
        self._setup = setup
        self._opener = opener
        self._journal = setup.journal
        self._next: Retry | GiveUp = Retry(0.0)
        self._retry_at = 0.0  # of the backoff that runs, in monotonic seconds
        self._attempt_number = 0
        self._errors: list[ConnectFailedError | ConnectionLostError] = []
        if setup.outgoing is not None:
            setup.outgoing.gate = self

    @property
    def state(self) -> ConnectionState:
        """Where the guard stands."""
        return self._journal.state

    @property
    def _last_failure(self) -> Failure | None:
        return self._errors[-1].failure if self._errors else None

    @property
    def live(self) -> Connection | None:
        """The connection, if the guard is CONNECTED."""
        return self.connection if self.state is CONNECTED else None

    def check_open(self) -> None:
        """Refuse what comes after the guard was closed by this side."""
        is_left = self.is_over.is_set() and self.state is not CLOSED
        if self.wishes.close is not None or is_left:
            raise trio.ClosedResourceError(f"{self._journal.name} is closed")

    def check_alive(self) -> None:
        """Refuse what can no longer happen."""
        if self.state is FAILED:
            raise self.failed_error()
        if self.state is CLOSED and self.closed is not None:
            raise ConnectionClosedError(self.closed.code, self.closed.reason)
        if self.is_over.is_set():
            raise trio.ClosedResourceError(f"{self._journal.name} is closed")

    def failed_error(self) -> GuardFailedError:
        """Tell what was tried."""
        failures = tuple(error.failure for error in self._errors if error.failure is not None)
        failed = GuardFailedError(failures)
        if self._errors:
            failed.__cause__ = ExceptionGroup("what was tried", list(self._errors))
        return failed

    def end_connection(self, ending: Ending) -> bool:
        """End the present connection or attempt; tell whether there was one."""
        if self.state not in (CONNECTING, CONNECTED) or self.connection is None:
            return False
        self.connection.end(ending)
        return True

    def begin_anew(self, reason: str) -> None:
        """Drop the present connection or attempt, or cut the backoff short."""
        if not self.end_connection(Ending(reason=reason)):
            self.hurry()

    def hurry(self) -> None:
        """Cut the backoff short; nothing in other states."""
        if self.state is RECONNECTING:
            self.wishes.is_hurried = True
            self.wishes.woken.set()

    def reset(self) -> None:
        """Forget the failures, and leave FAILED."""
        self._journal.monitor.reset()
        if self.state is FAILED:
            # Moved here, while the task rests: who waits for CONNECTED right
            # after must not meet the old FAILED.
            self._start_over("reset()")
            self.wishes.woken.set()

    async def run(self) -> None:
        """Live through all connections, until closed or cancelled."""
        try:
            while self.wishes.close is None and self.state is not CLOSED:
                if self.state is CONNECTING:
                    await self._attempt()
                elif self.state is RECONNECTING:
                    await self._back_off()
                elif self.state is FAILED:
                    await self._stay_failed()
                else:
                    await self._rest()
        finally:
            self._leave()

    def _leave(self) -> None:
        close = self.wishes.close
        reason = "left" if close is None else "closed by this side"
        if self.state is not CLOSED or close is not None:
            self._setup.queue.pop_all()  # left by us: no call gets a message any more
        if self.state is CONNECTED:
            self._journal.move(CLOSED, reason)
        elif self.state is CONNECTING:
            self._journal.move(RECONNECTING, "abandoned")
        if self.state in (RECONNECTING, FAILED):
            self._journal.move(DISCONNECTED, reason)
        self.closed = self.closed or close or CloseReason(NORMAL_CLOSURE)
        self.is_over.set()
        self._setup.observer.finish()
        self._journal.finish()
        self._setup.queue.finish()
        if self._setup.outgoing is not None:
            # No connection is left: what was in flight is back, or has ended.
            self._setup.outgoing.leave(trio.ClosedResourceError(f"{self._journal.name} is closed"))

    async def _wait_wish(self, seconds: float = float("inf")) -> bool:
        """Wait for a wish; tell whether one came in time."""
        woken = self.wishes.woken = Flag()
        with trio.move_on_after(seconds):
            await woken.wait()
        # Not by what ended the wait: a wish of the last moment counts too.
        return woken.is_set()

    async def _rest(self) -> None:
        if not self.wishes.is_wanted:
            await self._wait_wish()
            return
        self._attempt_number = 0
        self._begin_attempt("connecting")

    async def _back_off(self) -> None:
        if not self.wishes.is_wanted:
            self._journal.move(DISCONNECTED, "disconnect()")
            return
        following = self._next
        if isinstance(following, GiveUp):
            self._journal.move(FAILED, following.reason, failure=self._last_failure)
            self._setup.queue.finish()
            if self._setup.outgoing is not None:
                self._setup.outgoing.give_up(self.failed_error())
            return
        hurried = self.wishes.is_hurried
        remaining = self._retry_at - trio.current_time()
        if not hurried and remaining > 0 and await self._wait_wish(remaining):
            # Woken by a wish: it is looked at again from the top, and what is left is waited for.
            return
        self.wishes.is_hurried = False
        self._begin_attempt("reconnect_now()" if hurried else "backoff over")

    def _begin_attempt(self, reason: str) -> None:
        # Counted before the move, so that its event tells the generation to be.
        self._journal.generation += 1
        self._journal.endpoint = ""
        self._attempt_number += 1
        self._setup.queue.is_finished = False
        self._journal.move(CONNECTING, reason)

    async def _stay_failed(self) -> None:
        cooldown = self._setup.policy.failed_cooldown
        if not self.wishes.is_wanted:
            self._journal.move(DISCONNECTED, "disconnect()")
        elif not await self._wait_wish(float("inf") if cooldown is None else cooldown):
            self._start_over("failed_cooldown over")

    def _start_over(self, reason: str) -> None:
        self._journal.monitor.reset()
        self._errors.clear()
        self._next, self._attempt_number = Retry(0.0), 0
        self._reconnect(reason)

    def _reconnect(self, reason: str, failure: Failure | None = None) -> None:
        delay = self._next.delay if isinstance(self._next, Retry) else None
        self._retry_at = trio.current_time() + (delay or 0.0)
        self._journal.move(RECONNECTING, reason, failure=failure, retry_in=delay)

    async def _attempt(self) -> None:
        """Make one connection and live with it to its end."""
        self._journal.monitor.counters.attempts += 1
        attempt = Attempt(
            number=self._attempt_number,
            generation=self._journal.generation,
            last_failure=self._last_failure,
        )
        connection = self.connection = Connection(self._setup, self._journal.generation)
        await self._open(attempt, connection)
        self._conclude(attempt, connection)

    async def _open(self, attempt: Attempt, connection: Connection) -> None:
        seconds = self._setup.policy.open_timeout
        with trio.move_on_after(seconds) as opening:
            connection.run_in(opening)
            try:
                await self._opener.run(attempt, connection, opening)
            except Exception as exc:
                if connection.is_ready:
                    raise  # of the user's own task
                connection.fail(exc)
        if not connection.is_ready:
            # Where nothing else waits (a dial that fails at once, no delay), the
            # program still gets its turn.
            await trio.lowlevel.checkpoint()
        if opening.cancelled_caught and connection.ending is None:
            failure = timed_out("opening the connection", seconds)
            connection.end(Ending(reason=str(failure), failure=failure))

    def _conclude(self, attempt: Attempt, connection: Connection) -> None:
        """Draw the consequence of a connection's end."""
        ending = connection.ending or Ending(reason="ended")
        was_ready = self.state is CONNECTED
        if ending.is_final:
            if was_ready:
                self.closed = CloseReason(*(ending.close or (NORMAL_CLOSURE, "")))
                self._journal.move(CLOSED, ending.reason)
                self._setup.queue.finish()
                if self._setup.outgoing is not None and self.wishes.close is None:
                    error = ConnectionClosedError(self.closed.code, self.closed.reason)
                    self._setup.outgoing.give_up(error)
            return
        if was_ready:
            self._attempt_number = 0
            self._journal.monitor.settle(trio.current_time())
        if self._journal.monitor.connection_failures == 0:
            self._errors.clear()
        failure = ending.failure
        if failure is None:
            self._next = Retry(0.0)
            reason = ending.reason if was_ready else f"abandoned: {ending.reason}"
            self._reconnect(reason)
            return
        failure = self._second_chance(failure)
        self._remember(failure, ending, attempt, connection, was_ready=was_ready)
        monitor = self._journal.monitor
        flaps = was_ready and monitor.lost(trio.current_time())
        if not was_ready:
            monitor.failed(trio.current_time())
        self._next = monitor.decide(failure, self._setup.rng)
        self._reconnect(ending.reason, failure)
        if flaps:
            flapping = self._setup.policy.flapping
            message = f"{flapping.limit} short-lived connections within {flapping.window:g} s"
            self._journal.note(Raise(AnomalyKind.FLAPPING, message, flapping.limit))

    def _second_chance(self, failure: Failure) -> Failure:
        # A token may have expired: headers that are asked for anew get one fresh try.
        last = self._last_failure
        is_first = last is None or last.http_status != 401
        if failure.http_status == 401 and self._opener.has_fresh_headers and is_first:
            return attrs.evolve(failure, transient=True)
        return failure

    def _remember(
        self,
        failure: Failure,
        ending: Ending,
        attempt: Attempt,
        connection: Connection,
        *,
        was_ready: bool,
    ) -> None:
        error: ConnectFailedError | ConnectionLostError
        if was_ready:
            error = ConnectionLostError(failure, connection.generation)
        else:
            error = ConnectFailedError(failure, attempt.number)
        error.__cause__ = ending.cause
        self._errors.append(error)
        del self._errors[:-_REMEMBERED]
