"""Nurseries that raise plain exceptions, and work that may not wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

# Scheduler passes in which a frame goes out if the kernel takes it: through
# trio-websocket's lock, trio's TLS lock and the socket, with some to spare.
_PASSES: Final = 12


def open_flat_nursery() -> AbstractAsyncContextManager[trio.Nursery]:
    """Open a nursery that raises a single exception as itself, not in a group.

    Two or more real errors still leave as a group: neither may be lost.
    `Cancelled` beside a real error gives way to it.
    """
    return _FlatNursery()


class _FlatNursery:
    # A class: a generator's frames would take a KiB of every guard, for its whole life.
    __slots__ = ("_manager",)

    def __init__(self) -> None:
        self._manager = trio.open_nursery()

    async def __aenter__(self) -> trio.Nursery:
        return await self._manager.__aenter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        body: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        try:
            return await self._manager.__aexit__(exc_type, body, traceback)
        except BaseExceptionGroup as group:
            exc = _plain(group)
            if exc is group:
                raise
            if exc is body:
                return False  # goes on as it was
            # The group must not come back as the context of what it held.
            context, exc.__context__ = exc.__context__, None
            try:
                raise exc
            finally:
                exc.__context__ = context
                del exc, context  # no cycle through this frame


def _plain(group: BaseExceptionGroup[BaseException]) -> BaseException:
    # Members are looked at as they are: a group among them is of the user's own
    # making and keeps its shape.
    real = [exc for exc in group.exceptions if not _is_cancelled(exc)]
    if not real:
        return _first_leaf(group)
    return real[0] if len(real) == 1 else group


def _is_cancelled(exc: BaseException) -> bool:
    if isinstance(exc, BaseExceptionGroup):
        return all(_is_cancelled(member) for member in exc.exceptions)
    return isinstance(exc, trio.Cancelled)


def _first_leaf(exc: BaseException) -> BaseException:
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    return exc


async def finish_without_waiting(fn: Callable[..., Awaitable[Any]], *args: Any) -> None:
    """Run an async function for a few scheduler passes, even when cancelled.

    No time passes on any clock: what cannot be done at once is given up.
    """
    with trio.CancelScope(shield=True) as scope:
        async with open_flat_nursery() as nursery:
            nursery.start_soon(_cancel_soon, scope)
            await fn(*args)
            nursery.cancel_scope.cancel()


async def _cancel_soon(scope: trio.CancelScope) -> None:
    for _ in range(_PASSES):
        await trio.lowlevel.checkpoint()
    scope.cancel()
