"""Silence, broken frames, and what a client breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import trio_wsguard as wsguard
from trio_wsguard.testing.peer import (
    VIOLATIONS,
    Accept,
    AnswerBeats,
    CutFrame,
    Drop,
    End,
    IgnoreClose,
    Reset,
    Script,
    ScriptedPeer,
    SendRaw,
    Silence,
    StopReading,
    Violate,
    Wait,
    close_frame,
    frame,
)

from .conftest import CLOSE, PING, PONG, REQUEST, TEXT, Client, first_failure, open_guard, talk

if TYPE_CHECKING:
    from .conftest import Memory


async def test_silence_answers_nothing(memory: Memory) -> None:
    """In silence beats and close frames are noted and not answered; after it the close is."""
    peer = talk(AnswerBeats(3), Wait(2), Silence(10))
    client = await memory.connect(peer)
    await client.send(PING, b"late")
    await trio.sleep(4)
    await client.send(PING, b"1")
    await client.send(TEXT, b"noted")
    await client.send(CLOSE, b"\x03\xe8bye")
    assert await client.hears_nothing(7)
    assert await client.read() == (CLOSE, b"\x03\xe8")
    assert trio.current_time() - peer.connections[0].opened_at == 12
    (record,) = peer.connections
    assert (len(record.beats), record.messages) == (2, ["noted"])
    assert (record.close_code, record.close_reason) == (1000, "bye")
    assert await client.read() is None
    assert record.end is End.CLOSED


async def test_stop_reading_blocks_the_client() -> None:
    """While the peer does not read, a client's send blocks; then it goes on."""
    stream, server = trio.testing.lockstep_stream_pair()
    peer = talk(StopReading(5))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer, server)
        client = Client(stream)
        await client.request()
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        await client.send(PING, b"1")
        assert trio.current_time() - began == 5
        assert await client.read() == (PONG, b"1")
        nursery.cancel_scope.cancel()


async def test_a_peer_that_never_reads_is_found_dead(memory: Memory) -> None:
    """The guard leaves a peer that stops reading."""
    peer = ScriptedPeer(Script(Accept(), StopReading()), Script(Accept()))
    async with open_guard(memory, peer) as ws:
        await trio.sleep(60)
        assert ws.generation == 2


# --- misbehaviour ------------------------------------------------------------------------


@pytest.mark.parametrize("rule", VIOLATIONS)
async def test_the_guard_sees_each_violation(memory: Memory, rule: str) -> None:
    """The guard loses the connection with the code that the table tells."""
    peer = ScriptedPeer(Script(Accept(), Violate(rule)), Script(Accept()))
    failure = await first_failure(memory, peer)
    assert failure.kind is wsguard.FailureKind.PROTOCOL
    assert failure.close_code == VIOLATIONS[rule].code


async def test_cut_frames(memory: Memory) -> None:
    """A cut frame is the beginning of a frame; nothing is answered after it."""
    peer = talk(CutFrame(4, "whole"), Silence(2), Wait(3), Drop())
    client = await memory.connect(peer)
    await client.send(PING, b"1")
    await client.send(CLOSE)
    assert await client.body() == b"\x81\x05wh"
    (record,) = peer.connections
    assert record.ended_at == record.opened_at + 5
    assert record.end is End.DROPPED


async def test_raw_frames(memory: Memory) -> None:
    """Any bytes can be sent, among them frames built to order."""
    client = await memory.connect(
        talk(SendRaw(frame(PING, b"p") + frame(TEXT, b"abc", length=5)), Drop())
    )
    assert await client.read() == (PING, b"p")
    assert close_frame() == close_frame(1005) == b"\x88\x00"


async def test_resets_use_what_the_stream_offers(memory: Memory) -> None:
    """`Reset` aborts a stream that can be aborted, and closes any other by force."""
    client = await memory.connect(talk(Reset()))
    assert await client.read() is None
    aborted: list[str] = []
    stream, server = trio.testing.memory_stream_pair()
    server.abort = lambda: aborted.append("RST")  # type: ignore[attr-defined]
    peer = talk(Reset())
    await stream.send_all(REQUEST)
    await peer(server)
    assert aborted == ["RST"]
    assert peer.connections[0].end is End.RESET


# --- the client's violations -------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "code", "violation"),
    [
        (frame(1, b"x"), 1002, "unmasked"),
        (frame(1, b"x", masked=True, rsv=1), 1002, "Reserved bit"),
        (frame(3, masked=True), 1002, "Invalid opcode"),
        (frame(1, b"\xff", masked=True), 1007, "codec can't decode"),
        (frame(0, b"x", masked=True), 1002, "CONTINUATION"),
        (frame(8, b"\x03", masked=True), 1002, "close frame of one byte"),
        (frame(8, b"\x03\xee", masked=True), 1002, "close code 1006"),
        (frame(8, b"\x03\xe8\xff", masked=True), 1007, "close reason that is not UTF-8"),
    ],
)
async def test_broken_bytes_of_the_client_are_told(
    memory: Memory, raw: bytes, code: int, violation: str
) -> None:
    """What the client breaks is noted, the connection closed with the RFC's code and dropped."""
    peer = talk(Wait(100))
    client = await memory.connect(peer)
    await client.stream.send_all(frame(1, b"good", masked=True) + raw)
    assert await client.read() == (CLOSE, code.to_bytes(2))
    assert await client.read() is None
    (record,) = peer.connections
    assert record.messages == ["good"]
    assert violation in (record.violation or "")
    assert record.end is End.VIOLATION


async def test_frames_after_the_close_are_a_violation(memory: Memory) -> None:
    """A client that goes on after its close frame is told."""
    peer = talk(IgnoreClose(), Wait(100))
    client = await memory.connect(peer)
    await client.send(CLOSE)
    await client.send(TEXT, b"more")
    await peer.wait_ended(1)
    assert peer.connections[0].violation == "data after the close frame"


async def test_a_violation_in_silence_gets_no_close_frame(memory: Memory) -> None:
    """Silence answers nothing; the connection ends all the same."""
    peer = talk(Silence())
    client = await memory.connect(peer)
    await client.send(TEXT, b"x", masked=False)
    assert await client.read() is None
    assert peer.connections[0].end is End.VIOLATION


@pytest.mark.parametrize(
    ("raw", "is_cut"),
    [
        (b"", False),
        (frame(1, b"whole", masked=True), False),
        (frame(1, b"cut", masked=True)[:-1], True),
        (b"\x81", True),
        (frame(1, b"half a message", masked=True, fin=False), True),
    ],
)
async def test_a_cut_frame_of_the_client_is_told(memory: Memory, raw: bytes, is_cut: bool) -> None:
    """An end within a frame or a message is no violation, and is noted."""
    peer = talk(Wait(100))
    client = await memory.connect(peer)
    await client.stream.send_all(raw)
    await client.stream.aclose()
    await peer.wait_ended(1)
    assert (peer.connections[0].is_cut, peer.connections[0].violation) == (is_cut, None)
