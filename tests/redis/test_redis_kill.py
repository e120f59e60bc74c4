"""Whatever moment a holder is killed at, nothing is held twice, and all is held again soon."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

pytest.importorskip("coredis")

import coredis

from .lease_child import NAMES, POLICY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .conftest import RedisServer

KILLS = 50
CHILD = Path(__file__).with_name("lease_child.py")


@pytest.fixture
def fork(redis: RedisServer) -> Iterator[Callable[[], int]]:
    """Start holders, and tell their process ids; all are killed at the end."""
    words = [sys.executable, "-m", "tests.redis.lease_child"]
    pids: set[int] = set()
    with subprocess.Popen(  # noqa: S603 - ours
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
        cwd=CHILD.parents[2],
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        asked, told = child.stdin, child.stdout

        def start() -> int:
            print(redis.port, file=asked)
            pid = int(told.readline())
            pids.add(pid)
            return pid

        yield start
        for pid in pids:  # still the child's, which waits for none: no id is another's yet
            os.kill(pid, signal.SIGKILL)
        child.kill()


async def read_log(port: int, name: str) -> list[tuple[int, float, int]]:
    """Tell who wrote: the token, the time on Redis' clock and the process."""
    async with coredis.Redis(port=port, decode_responses=True) as client:
        lines = [line.split() for line in await client.lrange(f"log:{name}", 0, -1)]
    return [(int(token), float(at) / 1e6, int(pid)) for token, at, pid in lines]


def test_killed_at_any_moment(redis: RedisServer, fork: Callable[[], int]) -> None:
    """Two processes, 50 kills: tokens never fall, and no lease is free for long."""
    rng = random.Random(7)
    alive = [fork(), fork()]
    for _ in range(KILLS):
        time.sleep(rng.uniform(0, 0.5))
        victim = rng.randrange(2)
        os.kill(alive[victim], signal.SIGKILL)
        alive = [alive[1 - victim], fork()]
    time.sleep(POLICY.duration + 1)
    for pid in alive:
        os.kill(pid, signal.SIGSTOP)  # so that none writes while the log is read
    holders = 0
    for name in NAMES:
        log = trio.run(read_log, redis.port, name)
        assert all(before[0] <= after[0] for before, after in pairwise(log)), "held twice"
        assert max(after[1] - before[1] for before, after in pairwise(log)) <= POLICY.duration + 1
        by_token = {token: pid for token, _, pid in log}
        assert all(by_token[token] == pid for token, _, pid in log), "a token of two"
        holders += len(by_token)
    assert holders > KILLS / 2  # it is about holders, and most kills met one
