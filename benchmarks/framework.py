"""What every benchmark is made of: a claim, peers that take turns, and samples.

A benchmark is a claim that can be lost. Its peers take turns within each round
and each time begin with another, since a machine's noise comes in waves that
last longer than one measurement: a round's peers share it, and what counts is
the ratio to the baseline *of the same round*. The report takes medians of those.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

_Case = TypeVar("_Case")

PATIENCE: Final = 15.0  # seconds beyond the measurement, after which a peer counts as hung


@attrs.frozen(kw_only=True)
class Sample:
    """One measurement.

    Attributes:
        peer: Who was measured.
        case: Under which circumstances, as in ``64 B``.
        round: Which turn of the run it was, from 0.
        value: In the benchmark's unit.
    """

    peer: str
    case: str
    round: int
    value: float


@attrs.frozen(kw_only=True)
class Claim:
    """What must be reached.

    Attributes:
        peer: Who must reach it.
        case: In which case.
        bound: The least value that keeps it, or the greatest where lower is better.
        against: The peer whose ratio is meant: the median of the ratios within a
            round. ``None`` for the median itself, in the benchmark's unit.
    """

    peer: str
    case: str
    bound: float
    against: str | None = None


@attrs.frozen(kw_only=True)
class Benchmark:
    """A claim, and how it is measured.

    Attributes:
        name: What the command line calls it.
        claim: One sentence.
        unit: Of the samples: ``messages/s``, ``ms``, ``KiB``.
        lower_is_better: Whether less is better.
        peers: Everyone it can measure, in the order of the table.
        baseline: The peer to which the table's ratios are.
        floor: The peer that shows what the machine itself allows: a line in the
            picture; ``None`` for none.
        claims: What must be reached.
        requires: The distribution that a peer needs beyond the package's own.
        run: Measures, for everyone of `Context.wanted`.
    """

    name: str
    claim: str
    unit: str
    lower_is_better: bool
    peers: tuple[str, ...]
    baseline: str
    floor: str | None = None
    claims: tuple[Claim, ...] = ()
    requires: Mapping[str, str] = attrs.field(factory=dict)
    run: Callable[[Context], Iterable[Sample]] = attrs.field(repr=False)


def is_ours(peer: str) -> bool:
    """Tell whether a peer is this library."""
    return "guard" in peer


class Context:
    """What one run of a benchmark is given, and what it leaves besides samples.

    Args:
        benchmark: What is run.
        quick: Whether a smoke test will do, instead of figures to rely on.
        peers: Whom to measure; ``None`` for everyone.
        progress: Told the share that is done, from 0 to 1, and what comes next.

    Attributes:
        quick: As given.
        progress: As given.
        wanted: The peers to measure, in order: asked for, and installed.
        notes: Lines for the reader of the table.
        skipped: Peers left out since something is not installed, and what that is.
        failed: Peers of which a measurement raised or hung.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        *,
        quick: bool = False,
        peers: frozenset[str] | None = None,
        progress: Callable[[float, str], None] = lambda _share, _text: None,
    ) -> None:
        self.quick = quick
        self.progress = progress
        self.notes: list[str] = []
        self.skipped: dict[str, str] = {}
        self.failed: set[str] = set()
        asked = [peer for peer in benchmark.peers if peers is None or peer in peers]
        for peer in asked:
            needed = benchmark.requires.get(peer)
            if needed is not None and not is_installed(needed):
                self.skipped[peer] = needed
        self.wanted = tuple(peer for peer in asked if peer not in self.skipped)

    def server(self, *arguments: str) -> contextlib.AbstractContextManager[Server]:
        """Run the benchmarks' server in a process of its own; see `serve`."""
        return serve(*arguments)

    def fail(self, peer: str, case: object, error: BaseException) -> None:
        """Put down that a measurement gave no figure: a claim of this peer is not kept."""
        self.failed.add(peer)
        text = " ".join(f"{type(error).__name__}: {error}".split())
        self.notes.append(f"failed: {peer}, {case}: {text[:200]}")


def is_installed(distribution: str) -> bool:
    """Tell whether what a peer needs is there (modules are named like their distributions)."""
    return importlib.util.find_spec(distribution) is not None


def order_of_turn(names: Sequence[str], turn: int) -> list[str]:
    """Tell who is measured when in a round: each round begins with another."""
    first = turn % len(names) if names else 0
    return [*names[first:], *names[:first]]


def take_turns(
    context: Context,
    cases: Sequence[_Case],
    rounds: int,
    measure: Callable[[str, _Case], Mapping[str, float]],
    *,
    label: Callable[[_Case], str] = str,
) -> Iterator[Sample]:
    """Measure every peer in every case, in turns.

    A peer that raises gives no sample and is reported; the others go on.

    Args:
        context: Whom to measure; told of progress and failures.
        cases: What to measure them with.
        rounds: How often.
        measure: Measures a peer in a case, and gives values by the case's name.
            It must begin afresh: with a connection and an event loop of its own.
        label: Names a case.
    """
    total, done = len(cases) * rounds * len(context.wanted), 0
    for case in cases:
        for turn in range(rounds):
            for peer in order_of_turn(context.wanted, turn):
                context.progress(done / total, f"{label(case)}, {turn + 1}/{rounds}, {peer}")
                done += 1
                gc.collect()  # the last peer's garbage is not this one's to clear
                try:
                    values = measure(peer, case)
                except Exception as exc:  # noqa: BLE001 - reported, and its claims are lost
                    context.fail(peer, label(case), exc)
                    continue
                for name, value in values.items():
                    yield Sample(peer=peer, case=name, round=turn, value=value)


class Server:
    """The benchmarks' server process, seen from here.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        pid: Its process.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid
        self.port = int(self._answer())

    def order(self, command: str) -> str:
        """Have it do something to its connections, and wait until it is done.

        Args:
            command: ``reset`` (all connections, by RST), ``close CODE`` (a close
                frame to all), ``down`` (stop listening and reset all), ``up``
                (listen again, on the same port) or ``count``.

        Returns:
            The answer: ``ok``, or for ``count`` the number of connections.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        if answer.startswith("error"):
            raise ValueError(f"the server did not {command}: {answer}")
        return answer

    def cpu_seconds(self) -> float:
        """Tell the CPU time it has used (Linux; NaN elsewhere)."""
        return cpu_seconds(self.pid)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the server of the benchmarks ended; see its traceback above")
        return line.strip()


def cpu_seconds(pid: int) -> float:
    """Tell the CPU time that a process has used (Linux; NaN elsewhere)."""
    try:
        return time.clock_gettime(~pid << 3 | 2)  # CPUCLOCK_SCHED: clock_getcpuclockid(3)
    except (AttributeError, OSError):
        return float("nan")


@contextlib.contextmanager
def serve(*arguments: str) -> Iterator[Server]:
    """Run the server in a process of its own, which ends with the block.

    Args:
        *arguments: Its command line: ``--certificate FILE`` for TLS.
    """
    with subprocess.Popen(  # noqa: S603 - our own
        [sys.executable, "-m", "benchmarks.server", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    ) as process:
        try:
            yield Server(process)
        finally:
            process.kill()
