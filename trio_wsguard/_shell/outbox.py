"""The outbox as its user holds it: a ledger, in memory or with a store behind it.

A message may go once it is stored. The ledger keeps the order meanwhile: what is
not stored yet holds up what came after it, whoever is woken first.
"""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import trio

from trio_wsguard._core.delivery import STORING, Delivery
from trio_wsguard._core.outbox import Ledger, OutboxPolicy
from trio_wsguard._errors import DuplicateKeyError, OutboxError
from trio_wsguard._shell.transport import check_message

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable

    from trio_wsguard._core.delivery import Overflow
    from trio_wsguard._core.outbox import Acknowledged, OutboxStatistics, UpTo
    from trio_wsguard._shell.outbox_store import OutboxStore
    from trio_wsguard._shell.transport import Message

    OnEnded = Callable[[Iterable[Delivery]], None]


class Outbox:
    """Keeps messages until the peer acknowledges them, and sends them again till then.

    It is given to one guard at a time. What that guard leaves in it when it ends
    is still there, for the next one.

    Args:
        key: A function from a message to what the peer acknowledges it by.
        acks: A function from a message received to what it acknowledges: the
            keys (a list, a tuple or a set), `UpTo` a key, or ``None``.
        max_messages: Messages kept.
        max_bytes: Bytes of their payloads together.
        overflow: ``"block"`` lets the sender wait, ``"error"`` refuses with
            `BufferFullError`, ``"drop_oldest"`` fails the oldest to make room.
        window: Messages sent and not acknowledged, after which sending waits;
            ``None`` for no limit but that of what is kept.
    """

    def __init__(
        self,
        *,
        key: Callable[[Message], Hashable],
        acks: Callable[[Message], Acknowledged],
        max_messages: int = 1024,
        max_bytes: int = 2**24,
        overflow: Overflow = "block",
        window: int | None = None,
    ) -> None:
        policy = OutboxPolicy(
            key=key,
            acks=acks,
            max_messages=max_messages,
            max_bytes=max_bytes,
            overflow=overflow,
            window=window,
        )
        self._ledger = Ledger(policy)
        self._store: OutboxStore | None = None
        self._line = trio.StrictFIFOLock()  # of senders that wait for room
        self._room = trio.Event()
        self._news = trio.Event()
        self._is_flushing = False
        self._on_ended: OnEnded | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: str | os.PathLike[str],
        *,
        key: Callable[[Message], str | bytes | int],
        acks: Callable[[Message], Acknowledged],
        max_messages: int = 1024,
        max_bytes: int = 2**24,
        overflow: Overflow = "block",
        window: int | None = None,
        survives_power_loss: bool = False,
    ) -> AsyncIterator[Outbox]:
        """Open an outbox in a file, or create it: what is in it survives this process.

        Args:
            path: The file; this process' own until the block is left.
            key: As for `Outbox`; a file keeps str, bytes and int.
            acks: As for `Outbox`.
            max_messages: As for `Outbox`; what is found in the file is kept in any case.
            max_bytes: Likewise.
            overflow: As for `Outbox`.
            window: As for `Outbox`.
            survives_power_loss: Whether every message also waits for the disk:
                milliseconds each, shared by all that wait.

        Raises:
            OutboxError: The file cannot be used; it is left as it is.
        """
        # SQLite is loaded by those who use it, not by all who import this library.
        from trio_wsguard._shell.outbox_file import check_key
        from trio_wsguard._shell.outbox_store import open_outbox_store

        outbox = cls(
            key=lambda message: check_key(key(message)),
            acks=acks,
            max_messages=max_messages,
            max_bytes=max_bytes,
            overflow=overflow,
            window=window,
        )
        async with open_outbox_store(path, survives_power_loss=survives_power_loss) as store:
            try:
                outbox._restore(store)
            except DuplicateKeyError as exc:
                raise OutboxError(str(path), f"is damaged: {exc}") from exc
            yield outbox

    def _restore(self, store: OutboxStore) -> None:
        self._store = store
        now, unix = trio.current_time(), time.time()
        for one in store.load():
            age = max(0.0, unix - one.accepted_at)  # the wall clock may have been set back
            self._ledger.restore(Delivery(one.message, now - age, one.key, one.sequence))

    def __len__(self) -> int:
        return len(self._ledger)

    def statistics(self) -> OutboxStatistics:
        """Freeze all figures."""
        return self._ledger.statistics(trio.current_time())

    # --- for the sender ----------------------------------------------------------

    async def put(self, message: Message, check: Callable[[], None] | None = None) -> Delivery:
        """Accept a message; return once it is kept, and in a file if there is one.

        Cancelled, it leaves nothing, or the message as if it had not been
        cancelled: that is so where the file is just being written.

        Args:
            message: Text, or bytes-like for a binary message.
            check: Called before the message is accepted, and whenever its sender
                is woken; what it raises comes out.

        Returns:
            The message, to be followed.

        Raises:
            BufferFullError: There is no room, or never can be.
            DuplicateKeyError: A message of that key is unacknowledged.
            OutboxError: It could not be stored.
            trio.ClosedResourceError: The block of `Outbox.open` was left.
        """
        checked = check_message(message)
        async with self._line:
            while (delivery := self._accept(checked, check)) is None:
                self._room = trio.Event()
                await self._room.wait()
        # No checkpoint up to here: messages reach the store in the ledger's order.
        if self._store is None:
            self._news.set()
        else:
            await self._put_into(self._store, delivery)
        return delivery

    def _accept(self, message: Message, check: Callable[[], None] | None) -> Delivery | None:
        if check is not None:
            check()
        try:
            return self._ledger.put(message, trio.current_time(), is_stored=self._store is None)
        finally:
            self._settle()

    async def _put_into(self, store: OutboxStore, delivery: Delivery) -> None:
        stored = partial(self._stored, delivery)
        try:
            await store.put(delivery.key, delivery.message, time.time(), stored)
        except trio.ClosedResourceError as exc:
            if delivery.state is STORING:  # closed before the store took it
                stored(exc)
            raise

    def _stored(self, delivery: Delivery, outcome: int | Exception) -> None:
        if isinstance(outcome, int):
            delivery.sequence = outcome
            self._ledger.stored(delivery)
            self._news.set()
        else:
            self._ledger.withdraw(delivery, outcome)
            self._settle()

    def _settle(self) -> None:
        """Let go of what has ended: in the file, and for those who wait for room."""
        ended = self._ledger.take_ended()
        if ended:
            stored = [one.sequence for one in ended if one.sequence is not None]
            if self._store is not None and stored:
                self._store.delete(stored)
            self._room.set()
            self._news.set()
            if self._on_ended is not None:
                self._on_ended(ended)

    # --- for the guard -------------------------------------------------------------

    def attach(self, on_ended: OnEnded) -> None:
        """Begin to serve a guard.

        Args:
            on_ended: Called with the messages that have ended.

        Raises:
            trio.BusyResourceError: Another guard has it.
        """
        if self._on_ended is not None:
            raise trio.BusyResourceError("an outbox serves one guard at a time")
        self._on_ended = on_ended

    def detach(self, on_ended: OnEnded) -> None:
        """Serve that guard no more; nothing if it does not."""
        if self._on_ended == on_ended:
            self._on_ended = None

    def wake(self) -> None:
        """Have the sender that waits for room ask its `check` again."""
        self._room.set()

    async def flush(self, try_send: Callable[[Message], Awaitable[bool]]) -> None:
        """Send on one connection: first all that is unacknowledged, then what comes.

        It goes on until that connection ends or it is cancelled; what was sent is
        then in doubt, and goes first on the next one.

        Args:
            try_send: Sends a message; False if the connection ended before. What
                it raises comes out.

        Raises:
            trio.BusyResourceError: Another connection sends from this outbox.
        """
        if self._is_flushing:
            raise trio.BusyResourceError("an outbox serves one connection at a time")
        self._is_flushing = True
        self._ledger.ready()
        try:
            while await self._send_next(try_send):
                pass
        finally:
            self._is_flushing = False
            self._ledger.lost()

    async def _send_next(self, try_send: Callable[[Message], Awaitable[bool]]) -> bool:
        delivery = self._ledger.begin()
        if delivery is None:
            self._news = trio.Event()
            await self._news.wait()
            return True
        if not await try_send(delivery.message):
            self._ledger.not_begun()
            return False
        self._ledger.sent()
        return True

    def incoming(self, message: Message) -> None:
        """Take in what a received message acknowledges; what `acks` raises comes out."""
        self._ledger.incoming(message)
        self._settle()

    def acknowledge(self, acknowledged: UpTo | Iterable[Hashable]) -> None:
        """Let go of what the peer has: for an `on_connect` that is told so on resuming.

        Args:
            acknowledged: The keys (a list, a tuple or a set), or `UpTo` a key.
        """
        self._ledger.acknowledge(acknowledged)
        self._settle()
