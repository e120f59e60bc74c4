"""Leases in Redis, by three scripts that each run there at once or not at all.

A lease is a key with the owner and the token, which Redis lets expire by its own
clock. Tokens come from one counter for all names, which never falls behind Redis'
own clock in microseconds: so they grow even if Redis has lost its memory, and
names that are no longer used leave nothing behind.

A lease is as safe as what Redis remembers. One that restarts without its data has
forgotten who holds what, and may grant a lease that another believes to hold
until its next renewal; so may a replica that takes over, since replication is
asynchronous. Tokens tell such holders apart. Let it write every command to disk
(``appendfsync always``) where that matters, and evict nothing (``noeviction``).

The client is coredis: it runs on trio by way of anyio. redis-py runs on asyncio only.
"""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import coredis
from coredis.exceptions import RedisError

from trio_wsguard._errors import LeaseStoreError, PolicyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# An owner that holds the lease already is given it anew: its last answer was lost.
_ACQUIRE: Final = """
local held = redis.call('GET', KEYS[1])
if held and string.match(held, '^(%S+) ') ~= ARGV[1] then return '' end
local time = redis.call('TIME')
local token = math.max(tonumber(redis.call('GET', KEYS[2]) or '0') + 1, time[1] * 1e6 + time[2])
local text = string.format('%.0f', token)
redis.call('SET', KEYS[2], text)
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. text, 'PX', ARGV[2])
return text
"""
_RENEW: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return '' end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return '1'
"""
_RELEASE: Final = """
local held = redis.call('GET', KEYS[1])
if held and string.match(held, '^(%S+) ') == ARGV[1] then redis.call('DEL', KEYS[1]) end
return ''
"""


class RedisLeases:
    """A `LeaseStore` in Redis 6 or later.

    Args:
        client: A client of coredis, entered by whoever made it.
        prefix: What the names of its keys begin with, without braces or spaces; in
            a cluster, all keys of one prefix are on one node.

    Raises:
        PolicyError: The prefix cannot be used.
    """

    def __init__(self, client: coredis.Redis[Any], prefix: str = "trio_wsguard") -> None:
        if not prefix or any(c in "{}" or c.isspace() for c in prefix):
            raise PolicyError("prefix", prefix, "must be a word without braces")
        self._prefix = "{" + prefix + "}"
        self._client = client

    async def acquire(self, name: str, owner: str, duration: float) -> int | None:
        """See `LeaseStore`."""
        keys = [self._key(name), f"{self._prefix}:token"]
        token = await self._run(name, _ACQUIRE, keys, owner, _milliseconds(duration))
        return int(token) if token else None

    async def renew(self, name: str, owner: str, token: int, duration: float) -> bool:
        """See `LeaseStore`."""
        held = f"{owner} {token}"
        milliseconds = _milliseconds(duration)
        return bool(await self._run(name, _RENEW, [self._key(name)], held, milliseconds))

    async def release(self, name: str, owner: str) -> None:
        """See `LeaseStore`."""
        await self._run(name, _RELEASE, [self._key(name)], owner)

    def _key(self, name: str) -> str:
        return f"{self._prefix}:lease:{name}"

    async def _run(self, name: str, script: str, keys: list[str], *args: str | int) -> str | bytes:
        try:
            # The script itself and not its hash: where Redis does not know that yet, it takes
            # two more answers, and one who is cancelled waits for none.
            answer: object = await self._client.eval(script, keys, args)
        except (RedisError, OSError) as exc:
            raise LeaseStoreError(name, f"Redis: {exc}") from exc
        if not isinstance(answer, str | bytes):
            raise LeaseStoreError(name, "Redis answered what the script cannot return")
        return answer


def _milliseconds(seconds: float) -> int:
    # Rounded up: the holder's own lease must end first.
    return math.ceil(seconds * 1000)


@asynccontextmanager
async def open_redis_leases(
    url: str, *, prefix: str = "trio_wsguard", timeout: float = 2
) -> AsyncIterator[RedisLeases]:
    """Open a store of leases in Redis.

    Redis need not be there yet, nor all the time: what cannot be asked raises
    `LeaseStoreError`, and is asked again by who holds a lease or waits for one.

    Args:
        url: As ``redis://user:password@host:6379/0``, ``rediss://`` or ``unix://``.
        prefix: What the names of its keys begin with.
        timeout: Seconds for a connection, and for an answer.
    """
    client = coredis.Redis.from_url(
        url, connect_timeout=timeout, stream_timeout=timeout, verify_version=False
    )
    leases, error = RedisLeases(client, prefix), None
    async with client:
        try:
            yield leases
        except Exception as exc:  # noqa: BLE001 - raised below: the client would wrap it in groups
            error = exc
    if error is not None:
        raise error
