"""Samples made up to lose, or to keep, a claim."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.framework import Context, Sample
from benchmarks.report import conclude

if TYPE_CHECKING:
    from benchmarks.framework import Benchmark, Claim


def verdict_of(benchmark: Benchmark, claim: Claim, value: float) -> str:
    """Tell what becomes of a claim whose peer reaches a value, and the one beside it 1."""
    samples = [
        Sample(peer=peer, case=claim.case, round=turn, value=figure)
        for turn in range(3)
        for peer, figure in ((claim.peer, value), (claim.against, 1.0))
        if peer is not None
    ]
    result = conclude(benchmark, Context(benchmark), samples)
    return next(verdict.word for verdict in result.verdicts if verdict.claim == claim)


def is_behind_when_doctored(benchmark: Benchmark, claim: Claim) -> bool:
    """Tell whether a claim is lost just beyond its bound, and kept just within it."""
    worse, better = claim.bound + 0.01, claim.bound - 0.01
    if not benchmark.lower_is_better:
        worse, better = better, worse
    words = [verdict_of(benchmark, claim, value) for value in (worse, better)]
    return words == ["behind", "kept"]
