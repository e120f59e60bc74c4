"""A feed that can be resumed: a history with offsets, which has an epoch.

A client tells how far it came, and is sent what followed. Where the server no
longer knows what followed, it says so, and the client starts over. The protocol
is the least that has all of it, in JSON::

    client: {"resume": null}              or {"resume": ["1", 17]}: epoch and offset
    server: {"resumed": true, "epoch": "1"}
    server: {"epoch": "1", "offset": 18, "data": "..."}, and so on

``"resumed": false`` begins with the oldest message that is kept.

Source: Centrifugo's history and recovery (an offset in each publication, an
epoch for each life of the history, ``recovered`` in the reply to a subscription);
Socket.IO's connection state recovery (the client sends the last offset it saw).
"""

from __future__ import annotations

import json
from collections import deque
from itertools import count as count_from
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from trio_wsguard._core import checks
from trio_wsguard.testing.peer.script import Step

if TYPE_CHECKING:
    from trio_wsguard.testing.peer.conversation import Conversation

_RESTART: Final = 1012  # the registry of close codes: "Service Restart"
_POLICY: Final = 1008  # RFC 6455, section 7.4.1


@attrs.define(eq=False)
class Log:
    """A bounded history, which all connections of a peer may share.

    Args:
        max_size: Messages kept; the oldest go.

    Attributes:
        epoch: Names this life of the history; another one says nothing about it.
        offset: That of the last message, from 1 in each epoch; 0 before the first.
    """

    max_size: int = attrs.field(default=1000, validator=checks.count)
    epoch: str = attrs.field(default="1", init=False)
    offset: int = attrs.field(default=0, init=False)
    _kept: deque[str] = attrs.field(init=False, repr=False)
    _news: trio.lowlevel.ParkingLot = attrs.field(
        init=False, repr=False, factory=trio.lowlevel.ParkingLot
    )

    def __attrs_post_init__(self) -> None:
        self._kept = deque(maxlen=self.max_size)

    def append(self, *data: str) -> None:
        """Add messages; who follows the log is sent them."""
        self._kept.extend(data)
        self.offset += len(data)
        self._news.unpark_all()

    def begin_anew(self) -> None:
        """Lose the history, as a server does that keeps it in memory and restarts."""
        self._kept.clear()
        self.epoch, self.offset = str(int(self.epoch) + 1), 0
        self._news.unpark_all()

    @property
    def start(self) -> int:
        """The offset before the oldest message kept."""
        return self.offset - len(self._kept)

    def can_resume(self, position: object) -> bool:
        """Tell whether all that came after a position, epoch and offset, is kept."""
        match position:
            case [str(epoch), int(offset)]:
                return epoch == self.epoch and self.start <= offset <= self.offset
        return False

    def message(self, offset: int) -> str:
        """Give the message of an offset as it is sent."""
        data = self._kept[offset - self.start - 1]
        return json.dumps({"epoch": self.epoch, "offset": offset, "data": data})

    async def wait_beyond(self, epoch: str, offset: int) -> None:
        """Wait until a position is not the newest one."""
        while (epoch, offset) == (self.epoch, self.offset):
            await self._news.park()


@attrs.frozen(repr=False)
class PushLog(Step):
    """Let the client resume a log: wait for its position, then push what follows.

    A client that falls behind what is kept, or whose epoch is over, is closed
    with 1012: it comes back, and starts over.

    Args:
        log: The log.
        count: How many messages; ``None`` for ever.
    """

    log: Log = attrs.field(validator=checks.instance_of(Log))
    count: int | None = attrs.field(default=None, validator=checks.optional(checks.whole))

    @property
    def is_last(self) -> bool:
        """Whether it goes on for ever."""
        return self.count is None

    async def play(self, conversation: Conversation) -> None:
        """Answer, and push."""
        log, position = self.log, await self._position(conversation)
        is_resumed = log.can_resume(position)
        epoch, offset = log.epoch, position[1] if is_resumed else log.start
        await conversation.send(json.dumps({"resumed": is_resumed, "epoch": epoch}))
        for _ in count_from() if self.count is None else range(self.count):
            await log.wait_beyond(epoch, offset)
            if not log.can_resume([epoch, offset]):
                await conversation.close(_RESTART, "start over")
            offset += 1
            await conversation.send(log.message(offset))

    async def _position(self, conversation: Conversation) -> Any:
        try:
            request = json.loads(await conversation.receive())
            return request["resume"]
        except (ValueError, TypeError, KeyError):
            await conversation.close(_POLICY, 'expected {"resume": ...}')
