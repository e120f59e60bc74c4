"""Who may dial when: the connects of many members, paced for each endpoint.

An endpoint has a line of members that want to connect (`trio_wsguard._core.line`),
slots for those that are connecting, a pacer (`trio_wsguard._core.pace`) and a
circuit breaker (`trio_wsguard._core.breaker`). The first in line may go if there is
a slot, the pacer's time has come, and the breaker is closed or a probe is due.

A ticket is what a member holds from joining the line until it has connected,
failed or given up. However it ends, its slot is free at once: `leave` is safe at
any moment, so one `finally` is enough for whoever can be cancelled.

When an endpoint that was down answers, those in line go one after the other, a
part of the pacer's interval at random later than they could. The draw is taken
out of the burst that the pacer allows and not added to the interval, so that it
costs no rate: with a burst of two or more, n members are let go in the time that
the rate dictates. It keeps many fleets, each with a probe of its own, out of step.
"""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING, Any, Final

import attrs

from trio_wsguard._core import checks
from trio_wsguard._core.backoff import Backoff, ExponentialBackoff, JitteredBackoff
from trio_wsguard._core.breaker import Breaker
from trio_wsguard._core.line import Line
from trio_wsguard._core.pace import Pacer, SendRate
from trio_wsguard._errors import InternalError, PolicyError

if TYPE_CHECKING:
    from random import Random

    from trio_wsguard._core.line import Place

Address = tuple[str, int]

_SWEEP_FROM: Final = 64  # endpoints; fewer are not worth a look
_REMEMBERED: Final = 3600.0  # seconds that failures count of an endpoint nobody dials


def _as_backoff(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, Backoff):
        raise PolicyError(attribute.name, value, "must be a backoff: an object with delay and cap")


@attrs.frozen(kw_only=True)
class ConnectPolicy:
    """How the members of a fleet connect to one endpoint (a host and a port).

    Args:
        max_connecting: Handshakes at once.
        connect_rate: Connects a second, in the long run.
        burst: Connects that may go at once after a rest.
        head_start: Seconds of waiting that one step of priority is worth.
        failure_limit: Different members failing in a row, after which one
            probes for all.
        probe_backoff: The delays between probes.
        release_jitter: The part of the time between two connects, 0 to 1, by
            which each is delayed at random after an endpoint has come back.
            With a `burst` of 1 the release is slower by half of it.
        max_retry_after: The longest wait, in seconds, that a server can ask for
            by Retry-After.
    """

    max_connecting: int = attrs.field(default=50, validator=checks.count)
    connect_rate: float = attrs.field(default=100, validator=checks.positive)
    burst: int = attrs.field(default=20, validator=checks.count)
    head_start: float = attrs.field(default=30, validator=checks.not_negative)
    failure_limit: int = attrs.field(default=3, validator=checks.count)
    probe_backoff: Backoff = attrs.field(
        default=JitteredBackoff(ExponentialBackoff(initial=0.5, cap=10), "equal"),
        validator=_as_backoff,
    )
    release_jitter: float = attrs.field(default=0.3, validator=checks.not_negative)
    max_retry_after: float = attrs.field(default=300, validator=checks.not_negative)

    def __attrs_post_init__(self) -> None:
        if self.release_jitter > 1:
            raise PolicyError("release_jitter", self.release_jitter, "must not be above 1")


class TicketState(enum.Enum):
    """Where a member stands that wants to connect."""

    WAITING = "waiting"
    CONNECTING = "connecting"
    OVER = "over"


@attrs.define(eq=False)
class Ticket:
    """What a member holds while it wants to connect.

    Attributes:
        address: The endpoint.
        member: The member's name.
        state: Where it stands.
        is_probe: Whether it dials for all.
    """

    address: Address
    member: str
    state: TicketState = TicketState.WAITING
    is_probe: bool = False
    place: Place | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class EndpointChange:
    """An endpoint went down for the fleet, or came back.

    Attributes:
        address: Host and port.
        is_down: Which of the two.
        failing: The members whose failures told it; empty when it came back.
        at: When, in monotonic seconds.
    """

    address: Address
    is_down: bool
    failing: tuple[str, ...]
    at: float


@attrs.frozen(kw_only=True)
class EndpointFigures:
    """How an endpoint stands at one moment.

    Attributes:
        address: Host and port.
        waiting: Members in line.
        connecting: Members connecting.
        is_down: Whether one probes for all.
        probes_failed: In a row, since it went down.
        times_down: How often it went down.
    """

    address: Address
    waiting: int
    connecting: int
    is_down: bool
    probes_failed: int
    times_down: int


class Endpoint:
    """The line, the slots, the pacer and the breaker of one endpoint.

    Args:
        address: Host and port.
        policy: The settings.
    """

    def __init__(self, address: Address, policy: ConnectPolicy) -> None:
        self._address = address
        self._policy = policy
        self._line: Line[Ticket] = Line(policy.head_start)
        self._connecting: set[Ticket] = set()
        self._pacer = Pacer(SendRate(rate=policy.connect_rate, burst=policy.burst))
        self._breaker = Breaker(policy.failure_limit, policy.probe_backoff, policy.max_retry_after)
        self._probe: Ticket | None = None
        self._release_at: float | None = None  # while those in line are released
        self._failed_at = -math.inf
        self._changes: list[EndpointChange] = []

    def figures(self) -> EndpointFigures:
        """Freeze all figures."""
        return EndpointFigures(
            address=self._address,
            waiting=len(self._line),
            connecting=len(self._connecting),
            is_down=self._breaker.is_open,
            probes_failed=self._breaker.probes_failed,
            times_down=self._breaker.opened,
        )

    def is_at_rest(self, now: float) -> bool:
        """Tell whether nothing would be lost if it were forgotten."""
        if self._line or self._connecting or self._changes:
            return False
        rested_at = self._pacer.ready_at() + (self._policy.burst - 1) / self._policy.connect_rate
        if self._breaker.failing:
            rested_at = max(rested_at, self._failed_at + _REMEMBERED)
        return now >= rested_at

    def take_changes(self) -> list[EndpointChange]:
        """Tell how it went down and came back since this was last asked."""
        changes, self._changes = self._changes, []
        return changes

    # --- the line --------------------------------------------------------------

    def join(self, now: float, member: str, priority: int = 0) -> Ticket:
        """Let a member wait for its turn; `tick` gives it."""
        ticket = Ticket(self._address, member)
        ticket.place = self._line.join(now, ticket, priority)
        return ticket

    def next_deadline(self) -> float:
        """Tell when to call `tick`, in monotonic seconds; infinite while nobody can go."""
        if not self._line or len(self._connecting) >= self._policy.max_connecting:
            return math.inf
        ready_at = self._pacer.ready_at()
        if self._breaker.is_open:
            return max(ready_at, self._breaker.probe_at) if self._probe is None else math.inf
        return ready_at if self._release_at is None else max(ready_at, self._release_at)

    def tick(self, now: float, rng: Random) -> list[Ticket]:
        """Let those go whose turn has come; called too early it does nothing."""
        going: list[Ticket] = []
        while now >= self.next_deadline() and self._pacer.take(now):
            ticket = self._line.serve()
            ticket.place, ticket.state = None, TicketState.CONNECTING
            ticket.is_probe = self._breaker.is_open
            if ticket.is_probe:
                self._probe = ticket
            self._connecting.add(ticket)
            going.append(ticket)
            if self._release_at is not None:
                self._release_at = self._draw_release(now, rng) if self._line else None
        return going

    def _draw_release(self, now: float, rng: Random) -> float:
        longest = self._policy.release_jitter / self._policy.connect_rate
        return max(now, self._pacer.ready_at()) + rng.uniform(0.0, longest)

    # --- what became of those that went ------------------------------------------

    def answered(self, now: float, ticket: Ticket, rng: Random) -> None:
        """Note that the server answered, be it by a refusal: it is there."""
        self._end(ticket)
        if self._breaker.answered():
            self._probe = None  # whoever dials for all now does it for itself
            self._release_at = self._draw_release(now, rng)
            self._tell(now, is_down=False)

    def failed(self, now: float, ticket: Ticket, rng: Random, retry_after: float = 0.0) -> None:
        """Note that it found no server, or one in distress.

        Args:
            now: Monotonic seconds.
            ticket: Whose attempt it was.
            rng: Where jitter is drawn from.
            retry_after: Seconds the server asked for, if it did.
        """
        was_probe = self._probe is ticket
        self._failed_at = now
        self._end(ticket)
        if was_probe:
            self._breaker.probe_failed(now, rng, retry_after)
        elif self._breaker.failed(now, ticket.member, rng, retry_after):
            self._tell(now, is_down=True)

    def leave(self, ticket: Ticket) -> None:
        """Give a ticket up, waiting or connecting; nothing if it is over.

        It says nothing about the server. A probe given up is another's to make.
        """
        if ticket.state is not TicketState.OVER:
            self._end(ticket)

    def lost(self, now: float, member: str) -> None:
        """Note that a member lost a connection that was ready."""
        self._failed_at = now
        if self._breaker.lost(now, member):
            self._tell(now, is_down=True)

    def forget(self, member: str) -> None:
        """Let a member that is gone count no longer."""
        self._breaker.forget(member)

    def _end(self, ticket: Ticket) -> None:
        if ticket.state is TicketState.OVER:
            raise InternalError("a ticket to connect was used twice")
        if ticket.place is not None:
            self._line.leave(ticket.place)
            ticket.place = None
        self._connecting.discard(ticket)
        if self._probe is ticket:
            self._probe = None
        ticket.state = TicketState.OVER

    def _tell(self, now: float, *, is_down: bool) -> None:
        if is_down:
            self._release_at = None
        change = EndpointChange(
            address=self._address, is_down=is_down, failing=self._breaker.failing, at=now
        )
        self._changes.append(change)


class Endpoints:
    """The endpoints of a fleet, each made when it is first dialled.

    One at rest is forgotten sooner or later, so that members whose URL is another
    each time do not fill the memory.

    Args:
        policy: The settings of each.
    """

    def __init__(self, policy: ConnectPolicy | None = None) -> None:
        self._policy = policy or ConnectPolicy()
        self._all: dict[Address, Endpoint] = {}
        self._sweep_at = _SWEEP_FROM

    def __len__(self) -> int:
        return len(self._all)

    def at(self, now: float, address: Address) -> Endpoint:
        """Find an endpoint, or make it."""
        endpoint = self._all.get(address)
        if endpoint is None:
            if len(self._all) >= self._sweep_at:
                self._sweep(now)
            endpoint = self._all[address] = Endpoint(address, self._policy)
        return endpoint

    def _sweep(self, now: float) -> None:
        self._all = {a: e for a, e in self._all.items() if not e.is_at_rest(now)}
        # At twice as many again: a sweep costs each endpoint a bounded share.
        self._sweep_at = max(_SWEEP_FROM, 2 * len(self._all))

    def figures(self) -> tuple[EndpointFigures, ...]:
        """Freeze the figures of all."""
        return tuple(endpoint.figures() for endpoint in self._all.values())

    def next_deadline(self) -> float:
        """Tell when to call `tick`, in monotonic seconds."""
        return min((e.next_deadline() for e in self._all.values()), default=math.inf)

    def tick(self, now: float, rng: Random) -> list[Ticket]:
        """Let those go whose turn has come, of all endpoints."""
        return [ticket for e in self._all.values() for ticket in e.tick(now, rng)]

    def take_changes(self) -> list[EndpointChange]:
        """Tell which went down and which came back since this was last asked."""
        return [change for e in self._all.values() for change in e.take_changes()]

    def forget(self, member: str) -> None:
        """Let a member that is gone count no longer, at any endpoint."""
        for endpoint in self._all.values():
            endpoint.forget(member)
