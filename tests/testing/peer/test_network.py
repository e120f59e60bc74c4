"""A scripted peer on the simulated network."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import trio

import trio_wsguard as wsguard
from trio_wsguard.testing import SimulatedNetwork, run_simulation
from trio_wsguard.testing.peer import (
    Accept,
    CutFrame,
    Drop,
    Echo,
    Feed,
    Push,
    Reset,
    Script,
    ScriptedPeer,
    StopReading,
)

from .conftest import REQUEST

SCRIPTS = (
    Script(Accept(), Feed(3), Reset()),
    Script(Accept(), Push("a"), CutFrame(), Drop()),
    Script(Accept(), StopReading()),
    Script(Accept(), Echo()),
)


async def test_a_reset_breaks_the_stream() -> None:
    """`Reset` is a reset on the simulated network, too."""
    async with SimulatedNetwork() as network:
        network.listen("peer.example:80", ScriptedPeer(Script(Reset())))
        target = wsguard.Target(host="peer.example", port=80, is_secure=False, resource="/")
        stream = await network.dial(target)
        await stream.send_all(REQUEST)
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()


async def _live_through(seed: int) -> tuple[Any, ...]:
    peer = ScriptedPeer(*SCRIPTS)
    async with SimulatedNetwork(seed) as network:
        network.listen("peer.example:80", peer)
        async with wsguard.open_guarded_websocket("ws://peer.example/", dial=network.dial) as ws:
            await peer.wait_connections(len(SCRIPTS))
            await ws.send_message("echo")
            assert await ws.get_message() in ("1", "2", "3", "a", "echo")
        records = peer.connections
    assert [record.violation for record in records] == [None] * len(SCRIPTS)
    return tuple(
        (record.opened_at, record.ended_at, record.end, record.beats) for record in records
    )


def test_one_seed_gives_one_course() -> None:
    """The peer does the same at the same times whenever the seed is the same."""
    first = run_simulation(_live_through, 3, seed=3)
    again = run_simulation(_live_through, 3, seed=3)
    assert [one[:3] for one in first] == [one[:3] for one in again]


def test_importing_it_imports_no_test_library() -> None:
    """A peer can be used without Hypothesis or a WebSocket library beside wsproto."""
    heavy = {"hypothesis", "trio_websocket", "websockets", "trustme"}
    code = f"import sys, trio_wsguard.testing.peer; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - our own code
    assert done.stdout.strip() == "[]"
