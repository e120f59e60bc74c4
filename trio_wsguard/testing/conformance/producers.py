"""Who sends through a guard under test, and what is noted of each message."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

import attrs
import trio
from hypothesis import strategies as st

import trio_wsguard as wsguard
from trio_wsguard.testing import strategies
from trio_wsguard.testing.conformance.property import Arm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_wsguard._shell.transport import Message
    from trio_wsguard.testing.conformance.life import Life
    from trio_wsguard.testing.conformance.run import Run

_S: Final = wsguard.ConnectionState


class Outcome(enum.Enum):
    """What became of a send."""

    SENT = "sent"
    DOUBTFUL = "lost, and maybe sent"
    LOST = "lost, and not sent"
    FAILED = "the guard failed"
    CLOSED = "closed"
    CANCELLED = "cancelled"


@attrs.frozen
class Order:
    """A message to send.

    Attributes:
        after: Seconds after the one before it was sent, or not.
        size: Characters, at least.
        patience: Seconds until it is cancelled; ``None`` for never.
    """

    after: float
    size: int
    patience: float | None = None


@attrs.frozen(kw_only=True)
class Sent:
    """What became of an order.

    Attributes:
        message: What was sent.
        outcome: What the caller was told.
        generations: Those of the guard when the call began and when it ended.
        was_connected: Whether the guard was CONNECTED when the call ended.
    """

    message: Message
    outcome: Outcome
    generations: tuple[int, int]
    was_connected: bool

    @property
    def only_on(self) -> int | None:
        """The one generation that can have carried it, if there is one only."""
        first, last = self.generations
        return first if first == last else None


def orders(run: Run, max_size: int = 5, rest: float = 20) -> st.SearchStrategy[list[Order]]:
    """Draw what one producer sends; in milliseconds on real sockets."""
    pauses, patience = strategies.seconds(0, rest), st.none() | strategies.seconds(0, 5)
    if run.arm is Arm.LOOPBACK:
        pauses = pauses.map(lambda pause: pause / 2000)
        patience = st.none()
    sizes = st.sampled_from([1, 100, 5_000])
    return st.lists(st.builds(Order, pauses, sizes, patience), max_size=max_size)


async def produce(life: Life, name: str, wanted: Sequence[Order], log: list[Sent]) -> None:
    """Send messages one after another, and note what becomes of each."""
    for number, order in enumerate(wanted):
        await trio.sleep(order.after)
        message = f"{name}.{number}:".ljust(order.size, "x")
        before = life.ws.generation
        outcome = await send(life.ws, message, order.patience)
        log.append(
            Sent(
                message=message,
                outcome=outcome,
                generations=(before, life.ws.generation),
                was_connected=life.ws.state is _S.CONNECTED,
            )
        )


async def send(
    ws: wsguard.GuardedWebSocket, message: str, patience: float | None = None
) -> Outcome:
    """Send a message, and tell what became of it."""
    with trio.move_on_after(float("inf") if patience is None else patience):
        try:
            await ws.send_message(message)
        except wsguard.ConnectionLostError as exc:
            return Outcome.DOUBTFUL if exc.maybe_sent else Outcome.LOST
        except wsguard.GuardFailedError:
            return Outcome.FAILED
        except (trio.ClosedResourceError, wsguard.ConnectionClosedError):
            return Outcome.CLOSED
        return Outcome.SENT
    return Outcome.CANCELLED


class Treacherous(trio.abc.Stream):
    """A stream that breaks once under a send, as TLS over a dying connection does.

    Args:
        stream: The stream beneath.
        which: Under which send after the handshake.
        is_out: Whether the bytes are out before it breaks.
    """

    def __init__(self, stream: trio.abc.Stream, which: int, *, is_out: bool) -> None:
        self._stream = stream
        self._left = which + 1
        self._is_out = is_out

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send, or break."""
        self._left -= 1
        if self._left or self._is_out:
            await self._stream.send_all(data)
        if not self._left:
            await trio.lowlevel.checkpoint()
            raise trio.BrokenResourceError("broken under a send")

    async def wait_send_all_might_not_block(self) -> None:
        """Wait as the stream beneath does."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive as the stream beneath does."""
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        """Close the stream beneath."""
        await self._stream.aclose()
