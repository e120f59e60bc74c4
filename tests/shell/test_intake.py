"""Keys of received messages: repeats, the last key, the gap; in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

import trio_wsguard as wsguard

from .conftest import Net, accept, drop, idle, quick

if TYPE_CHECKING:
    from collections.abc import Hashable

    import trio_websocket

    from ..talks import Talk

Message = str | bytes


def number(message: Message) -> Hashable:
    """The key of "17 anything" is 17; of what does not begin with a number, none."""
    first = str(message).partition(" ")[0]
    return int(first) if first.isdigit() else None


def says(*messages: str, stay: bool = False) -> Talk:
    """Send messages, and end the connection or stay."""

    async def talk(ws: trio_websocket.WebSocketConnection) -> None:
        for message in messages:
            await ws.send_message(message)
        await trio.sleep(1)
        await (idle if stay else drop)(ws)

    return talk


async def take(ws: wsguard.GuardedWebSocket, count: int) -> list[Message]:
    return [await ws.get_message() for _ in range(count)]


class Seen:
    """An on_connect that notes what the connection knows."""

    def __init__(self) -> None:
        self.keys: list[Hashable] = []
        self.gaps: list[wsguard.Gap | None] = []
        self.connections: list[wsguard.Connection] = []

    async def __call__(self, connection: wsguard.Connection) -> None:
        await trio.lowlevel.checkpoint()
        self.keys.append(connection.last_key)
        self.gaps.append(connection.gap)
        self.connections.append(connection)


def filtering(**options: Any) -> wsguard.DuplicateFilter:
    return wsguard.DuplicateFilter(key=number, **options)


# --- repeats ---------------------------------------------------------------------


async def test_a_repeat_is_dropped_on_a_later_connection(net: Net) -> None:
    """What an earlier connection brought is not given again, and is counted."""
    net.script(accept(says("1", "2")), accept(says("1 again", "2 again", "3", stay=True)))
    async with net.open(dedup=filtering(), policy=quick()) as ws:
        assert await take(ws, 3) == ["1", "2", "3"]
        figures = ws.snapshot()
        assert (figures.messages_received, figures.duplicates_dropped) == (5, 2)
        assert figures.queue_depth == 0


async def test_messages_without_a_key_are_not_filtered(net: Net) -> None:
    """A message whose key is None always comes."""
    net.script(accept(says("hello", "hello", "1", "1", "hello", stay=True)))
    async with net.open(dedup=filtering()) as ws:
        assert await take(ws, 4) == ["hello", "hello", "1", "hello"]


async def test_a_batch_of_repeats_wakes_nobody(net: Net) -> None:
    """An application that waits goes on waiting while repeats come."""
    net.script(accept(says("1")), accept(says("1", "1", "1", stay=True)))
    async with net.open(dedup=filtering(), policy=quick()) as ws:
        await take(ws, 1)
        with trio.move_on_after(10) as waiting:
            await ws.get_messages()
        assert waiting.cancelled_caught
        assert ws.snapshot().duplicates_dropped == 3


async def test_guards_may_share_a_filter(net: Net) -> None:
    """Of two guards with one filter, one gives the message; each counts what it dropped."""
    net.script(accept(says("1", "2", stay=True)))
    shared = filtering()
    async with net.open(dedup=shared) as one, net.open(dedup=shared) as other:
        await trio.sleep(2)
        figures = [one.snapshot(), other.snapshot()]
    assert sum(each.queue_depth for each in figures) == 2
    assert sum(each.duplicates_dropped for each in figures) == shared.dropped == 2


async def test_without_a_filter_repeats_come(net: Net) -> None:
    """Without `dedup` nothing is dropped, with and without a key."""
    net.script(accept(says("1", "1", stay=True)))
    for options in ({}, {"message_key": number}):
        async with net.open(**options) as ws:
            assert await take(ws, 2) == ["1", "1"]
            assert ws.snapshot().duplicates_dropped == 0


async def test_one_key_filters_and_another_tells_the_place(net: Net) -> None:
    """`message_key` and the key of `dedup` may differ: an id, and an offset."""
    seen = Seen()
    dedup = wsguard.DuplicateFilter(key=lambda message: str(message).partition(" ")[2])
    net.script(accept(says("1 a", "2 b", "3 a")), accept(says(stay=True)))
    async with net.open(message_key=number, dedup=dedup, on_connect=seen, policy=quick()) as ws:
        assert await take(ws, 2) == ["1 a", "2 b"]
        await trio.sleep(5)
    assert seen.keys == [None, 3]


# --- the last key ------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"message_key": number}, {"dedup": filtering()}])
async def test_on_connect_knows_the_last_key(net: Net, options: dict[str, Any]) -> None:
    """It is that of the last message with a key, read by the application or not yet."""
    seen = Seen()
    net.script(accept(says("1", "2", "bye")), accept(says("8", "9")), accept(idle))
    async with net.open(on_connect=seen, policy=quick(), **options) as ws:
        await trio.sleep(10)
        assert await take(ws, 5) == ["1", "2", "bye", "8", "9"]
    assert seen.keys == [None, 2, 9]


@pytest.mark.parametrize("setting", ["message_key", "dedup"])
async def test_a_key_sees_each_message_once_in_order(net: Net, setting: str) -> None:
    """It may learn an epoch from one message that the next ones are named by."""
    epoch, asked, seen = "", list[Message](), Seen()

    def place(message: Message) -> Hashable:
        nonlocal epoch
        asked.append(message)
        if message == "epoch b":
            epoch = "b"
            return None
        return epoch, message

    async def on_connect(connection: wsguard.Connection) -> None:
        await seen(connection)
        if connection.generation == 1:
            assert await connection.get_message() == "hello"
        await trio.sleep(1)

    key = place if setting == "message_key" else wsguard.DuplicateFilter(key=place)
    said = ["hello", "1", "epoch b", "1", "2"]
    net.script(accept(says(*said)), accept(idle))
    async with net.open(on_connect=on_connect, policy=quick(), **{setting: key}) as ws:
        assert await take(ws, 4) == said[1:]
        await trio.sleep(5)
    assert asked == said
    assert seen.keys == [None, ("b", "2")]


async def test_a_repeat_moves_the_last_key(net: Net) -> None:
    """A repeat tells where the peer stands, so that a filter shared by guards holds none back."""
    seen, dedup = Seen(), filtering()
    dedup.remember(5, trio.current_time())
    net.script(accept(says("4", "5")), accept(idle))
    async with net.open(on_connect=seen, policy=quick(), dedup=dedup) as ws:
        assert await take(ws, 1) == ["4"]
        await trio.sleep(5)
    assert seen.keys == [None, 5]


async def test_without_a_key_there_is_no_last_key(net: Net) -> None:
    """Neither `message_key` nor `dedup`: it is None."""
    seen = Seen()
    net.script(accept(says("1")), accept(idle))
    async with net.open(on_connect=seen, policy=quick()):
        await trio.sleep(5)
    assert seen.keys == [None, None]


async def test_what_a_failed_on_connect_left_unread_comes_again(net: Net) -> None:
    """What arrived before on_connect failed was not seen: it is asked for and given again."""
    seen = Seen()

    async def on_connect(connection: wsguard.Connection) -> None:
        await seen(connection)
        if connection.generation == 1:
            assert await connection.get_message() == "welcome"
            raise ValueError("not today")

    net.script(accept(says("welcome", "1", "2")), accept(says("1", "2", stay=True)))
    async with net.open(on_connect=on_connect, policy=quick(), dedup=filtering()) as ws:
        assert await take(ws, 2) == ["1", "2"]
    assert seen.keys == [None, None]


async def test_what_on_connect_takes_counts_as_seen(net: Net) -> None:
    """It moves the last key, and its repeats are dropped; on_connect itself is given repeats."""
    seen = Seen()
    taken: list[Message] = []

    async def on_connect(connection: wsguard.Connection) -> None:
        await seen(connection)
        taken.append(await connection.get_message())
        assert connection.last_key == 7

    net.script(accept(says("7 hello", "7", "8")), accept(says("7 hello", "8", "9", stay=True)))
    for options in ({"dedup": filtering()}, {"message_key": number, "dedup": filtering()}):
        net.script(accept(says("7 hello", "7", "8")), accept(says("7 hello", "8", "9", stay=True)))
        async with net.open(on_connect=on_connect, policy=quick(), **options) as ws:
            assert await take(ws, 2) == ["8", "9"]
    assert taken == ["7 hello"] * 4
    assert seen.keys == [None, 8] * 2


async def test_on_connect_moves_the_last_key_without_a_filter(net: Net) -> None:
    """What on_connect takes moves the last key where there is no filter, too."""

    async def on_connect(connection: wsguard.Connection) -> None:
        await connection.get_message()
        assert connection.last_key == 7

    net.script(accept(says("7", stay=True)))
    async with net.open(on_connect=on_connect, message_key=number):
        pass


# --- the gap -----------------------------------------------------------------------


async def test_on_connect_knows_the_gap(net: Net) -> None:
    """It is the one that is told by an event once the connection is ready; none at first."""
    seen = Seen()
    net.script(accept(says("1")), OSError("no network"), accept(idle))
    async with (
        net.open(on_connect=seen, policy=quick()) as ws,
        ws.events() as events,
    ):
        told = await first_gap(events)
        first, known = seen.gaps
        assert first is None
        assert known is not None
        assert attrs.evolve(known, time=told.time) == told
        assert (told.lost_generation, told.ready_generation, told.duration) == (1, 3, 2)
        assert seen.connections[-1].gap is None  # it is over


async def test_an_attempt_that_fails_ends_no_gap(net: Net) -> None:
    """The gap grows from one on_connect to the next until one is done."""
    gaps: list[float] = []

    async def on_connect(connection: wsguard.Connection) -> None:
        await trio.lowlevel.checkpoint()
        if connection.gap is not None:
            gaps.append(connection.gap.duration)
            if len(gaps) < 3:
                raise ValueError

    net.script(accept(says("1")), accept(idle))
    async with net.open(on_connect=on_connect, policy=quick(max_connection_failures=None)) as ws:
        await take(ws, 1)
        await trio.sleep(20)
    assert gaps == [1, 2, 3]


async def first_gap(events: wsguard.EventStream) -> wsguard.Gap:
    async for event in events:
        if isinstance(event, wsguard.Gap):
            return event
    raise AssertionError("no gap was told")


# --- a key that raises ---------------------------------------------------------------


class OddMessageError(Exception):
    """The user's own."""


def strict(message: Message) -> Hashable:
    if message == "odd":
        raise OddMessageError
    return message


OPTIONS: list[dict[str, Any]] = [
    {"message_key": strict},
    {"dedup": wsguard.DuplicateFilter(key=strict)},
]


@pytest.mark.parametrize("options", OPTIONS)
async def test_what_a_key_raises_leaves_the_block(net: Net, options: dict[str, Any]) -> None:
    """It comes out as itself, and ends the guard."""
    net.script(accept(says("odd", stay=True)))
    with pytest.raises(OddMessageError):
        async with net.open(**options):
            await trio.sleep_forever()


@pytest.mark.parametrize("options", OPTIONS)
async def test_so_it_does_for_what_on_connect_left_unread(
    net: Net, options: dict[str, Any]
) -> None:
    """What arrived during on_connect is looked at once it is done."""

    async def on_connect(connection: wsguard.Connection) -> None:
        assert await connection.get_message() == "hello"

    net.script(accept(says("hello", "odd", stay=True)))
    with pytest.raises(OddMessageError):
        async with net.open(on_connect=on_connect, **options):
            await trio.sleep_forever()


@pytest.mark.parametrize("options", OPTIONS)
async def test_in_on_connect_it_fails_the_attempt(net: Net, options: dict[str, Any]) -> None:
    """Where on_connect asks for the message, it is raised to on_connect."""

    async def on_connect(connection: wsguard.Connection) -> None:
        await connection.get_message()

    net.script(accept(says("odd")), accept(says("fine", stay=True)))
    async with net.open(on_connect=on_connect, policy=quick(), **options) as ws:
        assert ws.generation == 2
        assert ws.snapshot().failures == {wsguard.FailureKind.OTHER: 1}


async def test_a_batch_whose_key_raises_is_not_remembered(net: Net) -> None:
    """A filter that outlives the guard knows no message that was not handed on."""
    dedup = wsguard.DuplicateFilter(key=strict)
    given: list[Message] = []

    async def consume() -> None:
        async with net.open(dedup=dedup) as ws:
            while True:
                given.append(await ws.get_message())

    net.script(accept(says("fine", "odd", stay=True)))
    with pytest.raises(OddMessageError):
        await consume()
    assert len(dedup) == len(given)


# --- settings ------------------------------------------------------------------------


@pytest.mark.parametrize(("field", "value"), [("message_key", "id"), ("dedup", number)])
async def test_settings_are_checked(net: Net, field: str, value: object) -> None:
    """What is no function, or no filter, is refused by its name."""
    with pytest.raises(wsguard.PolicyError) as refused:
        async with net.open(**{field: value}):
            raise AssertionError("it was opened")
    assert (refused.value.field, refused.value.value) == (field, value)
