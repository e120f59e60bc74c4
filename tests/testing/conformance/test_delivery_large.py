"""Ten thousand messages through an outbox, over losses at every point of a frame."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

import pytest
import trio

import trio_wsguard as wsguard
from trio_wsguard.testing.conformance import Arm, Parts, Run, named_properties
from trio_wsguard.testing.conformance.fragile import Break, fragile
from trio_wsguard.testing.conformance.life import World
from trio_wsguard.testing.conformance.stage import open_stage
from trio_wsguard.testing.peer import Accept, Acknowledge, Script
from trio_wsguard.testing.simulation import run_simulation

if TYPE_CHECKING:
    from trio_wsguard._shell.transport import Message

MESSAGES: Final = 10_000
LOSSES: Final = 250
FRAME: Final = 2 + 4 + 20  # bytes: header, mask, payload; of a message that goes up
ANSWER: Final = 2 + 9  # header, "ack " and a key; of its acknowledgement


def all_breaks(rng: Random) -> list[Break]:
    """Draw breaks so that each byte of a frame is hit, upward and downward, openly and not."""
    found: list[Break] = []
    for number in range(LOSSES):
        is_upward = number % 3 != 2
        size = FRAME if is_upward else ANSWER
        after = rng.randrange(10, 30) * size + number % size
        found.append(Break(after, is_upward=is_upward, is_silent=number % 2 == 0))
    return found


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("transport", ["trio-websocket", "websockets"])
def test_ten_thousand_messages_arrive_once_in_order(transport: str) -> None:
    """With repeats dropped by key, the peer has all: once, in order, over 200 losses and more."""
    wanted = [f"{number:05}:".ljust(20, "x") for number in range(MESSAGES)]
    box = wsguard.Outbox(
        key=Acknowledge.key_of, acks=Acknowledge.keys_in, max_messages=500, window=100
    )
    (prop,) = named_properties(["an_outbox_delivers_all_once_in_order"])
    run = Run(property=prop, parts=Parts(transport=transport), arm=Arm.SIMULATED)
    there: list[Message] = []

    async def consume(ws: wsguard.GuardedWebSocket) -> None:
        async for _ in ws:
            pass

    async def main() -> int:
        async with open_stage(run, World(scripts=(Script(Accept(), Acknowledge()),))) as stage:
            dial = fragile(stage, all_breaks(Random(1)))
            async with stage.open(dial=dial, outbox=box) as ws, trio.open_nursery() as nursery:
                nursery.start_soon(consume, ws)
                for message in wanted:
                    receipt = await ws.send_message(message)
                assert receipt is not None
                await receipt.wait()
                while len(box):  # noqa: ASYNC110 - the last is not the last to be acknowledged
                    await trio.sleep(1)
                assert box.statistics().totals.acknowledged == MESSAGES
                losses: int = ws.snapshot().losses
                nursery.cancel_scope.cancel()
        for record in stage.peer.connections:
            there.extend(record.messages)
        return losses

    assert run_simulation(main, seed=1) >= 200
    assert list(dict.fromkeys(there)) == wanted
    assert len(there) > MESSAGES  # some were in doubt, and came twice
