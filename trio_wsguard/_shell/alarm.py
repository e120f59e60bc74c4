"""A timer that can be set anew while a task sleeps on it."""

from __future__ import annotations

import trio


def _wake_at_once(_: object) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.SUCCEEDED


class Alarm:
    """One timer for one sleeper."""

    def __init__(self) -> None:
        self._scope: trio.CancelScope | None = None
        self._armed_at = 0.0

    async def wait_until(self, deadline: float) -> float:
        """Sleep until a deadline, in monotonic seconds.

        Returns:
            Seconds by which it woke late; a deadline that had passed when it
            was set counts from its setting.
        """
        self._armed_at = trio.current_time()
        with trio.CancelScope(deadline=deadline) as self._scope:
            # As `trio.sleep_forever`, with two frames less to keep for as long.
            await trio.lowlevel.wait_task_rescheduled(_wake_at_once)
        late = trio.current_time() - max(self._armed_at, self._scope.deadline)
        self._scope = None
        return late

    def move(self, deadline: float) -> None:
        """Set a new deadline, if someone sleeps."""
        if self._scope is not None and deadline != self._scope.deadline:
            self._scope.deadline = deadline
            self._armed_at = trio.current_time()

    def move_up(self, deadline: float) -> None:
        """Set a new deadline, if it is earlier."""
        if self._scope is not None and deadline < self._scope.deadline:
            self.move(deadline)
