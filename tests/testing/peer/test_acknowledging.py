"""A peer that acknowledges: at once, late, together, twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_wsguard.testing.peer import Acknowledge, Drop

from .conftest import open_guard, talk

if TYPE_CHECKING:
    from .conftest import Memory


async def test_acknowledges(memory: Memory) -> None:
    """What comes is acknowledged by its key, one by one or together, then the script goes on."""
    peer = talk(Acknowledge(2), Acknowledge(2, every=2, delay=3, times=2), Drop())
    async with open_guard(memory, peer) as ws:
        for message in ("a:x", b"b:", "c", "d"):
            await ws.send_message(message)
        began_at = trio.current_time()
        said = [await ws.get_message() for _ in range(4)]
    assert said == ["ack a", "ack b", "ack c\nd", "ack c\nd"]
    assert trio.current_time() - began_at >= 3
    assert list(map(Acknowledge.keys_in, said)) == [["a"], ["b"], ["c", "d"], ["c", "d"]]
    assert Acknowledge.keys_in("other") is None
    assert Acknowledge.keys_in(b"ack a") is None
    assert Acknowledge().is_last
