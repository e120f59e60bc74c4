"""What the live view remembers: no single snapshot tells how things went of late."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

import attrs

import trio_wsguard as wsguard
from trio_wsguard.cli import lines
from trio_wsguard.cli.series import BADNESS

if TYPE_CHECKING:
    from collections.abc import Sequence

CELL: Final = 0.5  # seconds; figures of one cell are remembered as their worst
_CELLS: Final = 1200  # ten minutes
_PER_COLUMN: Final = (1, 2, 4, 10, 20, 40, 120)  # cells that one column may stand for
_RATE_WINDOW: Final = 3.0  # seconds over which messages a second are told
_EVENTS: Final = 12


@attrs.define
class Cell:
    """The worst figures of a short time.

    Attributes:
        number: Which, counted from the beginning of the clock.
        state: The worst state's name.
        response: The greatest response delay, in seconds; ``None`` for not measured.
        silence: The longest silence, in seconds; ``None`` for no connection.
    """

    number: int
    state: str
    response: float | None = None
    silence: float | None = None

    def add(self, other: Cell) -> None:
        """Take another's figures in, where they are worse."""
        self.state = max(self.state, other.state, key=BADNESS.__getitem__)
        self.response = _greater(self.response, other.response)
        self.silence = _greater(self.silence, other.silence)


def _greater(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


class History:
    """What happened of late; bounded, however long a guard is watched.

    Attributes:
        retry_at: When the next attempt is, in monotonic seconds; ``None`` if none is due.
        retry_in: How long the backoff is in all, in seconds.
        anomalies: The open ones, in the order in which they were raised.
        events: The last ones, as lines.
    """

    def __init__(self) -> None:
        self.retry_at: float | None = None
        self.retry_in = 0.0
        self.anomalies: dict[wsguard.AnomalyKind, wsguard.Anomaly] = {}
        self.events: deque[lines.Line] = deque(maxlen=_EVENTS)
        self._cells: deque[Cell] = deque(maxlen=_CELLS)
        self._counts: deque[tuple[float, int]] = deque()

    def note(self, event: wsguard.Event) -> None:
        """Take an event in."""
        if isinstance(event, wsguard.StateChange):
            self.retry_in = event.retry_in or 0.0
            self.retry_at = None if event.retry_in is None else event.at + event.retry_in
        elif isinstance(event, wsguard.Anomaly):
            self.anomalies[event.kind] = event
        elif isinstance(event, wsguard.Recovery):
            self.anomalies.pop(event.kind, None)
        self.events.append(lines.event_line(event))

    def look(self, snapshot: wsguard.Snapshot, health: wsguard.Health, now: float) -> None:
        """Take the present figures in.

        Args:
            snapshot: The figures.
            health: The parts of the score.
            now: Monotonic seconds.
        """
        is_measured = snapshot.silence is not None and snapshot.response_time.count
        cell = Cell(
            number=int(now / CELL),
            state=snapshot.connection_state.name,
            response=health.delay if is_measured else None,
            silence=snapshot.silence,
        )
        if self._cells and self._cells[-1].number == cell.number:
            self._cells[-1].add(cell)
        else:
            self._cells.append(cell)
        self._counts.append((now, snapshot.messages_received))
        while self._counts[0][0] < now - _RATE_WINDOW:
            self._counts.popleft()

    @property
    def rate(self) -> float:
        """Messages a second, of late."""
        if not self._counts:
            return 0.0
        (begin, least), (end, most) = self._counts[0], self._counts[-1]
        return (most - least) / (end - begin) if end > begin else 0.0

    def columns(self, count: int) -> tuple[list[Cell | None], float]:
        """Sum up the last minutes in so many columns, the last one now.

        A column keeps what it stands for as time goes on, so that nothing flickers.

        Returns:
            The columns, ``None`` where nothing is known; and the seconds of each.
        """
        columns: list[Cell | None] = [None] * count
        if not self._cells:
            return columns, CELL
        last = self._cells[-1].number
        lasted = last - self._cells[0].number + 1
        per_column = next((n for n in _PER_COLUMN if n * count >= lasted), _PER_COLUMN[-1])
        for cell in self._cells:
            place = count - 1 - (last // per_column - cell.number // per_column)
            if place < 0:
                continue
            if (column := columns[place]) is None:
                columns[place] = attrs.evolve(cell)
            else:
                column.add(cell)
        return columns, per_column * CELL


def values_of(columns: Sequence[Cell | None], name: str) -> list[Any]:
    """Pick one figure of all columns."""
    return [None if column is None else getattr(column, name) for column in columns]
