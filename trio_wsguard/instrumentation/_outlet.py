"""What serves one sink: a bounded queue, and a task that hands on in order."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import attrs
import trio

import trio_wsguard as wsguard
from trio_wsguard.instrumentation.sinks import SinkError, SinkFailure, SinkFigures

if TYPE_CHECKING:
    from random import Random

    from trio_wsguard.instrumentation.sinks import Sink

_LOGGER: Final = logging.getLogger("trio_wsguard.notifier")


class Outlet:
    """Serves one sink.

    Args:
        sink: Whom.
        rng: Where the jitter of its retries is drawn from; its own, so that no
            other sink changes its times.

    Attributes:
        done: Set once its task has ended.
    """

    def __init__(self, sink: Sink, rng: Random) -> None:
        self.done = trio.Event()
        self._sink = sink
        self._rng = rng
        self._queue: deque[wsguard.Notification] = deque()
        self._figures = SinkFigures(name=sink.name)
        self._news = trio.Event()
        self._is_busy = False
        self._is_overflowing = False
        self._is_ending = False

    @property
    def grouping(self) -> wsguard.Grouping | None:
        """Its own grouping; ``None`` if it has none."""
        return self._sink.policy.grouping

    @property
    def figures(self) -> SinkFigures:
        """How the sink fares now."""
        return attrs.evolve(self._figures, queued=len(self._queue) + self._is_busy)

    def push(self, notification: wsguard.Notification) -> None:
        """Add a notification; never waits."""
        if len(self._queue) == self._sink.policy.max_queue:
            self._queue.popleft()
            self._drop(1)
            if not self._is_overflowing:  # once, and not for each: that would be a flood
                self._log("its queue is full, the oldest notifications are dropped")
            self._is_overflowing = True
        self._queue.append(notification)
        self._news.set()

    def finish(self) -> None:
        """Let the task end once the queue is empty."""
        self._is_ending = True
        self._news.set()

    async def run(self) -> None:
        """Hand on what comes, until finished or cancelled."""
        try:
            while True:
                while self._queue:
                    await self._deliver(self._queue.popleft())
                self._is_overflowing = False
                if self._is_ending:
                    return
                self._news = trio.Event()
                await self._news.wait()
        finally:
            self._give_up()
            self.done.set()

    async def _deliver(self, notification: wsguard.Notification) -> None:
        self._is_busy, attempt = True, 0
        while True:
            attempt += 1
            error = await self._try(notification)
            if error is None:
                self._figures = attrs.evolve(self._figures, sent=self._figures.sent + 1)
                break
            delay = self._sink.policy.delay(attempt, error, self._rng)
            if delay is None:
                self._fail(notification, error, attempt)
                break
            self._figures = attrs.evolve(self._figures, retries=self._figures.retries + 1)
            await trio.sleep(delay)
        self._is_busy = False

    async def _try(self, notification: wsguard.Notification) -> Exception | None:
        timeout = self._sink.policy.timeout
        try:
            with trio.move_on_after(math.inf if timeout is None else timeout) as scope:
                await self._sink.send(notification)
        except wsguard.InternalError:
            raise
        except Exception as exc:  # noqa: BLE001 - a sink's own: counted, shown and logged
            return exc
        return SinkError(f"nothing within {timeout:g} s") if scope.cancelled_caught else None

    # --- what becomes of it ------------------------------------------------------

    def _drop(self, count: int) -> None:
        self._figures = attrs.evolve(self._figures, dropped=self._figures.dropped + count)

    def _fail(self, notification: wsguard.Notification, error: Exception, attempts: int) -> None:
        failure = SinkFailure(
            sink=self._sink.name,
            notification=notification,
            error=error,
            attempts=attempts,
            at=trio.current_time(),
            time=time.time(),
        )
        failed = self._figures.failed + 1
        self._figures = attrs.evolve(self._figures, failed=failed, last_failure=failure)
        # What no sink of ours said is a bug in somebody's: where it is, the traceback tells.
        trace = None if isinstance(error, SinkError) else error
        fields = {"wsguard_sink": failure.sink, "wsguard_attempts": attempts}
        _LOGGER.error("%s", failure.message, exc_info=trace, extra=fields)

    def _give_up(self) -> None:
        left = self.figures.queued
        if left:
            self._drop(left)
            many = "s" if left > 1 else ""
            self._log(f"the notifier ended before {left} notification{many} could be delivered")
        self._queue.clear()
        self._is_busy = False

    def _log(self, what: str) -> None:
        fields = {"wsguard_sink": self._sink.name, "wsguard_dropped": self._figures.dropped}
        _LOGGER.error("%s: %s", self._sink.name, what, extra=fields)
