"""Many faults, each with its time: written down, or drawn for a long life."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, overload

from trio_wsguard._errors import PolicyError
from trio_wsguard.testing.faults.accept_then_close import AcceptThenClose
from trio_wsguard.testing.faults.accept_then_silent import AcceptThenSilent
from trio_wsguard.testing.faults.bandwidth import Bandwidth
from trio_wsguard.testing.faults.blackhole import Blackhole
from trio_wsguard.testing.faults.coalesce import Coalesce
from trio_wsguard.testing.faults.corrupt import Corrupt
from trio_wsguard.testing.faults.dns_failure import DnsFailure
from trio_wsguard.testing.faults.fault import Direction, Fault
from trio_wsguard.testing.faults.half_close import HalfClose
from trio_wsguard.testing.faults.half_open import HalfOpen
from trio_wsguard.testing.faults.handshake_delay import HandshakeDelay
from trio_wsguard.testing.faults.hold import Hold
from trio_wsguard.testing.faults.latency import Latency
from trio_wsguard.testing.faults.limit_data import LimitData
from trio_wsguard.testing.faults.loss import Loss
from trio_wsguard.testing.faults.nat_timeout import NatTimeout
from trio_wsguard.testing.faults.partition import Partition
from trio_wsguard.testing.faults.quota import Quota
from trio_wsguard.testing.faults.refuse import Refuse
from trio_wsguard.testing.faults.reset_peer import ResetPeer
from trio_wsguard.testing.faults.short_buffer import ShortBuffer
from trio_wsguard.testing.faults.slicer import Slicer
from trio_wsguard.testing.faults.slow_close import SlowClose
from trio_wsguard.testing.faults.stall_read import StallRead
from trio_wsguard.testing.faults.timeout import Timeout
from trio_wsguard.testing.faults.tls_failure import TlsFailure
from trio_wsguard.testing.faults.unreachable import Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from random import Random

    Draw = Callable[[Random], dict[str, Any]]


class FaultPlan(Sequence[Fault]):
    """Faults with their times; ``link.add(*plan)`` has them happen.

    Args:
        *faults: In any order; of those that begin at once, the first one meets
            a connection first.
    """

    def __init__(self, *faults: Fault) -> None:
        for fault in faults:
            if not isinstance(fault, Fault):
                raise PolicyError("faults", fault, "is no fault")
        self._faults = faults

    @property
    def quiet_from(self) -> float:
        """The second from which no fault is at work any more; ``inf`` if one never ends.

        What a fault did to a connection may outlive it: that is closed, silent,
        or has bytes on the way that TCP sends again.
        """
        return max((fault.end for fault in self._faults), default=0.0)

    @overload
    def __getitem__(self, index: int) -> Fault: ...

    @overload
    def __getitem__(self, index: slice) -> FaultPlan: ...

    def __getitem__(self, index: int | slice) -> Fault | FaultPlan:
        if isinstance(index, slice):
            return FaultPlan(*self._faults[index])
        return self._faults[index]

    def __len__(self) -> int:
        return len(self._faults)

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._faults)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FaultPlan) and self._faults == other._faults

    def __hash__(self) -> int:
        return hash(self._faults)

    def __repr__(self) -> str:
        """Show one fault a line."""
        if len(self._faults) < 2:
            return f"FaultPlan({', '.join(map(repr, self._faults))})"
        return "FaultPlan(\n" + "".join(f"    {fault!r},\n" for fault in self._faults) + ")"


def _a_direction(rng: Random) -> Direction:
    return rng.choice((Direction.UP, Direction.DOWN, Direction.BOTH))


def _nothing(_: Random) -> dict[str, Any]:
    return {}


def _which_way(rng: Random) -> dict[str, Any]:
    return {"direction": _a_direction(rng)}


def _size(low: int, high: int) -> Draw:
    return lambda rng: {"size": rng.randint(low, high), "direction": _a_direction(rng)}


def _kind(*kinds: str) -> Draw:
    return lambda rng: {"kind": rng.choice(kinds)}


def _flag(name: str) -> Draw:
    return lambda rng: {name: rng.random() < 0.5}


def _seconds(name: str, low: float, high: float, *, way: bool = False) -> Draw:
    def draw(rng: Random) -> dict[str, Any]:
        found: dict[str, Any] = {name: round(rng.uniform(low, high), 3)}
        return found | _which_way(rng) if way else found

    return draw


def _latency(rng: Random) -> dict[str, Any]:
    delay = round(rng.uniform(0.01, 3), 3)
    return {"delay": delay, "jitter": round(delay * rng.random(), 3), **_which_way(rng)}


def _slicer(rng: Random) -> dict[str, Any]:
    size = rng.randint(1, 100)
    return {"size": size, "variation": rng.randrange(size), **_which_way(rng)}


# What a random plan draws for a fault besides its time. All of them are such
# that a link is sound after them, and Corrupt alone breaks TCP's law.
_DRAWS: Final[dict[type[Fault], Draw]] = {
    AcceptThenClose: _seconds("after", 0, 2),
    AcceptThenSilent: _nothing,
    Bandwidth: lambda rng: {"rate": rng.randint(20, 10_000), **_which_way(rng)},
    Blackhole: _which_way,
    Coalesce: _seconds("window", 0.01, 2, way=True),
    DnsFailure: _kind("no_name", "temporary", "stall"),
    HalfClose: _which_way,
    HalfOpen: _nothing,
    HandshakeDelay: _seconds("delay", 0.1, 30),
    Hold: _which_way,
    Latency: _latency,
    LimitData: _size(0, 5_000),
    Loss: lambda rng: {"rate": round(rng.uniform(0.01, 0.5), 3), **_which_way(rng)},
    NatTimeout: lambda rng: {"idle": rng.randint(1, 60), "reset": rng.random() < 0.5},
    Partition: _flag("unreachable"),
    Quota: _size(0, 5_000),
    Refuse: _nothing,
    ResetPeer: _flag("discard"),
    ShortBuffer: _size(1, 1_000),
    Slicer: _slicer,
    SlowClose: _seconds("delay", 0.1, 10, way=True),
    StallRead: _which_way,
    Timeout: _seconds("after", 0, 30, way=True),
    TlsFailure: _kind("eof", "plaintext", "alert"),
    Unreachable: _kind("host", "network"),
    Corrupt: lambda rng: {"rate": round(rng.uniform(0.0001, 0.1), 4), **_which_way(rng)},
}

RECOVERABLE: Final = tuple(kind for kind in _DRAWS if kind not in (Corrupt, TlsFailure))
"""The kinds of fault that a random plan is made of."""


def random_plan(
    rng: Random,
    *,
    duration: float,
    mean_gap: float = 3600.0,
    mean_length: float = 60.0,
    kinds: Iterable[type[Fault]] = RECOVERABLE,
) -> FaultPlan:
    """Draw a plan for a long life. One state of `rng` gives one plan.

    Faults begin at random, independently of one another (a Poisson process),
    so that now and then several are at work at once. All have ended when the
    time is over.

    Args:
        rng: Where chance is drawn from.
        duration: Seconds.
        mean_gap: Seconds from one beginning to the next, on average.
        mean_length: Seconds that a fault lasts, on average.
        kinds: Classes of faults; besides `RECOVERABLE` there are `Corrupt` and
            `TlsFailure`.

    Raises:
        PolicyError: A setting is out of range, or a kind cannot be drawn.
    """
    allowed = tuple(kinds)
    for name, value in (
        ("duration", duration),
        ("mean_gap", mean_gap),
        ("mean_length", mean_length),
    ):
        if not 0 < value < math.inf:
            raise PolicyError(name, value, "must be above 0 and finite")
    for kind in allowed:
        if kind not in _DRAWS:
            raise PolicyError("kinds", kind, "cannot be drawn")
    faults: list[Fault] = []
    start = rng.expovariate(1 / mean_gap) if allowed else math.inf
    while start < duration:
        kind = rng.choice(allowed)
        end = min(start + rng.expovariate(1 / mean_length), duration)
        begun = math.floor(start * 1000) / 1000
        settings = _DRAWS[kind](rng)
        faults.append(kind(start=begun, end=max(round(end, 3), begun + 0.001), **settings))
        start += rng.expovariate(1 / mean_gap)
    return FaultPlan(*faults)
