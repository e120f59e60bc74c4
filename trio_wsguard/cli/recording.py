"""Reading recordings back; see `trio_wsguard.cli.record` for what they hold.

A recording may have been cut short, written by a newer version, or be none at
all. What can be read is read; what cannot is told, with its line.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import attrs

from trio_wsguard.cli import lines
from trio_wsguard.cli.record import FORMAT, VERSION, Limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_MAX_SECONDS: Final = 1e9  # thirty years; more was not measured, and no calendar has it
_MAX_TIME: Final = 1e11
_DAY: Final = 86_400.0
MAX_LINE: Final = 2**20  # bytes; a record has a thousand, and not every file has line ends


class RecordingError(Exception):
    """A file cannot be read as a recording; why, in one line."""


class Point(NamedTuple):
    """The figures of one moment, as far as they are drawn; ``None`` where there are none.

    Attributes:
        at: Seconds since the recording began, as in all records of it.
        state: The state's name.
        response: The response delay: of the last answer, or of the beat still open.
        silence: Seconds since the last message.
        score: 0 to 100.
    """

    at: float
    state: str
    response: float | None
    silence: float | None
    score: float | None


@attrs.frozen(kw_only=True)
class Happening:
    """One event.

    Attributes:
        at: When.
        kind: The event's name, such as ``state_change``.
        pairs: All of it.
    """

    at: float
    kind: str
    pairs: Mapping[str, Any]

    def text(self, key: str) -> str:
        """Tell what stands under a key, harmless; empty if no text does."""
        value = self.pairs.get(key)
        return lines.printable(value) if isinstance(value, str) else ""

    def number(self, key: str) -> float | None:
        """Tell the number under a key; ``None`` if there is none."""
        return number(self.pairs.get(key))


@attrs.define(kw_only=True)
class Recording:
    """What a recording holds.

    Attributes:
        name: The guard's name.
        time: When it began, in Unix seconds.
        utc_offset: Seconds that the recorder's clocks were ahead of UTC.
        limits: What the figures are looked at against.
        points: The figures, in order.
        events: The events, in order.
        last: All of the last figures.
        is_ended: Whether it has its end.
        notes: What could not be read, each in one line.
    """

    name: str
    time: float
    utc_offset: float
    limits: Limits
    points: list[Point] = attrs.field(factory=list)
    events: list[Happening] = attrs.field(factory=list)
    last: dict[str, Any] = attrs.field(factory=dict)
    is_ended: bool = False
    notes: list[str] = attrs.field(factory=list)

    @property
    def duration(self) -> float:
        """Seconds from its begin to its last record."""
        return max(self.points[-1].at, self.events[-1].at if self.events else 0.0)

    def figure(self, path: str) -> float | None:
        """Tell one of the last figures, as ``response_time.p50``."""
        value: Any = self.last
        for part in path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return number(value)


def number(value: object) -> float | None:
    """Take a finite number for what it is, and all else for none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an int beyond the range of float
        return None


def _amount(value: object, most: float = _MAX_SECONDS) -> float | None:
    """Take a number that can be drawn: not negative, and not beyond all bounds."""
    found = number(value)
    return None if found is None or found < 0 else min(found, most)


def read_recording(path: Path) -> Recording:
    """Read a recording.

    Raises:
        RecordingError: It is none, or holds nothing yet.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        first = file.readline(MAX_LINE)
        if not first:
            raise RecordingError(f"{path} is empty")
        reader = _Reader(_read_header(path, first))
        number = 1
        while line := file.readline(MAX_LINE):
            number += 1
            reader.take(number, line)
    recording = reader.finish()
    if not recording.points:
        raise RecordingError(f"{path} holds no figures yet")
    return recording


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _read_header(path: Path, line: bytes) -> Recording:
    header = _parse(line) or {}
    if header.get("type") != "header" or header.get("format") != FORMAT:
        raise RecordingError(f"{path} is no recording of trio-wsguard: line 1 is no header")
    limits = header.get("limits")
    given = limits if isinstance(limits, dict) else {}
    slow, silence = _amount(given.get("slow_response")), _amount(given.get("silence_timeout"))
    most = number(given.get("max_connection_failures"))
    offset = number(header.get("utc_offset")) or 0.0
    recording = Recording(
        name=lines.printable(str(header.get("name") or "a guard")),
        time=_amount(header.get("time"), _MAX_TIME) or 0.0,
        utc_offset=offset if abs(offset) < _DAY else 0.0,
        limits=Limits(
            slow_response=slow or Limits().slow_response,
            silence_timeout=silence or Limits().silence_timeout,
            max_connection_failures=None if most is None else int(most),
        ),
    )
    if (written := number(header.get("version"))) != VERSION:
        shown = "an unknown version" if written is None else f"version {written:g}"
        recording.notes.append(
            f"line 1: written in {shown} of the format, of which this one knows {VERSION}"
        )
    return recording


class _Reader:
    """Takes one line after another, and gathers what could not be read.

    Args:
        recording: What to fill.
    """

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._unread: dict[str, list[int]] = {}
        self._at = 0.0
        self._last_line = 1

    def take(self, number: int, line: bytes) -> None:
        """Take a line."""
        self._last_line = number
        problem = self._read(line)
        if problem:
            self._unread.setdefault(problem, []).append(number)

    def _read(self, line: bytes) -> str | None:
        record = _parse(line)
        if record is None:
            return "no record" if line.endswith(b"\n") else "torn"
        elapsed = number(record.get("elapsed"))
        if elapsed is None or not 0 <= elapsed <= _MAX_SECONDS:
            return "without a time"
        # An event may be told a moment after figures that know of it already.
        self._at = max(self._at, elapsed)
        kind = record.get("type")
        if kind == "snapshot":
            return self._read_point(record)
        if kind == "event":
            event = record.get("event")
            name = lines.printable(event, 40) if isinstance(event, str) else "unknown"
            self._recording.events.append(Happening(at=elapsed, kind=name, pairs=record))
            return None
        if kind == "end":
            self._recording.is_ended = True
            return None
        return "of a type that this version does not know"

    def _read_point(self, record: dict[str, Any]) -> str | None:
        state = record.get("connection_state")
        if state not in lines.STATE_NAMES:  # a tuple: what stands there may have no hash
            return "without a state"
        response = _amount(record.get("delay"))
        if state != "CONNECTED" or number(record.get("beats_sent")) == 0:
            response = None  # nothing was measured, which is not 0
        point = Point(
            self._at,
            state,
            response,
            _amount(record.get("silence")),
            _amount(record.get("score"), 100),
        )
        self._recording.points.append(point)
        self._recording.last = record
        return None

    def finish(self) -> Recording:
        """Tell what was read, with notes of what was not."""
        recording = self._recording
        recording.notes += self._notes()
        recording.events.sort(key=lambda event: event.at)
        if not recording.is_ended:
            recording.notes.append(
                f"line {self._last_line}: the recording stops here; the run was killed or goes on"
            )
        return recording

    def _notes(self) -> Iterator[str]:
        for problem, numbers in self._unread.items():
            more = f" and {len(numbers) - 1:,} more" if len(numbers) > 1 else ""
            yield f"line {numbers[0]}{more}: {problem}; left out"
