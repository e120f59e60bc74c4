"""Leases: at most one of several processes does a thing at a time.

A lease is held until it is released or no longer renewed. While a body runs under
`hold_lease`, one task renews the lease; a deadline of the body's own scope, moved
on by each renewal, stops it in time if they fail. So it needs no answer, and no
task that is still alive, to stop.

A process that the system has stopped (SIGSTOP, a debugger, a machine that sleeps)
cannot stop anything. When it goes on, its body is cancelled at the next checkpoint,
but what it does before that comes too late. That is what the token is for: it grows
with each holder, and who takes the holder's writes can refuse those of an older one.

Source: Kleppmann, "How to do distributed locking", 2016 (fencing tokens).
"""

from __future__ import annotations

import random
import secrets
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol

import attrs
import trio

from trio_wsguard._core.lease import LeasePolicy
from trio_wsguard._errors import LeaseStoreError
from trio_wsguard._shell.nursery import finish_without_waiting, open_flat_nursery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_CHANCE: Final = random.SystemRandom()


class LeaseStore(Protocol):
    """Where leases are kept, for all processes to see.

    Each method may be cancelled at any moment, and raises `LeaseStoreError` where
    the store gives no answer. The request may then have been carried out, or not.
    """

    async def acquire(self, name: str, owner: str, duration: float) -> int | None:
        """Get a lease that nobody holds, or that this owner holds already.

        Args:
            name: The lease.
            owner: Who wants it; no two holders have the same.
            duration: Seconds, by the store's clock, from when it is handled.

        Returns:
            The fencing token, higher than any given for this name before;
            ``None`` if another owner holds the lease.
        """
        ...

    async def renew(self, name: str, owner: str, token: int, duration: float) -> bool:
        """Let a lease last from now on; tell whether it is still this owner's.

        Args:
            name: The lease.
            owner: Who holds it.
            token: The token that it was given with.
            duration: As for `acquire`.
        """
        ...

    async def release(self, name: str, owner: str) -> None:
        """Give a lease back; nothing if it is not this owner's."""
        ...


@attrs.define(eq=False)
class Lease:
    """A lease that is held, as the body is given it.

    Attributes:
        name: Its name.
        owner: Who holds it: another one each time.
        token: The fencing token.
        expires_at: When it can be another's at the earliest, in monotonic seconds.
        stop_at: When the body is cancelled, unless it is renewed before.
        is_lost: Whether the body was ended because the lease was.
    """

    name: str
    owner: str
    token: int
    expires_at: float
    stop_at: float
    is_lost: bool = False

    @property
    def is_held(self) -> bool:
        """Whether the lease is certainly ours at this moment."""
        return not self.is_lost and trio.current_time() < self.stop_at


class _Holder:
    """One turn of one process at one lease."""

    def __init__(
        self,
        store: LeaseStore,
        name: str,
        policy: LeasePolicy,
        rng: random.Random,
        on_error: Callable[[LeaseStoreError], object] | None,
    ) -> None:
        self._store = store
        self._name = name
        self._owner = secrets.token_hex(16)
        self._policy = policy
        self._rng = rng
        self._on_error = on_error

    def _tell(self, error: LeaseStoreError) -> None:
        if self._on_error is not None:
            self._on_error(error)

    async def acquire(self) -> Lease:
        """Wait until the lease is ours."""
        while True:
            asked_at = trio.current_time()
            token = await self._ask_for_it()
            stop_at = self._policy.stop_at(asked_at)
            # An answer may come when the lease is nearly over: then it is asked for again,
            # which the same owner can.
            if token is not None and trio.current_time() < stop_at:
                expires_at = asked_at + self._policy.duration
                return Lease(self._name, self._owner, token, expires_at, stop_at)
            # At random, so that those who wait do not ask all at once.
            await trio.sleep(self._policy.retry_interval * self._rng.uniform(0.5, 1))

    async def _ask_for_it(self) -> int | None:
        try:
            with trio.move_on_after(self._policy.request_timeout):
                return await self._store.acquire(self._name, self._owner, self._policy.duration)
            self._tell(self._no_answer())
        except LeaseStoreError as exc:
            self._tell(exc)
        return None

    def _no_answer(self) -> LeaseStoreError:
        return LeaseStoreError(self._name, f"no answer in {self._policy.request_timeout:g} s")

    async def keep(self, lease: Lease, body: trio.CancelScope) -> None:
        """Renew the lease until it is lost; then end the body."""
        wake_at = trio.current_time() + self._policy.renew_interval
        while not body.cancel_called:
            await trio.sleep_until(wake_at)
            asked_at = trio.current_time()
            is_ours = await self._renew(lease)
            if is_ours is None:  # nobody knows: again soon, as long as it lasts
                wake_at = trio.current_time() + self._policy.request_timeout / 2
            elif is_ours:
                lease.expires_at = asked_at + self._policy.duration
                lease.stop_at = body.deadline = self._policy.stop_at(asked_at)
                wake_at = asked_at + self._policy.renew_interval
            else:
                body.cancel()

    async def _renew(self, lease: Lease) -> bool | None:
        policy = self._policy
        try:
            with trio.move_on_after(policy.request_timeout):
                return await self._store.renew(
                    self._name, self._owner, lease.token, policy.duration
                )
            self._tell(self._no_answer())
        except LeaseStoreError as exc:
            self._tell(exc)
        return None

    async def release(self) -> None:
        """Give the lease back if that can be done; or else it runs out."""
        try:
            await self._try_release()
        except trio.Cancelled:
            # The request goes out if the kernel takes it; its answer is not awaited.
            await finish_without_waiting(self._try_release)
            raise

    async def _try_release(self) -> None:
        with suppress(LeaseStoreError), trio.move_on_after(self._policy.request_timeout):
            await self._store.release(self._name, self._owner)


@asynccontextmanager
async def hold_lease(
    store: LeaseStore,
    name: str,
    *,
    policy: LeasePolicy | None = None,
    rng: random.Random | None = None,
    on_error: Callable[[LeaseStoreError], object] | None = None,
) -> AsyncIterator[Lease]:
    """Run a body only while a lease is held.

    Entering waits for the lease, however long another holds it. Where it is lost,
    the body is cancelled before the lease can be another's, and the block ends as
    one of `trio.move_on_after` does; `Lease.is_lost` tells. Leaving the block, and
    cancelling it, gives the lease back; where the store cannot be reached then, it
    runs out.

    Args:
        store: Where leases are kept.
        name: Which one.
        policy: The settings; ``None`` for `LeasePolicy()`.
        rng: Where the pauses between tries are drawn from; ``None`` for the system's.
        on_error: Told each time the store gave no answer; that by itself ends nothing.
    """
    policy = LeasePolicy() if policy is None else policy
    holder = _Holder(store, name, policy, _CHANCE if rng is None else rng, on_error)
    try:
        lease = await holder.acquire()
        async with open_flat_nursery() as nursery:
            with trio.CancelScope(deadline=lease.stop_at) as body:
                nursery.start_soon(holder.keep, lease, body)
                yield lease
            lease.is_lost = body.cancelled_caught
            nursery.cancel_scope.cancel()
    finally:
        await holder.release()
