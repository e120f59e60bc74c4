"""Leases in a real Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

pytest.importorskip("coredis")

from trio_wsguard._core.lease import LeasePolicy
from trio_wsguard._errors import LeaseStoreError, PolicyError
from trio_wsguard._shell.leases import hold_lease
from trio_wsguard.redis import RedisLeases, open_redis_leases

if TYPE_CHECKING:
    from .conftest import RedisServer

SHORT = LeasePolicy(duration=0.6, margin=0.1, retry_interval=0.05)


async def test_one_owner_at_a_time(redis: RedisServer) -> None:
    """A lease is granted to one owner, to the same one again, and to none beside it."""
    async with open_redis_leases(redis.url) as leases:
        first = await leases.acquire("a", "me", 60)
        again = await leases.acquire("a", "me", 60)
        assert first is not None
        assert again is not None
        assert again > first
        assert await leases.acquire("a", "you", 60) is None
        assert await leases.acquire("b", "you", 60)
        assert await leases.renew("a", "me", again, 60)
        assert not await leases.renew("a", "me", first, 60)
        assert not await leases.renew("a", "you", again, 60)
        await leases.release("a", "you")
        assert await leases.acquire("a", "you", 60) is None
        await leases.release("a", "me")
        assert not await leases.renew("a", "me", again, 60)
        token = await leases.acquire("a", "you", 60)
        assert token is not None
        assert token > again


async def test_a_lease_runs_out_by_the_servers_clock(redis: RedisServer) -> None:
    """Whoever renews nothing holds nothing after its time."""
    async with open_redis_leases(redis.url) as leases:
        token = await leases.acquire("a", "me", 0.05)
        assert token is not None
        while await leases.acquire("a", "you", 60) is None:  # noqa: ASYNC110 - of another process
            await trio.sleep(0.01)
        assert not await leases.renew("a", "me", token, 60)


async def test_tokens_grow_though_the_memory_is_lost(redis: RedisServer) -> None:
    """A Redis that starts anew without its data still gives higher tokens."""
    async with open_redis_leases(redis.url) as leases:
        before = await leases.acquire("a", "me", 60)
        assert before is not None
        redis.kill()
        with pytest.raises(LeaseStoreError, match="lease 'a': Redis"):
            await leases.renew("a", "me", before, 60)
        redis.start()
        assert not await leases.renew("a", "me", before, 60)
        after = await leases.acquire("a", "you", 60)
        assert after is not None
        assert after > before


async def test_a_holder_stops_when_redis_is_gone(redis: RedisServer) -> None:
    """The body ends before the lease can be another's, and runs again once Redis is back."""
    errors = list[LeaseStoreError]()
    async with open_redis_leases(redis.url, timeout=0.1) as leases:
        async with hold_lease(leases, "a", policy=SHORT, on_error=errors.append) as lease:
            redis.kill()
            await trio.sleep_forever()
        assert lease.is_lost
        assert trio.current_time() < lease.expires_at
        assert errors
        redis.start()
        async with hold_lease(leases, "a", policy=SHORT) as newer:
            assert newer.token > lease.token


async def test_redis_need_not_be_there_yet(redis: RedisServer) -> None:
    """Who waits for a lease waits for Redis, too."""
    redis.kill()
    async with open_redis_leases(redis.url) as leases, trio.open_nursery() as nursery:

        async def start() -> None:
            await trio.sleep(0.1)
            redis.start()

        nursery.start_soon(start)
        async with hold_lease(leases, "a", policy=SHORT) as lease:
            assert lease.is_held


async def test_cancelling_gives_the_lease_back(redis: RedisServer) -> None:
    """Cancelled, the request to release still goes out, though its answer is not awaited."""
    async with open_redis_leases(redis.url) as leases:
        long = LeasePolicy(duration=60, margin=2)
        with trio.CancelScope() as scope:
            async with hold_lease(leases, "a", policy=long):
                scope.cancel()
                await trio.sleep_forever()
        while await leases.acquire("a", "you", 60) is None:  # noqa: ASYNC110 - of another process
            await trio.sleep(0.01)


@pytest.mark.parametrize("prefix", ["", "a b", "{a}"])
async def test_prefixes_are_checked(redis: RedisServer, prefix: str) -> None:
    """A prefix that would part the keys in a cluster is refused."""
    with pytest.raises(PolicyError, match="prefix"):
        async with open_redis_leases(redis.url, prefix=prefix):
            pass


async def test_prefixes_keep_apart(redis: RedisServer) -> None:
    """Two applications can share a Redis."""
    async with (
        open_redis_leases(redis.url, prefix="one") as one,
        open_redis_leases(redis.url, prefix="two") as two,
    ):
        assert isinstance(one, RedisLeases)
        assert await one.acquire("a", "me", 60)
        assert await two.acquire("a", "you", 60)


async def test_errors_come_out_as_themselves(redis: RedisServer) -> None:
    """What is raised under an open store is in no group of the client's."""

    async def work() -> None:
        async with open_redis_leases(redis.url) as leases:
            await leases.acquire("a", "me", 60)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await work()
