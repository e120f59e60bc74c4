"""How beats are answered, over streams in memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

import trio_wsguard as wsguard
from trio_wsguard.testing.peer import (
    Accept,
    AnswerBeats,
    IgnoreBeats,
    Push,
    Receive,
    Script,
    ScriptedPeer,
    Wait,
)

from .conftest import BINARY, PING, PONG, TEXT, Client, open_guard, talk

if TYPE_CHECKING:
    from trio_wsguard.testing.peer import Step

    from .conftest import Memory


async def test_pings_are_answered_meanwhile(memory: Memory) -> None:
    """While a step waits, pings are answered at once and noted with their times."""
    peer = talk(Wait(100))
    client = await memory.connect(peer)
    await trio.sleep(3)
    await client.send(PING, b"1")
    assert await client.read() == (PONG, b"1")
    (record,) = peer.connections
    assert [(beat.at - record.opened_at, beat.message) for beat in record.beats] == [(3, b"1")]


async def test_beats_late_stale_skipped_and_ignored(memory: Memory) -> None:
    """The manner of answering changes with the steps."""
    peer = talk(
        AnswerBeats(7), Wait(100), AnswerBeats(stale=True), Wait(100),
        AnswerBeats(skip=2), Wait(100), IgnoreBeats(),
    )  # fmt: skip
    client = await memory.connect(peer)

    async def beat(payload: bytes) -> tuple[bytes, float] | None:
        began = trio.current_time()
        await client.send(PING, payload)
        with trio.move_on_after(20):
            answer = await client.read()
            assert answer is not None
            return answer[1], trio.current_time() - began
        return None

    assert await beat(b"1") == (b"1", 7)
    await trio.sleep(93.5)
    assert await beat(b"2") == (b"1", 0)
    assert await beat(b"3") == (b"2", 0)
    await trio.sleep(100)
    assert [await beat(b"4"), await beat(b"5"), await beat(b"6")] == [None, None, (b"6", 0)]
    await trio.sleep(100)
    assert await beat(b"7") is None
    assert len(peer.connections[0].beats) == 7


async def test_the_first_beat_has_no_stale_answer(memory: Memory) -> None:
    """There is no earlier beat to answer."""
    client = await memory.connect(talk(AnswerBeats(stale=True)))
    await client.send(PING, b"1")
    assert await client.hears_nothing(60)


LWP = '{"lwp": "/!", "headers": {"mid": "m1"}}'


@pytest.mark.parametrize(
    ("heartbeat", "beat", "good", "refused"),
    [
        (wsguard.TextHeartbeat(), "ping", "pong", "refused with 500"),
        (wsguard.TextHeartbeat(b"?", b"!"), b"?", b"!", "refused with 500"),
        (
            wsguard.JsonHeartbeat(),
            '{"type":"ping"}',
            {"type": "pong", "code": 200},
            {"type": "pong", "code": 500},
        ),
        (
            wsguard.JsonHeartbeat(code_key=None),
            '{"type":"ping"}',
            {"type": "pong"},
            {"refused": 500},
        ),
        (
            wsguard.LwpHeartbeat(),
            LWP,
            {"code": 200, "headers": {"mid": "m1"}},
            {"code": 500, "headers": {"mid": "m1"}},
        ),
    ],
    ids=["text", "bytes", "json", "json without code", "lwp"],
)
async def test_message_beats_are_answered(
    memory: Memory, heartbeat: Any, beat: str | bytes, good: Any, refused: Any
) -> None:
    """Each heartbeat of the library is answered, well or with a code; other messages are not."""
    peer = talk(Receive(), AnswerBeats(code=500), heartbeat=heartbeat)
    client = await memory.connect(peer)
    raw = beat.encode() if isinstance(beat, str) else beat
    opcode = TEXT if isinstance(beat, str) else BINARY
    await client.send(opcode, raw)
    answers = [await client.read()]
    await client.send(TEXT, b'{"type":')
    await trio.testing.wait_all_tasks_blocked()
    await client.send(opcode, raw)
    answers.append(await client.read())
    for answer, expected in zip(answers, (good, refused), strict=True):
        assert answer is not None
        payload = answer[1] if isinstance(expected, bytes) else answer[1].decode()
        assert (json.loads(payload) if isinstance(expected, dict) else payload) == expected
    assert peer.connections[0].messages == ['{"type":']
    assert len(peer.connections[0].beats) == 2


@pytest.mark.parametrize(
    "heartbeat",
    [
        wsguard.PingHeartbeat(),
        wsguard.TextHeartbeat(),
        wsguard.JsonHeartbeat(),
        wsguard.JsonHeartbeat(code_key=None),
        wsguard.LwpHeartbeat(),
    ],
    ids=["ping", "text", "json", "json without code", "lwp"],
)
@pytest.mark.parametrize(
    ("manner", "is_kept"),
    [
        (AnswerBeats(), True),
        (AnswerBeats(8), True),
        (AnswerBeats(skip=2), True),
        (AnswerBeats(60), False),
        (IgnoreBeats(), False),
    ],
    ids=repr,
)
async def test_the_guard_judges_beats(
    memory: Memory, heartbeat: Any, manner: Step, is_kept: bool
) -> None:
    """A guard keeps a peer that answers in time, or now and then, and drops one that does not."""
    peer = ScriptedPeer(Script(Accept(), manner), heartbeat=heartbeat)
    async with open_guard(memory, peer, heartbeat=heartbeat) as ws:
        await trio.sleep(100)
        assert (ws.generation == 1) is is_kept
    assert all(record.violation is None for record in peer.connections)


@pytest.mark.parametrize(
    "heartbeat", [wsguard.JsonHeartbeat(), wsguard.LwpHeartbeat()], ids=["json", "lwp"]
)
async def test_the_guard_takes_no_refused_beat(memory: Memory, heartbeat: Any) -> None:
    """Answers with another code are failed beats."""
    peer = ScriptedPeer(Script(Accept(), AnswerBeats(code=500)), heartbeat=heartbeat)
    async with open_guard(memory, peer, heartbeat=heartbeat) as ws:
        await trio.sleep(100)
        assert ws.generation > 1


async def test_functions_answer_beats_of_protocols_of_ones_own(memory: Memory) -> None:
    """A function recognises and answers beats; it may leave one unanswered by its code."""

    def answer(message: str | bytes, code: object) -> str | None:
        return "alive" if message == "alive?" and code is None else None

    client = await memory.connect(talk(Receive(), AnswerBeats(code=1), heartbeat=answer))
    await client.send(TEXT, b"alive?")
    assert await client.read() == (TEXT, b"alive")
    await client.send(TEXT, b"go on")
    await trio.testing.wait_all_tasks_blocked()
    await client.send(TEXT, b"alive?")
    assert await client.hears_nothing(10)


async def test_a_pong_is_no_message_beat(memory: Memory) -> None:
    """A pong whose payload looks like a beat is a pong."""
    peer = talk(heartbeat=wsguard.TextHeartbeat(b"beat"))
    client = await memory.connect(peer)
    await client.send(PONG, b"beat")
    assert await client.hears_nothing(1)
    assert [pong.message for pong in peer.connections[0].pongs] == [b"beat"]


async def test_replies_pass_while_a_send_blocks() -> None:
    """The peer reads on while a send of its own blocks, and answers pings right after it."""
    stream, server = trio.testing.lockstep_stream_pair()
    peer = talk(Push("a"), Wait(10))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer, server)
        client = Client(stream)
        await client.request()
        await trio.testing.wait_all_tasks_blocked()
        await client.send(PING, b"1")
        await client.send(PING, b"2")
        await trio.testing.wait_all_tasks_blocked()
        assert len(peer.connections[0].beats) == 2
        assert [await client.read() for _ in range(3)] == [(TEXT, b"a"), (PONG, b"1"), (PONG, b"2")]
        nursery.cancel_scope.cancel()


async def test_two_senders_take_turns() -> None:
    """A broadcast waits until the frame before it is out."""
    stream, server = trio.testing.lockstep_stream_pair()
    peer = talk(Push("a"), Wait(10))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer, server)
        client = Client(stream)
        await client.request()
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(peer.broadcast, "b")
        await trio.testing.wait_all_tasks_blocked()
        assert [await client.read(), await client.read()] == [(TEXT, b"a"), (TEXT, b"b")]
        nursery.cancel_scope.cancel()
