"""A herd's return: the simulated one, and that it can be had for real."""

from __future__ import annotations

import random

import pytest
import trio

from benchmarks import herd
from benchmarks.framework import Context, serve
from benchmarks.herd import (
    CENTRIFUGE,
    DOCUMENTED,
    FLEET,
    HALF,
    HERD,
    HERD_DIALS,
    LOW_LATENCY,
    MOST,
    POLICIES,
    WEBSOCKETS,
    CentrifugeDelays,
    Herd,
    Outcome,
    Story,
    WebsocketsDelays,
    meet,
    simulate,
)
from trio_wsguard import Backoff
from trio_wsguard.testing import run_simulation

from .doctored import is_behind_when_doctored


def test_the_documents_delays_bring_all_back_at_once() -> None:
    """Lost at 0, refused at 3 s and at 23 s, they all dial at 53 s: 23 s after the server."""
    outcome = simulate(Story(DOCUMENTED, clients=20, down=30.0))
    assert outcome.most_dials == 20
    assert outcome.half == outcome.most == pytest.approx(23.0)


@pytest.mark.parametrize("policy", [LOW_LATENCY, FLEET])
def test_jitter_brings_them_back_one_by_one(policy: str) -> None:
    """Within the cap of the delays, and not in one slice."""
    outcome = simulate(Story(policy, clients=40, down=30.0))
    assert outcome.most_dials < 20
    assert 0 < outcome.half < outcome.most <= 61


def test_one_seed_gives_one_outcome() -> None:
    """Not from the cache: simulated twice."""
    story = Story(FLEET, clients=10, down=5.0)
    first, again, other = (simulate.__wrapped__(story, seed) for seed in (1, 1, 2))
    assert first == again != other


def test_those_who_never_return_have_the_patience() -> None:
    """Half are back, the others not in time."""

    async def main() -> Outcome:
        one = Herd(Story(FLEET, clients=2, down=0.0))
        one.note_back()
        return one.outcome(trio.current_time())

    assert run_simulation(main) == Outcome(most_dials=0, half=0.0, most=herd.PATIENCE)


@pytest.mark.parametrize("backoff", [WebsocketsDelays(), CentrifugeDelays()])
def test_the_delays_of_others_are_backoffs(backoff: Backoff) -> None:
    """Within their caps, from 1 failure to very many."""
    assert isinstance(backoff, Backoff)
    rng = random.Random(0)
    for failures in (1, 2, 5, 10, 1000):
        for _ in range(20):
            assert 0 <= backoff.delay(failures, rng) <= backoff.cap


def test_a_herd_on_loopback_is_cut_and_comes_back() -> None:
    """The clients are a process of their own, the server another."""
    with serve() as server:
        outcome = meet(server, Story(LOW_LATENCY, clients=5, down=0.2, spread=0.1, settle=0.1))
    assert outcome.most_dials >= 1
    assert 0 < outcome.half <= outcome.most < herd.PATIENCE


def test_clients_that_fail_are_no_figure() -> None:
    """A policy that is not there ends their process."""
    with serve() as server, pytest.raises(RuntimeError):
        meet(server, Story("no such policy", clients=1, down=0.1))


def test_runs_give_times_and_dials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both from the same simulations."""
    monkeypatch.setattr(herd, "simulate", lambda _story, _seed: Outcome(7, 1.0, 2.0))
    context = Context(HERD, quick=True, peers=frozenset({FLEET}))
    case = "simulated 100, 30 s down"
    assert [(s.peer, s.case, s.value) for s in herd.run(context)] == [
        (FLEET, f"{case}, {HALF}", 1.0),
        (FLEET, f"{case}, {MOST}", 2.0),
    ]
    context = Context(HERD_DIALS, quick=True, peers=frozenset({FLEET}))
    assert [(s.case, s.value) for s in herd.run_dials(context)] == [(case, 7.0)]


def test_a_herd_that_tramples_is_behind() -> None:
    """And one that stays away as well."""
    for benchmark in (HERD, HERD_DIALS):
        assert benchmark.claims
        for claim in benchmark.claims:
            assert is_behind_when_doctored(benchmark, claim)
    assert set(POLICIES) == {DOCUMENTED, LOW_LATENCY, FLEET, WEBSOCKETS, CENTRIFUGE}
