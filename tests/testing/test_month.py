"""A month of one connection, simulated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from trio_wsguard.testing import run_simulation

from .month import live

ROOT = Path(__file__).parents[2]


def begin(hash_seed: str) -> subprocess.Popen[str]:
    """Begin a month in a process of its own."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
    command = [sys.executable, "-m", "tests.testing.month", "7"]
    return subprocess.Popen(  # noqa: S603 - our own code
        command,
        cwd=ROOT,
        env=env | {"PYTHONHASHSEED": hash_seed},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = process.communicate()
    assert process.returncode == 0
    found: dict[str, Any] = json.loads(out)
    return found


def test_a_month_replays_identically_from_its_seed() -> None:
    """Thirty days under 700 faults leave one guard up, and give one trace in any process."""
    # Both at once: each takes the better part of a minute.
    running = [begin("1"), begin("2")]
    first, second = map(result, running)
    assert first == second
    assert first["state"] == "CONNECTED"
    assert first["faults"] > 700
    assert first["reconnects"] > 100
    assert first["uptime_ratio"] > 0.99


def test_another_seed_is_another_life() -> None:
    """A day from another seed differs, faults and trace."""
    one, two = (run_simulation(live, seed, 1.0) for seed in (1, 2))
    assert one["trace"] != two["trace"]
