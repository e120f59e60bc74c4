"""Cancelling a store at every await leaves no thread, no lock, and no half message."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_wsguard._shell.outbox_store import open_outbox_store
from trio_wsguard.testing.conformance.steps import cancelled_at

if TYPE_CHECKING:
    from pathlib import Path

    from trio_wsguard._shell.outbox_store import OutboxStore


async def live_until(path: Path, step: int) -> bool:
    """Live a store's whole life, cancelled at a step; check what is left."""
    put: list[object] = []
    ended: list[int | Exception] = []
    deleted: list[int] = []

    async def send(store: OutboxStore, key: str) -> None:
        await store.put(key, key, 1.0, ended.append)
        put.append(key)

    async def life() -> None:
        async with open_outbox_store(path) as store:
            store.load()
            async with trio.open_nursery() as nursery:
                for key in ("a", "b", "c"):
                    nursery.start_soon(send, store, key)
            deleted.append(await store.put("d", "d", 1.0, ended.append))
            store.delete(deleted)
            await send(store, "e")

    got_there = await cancelled_at(step, life)
    async with open_outbox_store(path) as store:
        found = {one.key: one.sequence for one in store.load()}
        store.delete(found.values())
    stored = {one for one in ended if isinstance(one, int)}
    assert set(put) <= set(found)
    assert stored - set(deleted) <= set(found.values()) <= stored
    return got_there


async def test_the_whole_life_cancelled_at_every_step(path: Path) -> None:
    """Cancelled anywhere, a store lets go of its file, which holds what was told."""
    step, got_there = 0, True
    living = trio.lowlevel.current_statistics().tasks_living
    while got_there:
        step += 1
        got_there = await live_until(path, step)
        assert trio.lowlevel.current_statistics().tasks_living == living
    assert step > 20
