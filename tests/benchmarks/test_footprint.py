"""What idle connections take, each measurement in a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks import footprint
from benchmarks.footprint import (
    CPU_CASE,
    FOOTPRINT,
    IDLE_CPU,
    IMPORT_CASE,
    IMPORT_TIME,
    Found,
    Idle,
    measure,
)
from benchmarks.framework import Context, serve
from benchmarks.peers import BARE, FAST, GUARD

from .doctored import is_behind_when_doctored

if TYPE_CHECKING:
    from benchmarks.framework import Benchmark


def test_every_peer_holds_idle_connections() -> None:
    """A connection has a task of the application's at least; the guard three of its own."""
    tasks: dict[str, float] = {}
    with serve() as server:
        for peer in Context(FOOTPRINT).wanted:
            found = measure(Idle(peer, server.port, 10, interval=0.05, window=0.2))
            assert found.cpu_seconds > 0, peer
            tasks[peer] = found.tasks
    assert all(count >= 1 for count in tasks.values())
    assert tasks[GUARD] > tasks[BARE] or FAST not in tasks


def test_a_run_measures_memory_and_tells_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks are a note: one figure for all rounds."""
    monkeypatch.setattr(footprint, "measure", lambda idle: Found(idle.count / 10, 99.0, 3.0, 0.0))
    context = Context(FOOTPRINT, quick=True, peers=frozenset({BARE, GUARD}))
    found = [(s.peer, s.case, s.round, s.value) for s in footprint.run(context)]
    assert sorted(found) == [
        (GUARD, "100 idle", 0, 10.0),
        (GUARD, "100 idle", 1, 10.0),
        (BARE, "100 idle", 0, 10.0),
        (BARE, "100 idle", 1, 10.0),
    ]
    assert context.notes[-1].endswith("trio-websocket 3, guard 3")


def test_a_full_run_lets_some_grow_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their memory is what it is after the beats, not before."""
    asked: list[Idle] = []

    def measured(idle: Idle) -> Found:
        asked.append(idle)
        return Found(1.0, 2.0, 3.0, 0.0)

    monkeypatch.setattr(footprint, "measure", measured)
    found = list(footprint.run(Context(FOOTPRINT, peers=frozenset({GUARD}))))
    assert (found[-1].case, found[-1].value) == (footprint.AGED_CASE, 2.0)
    assert asked[-1].window / asked[-1].interval >= footprint.BEATS


def test_cpu_is_scaled_to_the_documents_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """200 connections that beat each second for 2 s, to 1,000 that beat each 15 s."""
    monkeypatch.setattr(footprint, "measure", lambda _idle: Found(0.0, 0.0, 0.0, 0.04))
    context = Context(IDLE_CPU, quick=True, peers=frozenset({BARE}))
    (sample,) = footprint.run_cpu(context)
    # 400 beats took 40 ms: 0.1 ms each; 1,000 / 15 beats a second are 6.7 ms a second.
    assert sample.value == pytest.approx(100 * 0.0001 * 1000 / 15)


def test_imports_are_timed_in_fresh_interpreters() -> None:
    """What this process has imported long since costs a fresh one something."""
    context = Context(IMPORT_TIME, quick=True, peers=frozenset({"trio", GUARD}))
    found = list(footprint.run_import(context))
    assert {(s.peer, s.case) for s in found} == {("trio", IMPORT_CASE), (GUARD, IMPORT_CASE)}
    assert all(s.value > 1 for s in found)


@pytest.mark.parametrize("benchmark_", [FOOTPRINT, IDLE_CPU, IMPORT_TIME], ids=lambda b: b.name)
def test_a_large_guard_is_behind(benchmark_: Benchmark) -> None:
    """Each claim can be lost."""
    assert benchmark_.claims
    for claim in benchmark_.claims:
        assert is_behind_when_doctored(benchmark_, claim)


def test_what_is_claimed() -> None:
    """32 KiB, and twice the CPU of the same pings."""
    assert {(c.bound, c.against) for c in FOOTPRINT.claims} == {(32.0, None)}
    assert {(c.bound, c.against, c.case) for c in IDLE_CPU.claims} == {(2.0, BARE, CPU_CASE)}
