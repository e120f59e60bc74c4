"""Thirty days of one guarded connection under a random plan of faults; see `test_month`.

Run: python -m tests.testing.month SEED
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import time
from typing import Any, Final

import trio

import trio_wsguard as wsguard
from trio_wsguard.testing import SimulatedNetwork, run_simulation
from trio_wsguard.testing.faults import random_plan
from trio_wsguard.testing.peer import Accept, Script, ScriptedPeer

DAY: Final = 86_400.0
DAYS: Final = 30


async def live(seed: int, days: float) -> dict[str, Any]:
    """Live through it, and tell what came of it."""
    plan = random_plan(random.Random(seed), duration=days * DAY)
    async with SimulatedNetwork(seed) as network:
        listener = network.listen("feed.example:80", ScriptedPeer(Script(Accept())))
        network.link("feed.example").add(*plan)
        policy = wsguard.GuardPolicy(max_connection_failures=None)
        async with network.open_guard(listener.url, policy=policy, wait=False, name="guard") as ws:
            await trio.sleep(days * DAY)
            figures = ws.snapshot()
        trace = str(network.trace())
    return {
        "trace": hashlib.sha256(trace.encode()).hexdigest(),
        "entries": trace.count("\n") + 1,
        "faults": network.faults_injected,
        "beats": figures.beats_sent,
        "reconnects": figures.reconnects,
        "uptime_ratio": figures.uptime_ratio,
        "state": figures.connection_state.name,
    }


def main() -> None:
    """Print what came of it, and how long it took."""
    began_at = time.perf_counter()
    found = run_simulation(live, int(sys.argv[1]), DAYS, seed=0)
    sys.stderr.write(f"{time.perf_counter() - began_at:.1f} s\n")
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
