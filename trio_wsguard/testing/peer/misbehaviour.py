"""The steps of a talk that goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import attrs

from trio_wsguard._core import checks
from trio_wsguard._errors import PolicyError
from trio_wsguard.testing.peer.frames import VIOLATIONS, message_frame
from trio_wsguard.testing.peer.script import Stage, Step
from trio_wsguard.testing.peer.validators import message as a_message

if TYPE_CHECKING:
    from trio_wsguard._shell.transport import Message
    from trio_wsguard.testing.peer.conversation import Conversation


@attrs.frozen(repr=False)
class SendRaw(Step):
    """Write bytes as they are: half a frame, a bad one, no HTTP at all; see `frame`.

    Args:
        data: The bytes.
    """

    stage: ClassVar[Stage] = Stage.ANY

    data: bytes = attrs.field(validator=checks.instance_of(bytes))

    async def play(self, conversation: Conversation) -> None:
        """Write them."""
        await conversation.write(self.data)


@attrs.frozen(repr=False)
class Violate(Step):
    """Break the WebSocket protocol.

    Args:
        rule: How: a key of `VIOLATIONS`.
    """

    rule: str = attrs.field()

    def __attrs_post_init__(self) -> None:
        if self.rule not in VIOLATIONS:
            raise PolicyError("rule", self.rule, f"must be one of {', '.join(VIOLATIONS)}")

    async def play(self, conversation: Conversation) -> None:
        """Write the bytes."""
        await conversation.write(VIOLATIONS[self.rule].raw)


@attrs.frozen(repr=False)
class CutFrame(Step):
    """Write the first bytes of a message's frame, and no answer any more.

    What the client sees of it is decided by the next step: `Drop`, `Reset`, or
    none.

    Args:
        size: How many bytes.
        message: The message.
    """

    size: int = attrs.field(default=3, validator=checks.count)
    message: Message = attrs.field(default="cut off", validator=a_message)

    def __attrs_post_init__(self) -> None:
        if self.size >= len(message_frame(self.message)):
            raise PolicyError("size", self.size, "must be less than the whole frame")

    async def play(self, conversation: Conversation) -> None:
        """Write, and be mute: any answer would land within the frame."""
        conversation.is_mute = True
        await conversation.write(message_frame(self.message)[: self.size])


@attrs.frozen(repr=False)
class IgnoreClose(Step):
    """From here on, read the client's close frame and go on as if it had not come."""

    async def play(self, conversation: Conversation) -> None:
        """Change the manner."""
        conversation.answers_close = False


@attrs.frozen(repr=False)
class HoldOpen(Step):
    """From here on, answer the client's close frame, and do not end the stream."""

    async def play(self, conversation: Conversation) -> None:
        """Change the manner."""
        conversation.ends_on_close = False
