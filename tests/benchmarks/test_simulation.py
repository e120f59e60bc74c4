"""Simulated lives: with their beats, in less than their time."""

from __future__ import annotations

import pytest

from benchmarks import simulation
from benchmarks.framework import Context
from benchmarks.peers import BARE, FAST, GUARD
from benchmarks.simulation import SIMULATION, Lived, measure, run

from .doctored import is_behind_when_doctored


@pytest.mark.parametrize("peer", SIMULATION.peers)
def test_every_life_has_its_beats(peer: str) -> None:
    """Four a minute, for six minutes; the last may still be on its way."""
    lived = measure(peer, hours=0.1)
    assert lived.beats in (23, 24)
    assert lived.hours_per_second > 0


def test_a_life_without_beats_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be fast, and prove nothing."""
    monkeypatch.setattr(
        simulation, "measure", lambda peer, _hours: Lived(480 if peer == BARE else 3, 9.0)
    )
    context = Context(SIMULATION, quick=True, peers=frozenset({BARE, GUARD}))
    assert {(s.peer, s.value) for s in run(context)} == {(BARE, 9.0)}
    assert context.failed == {GUARD}


def test_a_slow_simulation_is_behind() -> None:
    """More is better here."""
    assert {claim.peer for claim in SIMULATION.claims} == {GUARD, FAST}
    for claim in SIMULATION.claims:
        assert is_behind_when_doctored(SIMULATION, claim)
