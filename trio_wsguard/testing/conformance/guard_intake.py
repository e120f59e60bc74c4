"""What must hold of repeats, of the last key, and of a feed that is resumed."""

from __future__ import annotations

import json
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio
from hypothesis import strategies as st

import trio_wsguard as wsguard
from trio_wsguard.testing.conformance.guard_messages import (
    expect_equal,
    firm_policy,
    pauses,
    pushed,
    share_of,
    talks,
)
from trio_wsguard.testing.conformance.guard_states import span
from trio_wsguard.testing.conformance.life import Life, World, open_life
from trio_wsguard.testing.conformance.property import Arm, property_of
from trio_wsguard.testing.conformance.stage import open_stage
from trio_wsguard.testing.conformance.violation import expect
from trio_wsguard.testing.peer import Accept, Close, Drop, Log, Push, PushLog, Script, Wait

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from trio_wsguard._shell.transport import Message
    from trio_wsguard.testing.conformance.run import Run
    from trio_wsguard.testing.conformance.stage import Stage

_BOTH: Final = (Arm.SIMULATED, Arm.LOOPBACK)
_UNKEYED: Final = "?"
_END: Final = "end"


# --- repeats -----------------------------------------------------------------------


def _key(message: Message) -> Hashable:
    return None if message == _UNKEYED else message


def _once(messages: Sequence[Message]) -> list[Message]:
    """Leave out repeats of messages that have a key."""
    seen: set[Message] = set()
    return [m for m in messages if m == _UNKEYED or not (m in seen or seen.add(m))]  # type: ignore[func-returns-value]


@property_of("guard", arms=_BOTH)
def a_repeat_is_dropped_across_generations(run: Run) -> None:
    """With a filter a message comes out once, whichever connections bring it; all is counted."""

    async def check(said: list[list[str]]) -> None:
        ends = [Drop()] * (len(said) - 1) + [Close(1000)]
        scripts = tuple(
            Script(Accept(), *([Push(*some)] if some else []), end)
            for some, end in zip(said, ends, strict=True)
        )
        dedup = wsguard.DuplicateFilter(key=_key)
        world, policy = World(scripts=scripts), firm_policy(run)
        async with open_life(run, world, policy, dedup=dedup) as life:
            await life.consume()
            figures = life.ws.snapshot()
        sent = pushed(scripts)
        expect_equal(life.received, _once(sent))
        dropped, repeats = figures.duplicates_dropped, len(sent) - len(life.received)
        expect(dropped == repeats, f"{dropped} repeats are counted, {repeats} were dropped")

    one = st.lists(st.sampled_from(["a", "b", "c", _UNKEYED]), max_size=6)
    run.for_all({"said": st.lists(one, min_size=1, max_size=4)}, check, share=share_of(run))


# --- the last key --------------------------------------------------------------------


@attrs.frozen
class _Login:
    """What `on_connect` does on one connection: take messages, rest, and maybe fail."""

    takes: int
    rest: float
    fails: bool


@attrs.define(eq=False)
class _Witness:
    """An `on_connect` that compares what it is told with what was handed on."""

    logins: Iterator[_Login]
    life: Life = attrs.field(init=False)
    handed: list[Message] = attrs.field(factory=list)
    from_queue: int = 0

    async def __call__(self, connection: wsguard.Connection) -> None:
        await self._let_the_application_take()
        self._compare(connection)
        connected = self.life.entered(wsguard.ConnectionState.CONNECTED)
        before = connected[-1].generation if connected else None
        gap = connection.gap and connection.gap.lost_generation
        expect(gap == before, f"the gap is after connection {gap}, {before} was the last")
        login = next(self.logins, _Login(0, 0.0, fails=False))
        for _ in range(login.takes):
            self.handed.append(await connection.get_message())
            self._compare(connection)
        await trio.sleep(login.rest)
        if login.fails:
            raise ValueError("the login failed")

    async def _let_the_application_take(self) -> None:
        while self.life.ws.snapshot().queue_depth:
            await trio.lowlevel.checkpoint()
        await self.life.settle()
        received = self.life.received
        self.handed += received[self.from_queue :]
        self.from_queue = len(received)

    def _compare(self, connection: wsguard.Connection) -> None:
        last = self.handed[-1] if self.handed else None
        key = connection.last_key
        expect(key == last, f"the last key is {key!r}, {last!r} was handed on last")


@property_of("guard", arms=_BOTH)
def on_connect_knows_the_last_key(run: Run) -> None:
    """`on_connect` is told the last key handed on, and after which connection the gap is."""

    async def check(scripts: tuple[Script, ...], logins: list[_Login]) -> None:
        witness = _Witness(iter(logins))
        # A close that meets an `on_connect` is no final one; this one comes after it.
        last = Script(Accept(), Wait(span(run, 1)), Close(1000))
        async with open_life(
            run, World(scripts=(*scripts, last)), message_key=str, on_connect=witness
        ) as life:
            witness.life = life
            await life.consume()

    login = st.builds(_Login, st.integers(0, 2), pauses(run, 3), st.booleans())
    run.for_all(
        {"scripts": talks(run), "logins": st.lists(login, max_size=4)},
        check,
        share=share_of(run),
    )


# --- resuming ----------------------------------------------------------------------


class Cut(trio.abc.Stream):
    """A stream that ends after so many bytes, and whose bytes arrive some time late.

    Late ones come together: a client that waits for one message is given several.

    Args:
        stream: The stream beneath.
        size: How many bytes it gives.
        lag: Seconds before each read.
    """

    def __init__(self, stream: trio.abc.Stream, size: int, lag: float) -> None:
        self._stream = stream
        self._left = size
        self._lag = lag

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send as the stream beneath does."""
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait as the stream beneath does."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive what is left to be given."""
        await trio.sleep(self._lag)
        if not self._left:
            return b""
        data = await self._stream.receive_some(max_bytes)
        data = data[: self._left]
        self._left -= len(data)
        return data

    async def aclose(self) -> None:
        """Close the stream beneath."""
        await self._stream.aclose()


@attrs.define(eq=False)
class _Follower:
    """A client that resumes a log: its dials, its `on_connect`, and what it got."""

    stage: Stage
    cuts: Iterator[int]
    lag: float
    overlap: int
    rest: float
    got: list[Any] = attrs.field(factory=list)

    async def dial(self, target: wsguard.Target) -> trio.abc.Stream:
        stream, size = await self.stage.dial(target), next(self.cuts, None)
        if size is None:
            return stream
        self.stage.run.count(faults=1)
        return Cut(stream, size, self.lag)

    async def resume(self, connection: wsguard.Connection) -> None:
        position: Any = connection.last_key
        if position is not None:
            # From a little further back than needed: it is the filter's turn.
            position = position[0], max(0, position[1] - self.overlap)
        await connection.send_message(json.dumps({"resume": position}))
        await connection.get_message()
        await trio.sleep(self.rest)

    async def follow(self, ws: wsguard.GuardedWebSocket) -> None:
        async for message in ws:
            self.got.append(json.loads(message))
            if self.got[-1]["data"] == _END:
                return

    def expect_whole(self, epochs: int) -> None:
        """State that nothing is missing, twice, or of the past."""
        places = [(int(one["epoch"]), one["offset"]) for one in self.got]
        for (epoch, offset), (next_epoch, next_offset) in pairwise(places):
            follows = (next_epoch == epoch and next_offset == offset + 1) or (
                next_epoch > epoch and next_offset == 1
            )
            expect(follows, f"{next_epoch}:{next_offset} came after {epoch}:{offset}")
        expect(places[0][1] == 1, f"it began with {places[0]}")
        expect(places[-1][0] == epochs, f"it ended in epoch {places[-1][0]} of {epochs}")


def position(message: Message) -> Hashable:
    """Tell where a message of a `Log` stands: epoch and offset; the answer stands nowhere."""
    said = json.loads(message)
    return (said["epoch"], said["offset"]) if "offset" in said else None


@property_of("guard", arms=_BOTH)
def a_gap_is_filled_by_resuming(run: Run) -> None:
    """A feed with offset and epoch comes out whole, once, in order, whatever byte is the last."""

    async def check(
        news: list[tuple[float, int]],
        cuts: list[int],
        lag: float,
        overlap: int,
        rest: float,
    ) -> None:
        log = Log()
        async with open_stage(run, World(scripts=(Script(Accept(), PushLog(log)),))) as stage:
            follower = _Follower(stage, iter(cuts), lag, overlap, rest)
            async with (
                stage.open(
                    dial=follower.dial,
                    on_connect=follower.resume,
                    dedup=wsguard.DuplicateFilter(key=position),
                    wait=False,
                ) as ws,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(partial(_publish, log, news))
                await follower.follow(ws)
        follower.expect_whole(int(log.epoch))

    run.for_all(
        {
            # How long nothing happens, and then how many messages; 0 for a new epoch.
            "news": st.lists(st.tuples(pauses(run, 30), st.integers(0, 6)), max_size=6),
            "cuts": st.lists(st.integers(0, 1200), max_size=6),
            "lag": pauses(run, 1),
            "overlap": st.integers(0, 3),
            "rest": pauses(run, 3),
        },
        check,
        share=share_of(run),
    )


async def _publish(log: Log, news: list[tuple[float, int]]) -> None:
    for pause, count in news:
        await trio.sleep(pause)
        if count:
            log.append(*["x"] * count)
        else:
            log.begin_anew()
    log.append(_END)
