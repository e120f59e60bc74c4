"""The steps of a well-behaved talk."""

from __future__ import annotations

from itertools import count as count_from
from typing import TYPE_CHECKING, ClassVar

import attrs
import trio
from wsproto.frame_protocol import Opcode

from trio_wsguard._core import checks
from trio_wsguard._errors import PolicyError
from trio_wsguard.testing.peer.frames import frame
from trio_wsguard.testing.peer.script import VARIADIC, Stage, Step
from trio_wsguard.testing.peer.validators import messages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_wsguard._shell.transport import Message
    from trio_wsguard.testing.peer.conversation import Conversation


@attrs.frozen(init=False, repr=False)
class Push(Step):
    """Send messages.

    Args:
        messages: Text or bytes.
        interval: Seconds between two of them.
    """

    messages: tuple[Message, ...] = attrs.field(validator=messages, metadata={VARIADIC: True})
    interval: float = attrs.field(default=0, validator=checks.not_negative)

    def __init__(self, *messages: Message, interval: float = 0) -> None:
        self.__attrs_init__(messages, interval)  # pyright: ignore[reportAttributeAccessIssue]  # attrs makes it

    async def play(self, conversation: Conversation) -> None:
        """Send them."""
        for number, message in enumerate(self.messages):
            if number and self.interval:
                await trio.sleep(self.interval)
            await conversation.send(message)


@attrs.frozen(init=False, repr=False)
class PushFragmented(Step):
    """Send one message in several frames, which is legal.

    Args:
        parts: Text or bytes, all of one type.
        ping: Whether a ping goes between two frames, which is legal too.
    """

    parts: tuple[Message, ...] = attrs.field(validator=messages, metadata={VARIADIC: True})
    ping: bool = attrs.field(default=False, validator=checks.boolean)

    def __init__(self, *parts: Message, ping: bool = False) -> None:
        self.__attrs_init__(parts, ping)  # pyright: ignore[reportAttributeAccessIssue]  # attrs makes it

    def __attrs_post_init__(self) -> None:
        if len({type(part) for part in self.parts}) > 1:
            raise PolicyError("parts", self.parts, "must be all text or all bytes")

    async def play(self, conversation: Conversation) -> None:
        """Send them at once, so that no other frame comes between."""
        between = frame(Opcode.PING, b"between") if self.ping else b""
        frames: list[bytes] = []
        opcode = Opcode.TEXT if isinstance(self.parts[0], str) else Opcode.BINARY
        for number, part in enumerate(self.parts, 1):
            payload = part.encode() if isinstance(part, str) else part
            frames.append(frame(opcode, payload, fin=number == len(self.parts)))
            opcode = Opcode.CONTINUATION
        await conversation.write(between.join(frames), unless_closed=True)


@attrs.frozen(repr=False)
class Feed(Step):
    """Send the numbers 1, 2, 3, ... as text.

    Args:
        count: How many; ``None`` for ever.
        interval: Seconds between two of them.
        size: Characters at least; shorter numbers are filled up with zeros.
    """

    count: int | None = attrs.field(default=None, validator=checks.optional(checks.count))
    interval: float = attrs.field(default=1, validator=checks.not_negative)
    size: int = attrs.field(default=1, validator=checks.count)

    def __attrs_post_init__(self) -> None:
        if self.count is None and not self.interval:
            raise PolicyError("interval", self.interval, "must be above 0 for a feed without end")

    @property
    def is_last(self) -> bool:
        """Whether it goes on for ever."""
        return self.count is None

    async def play(self, conversation: Conversation) -> None:
        """Send them."""
        for number in count_from(1) if self.count is None else range(1, self.count + 1):
            if number > 1 and self.interval:
                await trio.sleep(self.interval)
            await conversation.send(str(number).zfill(self.size))


@attrs.frozen(repr=False)
class Echo(Step):
    """Send back what comes, beginning with what no step has taken yet.

    Args:
        count: How many messages; ``None`` for ever.
    """

    count: int | None = attrs.field(default=None, validator=checks.optional(checks.count))

    @property
    def is_last(self) -> bool:
        """Whether it goes on for ever."""
        return self.count is None

    async def play(self, conversation: Conversation) -> None:
        """Receive and send."""
        for _ in count_from() if self.count is None else range(self.count):
            await conversation.send(await conversation.receive())


@attrs.frozen(repr=False)
class Receive(Step):
    """Wait for messages.

    Args:
        count: How many.
    """

    count: int = attrs.field(default=1, validator=checks.count)

    async def play(self, conversation: Conversation) -> None:
        """Take them; the record has them."""
        for _ in range(self.count):
            await conversation.receive()


@attrs.frozen(repr=False)
class Wait(Step):
    """Say nothing for a while; beats and close frames are answered.

    Args:
        seconds: How long.
    """

    stage: ClassVar[Stage] = Stage.ANY

    seconds: float = attrs.field(validator=checks.not_negative)

    async def play(self, conversation: Conversation) -> None:  # noqa: ARG002 - the talk waits
        """Sleep."""
        await trio.sleep(self.seconds)


@attrs.frozen(repr=False)
class _Lasting(Step):
    stage: ClassVar[Stage] = Stage.ANY

    seconds: float | None = attrs.field(
        default=None, validator=checks.optional(checks.not_negative)
    )

    @property
    def is_last(self) -> bool:
        """Whether it goes on for ever."""
        return self.seconds is None

    async def _last(self) -> None:
        await trio.sleep(float("inf") if self.seconds is None else self.seconds)


@attrs.frozen(repr=False)
class Silence(_Lasting):
    """Read on and answer nothing, neither beats nor a close frame.

    A close frame that came meanwhile is answered once it is over; beats are not.

    Args:
        seconds: How long; ``None`` for ever.
    """

    async def play(self, conversation: Conversation) -> None:
        """Be mute."""
        was_mute, conversation.is_mute = conversation.is_mute, True
        await self._last()
        conversation.is_mute = was_mute
        await conversation.answer_close()


@attrs.frozen(repr=False)
class StopReading(_Lasting):
    """Take no bytes, so that the client's sends block once the buffers are full.

    The end of the client's stream goes unnoticed as well: a connection that is
    never read again lasts until the peer is cancelled.

    Args:
        seconds: How long; ``None`` for ever.
    """

    async def play(self, conversation: Conversation) -> None:
        """Pause the reader."""
        conversation.pause()
        await self._last()
        conversation.resume()


@attrs.frozen(repr=False)
class Call(Step):
    """Let a function talk: the way to a protocol of your own.

    Its errors come out of the peer as they are. It is cancelled when the
    connection ends, whoever ends it.

    Args:
        fn: An async function that is given the `Conversation`.
    """

    fn: Callable[[Conversation], Awaitable[object]] = attrs.field()

    def __attrs_post_init__(self) -> None:
        if not callable(self.fn):
            raise PolicyError("fn", self.fn, "must be an async function")

    async def play(self, conversation: Conversation) -> None:
        """Call it."""
        await self.fn(conversation)
