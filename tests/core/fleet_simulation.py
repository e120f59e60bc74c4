"""A fleet and one server in plain Python: it goes away, and comes back.

No sockets, no tasks: a list of what happens when, and the core's own decisions.
`python -m tests.core.fleet_simulation` tells the figures of 10,000 members.
"""

from __future__ import annotations

import bisect
import heapq
import itertools
import math
import random
from functools import partial
from typing import TYPE_CHECKING, Final

import attrs

from trio_wsguard._core.endpoints import ConnectPolicy, Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_wsguard._core.endpoints import Ticket

ADDRESS: Final = ("feed.example", 443)
SLICE: Final = 0.1  # seconds in which dials are counted


@attrs.frozen(kw_only=True)
class Story:
    """What happens.

    Attributes:
        members: How many.
        down: Seconds that the server is away.
        is_silent: Whether dials meet no answer meanwhile, and not a refusal.
        handshake: Seconds that one takes, at the least.
        open_timeout: Seconds after which a dial without an answer fails.
        backoff: Seconds that a member waits of its own after a loss or a failure.
        policy: Of the connects.
    """

    members: int = 10_000
    down: float = 20.0
    is_silent: bool = False
    handshake: float = 0.05
    open_timeout: float = 20.0
    backoff: float = 3.0
    policy: ConnectPolicy = attrs.field(
        factory=lambda: ConnectPolicy(max_connecting=100, connect_rate=500, burst=50)
    )


@attrs.frozen(kw_only=True)
class Outcome:
    """What came of it; times are seconds since the server was back.

    Attributes:
        dials_while_down: How many met no server.
        most_probing: At once, after the endpoint was known to be down.
        most_connecting: Handshakes at once.
        most_dials: In the worst tenth of a second.
        allowed_dials: What rate and burst allow in one.
        noticed: Until the first member was back.
        all_back: Until the last was.
        dictated: What rate and burst dictate for so many.
    """

    dials_while_down: int
    most_probing: int
    most_connecting: int
    most_dials: int
    allowed_dials: float
    noticed: float
    all_back: float
    dictated: float


class Simulation:
    """The server, the members, and what is counted of them."""

    def __init__(self, story: Story, seed: int = 0) -> None:
        self._story = story
        self._rng = random.Random(seed)
        self._endpoint = Endpoint(ADDRESS, story.policy)
        self._agenda: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()
        self._resting: dict[str, None] = {}
        self._dials: list[tuple[float, bool]] = []
        self._back: list[float] = []
        self._now = 0.0
        self._connecting = self._most_connecting = 0
        self._probing = self._most_probing = 0

    def _at(self, when: float, what: Callable[[float], None]) -> None:
        heapq.heappush(self._agenda, (when, next(self._order), what))

    def run(self) -> Outcome:
        """Live through the story; the server goes away at 0."""
        for number in range(self._story.members):
            self._at(self._rng.uniform(0, 0.2), partial(self._lose, str(number)))
        while len(self._back) < self._story.members:
            deadline = self._endpoint.next_deadline()
            if not self._agenda or deadline <= self._agenda[0][0]:
                self._tick(max(deadline, self._now))
            else:
                self._now, _, what = heapq.heappop(self._agenda)
                what(self._now)
        return self._outcome()

    def _tick(self, now: float) -> None:
        self._now = now
        for ticket in self._endpoint.tick(now, self._rng):
            self._dial(now, ticket)

    def _lose(self, member: str, now: float) -> None:
        self._endpoint.lost(now, member)
        self._rest(now, member)

    def _rest(self, now: float, member: str) -> None:
        self._resting[member] = None
        delay = self._story.backoff * self._rng.uniform(0.5, 1)
        self._at(now + delay, lambda now: self._join(now, member))

    def _join(self, now: float, member: str) -> None:
        if member in self._resting:  # or else it was woken before
            del self._resting[member]
            self._endpoint.join(now, member)

    def _dial(self, now: float, ticket: Ticket) -> None:
        story = self._story
        self._dials.append((now, now < story.down))
        self._connecting += 1
        self._most_connecting = max(self._most_connecting, self._connecting)
        self._probing += ticket.is_probe
        self._most_probing = max(self._most_probing, self._probing)
        if now >= story.down:
            took = story.handshake * self._rng.uniform(1, 2)
        else:
            took = story.open_timeout if story.is_silent else 0.002
        self._at(now + took, lambda at: self._end(at, ticket, is_up=now >= story.down))

    def _end(self, now: float, ticket: Ticket, *, is_up: bool) -> None:
        self._connecting -= 1
        self._probing -= ticket.is_probe
        if is_up:
            self._back.append(now)
            self._endpoint.answered(now, ticket, self._rng)
        else:
            self._endpoint.failed(now, ticket, self._rng)
            self._rest(now, ticket.member)
        for change in self._endpoint.take_changes():
            if not change.is_down:  # as `reconnect_now()` for all that wait of their own
                for member in list(self._resting):
                    self._join(now, member)

    def _outcome(self) -> Outcome:
        story, policy = self._story, self._story.policy
        times = [at for at, _ in self._dials]
        most = max(bisect.bisect_left(times, at + SLICE) - first for first, at in enumerate(times))
        return Outcome(
            dials_while_down=sum(is_lost for _, is_lost in self._dials),
            most_probing=self._most_probing,
            most_connecting=self._most_connecting,
            most_dials=most,
            allowed_dials=policy.burst + SLICE * policy.connect_rate,
            noticed=min(self._back) - story.down,
            all_back=max(self._back) - story.down,
            dictated=math.ceil(story.members - policy.burst) / policy.connect_rate,
        )


def main() -> None:
    """Tell the figures."""
    for is_silent in (False, True):
        print("silent" if is_silent else "refusing", Simulation(Story(is_silent=is_silent)).run())  # noqa: T201


if __name__ == "__main__":
    main()
