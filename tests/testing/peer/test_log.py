"""A feed that can be resumed: offsets, an epoch, a bounded history."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import trio

import trio_wsguard as wsguard
from trio_wsguard.testing.conformance.guard_intake import Cut, position
from trio_wsguard.testing.peer import CutFrame, Drop, End, Log, PushLog, Script

from .conftest import CLOSE, TEXT, open_guard, talk

if TYPE_CHECKING:
    from collections.abc import Hashable

    from .conftest import Client, Memory


def by_position() -> wsguard.DuplicateFilter:
    return wsguard.DuplicateFilter(key=position)


async def resume(client: Client, position: Any) -> Any:
    """Ask to resume; gives the answer."""
    await client.send(TEXT, json.dumps({"resume": position}).encode())
    return await said(client)


async def said(client: Client) -> Any:
    """Give the next message."""
    found = await client.read()
    assert found is not None
    assert found[0] is TEXT
    return json.loads(found[1])


async def pushes(client: Client, count: int) -> list[tuple[str, int, str]]:
    """Give the next pushes."""
    found = [await said(client) for _ in range(count)]
    return [(one["epoch"], one["offset"], one["data"]) for one in found]


def filled(*data: str, max_size: int = 1000) -> Log:
    log = Log(max_size)
    log.append(*data)
    return log


# --- the protocol --------------------------------------------------------------------


async def test_who_has_nothing_gets_all_that_is_kept(memory: Memory) -> None:
    """A client without a position starts over, from the oldest message."""
    client = await memory.connect(talk(PushLog(filled("a", "b", "c", max_size=2))))
    assert await resume(client, None) == {"resumed": False, "epoch": "1"}
    assert await pushes(client, 2) == [("1", 2, "b"), ("1", 3, "c")]


async def test_who_has_a_position_gets_what_followed(memory: Memory) -> None:
    """A client is sent what came after its position, then what comes."""
    log = filled("a", "b")
    client = await memory.connect(talk(PushLog(log)))
    assert await resume(client, ["1", 1]) == {"resumed": True, "epoch": "1"}
    assert await pushes(client, 1) == [("1", 2, "b")]
    assert await client.hears_nothing(10)
    log.append("c")
    assert await pushes(client, 1) == [("1", 3, "c")]


@pytest.mark.parametrize(
    "position", [["0", 2], ["1", 0], ["1", 4], ["1"], ["1", "2"], [1, 2], "12", 2, {}]
)
async def test_an_unknown_position_is_no_position(memory: Memory, position: object) -> None:
    """Another epoch, what is forgotten, what never was: start over."""
    client = await memory.connect(talk(PushLog(filled("a", "b", "c", max_size=2))))
    assert await resume(client, position) == {"resumed": False, "epoch": "1"}
    assert await pushes(client, 1) == [("1", 2, "b")]


async def test_the_whole_history_can_be_resumed(memory: Memory) -> None:
    """The position before the oldest message is known, and so is the last one."""
    log = filled("a", "b", "c", max_size=2)
    for offset, left in ((1, 2), (2, 1), (3, 0)):
        client = await memory.connect(talk(PushLog(log)))
        assert await resume(client, ["1", offset]) == {"resumed": True, "epoch": "1"}
        assert len(await pushes(client, left)) == left


@pytest.mark.parametrize("request_", [b"", b"resume", b"[]", b"null", b"{}", b'"resume"'])
async def test_other_requests_are_refused(memory: Memory, request_: bytes) -> None:
    """A client that speaks another protocol is told so."""
    client = await memory.connect(talk(PushLog(Log())))
    await client.send(TEXT, request_)
    found = await client.read()
    assert found is not None
    assert found == (CLOSE, (1008).to_bytes(2, "big") + b'expected {"resume": ...}')


async def test_a_new_epoch_ends_those_of_the_old_one(memory: Memory) -> None:
    """Whoever follows when the history is lost is closed; his position is worth nothing then."""
    log = filled("a", "b")
    peer = talk(PushLog(log))
    client = await memory.connect(peer)
    await resume(client, ["1", 2])
    log.begin_anew()
    assert await client.read() == (CLOSE, (1012).to_bytes(2, "big") + b"start over")
    log.append("z")
    client = await memory.connect(peer)
    assert await resume(client, ["1", 2]) == {"resumed": False, "epoch": "2"}
    assert await pushes(client, 1) == [("2", 1, "z")]


async def test_who_falls_behind_the_history_is_closed(memory: Memory) -> None:
    """What is forgotten before it is pushed is not left out silently."""
    log = Log(max_size=2)
    client = await memory.connect(talk(PushLog(log)))
    await resume(client, None)
    log.append("a", "b", "c")
    assert await client.read() == (CLOSE, (1012).to_bytes(2, "big") + b"start over")


async def test_a_script_goes_on_after_so_many_pushes(memory: Memory) -> None:
    """With a count it is a step like others."""
    peer = talk(PushLog(filled("a", "b"), count=1), Drop())
    client = await memory.connect(peer)
    await resume(client, None)
    assert await pushes(client, 1) == [("1", 1, "a")]
    assert await client.read() is None
    assert peer.connections[0].end is End.DROPPED


def test_it_reads_like_a_sentence() -> None:
    """A step shows its log, and nothing of what is in it; what is no log is refused."""
    step = PushLog(filled("a"), 3)
    assert repr(step) == "PushLog(Log(max_size=1000, epoch='1', offset=1), 3)"
    with pytest.raises(wsguard.PolicyError):
        PushLog("log")  # type: ignore[arg-type]
    with pytest.raises(wsguard.PolicyError):
        Script(PushLog(Log()))


# --- a guard that resumes ------------------------------------------------------------


class Resuming:
    """An on_connect that resumes, and notes what it was told."""

    def __init__(self) -> None:
        self.answers: list[tuple[Hashable, bool]] = []

    async def __call__(self, connection: wsguard.Connection) -> None:
        await connection.send_message(json.dumps({"resume": connection.last_key}))
        answer = json.loads(await connection.get_message())
        self.answers.append((connection.last_key, answer["resumed"]))


async def test_a_guard_goes_on_where_it_was(memory: Memory) -> None:
    """After each loss a guard asks from its last key on, and misses nothing."""
    log = filled(*"abcdef")
    peer = talk(PushLog(log, 2), CutFrame(), Drop())
    resuming = Resuming()
    async with open_guard(memory, peer, on_connect=resuming, dedup=by_position()) as ws:
        found = [json.loads(await ws.get_message())["data"] for _ in range(6)]
        assert ws.snapshot().duplicates_dropped == 0
    assert found == list("abcdef")
    assert resuming.answers[:3] == [(None, False), (("1", 2), True), (("1", 4), True)]


async def test_every_byte_may_be_the_last(memory: Memory) -> None:
    """Over hundreds of losses, each one byte later, nothing is missed and nothing comes twice."""
    log = filled(*map(str, range(2000)), max_size=2000)
    peer = talk(PushLog(log))
    sizes = iter(range(600))  # from the handshake's first byte on

    async def dial(target: wsguard.Target) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        stream, size = memory.dial(peer).stream, next(sizes, None)
        return stream if size is None else Cut(stream, size, 0)

    policy = wsguard.GuardPolicy(max_connection_failures=None)
    async with wsguard.open_guarded_websocket(
        "ws://peer.example/",
        dial=dial,
        policy=policy,
        on_connect=Resuming(),
        dedup=by_position(),
        wait=False,
    ) as ws:
        found = [json.loads(await ws.get_message())["data"] for _ in range(2000)]
        figures = ws.snapshot()
    assert found == list(map(str, range(2000)))
    assert figures.losses + figures.failed_attempts == 600
    assert figures.losses >= 200


async def test_a_guard_starts_over_in_a_new_epoch(memory: Memory) -> None:
    """Offsets of a new epoch are no repeats of the old one's."""
    log = filled("a", "b")
    resuming = Resuming()
    async with open_guard(
        memory, talk(PushLog(log)), on_connect=resuming, dedup=by_position()
    ) as ws:
        assert [position(await ws.get_message()) for _ in range(2)] == [("1", 1), ("1", 2)]
        log.begin_anew()
        log.append("y", "z")
        assert [position(await ws.get_message()) for _ in range(2)] == [("2", 1), ("2", 2)]
    assert resuming.answers == [(None, False), (("1", 2), False)]


async def test_a_guard_learns_that_the_history_was_too_short(memory: Memory) -> None:
    """What was forgotten in the meantime is told, and what is left is delivered."""
    log = filled("a", max_size=2)
    peer = talk(PushLog(log, 1), Drop())
    resuming = Resuming()
    async with open_guard(memory, peer, on_connect=resuming, dedup=by_position()) as ws:
        await ws.get_message()
        log.append("b", "c", "d")
        assert position(await ws.get_message()) == ("1", 3)
    assert resuming.answers == [(None, False), (("1", 1), False)]
