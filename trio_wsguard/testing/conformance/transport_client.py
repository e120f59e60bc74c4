"""A transport under test, and what every call of it must keep to."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from trio_wsguard._core.failure import classify
from trio_wsguard._core.health import Counters
from trio_wsguard._errors import TransportError
from trio_wsguard._shell.nursery import open_flat_nursery
from trio_wsguard._shell.watched import WatchedStream
from trio_wsguard.testing.conformance.property import Arm
from trio_wsguard.testing.conformance.violation import expect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

    from trio_wsguard._core.failure import FailureKind
    from trio_wsguard._shell.transport import Message, Transport
    from trio_wsguard.testing.conformance.run import Run
    from trio_wsguard.testing.peer import ConnectionRecord, ScriptedPeer

AT_ONCE: Final = 0.1  # virtual seconds: room for a short grace, and for no timeout
_LIMITS: Final = {Arm.SIMULATED: 100_000.0, Arm.LOOPBACK: 10.0}  # seconds: what hangs is told
# On a real socket, of a run that hung before: patience is for the first example
# only, not for each of the hundreds that look for the smallest.
_SHORT_LIMIT: Final = 0.5
_hung: Final[list[Run]] = []


@contextmanager
def ends(run: Run, what: str, within: float = float("inf")) -> Iterator[None]:
    """State that what is done in the block ends.

    Args:
        run: What is tried.
        what: What is done there.
        within: Seconds; not measured in real time, where they prove nothing.
    """
    __tracebackhide__ = True
    began_at, limit = trio.current_time(), limit_of(run)
    with trio.move_on_after(limit) as scope:
        yield
    check_ended(run, what, scope, limit)
    took = trio.current_time() - began_at
    is_measured = run.arm is Arm.SIMULATED
    expect(not is_measured or took <= within, f"{what} took {took:g} s")


def limit_of(run: Run) -> float:
    """Tell after how many seconds something is taken to hang."""
    has_hung = run.arm is Arm.LOOPBACK and any(one is run for one in _hung)
    return _SHORT_LIMIT if has_hung else _LIMITS[run.arm]


def check_ended(run: Run, what: str, scope: trio.CancelScope, limit: float) -> None:
    """State that a scope with that limit did not run into it."""
    if scope.cancelled_caught:
        _hung.append(run)
        raise AssertionError(f"{what} has not ended after {limit:g} s")


class Client:
    """A transport under test, on a stream to a peer; every call of it is watched.

    Attributes:
        transport: The transport; set once it is open.
        stream: What carries it.
        counters: What it counts.
        pongs: What `on_pong` was told.
    """

    def __init__(self, run: Run, peer: ScriptedPeer, stream: trio.abc.Stream) -> None:
        self.transport: Transport
        self.counters = Counters()
        self.stream = WatchedStream(stream, self.counters)
        self.pongs: list[bytes] = []
        self._run = run
        self._peer = peer

    @property
    def record(self) -> ConnectionRecord:
        """What the peer noted."""
        return self._peer.connections[-1]

    async def receive(self) -> list[Message]:
        """Receive a batch: at least one message."""
        batch: list[Message] = await self._call("receive")
        is_batch = isinstance(batch, list) and bool(batch)
        expect(is_batch, f"receive gives {batch!r}, no list of messages")
        odd = [one for one in batch if not isinstance(one, str | bytes)]
        expect(not odd, f"receive gives {odd[:1]!r:.60}, no message")
        return batch

    async def send(self, message: Message) -> None:
        """Send."""
        await self._call("send", message)

    async def ping(self, payload: bytes) -> None:
        """Ping."""
        await self._call("ping", payload)

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Do the close handshake."""
        await self._call("aclose", code, reason)

    async def _call(self, name: str, *args: Any) -> Any:
        with ends(self._run, f"{name}()"), only_transport_errors(f"{name}()"):
            return await getattr(self.transport, name)(*args)

    async def hear(self, count: int) -> list[Message]:
        """Receive some messages."""
        heard: list[Message] = []
        while len(heard) < count:
            heard += await self.receive()
        return heard

    async def hear_out(self, at_most: int | None = None) -> Ending:
        """Receive until the connection ends.

        Args:
            at_most: How many messages may come; ``None`` for any number.
        """
        heard: list[Message] = []
        while True:
            try:
                heard += await self.receive()
            except TransportError as exc:
                return Ending(heard, exc)
            is_too_much = at_most is not None and len(heard) > at_most
            expect(not is_too_much, f"a message comes that must not: {heard[-1:]!r:.60}")

    @asynccontextmanager
    async def hearing(self) -> AsyncIterator[list[Message]]:
        """Receive in a task of its own, as the guard does, and give what has come."""
        heard: list[Message] = []

        async def keep_receiving() -> None:
            try:
                while True:
                    heard.extend(await self.receive())
            except TransportError:
                pass

        async with open_flat_nursery() as nursery:
            nursery.start_soon(keep_receiving)
            yield heard
            nursery.cancel_scope.cancel()


@attrs.frozen
class Ending:
    """What was heard until the connection ended.

    Attributes:
        messages: The messages.
        error: How it ended.
    """

    messages: list[Message]
    error: TransportError

    @property
    def kind(self) -> FailureKind:
        """What the guard takes it for."""
        return classify(self.error).kind

    @property
    def facts(self) -> tuple[list[Message], FailureKind, int | None, str]:
        """What a program can tell of it."""
        return self.messages, self.kind, self.error.close_code, self.error.close_reason


@contextmanager
def only_transport_errors(where: str) -> Iterator[None]:
    """State that nothing else comes out, and `Cancelled` only where it was asked for."""
    __tracebackhide__ = True
    try:
        yield
    except TransportError as exc:
        expect(str(exc).isprintable(), f"{where} raises an error of unprintable text: {exc!r}")
        raise
    except AssertionError:
        raise
    except BaseException as exc:
        if isinstance(exc, Exception) or trio.current_effective_deadline() != -float("inf"):
            text = f"{where} raises {type(exc).__name__}: {exc}; not a TransportError"
            raise AssertionError(text) from exc
        raise


def check_at_once(run: Run, what: str, began_at: float) -> None:
    """State that no timeout was waited for since."""
    took = trio.current_time() - began_at
    expect(run.arm is Arm.LOOPBACK or took <= AT_ONCE, f"{what} took {took:g} s")


@contextmanager
def no_task_left() -> Iterator[None]:
    """State that no task is left where tasks outlive their nursery: among the system's."""
    __tracebackhide__ = True
    before = _system_tasks()
    yield
    left = sorted(task.name for task in _system_tasks() - before)
    expect(not left, f"tasks are left: {left}")


def _system_tasks() -> set[trio.lowlevel.Task]:
    root = trio.lowlevel.current_root_task()
    nurseries = root.child_nurseries if root is not None else []
    return {task for nursery in nurseries for task in nursery.child_tasks}


def expect_same(heard: Sequence[object], sent: Sequence[object], who: str) -> None:
    """State that what was heard is what was sent.

    Args:
        heard: What came.
        sent: What ought to.
        who: Who heard it.
    """
    same = list(heard) == list(sent)
    expect(same, f"{_shown(sent)} was sent; {who} has {_shown(heard)}")


def _shown(messages: Sequence[object]) -> str:
    shown = repr(list(messages))
    return shown if len(shown) <= 200 else f"{shown[:100]}... ({len(messages)} in all)"


def is_within(some: Iterable[object], everything: Iterable[object]) -> bool:
    """Whether the first is what is left of the second when some of it is taken out."""
    rest = iter(everything)
    return all(any(one == other for other in rest) for one in some)
