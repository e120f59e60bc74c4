"""The step of a peer that acknowledges what it receives; for an outbox."""

from __future__ import annotations

from itertools import count as count_from

import attrs
import trio

from trio_wsguard._core import checks
from trio_wsguard._shell.transport import Message  # noqa: TC001 - resolved by who asks
from trio_wsguard.testing.peer.conversation import Conversation  # noqa: TC001 - likewise
from trio_wsguard.testing.peer.script import Step

_PREFIX = "ack "


@attrs.frozen(repr=False)
class Acknowledge(Step):
    """Acknowledge what comes, by what stands before its first colon.

    It sends ``ack`` and a key, or several with line breaks between them. An outbox
    reads that by ``key=Acknowledge.key_of, acks=Acknowledge.keys_in``.

    Args:
        count: How many messages; ``None`` for ever.
        every: Messages that are acknowledged together.
        delay: Seconds before each acknowledgement, in which nothing else is taken.
        times: How often each is sent.
    """

    count: int | None = attrs.field(default=None, validator=checks.optional(checks.count))
    every: int = attrs.field(default=1, validator=checks.count)
    delay: float = attrs.field(default=0, validator=checks.not_negative)
    times: int = attrs.field(default=1, validator=checks.count)

    @property
    def is_last(self) -> bool:
        """Whether it goes on for ever."""
        return self.count is None

    async def play(self, conversation: Conversation) -> None:
        """Receive and acknowledge."""
        keys: list[str] = []
        for _ in count_from() if self.count is None else range(self.count):
            keys.append(self.key_of(await conversation.receive()))
            if len(keys) == self.every:
                if self.delay:
                    await trio.sleep(self.delay)
                for _ in range(self.times):
                    await conversation.send(_PREFIX + "\n".join(keys))
                keys.clear()

    @staticmethod
    def key_of(message: Message) -> str:
        """Tell what a message is acknowledged by."""
        text = message if isinstance(message, str) else message.decode()
        return text.partition(":")[0]

    @staticmethod
    def keys_in(message: Message) -> list[str] | None:
        """Tell what a message acknowledges; ``None`` if it is no acknowledgement."""
        if isinstance(message, str) and message.startswith(_PREFIX):
            return message.removeprefix(_PREFIX).split("\n")
        return None
