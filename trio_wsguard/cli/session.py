"""One guard under a screen, from opening to the last event; signals end it cleanly."""

from __future__ import annotations

import functools
import signal
from typing import TYPE_CHECKING

import attrs
import trio

import trio_wsguard as wsguard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from trio_wsguard.cli.record import Recorder
    from trio_wsguard.cli.view import Screen


@attrs.define
class Session:
    """What one run of a guard came to.

    Attributes:
        last_failure: The last failure told.
        is_interrupted: Whether a signal, or the end of the reader of stdout, ended it.
        snapshot: The figures just before the guard was closed.
    """

    last_failure: wsguard.Failure | None = None
    is_interrupted: bool = False
    snapshot: wsguard.Snapshot | None = None


async def run_session(
    opening: AbstractAsyncContextManager[wsguard.GuardedWebSocket],
    screen: Screen,
    work: Callable[[wsguard.GuardedWebSocket], Awaitable[object]],
    recorder: Recorder,
) -> Session:
    """Open a guard, show its events, and do some work with it until done or told to stop.

    The first SIGINT or SIGTERM ends the work and closes the guard with a close
    handshake; the second ends everything at once.

    Args:
        opening: What `open_guarded_websocket` returned, with ``wait=False``.
        screen: Where to show what happens.
        work: What to do meanwhile; cancelled when told to stop.
        recorder: What is told all of it, too.

    Raises:
        PolicyError: A setting is wrong.
    """
    session = Session()
    with trio.CancelScope() as everything:
        async with opening as ws, ws.events() as events, trio.open_nursery() as nursery:
            working, told = trio.CancelScope(), trio.Event()

            def stop() -> None:
                session.is_interrupted = True
                working.cancel()

            async def tell() -> None:
                async for event in events:
                    _note(session, event)
                    screen.event(event)
                    recorder.event(event, ws)
                told.set()

            recorder.on_error = functools.partial(screen.note, "recording")
            recorder.begin(ws.name)
            screen.on_gone = stop
            await nursery.start(_heed_signals, stop, everything.cancel)
            nursery.start_soon(tell)
            nursery.start_soon(screen.keep_fresh, ws)
            nursery.start_soon(recorder.keep, ws)
            with working:
                await work(ws)
            session.snapshot = ws.snapshot()
            await ws.aclose()
            await told.wait()
            recorder.end(ws)
            nursery.cancel_scope.cancel()
    return session


def _note(session: Session, event: wsguard.Event) -> None:
    if isinstance(event, wsguard.StateChange) and event.failure is not None:
        session.last_failure = event.failure


async def _heed_signals(
    *actions: Callable[[], None],
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Do one action after another, one for each signal."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        for action in actions:
            await anext(signals)
            action()
