"""Cancelling in a backoff: everything has ended, whoever is told."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from benchmarks import cancel_latency
from benchmarks.cancel_latency import CANCEL_LATENCY, FLAGGED, POLICY, measure, run
from benchmarks.framework import Context
from benchmarks.peers import FAST, GUARD
from benchmarks.reconnect_latency import silence
from trio_wsguard import FailureKind

from .doctored import is_behind_when_doctored

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def url() -> Iterator[str]:
    """A port where nobody listens."""
    silence()
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        yield f"ws://127.0.0.1:{unheard.getsockname()[1]}/"


@pytest.mark.parametrize("peer", CANCEL_LATENCY.peers)
def test_every_client_waits_and_ends(peer: str, url: str) -> None:
    """Told in its backoff, it ends, and no task of it is left (which is asserted within)."""
    assert 0 < measure(peer, url, [0.01]) < 10_000


def test_the_documents_loop_looks_at_its_flag_once_a_second(url: str) -> None:
    """Told a tenth of a second after it looked, it needs the rest; never less."""
    assert measure(FLAGGED, url, [0.1]) > 500


def test_the_backoff_is_of_60_seconds() -> None:
    """Nothing ends it by itself."""
    assert {POLICY.backoff.delay(kind, 1) for kind in FailureKind} == {60.0}


def test_a_run_gives_a_sample_for_each_peer_and_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """The moments of the telling are spread evenly over a second."""
    told: list[list[float]] = []

    def measured(_peer: str, _url: str, moments: list[float]) -> float:
        told.append(moments)
        return 1.0

    monkeypatch.setattr(cancel_latency, "measure", measured)
    context = Context(CANCEL_LATENCY, quick=True, peers=frozenset({GUARD, FAST}))
    assert [(s.peer, s.case, s.round, s.value) for s in run(context)] == [
        (GUARD, cancel_latency.CASE, 0, 1.0),
        (FAST, cancel_latency.CASE, 0, 1.0),
    ]
    assert told == [[0.25, 0.75]] * 2


def test_a_slow_end_is_behind() -> None:
    """A millisecond is claimed, as it stands."""
    assert len(CANCEL_LATENCY.claims) == 3
    for claim in CANCEL_LATENCY.claims:
        assert is_behind_when_doctored(CANCEL_LATENCY, claim)
        assert (claim.bound, claim.against) == (1.0, None)
