"""The steps that end a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import attrs

from trio_wsguard._core import checks
from trio_wsguard.testing.peer.record import End
from trio_wsguard.testing.peer.script import Stage, Step
from trio_wsguard.testing.peer.validators import reason, within

if TYPE_CHECKING:
    from trio_wsguard.testing.peer.conversation import Conversation


@attrs.frozen(repr=False)
class _LastStep(Step):
    @property
    def is_last(self) -> bool:
        """It ends the connection."""
        return True


@attrs.frozen(repr=False)
class Close(_LastStep):
    """Close with a close frame, then end the stream.

    Args:
        code: The close code; the RFC's reserved ones too.
        reason: At most 123 bytes.
        wait: Whether the client's close frame is awaited before the end.
    """

    code: int = attrs.field(default=1000, validator=within(1000, 4999))
    reason: str = attrs.field(default="", validator=reason)
    wait: bool = attrs.field(default=True, kw_only=True, validator=checks.boolean)

    async def play(self, conversation: Conversation) -> None:
        """Close."""
        await conversation.close(self.code, self.reason, wait=self.wait)


@attrs.frozen(repr=False)
class Drop(_LastStep):
    """End the stream (FIN) without a close frame."""

    stage: ClassVar[Stage] = Stage.ANY

    async def play(self, conversation: Conversation) -> None:
        """End it."""
        conversation.end(End.DROPPED)


@attrs.frozen(repr=False)
class Reset(_LastStep):
    """Reset the stream (RST), where it is one that can be reset."""

    stage: ClassVar[Stage] = Stage.ANY

    async def play(self, conversation: Conversation) -> None:
        """End it."""
        conversation.end(End.RESET)
