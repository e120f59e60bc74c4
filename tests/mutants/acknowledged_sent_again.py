"""An outbox that repeats from a copy made before the last acknowledgement came."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard import Outbox
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from trio_wsguard._shell.transport import Message

CAUGHT_BY = "only_what_is_unacknowledged_goes_again"


@contextmanager
def mutated() -> Iterator[Parts]:
    flush, incoming = Outbox.flush, Outbox.incoming
    last: dict[Outbox, Message] = {}

    def remembered(self: Outbox, message: Message) -> None:
        before = list(self._ledger._kept.values())
        incoming(self, message)
        for one in before:
            if not self._ledger._is_kept(one):
                last[self] = one.message

    async def from_a_copy(self: Outbox, try_send: Callable[[Message], Awaitable[bool]]) -> None:
        if self in last:
            await try_send(last[self])
        await flush(self, try_send)

    with (
        mock.patch.object(Outbox, "flush", from_a_copy),
        mock.patch.object(Outbox, "incoming", remembered),
    ):
        yield Parts()
