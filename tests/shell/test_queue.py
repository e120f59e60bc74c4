"""The hand-over from the receive task to the application."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from trio_wsguard._shell.queue import MessageQueue

MESSAGES = st.lists(st.text(max_size=8) | st.binary(max_size=8), max_size=6)
STEPS = st.lists(MESSAGES | st.sampled_from(["pop", "all"]), max_size=30)


@given(STEPS, st.integers(0, 8), st.integers(0, 30))
def test_queue_matches_a_plain_list(
    steps: list[list[str | bytes] | str], limit: int, max_bytes: int
) -> None:
    """Order, number, size and fullness are those of a plain list, whatever is put and taken."""
    queue, held = MessageQueue(limit, max_bytes), list[str | bytes]()
    for step in steps:
        if isinstance(step, list):
            held += step
            is_full = len(held) >= limit or sum(map(len, held)) >= max_bytes
            assert queue.put(step) is queue.is_full is is_full
        elif step == "all":
            assert queue.pop_all() == held
            held.clear()
        elif held:
            assert queue.pop() == held.pop(0)
        assert (len(queue), queue.size) == (len(held), sum(map(len, held)))
        assert queue.is_full is (len(held) >= limit or queue.size >= max_bytes)


@pytest.mark.parametrize(
    ("messages", "taken"),
    [(["x"] * 10, 5), (["x" * 20] * 5, 3), (["x" * 90, *"abcdefghi"], 5), ([*"abc", "x" * 97], 4)],
)
async def test_who_waits_for_room_goes_on_at_half(messages: list[str], taken: int) -> None:
    """Room is told once half is taken of both: of the messages and of the bytes."""
    queue = MessageQueue(10, 100)
    assert queue.put([*messages])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(queue.wait_half_empty)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(taken):
            assert nursery.child_tasks
            queue.pop()
            await trio.testing.wait_all_tasks_blocked()
        assert not nursery.child_tasks


async def test_room_that_is_there_is_not_waited_for() -> None:
    """Emptied in the moment in which a wait was given up, it is not waited for again."""
    queue = MessageQueue(2, 100)
    queue.put(["a", "b"])
    with trio.move_on_after(1) as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(queue.wait_half_empty)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
            queue.pop_all()
        await queue.wait_half_empty()
    assert not scope.cancelled_caught
