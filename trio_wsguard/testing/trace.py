"""What happened in a simulation: frames, faults and state changes with their virtual times.

Masks and nonces are random by the protocol's own rule, so a trace holds
decoded frames and never raw bytes: two runs from one seed have one trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, overload

import attrs

import trio_wsguard as wsguard
from trio_wsguard.testing.frames import FrameReader, show

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trio_wsguard.testing.segment import Clock

_MAX_HEAD: Final = 2**16
_TLS: Final = b"\x16\x03"  # a handshake record; what is in it is random
UP: Final = ">"
DOWN: Final = "<"


@attrs.frozen
class TraceEntry:
    """One thing that happened.

    Attributes:
        at: When, in virtual seconds.
        where: A host, a link, a guard, or a connection with a direction.
        what: One line for a person.
    """

    at: float
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.at:14.6f}  {self.where:<12} {self.what}"


class Trace(Sequence[TraceEntry]):
    """What happened, in order; equal to another if the same happened at the same times."""

    def __init__(self, entries: Sequence[TraceEntry]) -> None:
        self._entries = tuple(entries)

    @overload
    def __getitem__(self, index: int) -> TraceEntry: ...

    @overload
    def __getitem__(self, index: slice) -> Trace: ...

    def __getitem__(self, index: int | slice) -> TraceEntry | Trace:
        if isinstance(index, slice):
            return Trace(self._entries[index])
        return self._entries[index]

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[TraceEntry]:
        return iter(self._entries)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Trace) and self._entries == other._entries

    def __hash__(self) -> int:
        return hash(self._entries)

    def __str__(self) -> str:
        return "\n".join(map(str, self._entries))

    def __repr__(self) -> str:
        return f"<Trace of {len(self)} entries>"

    def excerpt(self, count: int) -> str:
        """Show the last entries; of a longer trace, without pings and pongs.

        Args:
            count: How many entries.
        """
        entries = self._entries
        if len(entries) > count:
            telling = [one for one in entries if not one.what.startswith(("PING", "PONG"))]
            entries = tuple(telling[-count:])
        return "\n".join(map(str, entries))

    def difference(self, other: Trace) -> str:
        """Tell where two traces part; empty if they do not."""
        for number, (mine, theirs) in enumerate(zip(self, other, strict=False)):
            if mine != theirs:
                return f"entry {number}:\n- {mine}\n+ {theirs}"
        if len(self) != len(other):
            longer, sign = (self, "-") if len(self) > len(other) else (other, "+")
            number = min(len(self), len(other))
            return f"entry {number}:\n{sign} {longer[number]}"
        return ""


class Recorder:
    """Notes what happens; the bytes as they are, to be decoded when someone asks.

    Args:
        is_on: Whether to note anything; a very long simulation may not want to.
    """

    def __init__(self, *, is_on: bool = True) -> None:
        self.is_on = is_on
        self._notes: list[tuple[float, str, str | bytes]] = []

    def note(self, at: float, where: str, what: str) -> None:
        """Note a line."""
        if self.is_on:
            self._notes.append((at, where, what))

    def log(self, clock: Clock, where: str) -> Callable[[str | bytes], None]:
        """Make a function that notes a line, or bytes sent, of one direction of a connection."""

        def log(what: str | bytes) -> None:
            self._notes.append((clock.now, where, what))

        return log

    def trace(self) -> Trace:
        """Decode what was noted."""
        decoders: dict[str, _Decoder] = {}
        entries: list[TraceEntry] = []
        for at, where, what in self._notes:
            if isinstance(what, str):
                entries.append(TraceEntry(at, where, what))
                continue
            decoder = decoders.get(where)
            if decoder is None:
                decoder = decoders[where] = _Decoder()
            entries += [TraceEntry(at, where, line) for line in decoder.feed(what)]
        return Trace(entries)


class _Decoder:
    """Turns the bytes of one direction into lines: the HTTP head, then frames."""

    def __init__(self) -> None:
        self._head: bytearray | None = bytearray()
        self._frames = FrameReader()
        self._is_encrypted = False

    def feed(self, data: bytes) -> list[str]:
        if self._is_encrypted:
            return []
        lines: list[str] = []
        if self._head is not None:
            self._head += data
            if self._head.startswith(_TLS):
                self._is_encrypted = True
                return ["TLS, encrypted"]
            head, end, data = bytes(self._head).partition(b"\r\n\r\n")
            if not end and not self._is_strange():
                return []
            is_http = bool(end) and b"HTTP/1." in head.partition(b"\r\n")[0]
            lines.append(show(head.partition(b"\r\n")[0]) if is_http else show(bytes(self._head)))
            self._head = None
            if not is_http:
                return lines
        return lines + [str(frame) for frame in self._frames.feed(data)]

    def _is_strange(self) -> bool:
        """Whether this will never be the head of an HTTP message."""
        head = self._head or b""
        return len(head) > _MAX_HEAD or (len(head) >= 4 and not head[:1].isalpha())


def describe(event: wsguard.Event) -> str:
    """Tell an event of a guard in one line, without what differs between two runs."""
    match event:
        case wsguard.StateChange():
            retry = "" if event.retry_in is None else f", retrying in {event.retry_in:g} s"
            move = f"{event.previous.name} -> {event.state.name}"
            return f"{move} ({event.reason}{retry}) generation {event.generation}"
        case wsguard.Anomaly():
            return f"anomaly {event.kind.value}: {event.message}"
        case wsguard.Recovery():
            return f"recovery {event.kind.value} after {event.duration:g} s"
        case wsguard.HealthChange():
            return f"health {event.previous.name} -> {event.status.name}, score {event.score:g}"
        case wsguard.AlertRaised() | wsguard.AlertResolved():
            what = "raised" if isinstance(event, wsguard.AlertRaised) else "resolved"
            return f"alert {event.rule.name} {what}: {event.message}"
        case wsguard.Gap():
            lost, ready = event.lost_generation, event.ready_generation
            return f"gap of {event.duration:g} s between generations {lost} and {ready}"
        case wsguard.EventsDropped():
            return f"{event.count} events dropped"
