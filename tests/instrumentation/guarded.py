"""Guards over a network in memory, and figures of none."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest
import trio

import trio_wsguard as wsguard
from trio_wsguard import ConnectionState
from trio_wsguard._policy import GuardPolicy

from ..shell.conftest import Net, accept, idle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ..shell.conftest import Handler

SNAPSHOT = attrs.evolve(
    wsguard.ConnectionMonitor(GuardPolicy(), 0.0, 0.0).snapshot(
        0.0, 1e9, name="feed", generation=1, queue_depth=0, silence=None, open_delay=0.0
    ),
    connection_state=ConnectionState.CONNECTED,
    silence=0.0,
)


class FakeGuard:
    """What the instrumentation asks of a guard, and no more."""

    def __init__(self, name: str = "feed", **figures: Any) -> None:
        self.name = name
        self.open_alerts: tuple[wsguard.AlertRaised, ...] = ()
        self.now = attrs.evolve(SNAPSHOT, name=name, **figures)

    def snapshot(self) -> wsguard.Snapshot:
        """Give the figures as they are set."""
        return self.now


def fake(name: str = "feed", **figures: Any) -> Any:
    """Make a guard of these figures."""
    return FakeGuard(name, **figures)


@asynccontextmanager
async def network(*handlers: Handler | BaseException) -> AsyncIterator[Net]:
    """Open a network in memory, whose dials meet the handlers in turn; none: an idle server."""
    async with trio.open_nursery() as nursery:
        net = Net(nursery)
        net.script(*(handlers or (accept(idle),)))
        yield net
        nursery.cancel_scope.cancel()


PROMTOOL: Final = shutil.which("promtool") or ""
needs_promtool: Final = pytest.mark.skipif(
    not PROMTOOL, reason="promtool is missing: apt-get install prometheus"
)


def promtool(*argv: str, text: str = "", cwd: Path | None = None) -> str:
    """Run promtool on some text; its output if it is content."""
    done = subprocess.run(  # noqa: S603 - our own arguments
        [PROMTOOL, *argv], input=text, capture_output=True, text=True, timeout=60, cwd=cwd
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
