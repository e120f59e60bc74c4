"""The guards whose metrics are told, and how other threads read their figures.

Whoever collects metrics often does so in a thread of its own (a scrape, an
exporter's timer), while figures can only be read in trio's. So the reading
is handed over to trio, and waited for only a moment: where trio's loop is
stalled, the last figures are told again, and their own timestamp tells how
old they are.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final

import trio

from trio_wsguard.instrumentation.metrics import Figures, totals

if TYPE_CHECKING:
    from collections.abc import Mapping

    import trio_wsguard as wsguard
    from trio_wsguard.instrumentation.metrics import Values

PATIENCE: Final = 1.0  # seconds; a scrape has ten by Prometheus' default
_REMEMBERED: Final = 1000  # names of guards that are gone


class GuardSet:
    """Guards by name, whose figures any thread can read.

    Made, changed and left within one run of trio.

    Args:
        patience: Seconds that a reader in another thread waits for trio.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._token = trio.lowlevel.current_trio_token()
        self._guards: dict[str, wsguard.GuardedWebSocket] = {}
        self._before: dict[str, Mapping[str, Values]] = {}
        self._last: tuple[Figures, ...] = ()
        self._waiting: deque[threading.Event] = deque()

    def add(self, ws: wsguard.GuardedWebSocket) -> None:
        """Tell a guard's metrics from now on.

        Where a guard of this name was told before, its counters go on from
        where those stood.

        Raises:
            ValueError: A guard of this name is told already.
        """
        name = _label_value(ws.name)
        if name in self._guards:
            raise ValueError(f"there is a guard named {name!r} already: give this one a name")
        self._guards[name] = ws

    def remove(self, ws: wsguard.GuardedWebSocket) -> None:
        """Tell a guard's metrics no more.

        Raises:
            KeyError: It was not added.
        """
        name = _label_value(ws.name)
        if self._guards.get(name) is not ws:
            raise KeyError(name)
        gone = self._figures(name)
        del self._guards[name]
        self._last = tuple(figures for figures in self._last if figures.name != name)
        self._before.pop(name, None)
        self._before[name] = totals(gone)
        if len(self._before) > _REMEMBERED:
            del self._before[next(iter(self._before))]

    def read(self) -> tuple[Figures, ...]:
        """Read the figures of all guards; from any thread.

        In another thread than trio's, those read last are told again if trio
        does not answer within the patience; none if the run is over.
        """
        if trio.lowlevel.in_trio_run() and trio.lowlevel.current_trio_token() is self._token:
            self._take()
            return self._last
        done = threading.Event()
        self._waiting.append(done)
        try:
            # Idempotent: a loop that is stalled has one reading to do afterwards.
            self._token.run_sync_soon(self._take, idempotent=True)
        except trio.RunFinishedError:
            return ()
        done.wait(self._patience)
        return self._last

    def _take(self) -> None:
        self._last = tuple(map(self._figures, self._guards))
        while self._waiting:
            self._waiting.popleft().set()

    def _figures(self, name: str) -> Figures:
        ws = self._guards[name]
        return Figures(
            name=name,
            snapshot=ws.snapshot(),
            levels=tuple(alert.level for alert in ws.open_alerts),
            before=self._before.get(name, {}),
        )


def _label_value(name: str) -> str:
    # A lone surrogate can be in a string of Python's, but not in UTF-8.
    return name.encode("utf-8", "backslashreplace").decode()
