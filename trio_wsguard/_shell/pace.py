"""The line in which messages wait for their turn, where a guard has a `SendRate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_wsguard._core.pace import Pacer, SendRate
from trio_wsguard._errors import PolicyError
from trio_wsguard._shell.alarm import Alarm

if TYPE_CHECKING:
    from trio_wsguard._shell.writer import Writer


class Pace:
    """The turns of one guard; a server's limit does not end with a connection.

    Only the first in the line looks at the clock, and takes his turn when he
    begins to write: whoever gives up before that has taken nothing.

    Args:
        rate: How fast.
    """

    def __init__(self, rate: SendRate) -> None:
        self._pacer = Pacer(rate)
        self._line = trio.StrictFIFOLock()
        self._alarm = Alarm()
        self._taken_by: Writer | None = None

    async def acquire_turn(self, writer: Writer) -> None:
        """Acquire a writer when it is time; no turn is taken if its connection is over."""
        async with self._line:
            while not writer.is_over and trio.current_time() < self._pacer.ready_at():
                await self._alarm.wait_until(self._pacer.ready_at())
            await writer.acquire()
            if not writer.is_over:
                self._pacer.take(trio.current_time())
                self._taken_by = writer

    def give_back(self, writer: Writer) -> None:
        """Undo a turn, since nothing was written; nothing if another was taken since."""
        if self._taken_by is writer:
            self._taken_by = None
            self._pacer.give_back()

    def wake(self) -> None:
        """Have the first in the line look whether his connection is over."""
        self._alarm.move_up(trio.current_time())


def make_pace(rate: SendRate | None) -> Pace | None:
    """Make what a rate needs; ``None`` for none.

    Raises:
        PolicyError: It is no rate.
    """
    if rate is not None and not isinstance(rate, SendRate):
        raise PolicyError("send_rate", rate, "must be a SendRate")
    return None if rate is None else Pace(rate)
