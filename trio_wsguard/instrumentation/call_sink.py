"""A sink that calls a function."""

from __future__ import annotations

from inspect import isawaitable
from typing import TYPE_CHECKING, Any

import trio

from trio_wsguard.instrumentation.sinks import SinkPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    import trio_wsguard as wsguard


class CallSink:
    """Hands notifications to an (async) callable.

    Args:
        fn: Takes a `Notification`. What it raises counts as a failure, and it
            is called again; to prevent that, raise `SinkError`. One that is
            not async must not block: the whole program would.
        name: For logs and figures; ``None`` for the name of `fn`.
        policy: How it is served.
    """

    def __init__(
        self,
        fn: Callable[[wsguard.Notification], Any],
        *,
        name: str | None = None,
        policy: SinkPolicy | None = None,
    ) -> None:
        self.name = getattr(fn, "__qualname__", type(fn).__name__) if name is None else name
        self.policy = policy or SinkPolicy()
        self._fn = fn

    async def send(self, notification: wsguard.Notification) -> None:
        """Call the function, and await what it returns if that can be."""
        await trio.lowlevel.checkpoint()
        answer = self._fn(notification)
        if isawaitable(answer):
            await answer
