"""A sink that is a memory channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_wsguard.instrumentation.sinks import SinkError, SinkPolicy

if TYPE_CHECKING:
    import trio_wsguard as wsguard


class ChannelSink:
    """Sends notifications into a memory channel.

    A reader that is slow, or gone for lunch, holds up nobody: notifications
    wait for it, `max_queue` at the most, and the oldest are dropped and counted.

    Args:
        channel: It stays the caller's: the notifier does not close it.
        name: For logs and figures.
        policy: How it is served; by default without a timeout.
    """

    def __init__(
        self,
        channel: trio.MemorySendChannel[wsguard.Notification],
        *,
        name: str = "channel",
        policy: SinkPolicy | None = None,
    ) -> None:
        self.name = name
        # Not by `send_nowait`: into a channel without a buffer it goes only while
        # somebody waits on the other side.
        self.policy = policy or SinkPolicy(timeout=None)
        self._channel = channel

    async def send(self, notification: wsguard.Notification) -> None:
        """Wait until there is room, and send."""
        try:
            await self._channel.send(notification)
        except trio.BrokenResourceError as exc:
            raise SinkError("nobody receives any more", False) from exc
        except trio.ClosedResourceError as exc:
            raise SinkError("the channel is closed", False) from exc
