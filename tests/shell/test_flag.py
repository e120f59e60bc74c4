"""A small event."""

from __future__ import annotations

import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

from trio_wsguard._shell.flag import Flag


async def test_a_set_flag_does_not_block() -> None:
    """Waiting for what was set returns, and is a checkpoint all the same."""
    flag = Flag()
    assert not flag.is_set()
    flag.set()
    flag.set()
    assert flag.is_set()
    with assert_checkpoints():
        await flag.wait()


async def test_setting_wakes_all_who_wait() -> None:
    """All who wait go on once it is set; one of them cancelled before takes nothing from them."""
    flag, woken = Flag(), list[int]()

    async def wait(number: int) -> None:
        await flag.wait()
        woken.append(number)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, 1)
        nursery.start_soon(wait, 2)
        with trio.CancelScope() as scope:
            scope.cancel()
            await flag.wait()
        await wait_all_tasks_blocked()
        assert not woken
        flag.set()
    assert sorted(woken) == [1, 2]
