"""One simulated TCP connection: two flows, two ends; and the dial before it."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import attrs

from trio_wsguard.testing.faults.fault import Direction
from trio_wsguard.testing.flow import Flow
from trio_wsguard.testing.segment import reset_error
from trio_wsguard.testing.stream import SimulatedStream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_wsguard.testing.segment import Clock

    Handler = Callable[[SimulatedStream], Awaitable[object]]


@attrs.define(kw_only=True)
class Dialing:
    """What a dial is about to meet; faults change it.

    Attributes:
        host: Who is dialed.
        port: At which port.
        delay: Seconds until the outcome.
        error: What the dial raises; the first one counts.
        is_blocked: Whether nothing comes back as long as the fault lasts.
        handler: Who answers in place of the host's own server; the first one counts.
        rng: Where chance is drawn from; of the fault that is asked alone.
    """

    host: str
    port: int
    delay: float = 0.0
    error: OSError | None = None
    is_blocked: bool = False
    handler: Handler | None = None
    rng: Random = attrs.field(factory=lambda: Random(0), repr=False)  # noqa: S311 - a simulation

    def answer(self, handler: Handler) -> None:
        """Put a handler in the server's place, unless one is there already."""
        if self.handler is None:
            self.handler = handler

    def fail(self, error: OSError) -> None:
        """Let the dial raise an error, unless it has one already."""
        if self.error is None:
            self.error = error


class SimulatedConnection:
    """A TCP connection between two simulated hosts.

    Args:
        number: Its number within the network, from 1.
        clock: The time, and timers.
        capacity: How many bytes fit into each direction.
        give_up_after: Seconds without an acknowledgement after which a kernel gives up.

    Attributes:
        client: The end of the host that dialed.
        server: The other.
        opened_at: When it was made, in monotonic seconds.
    """

    def __init__(self, number: int, clock: Clock, capacity: int, give_up_after: float) -> None:
        self.number = number
        self.clock = clock
        self.opened_at = clock.now
        self.up = Flow(clock, capacity, give_up_after)
        self.down = Flow(clock, capacity, give_up_after)
        self.up.reverse, self.down.reverse = self.down, self.up
        self.client = SimulatedStream(incoming=self.down, outgoing=self.up)
        self.server = SimulatedStream(incoming=self.up, outgoing=self.down)

    def flow(self, direction: Direction) -> Flow:
        """Tell the flow of one direction."""
        return self.up if direction is Direction.UP else self.down

    @property
    def is_over(self) -> bool:
        """Whether neither end is open any more."""
        return self.client.closed_at is not None and self.server.closed_at is not None

    def reset(self, *, discard: bool = False) -> None:
        """Break it for both ends at once, as a middlebox does by forging RST.

        Args:
            discard: Whether what has arrived and was not read is lost as well.
        """
        for end in (self.client, self.server):
            if discard:
                end.incoming.unread.clear()
            end.on_reset(reset_error())

    def cut(self) -> None:
        """Close it as a proxy in between does: FIN to both, RST for what they send later."""
        self.up.cut()
        self.down.cut()
