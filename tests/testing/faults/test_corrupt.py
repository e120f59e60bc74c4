"""Corrupt: bytes are altered, against TCP's law."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from trio_wsguard import PolicyError
from trio_wsguard.testing import RECOVERABLE, Corrupt, Direction

from ..wire import Wire, World, on_a_wire, read_for, with_a_guard

SENT = bytes(range(256)) * 100


async def speak(wire: Wire) -> bytes:
    await wire.server.send_all(SENT)
    return await read_for(wire.client, 1)


@pytest.mark.parametrize("rate", [0.001, 0.1, 1])
def test_some_bytes_are_altered_by_a_bit(rate: float) -> None:
    """As many bytes arrive; of them about the rate is wrong, each by one bit."""
    found = on_a_wire(speak, Corrupt(rate=rate))
    assert len(found) == len(SENT)
    wrong = [a ^ b for a, b in zip(SENT, found, strict=True) if a != b]
    assert {bits.bit_count() for bits in wrong} == {1}
    assert 0.5 * rate <= len(wrong) / len(SENT) <= 2 * rate


def test_the_other_way_is_intact() -> None:
    """By default it is what the server sends that is altered."""
    assert on_a_wire(speak, Corrupt(rate=1, direction=Direction.UP)) == SENT


def test_it_is_off_by_default() -> None:
    """No random plan has it unless asked to."""
    assert Corrupt not in RECOVERABLE


def test_a_guard_survives_it() -> None:
    """Broken frames and handshakes end connections; afterwards the guard is connected."""

    async def body(world: World) -> list[str]:
        await trio.sleep(60)
        for n in range(30):
            await trio.sleep(1)
            if world.ws.state.name == "CONNECTED":
                await world.ws.send_message(f"{n}" * 100)
        await trio.sleep(200)
        return [kind for _, kind in world.losses] + [world.ws.state.name]

    *kinds, state = with_a_guard(body, Corrupt(rate=0.05, start=60, end=90))
    assert kinds
    assert set(kinds) <= {"PROTOCOL", "CLOSED", "TIMEOUT", "HEARTBEAT", "REJECTED"}
    assert state == "CONNECTED"


@pytest.mark.parametrize("rate", [0, -0.5, 1.5, float("nan")])
def test_bad_settings(rate: Any) -> None:
    """Bad settings are refused by name and value."""
    with pytest.raises(PolicyError, match=f"rate={rate}"):
        Corrupt(rate=rate)
