"""Claim: to measure what it guards costs a guard less than 3 % at 64-byte messages.

Beside each guard stands one whose receive task hands its messages on without
looking at them: nothing is counted, no arrival is stamped, no silence is ended.
What is in between is what the figures cost where every message pays for them;
beats, alerts and health are paid for by the second and not by the message.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

from benchmarks.framework import Benchmark, Claim, Context, Sample, take_turns
from benchmarks.peers import FAST, FAST_BATCHES, GUARD, REQUIRES
from benchmarks.throughput import receive
from trio_wsguard._shell.vitals import Vitals

if TYPE_CHECKING:
    from collections.abc import Iterator

CASE: Final = "64 B"
_BLIND: Final = " without figures"
_PAIRS: Final = {peer: peer + _BLIND for peer in (GUARD, FAST, FAST_BATCHES)}


def _hand_on(_vitals: Vitals, batch: list[Any]) -> list[Any]:
    return batch


def run(context: Context) -> Iterator[Sample]:
    """Receive as fast as it goes, with figures and without."""
    rounds, warm_up, seconds = (3, 0.03, 0.07) if context.quick else (15, 0.1, 0.3)
    with context.server() as server:

        def rate(peer: str, size: int) -> dict[str, float]:
            is_blind = peer.endswith(_BLIND)
            # Looked up once a connection, by the receive task: the patch costs nothing.
            patch = mock.patch.object(Vitals, "received", _hand_on)
            with patch if is_blind else contextlib.nullcontext():
                seen = peer.removesuffix(_BLIND)
                spent = receive(server, seen, size, warm_up=warm_up, seconds=seconds)
            return {CASE: spent.rate}

        yield from take_turns(context, (64,), rounds, rate, label=lambda _: CASE)


BENCHMARKS: Final = (
    Benchmark(
        name="figures",
        claim="To measure what it guards costs a guard less than 3 % at 64-byte messages.",
        unit="messages/s",
        lower_is_better=False,
        peers=tuple(name for pair in _PAIRS.items() for name in pair),
        baseline=GUARD,
        claims=tuple(
            Claim(peer=peer, case=CASE, bound=0.97, against=blind) for peer, blind in _PAIRS.items()
        ),
        requires={blind: REQUIRES[peer] for peer, blind in _PAIRS.items() if peer in REQUIRES}
        | dict(REQUIRES),
        run=run,
    ),
)
