"""10,000 members of a server that is away for 20 s, in plain Python."""

from __future__ import annotations

import pytest

from .fleet_simulation import Simulation, Story


@pytest.mark.parametrize("seed", [0, 1])
def test_a_herd_does_not_trample(seed: int) -> None:
    """No window has more than rate and burst; one probes; the rate says when all are back."""
    outcome = Simulation(Story(), seed).run()
    assert outcome.most_dials <= outcome.allowed_dials
    assert outcome.most_probing == 1
    assert outcome.most_connecting <= 100
    assert outcome.dials_while_down <= 10
    assert outcome.noticed <= 10 + 1
    assert outcome.all_back - outcome.noticed <= 1.02 * outcome.dictated


def test_a_silent_server_holds_no_slots() -> None:
    """Where dials hang instead of failing, one hangs and not as many as there are slots."""
    outcome = Simulation(Story(is_silent=True)).run()
    assert outcome.dials_while_down == 1
    assert outcome.most_dials <= outcome.allowed_dials
    assert outcome.all_back - outcome.noticed <= 1.02 * outcome.dictated
