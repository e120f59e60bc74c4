"""A day of one connection under a thousand faults: what it keeps, and what it tells."""

from __future__ import annotations

import gc
import logging
import random
import sys
import types
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import attrs
import trio

import trio_wsguard as wsguard
from trio_wsguard.testing import SimulatedNetwork, run_simulation
from trio_wsguard.testing.faults import random_plan
from trio_wsguard.testing.peer import Accept, Script, ScriptedPeer

if TYPE_CHECKING:
    import pytest

HOUR: Final = 3600.0
FAULTS: Final = 1000


@attrs.define
class Day:
    """What came of it.

    Attributes:
        sizes: Bytes that hung on the guard, every hour.
        notifications: What an operator was told, of all alerts together.
        alerts: All alerts.
        faults: How many were injected.
    """

    sizes: list[int] = attrs.field(factory=list)
    notifications: list[wsguard.Notification] = attrs.field(factory=list)
    alerts: list[wsguard.Alert] = attrs.field(factory=list)
    faults: int = 0


def held_by(ws: wsguard.GuardedWebSocket) -> int:
    """Tell how many bytes hang on a guard."""
    size, seen, found = 0, {id(ws)}, [ws]
    while found:
        thing: object = found.pop()
        size += sys.getsizeof(thing)
        for other in gc.get_referents(thing):
            if id(other) not in seen and not _is_elsewhere(other):
                seen.add(id(other))
                found.append(other)
    return size


def _is_elsewhere(thing: object) -> bool:
    """Tell whether it is the test kit's, trio's, the log's, or code."""
    if isinstance(thing, type | types.ModuleType | types.FunctionType | types.FrameType):
        return True
    return type(thing).__module__.startswith(("trio.", "trio_wsguard.testing", "logging"))


async def listen(ws: wsguard.GuardedWebSocket, day: Day, grouping: wsguard.Grouping) -> None:
    """Group the alerts, as a sink would be told them."""
    notifier = wsguard.Notifier(grouping)
    async with ws.events() as events:
        while True:
            with trio.move_on_at(notifier.next_deadline()):
                async for event in events:
                    if isinstance(event, wsguard.Alert):
                        day.alerts.append(event)
                        notifier.add(trio.current_time(), event)
                        break
                else:
                    return
            now = trio.current_time()
            day.notifications += notifier.tick(now, now)


async def live(grouping: wsguard.Grouping) -> Day:
    """Live through it."""
    day = Day()
    plan = random_plan(random.Random(3), duration=24 * HOUR, mean_gap=24 * HOUR / FAULTS)
    async with SimulatedNetwork(3) as network:
        listener = network.listen("feed.example:80", ScriptedPeer(Script(Accept())))
        network.link("feed.example").add(*plan)
        policy = wsguard.GuardPolicy(max_connection_failures=None)
        async with (
            wsguard.open_guarded_websocket(
                listener.url, policy=policy, wait=False, name="feed", dial=network.dial
            ) as ws,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(listen, ws, day, grouping)
            for _ in range(24):
                await trio.sleep(HOUR)
                day.sizes.append(held_by(ws))
            nursery.cancel_scope.cancel()
        day.faults = network.faults_injected
    return day


def test_a_day_of_a_thousand_faults_leaves_memory_flat_and_the_operator_in_peace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Memory is in the evening what it was at dawn, and no group is told out of turn."""
    caplog.set_level(logging.CRITICAL, logger="trio_wsguard")  # pytest keeps all that is logged
    grouping = wsguard.Grouping()
    day = run_simulation(live, grouping, seed=0)
    assert day.faults >= FAULTS / 2, "most of them met a connection"
    # What is held depends on the moment; the windows are full after the first hours.
    morning, evening = max(day.sizes[4:12]), max(day.sizes[16:])
    assert evening <= 1.1 * morning, day.sizes
    assert len(day.alerts) > 20
    times = [told.at for told in day.notifications]
    assert times == sorted(times)
    pauses = [two - one for one, two in pairwise(times)]
    assert min(pauses) >= grouping.group_interval
    assert len(times) <= 24 * HOUR / grouping.group_interval + 1
    assert len(times) < len(day.alerts)
