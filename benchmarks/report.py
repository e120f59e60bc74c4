"""Samples into rows, claims into verdicts, and both into JSON."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.framework import Benchmark, Claim, Context, Sample

_PACKAGES: Final = (
    "trio-wsguard",
    "trio",
    "trio-websocket",
    "wsproto",
    "attrs",
    "websockets",
    "aiohttp",
    "picows",
    "matplotlib",
)


@attrs.frozen(kw_only=True)
class Row:
    """The figures of one peer in one case.

    Attributes:
        peer: Who was measured.
        case: In which case.
        median: In the benchmark's unit.
        quartiles: The first and the third, of all rounds.
        ratio: Median of the ratios to the baseline in the same round; ``None``
            where the baseline was not measured.
        ratio_range: The least and the greatest of those.
    """

    peer: str
    case: str
    median: float
    quartiles: tuple[float, float]
    ratio: float | None
    ratio_range: tuple[float, float] | None


@attrs.frozen(kw_only=True)
class Verdict:
    """What became of a claim.

    Attributes:
        claim: As it was made.
        reached: What was reached; ``None`` if there is no figure.
        word: ``kept``, ``behind`` or ``not measured``. A peer that failed is behind.
        is_clear: Whether the middle half of the rounds all say the same.
    """

    claim: Claim
    reached: float | None
    word: str
    is_clear: bool


@attrs.frozen(kw_only=True)
class Result:
    """All that one run of a benchmark gave.

    Attributes:
        benchmark: What was run.
        is_quick: Whether it was a smoke test.
        samples: Every measurement.
        rows: Their summary, by case and peer.
        verdicts: One for each claim.
        notes: Lines for the reader.
        skipped: Peers left out, and what they need.
    """

    benchmark: Benchmark
    is_quick: bool
    samples: tuple[Sample, ...]
    rows: tuple[Row, ...]
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]
    skipped: dict[str, str]


def conclude(benchmark: Benchmark, context: Context, samples: Sequence[Sample]) -> Result:
    """Put what a run gave together."""
    return Result(
        benchmark=benchmark,
        is_quick=context.quick,
        samples=tuple(samples),
        rows=tuple(summarise(benchmark, samples)),
        verdicts=tuple(judge(benchmark, claim, samples, context) for claim in benchmark.claims),
        notes=tuple(context.notes),
        skipped=dict(context.skipped),
    )


def summarise(benchmark: Benchmark, samples: Sequence[Sample]) -> list[Row]:
    """Put the samples into rows: cases as they came, peers as the benchmark has them."""
    rows: list[Row] = []
    for case in dict.fromkeys(sample.case for sample in samples):
        for peer in benchmark.peers:
            figures = [s.value for s in samples if (s.peer, s.case) == (peer, case)]
            if not figures:
                continue
            ratios = ratios_of(samples, peer, case, benchmark.baseline)
            rows.append(
                Row(
                    peer=peer,
                    case=case,
                    median=median(figures),
                    quartiles=_quartiles(figures),
                    ratio=median(ratios) if ratios else None,
                    ratio_range=(min(ratios), max(ratios)) if ratios else None,
                )
            )
    return rows


def ratios_of(samples: Sequence[Sample], peer: str, case: str, against: str) -> list[float]:
    """Give a peer's ratios to another, of the rounds in which both were measured."""
    other = {s.round: s.value for s in samples if (s.peer, s.case) == (against, case)}
    return [
        sample.value / other[sample.round]
        for sample in samples
        if (sample.peer, sample.case) == (peer, case) and other.get(sample.round)
    ]


def judge(
    benchmark: Benchmark, claim: Claim, samples: Sequence[Sample], context: Context
) -> Verdict:
    """Tell what became of a claim."""
    if claim.against is None:
        figures = [s.value for s in samples if (s.peer, s.case) == (claim.peer, claim.case)]
    else:
        figures = ratios_of(samples, claim.peer, claim.case, claim.against)
    if claim.peer in context.failed:
        return Verdict(claim=claim, reached=None, word="behind", is_clear=True)
    if not figures:
        return Verdict(claim=claim, reached=None, word="not measured", is_clear=True)

    def is_kept(figure: float) -> bool:
        return figure <= claim.bound if benchmark.lower_is_better else figure >= claim.bound

    reached, spread = median(figures), _quartiles(figures)
    return Verdict(
        claim=claim,
        reached=reached,
        word="kept" if is_kept(reached) else "behind",
        is_clear=is_kept(spread[0]) == is_kept(spread[1]),
    )


def _quartiles(figures: Sequence[float]) -> tuple[float, float]:
    if len(figures) == 1:
        return figures[0], figures[0]
    low, _, high = quantiles(figures, n=4, method="inclusive")
    return low, high


def conditions() -> dict[str, Any]:
    """Tell what is measured where: the machine, its load, and the versions."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def write_json(path: Path, machine: dict[str, Any], seconds: float, result: Result) -> None:
    """Write everything that was measured.

    Args:
        path: The file; its folder is made.
        machine: What `conditions` told before the run.
        seconds: How long the run took.
        result: What it gave.
    """
    benchmark = result.benchmark
    content = {
        "benchmark": benchmark.name,
        "claim": benchmark.claim,
        "unit": benchmark.unit,
        "lower_is_better": benchmark.lower_is_better,
        "baseline": benchmark.baseline,
        "floor": benchmark.floor,
        "quick": result.is_quick,
        "command": ["python", "-m", "benchmarks", *sys.argv[1:]],
        "seconds": round(seconds, 1),
        **machine,
        "verdicts": [attrs.asdict(verdict) for verdict in result.verdicts],
        "notes": result.notes,
        "skipped": result.skipped,
        "summary": [attrs.asdict(row) for row in result.rows],
        "samples": [attrs.asdict(sample) for sample in result.samples],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
