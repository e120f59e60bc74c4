"""What figures cost the hot path."""

from __future__ import annotations

from benchmarks.figures import BENCHMARKS, CASE
from benchmarks.framework import Context
from benchmarks.peers import GUARD
from trio_wsguard._shell.vitals import Vitals

from .doctored import is_behind_when_doctored

(FIGURES,) = BENCHMARKS


def test_both_receive_and_nothing_stays_patched() -> None:
    """A guard that looks at its messages and one that does not both receive them."""
    received = Vitals.received
    wanted = frozenset({GUARD, f"{GUARD} without figures"})
    samples = list(FIGURES.run(Context(FIGURES, quick=True, peers=wanted)))
    assert {sample.peer for sample in samples} == wanted
    assert all(sample.value > 0 and sample.case == CASE for sample in samples)
    assert Vitals.received is received


def test_dear_figures_are_behind() -> None:
    """Each claim can be lost."""
    assert len(FIGURES.claims) == 3
    for claim in FIGURES.claims:
        assert is_behind_when_doctored(FIGURES, claim)
