"""A process that forks holders of leases, to be killed: imports are done once, for all.

For each line on its input it forks a holder and tells its process id. A holder takes
every lease it can get, and writes under each to a log in Redis with its token.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import coredis
import trio

from trio_wsguard._core.lease import LeasePolicy
from trio_wsguard._shell.leases import hold_lease
from trio_wsguard.redis import RedisLeases

POLICY = LeasePolicy(duration=0.6, margin=0.15, retry_interval=0.1)
NAMES = ("a", "b", "c")
# As who takes a holder's writes should do it: those of an older holder are refused.
WRITE = """
local newest = tonumber(redis.call('GET', KEYS[2]) or '0')
local time = redis.call('TIME')
local is_stale = tonumber(ARGV[1]) < newest
redis.call('RPUSH', KEYS[1], ARGV[1] .. ' ' .. (time[1] * 1e6 + time[2]) .. ' ' .. ARGV[2])
if is_stale then return 'stale' end
redis.call('SET', KEYS[2], ARGV[1])
return 'written'
"""


async def hold(client: coredis.Redis[Any], name: str) -> None:
    """Hold one lease whenever it is free, and write under it."""
    leases = RedisLeases(client)
    while True:
        async with hold_lease(leases, name, policy=POLICY) as lease:
            while True:
                keys = [f"log:{name}", f"newest:{name}"]
                await client.eval(WRITE, keys, [lease.token, os.getpid()])
                await trio.sleep(0.01)


async def live(port: int) -> None:
    """Hold what can be had, until killed."""
    client = coredis.Redis(port=port, stream_timeout=1, connect_timeout=1)
    async with client, trio.open_nursery() as nursery:
        for name in NAMES:
            nursery.start_soon(hold, client, name)


def main() -> None:
    """Fork a holder for each line; whoever is killed is nobody's business here."""
    for line in iter(sys.stdin.readline, ""):
        pid = os.fork()
        if pid == 0:
            trio.run(live, int(line))
        os.write(1, f"{pid}\n".encode())


if __name__ == "__main__":
    main()
