"""A store of leases in memory, with a clock and troubles of its own."""

from __future__ import annotations

import math

import attrs
import trio

from trio_wsguard._errors import LeaseStoreError


@attrs.define(eq=False)
class MemoryLeases:
    """A `LeaseStore` for tests: leases in memory, on trio's clock.

    Its troubles can be changed at any time; they count for requests made then.

    Args:
        clock_rate: Seconds that pass on the store's clock in one of trio's.
        request_delay: Seconds until a request is handled.
        answer_delay: Seconds from then until it is answered.
        is_failing: Whether requests fail instead of being handled.
        is_losing_answers: Whether requests are handled and not answered.
    """

    clock_rate: float = 1.0
    request_delay: float = 0.0
    answer_delay: float = 0.0
    is_failing: bool = False
    is_losing_answers: bool = False
    _leases: dict[str, tuple[str, int, float]] = attrs.field(init=False, factory=dict)
    _tokens: int = attrs.field(init=False, default=0)

    def _now(self) -> float:
        return trio.current_time() * self.clock_rate

    def holder(self, name: str) -> tuple[str, int] | None:
        """Tell who holds a lease now, and with which token; ``None`` for nobody."""
        owner, token, expires_at = self._leases.get(name, ("", 0, -math.inf))
        return (owner, token) if self._now() < expires_at else None

    async def acquire(self, name: str, owner: str, duration: float) -> int | None:
        """See `LeaseStore`."""
        await self._arrive(name)
        token = None
        held = self.holder(name)
        if held is None or held[0] == owner:
            self._tokens = token = self._tokens + 1
            self._leases[name] = (owner, token, self._now() + duration)
        await self._answer()
        return token

    async def renew(self, name: str, owner: str, token: int, duration: float) -> bool:
        """See `LeaseStore`."""
        await self._arrive(name)
        is_ours = self.holder(name) == (owner, token)
        if is_ours:
            self._leases[name] = (owner, token, self._now() + duration)
        await self._answer()
        return is_ours

    async def release(self, name: str, owner: str) -> None:
        """See `LeaseStore`."""
        await self._arrive(name)
        if name in self._leases and self._leases[name][0] == owner:
            del self._leases[name]
        await self._answer()

    async def _arrive(self, name: str) -> None:
        await trio.sleep(self.request_delay)
        if self.is_failing:
            raise LeaseStoreError(name, "the store fails, as it was told to")

    async def _answer(self) -> None:
        await trio.sleep(math.inf if self.is_losing_answers else self.answer_delay)
