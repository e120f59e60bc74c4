"""One direction of one simulated TCP connection, from one end's send to the other's receive.

Bytes that are sent become a segment. The effects of the faults on the link
reshape it: later, in pieces, altered, or not at all. It is then in flight until
its time of arrival, and unread until the receiver takes it. Segments arrive in
the order in which they were sent, whatever their effects say: a stream never
reorders. FIN and RST are segments too, so that they are late where bytes are.

While an effect blocks the flow nothing arrives, and nobody is told. What was
sent meanwhile is not lost: TCP retransmits it, and it arrives after the block
at the next of its retransmissions, unless the sender has given up by then. RST
alone is sent once; and a kernel that has given up, or was told of RST, sends
nothing again.

The acknowledgements of a flow travel the other way. Where that is mute, the
sender's buffer is not freed though the receiver reads, and the sender gives up
in the end though all of it arrived.
"""

from __future__ import annotations

import errno
import math
from collections import deque
from typing import TYPE_CHECKING

import attrs

from trio_wsguard.testing.segment import Kind, Segment, reset_error, retransmission_after

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_wsguard.testing.segment import Clock, Effect, End


class Flow:
    """One direction of a connection.

    Args:
        clock: The time.
        capacity: How many bytes fit into it, in flight and unread: what the
            buffers of both kernels hold.
        give_up_after: Seconds after which the kernel of a sender that gets no
            acknowledgement gives up.

    Attributes:
        sender: The end that sends.
        receiver: The end that receives.
        reverse: The other direction, which carries acknowledgements and RST
            back; ``None`` for a flow on its own.
        unread: Bytes that have arrived and were not taken.
        sent: How many bytes were sent.
        has_ended: Whether FIN has arrived.
        is_mute: Whether nothing at all gets through, acknowledgements of the
            other direction included.
    """

    sender: End
    receiver: End

    def __init__(self, clock: Clock, capacity: int, give_up_after: float) -> None:
        self.reverse: Flow | None = None
        self.unread = bytearray()
        self.sent = 0
        self.has_ended = False
        self.is_mute = False
        self._clock = clock
        self._capacity = self._limit = capacity
        self._give_up_after = give_up_after
        self._effects: list[Effect] = []
        self._in_flight: deque[Segment] = deque()
        self._in_flight_size = 0
        self._taken = 0
        self._ends_of_pieces: deque[int] = deque()  # counted as `_taken` is
        self._is_plain = True
        self._is_cut = False
        self._is_refused = self._is_receiver_gone = False
        self._blocked_since: float | None = None
        # Without acknowledgements: what was read meanwhile takes up room as before.
        self._is_unheard = self._has_sent_unheard = False
        self._taken_unheard = 0
        self._starved_since: float | None = None

    # --- the sender's side -------------------------------------------------------

    @property
    def room(self) -> int:
        """How many bytes still fit."""
        used = len(self.unread) + self._in_flight_size + self._taken_unheard
        return max(0, self._limit - used)

    def put(self, data: bytes) -> None:
        """Send bytes; no more than there is room for."""
        self.sent += len(data)
        if self._is_plain and not self._in_flight:
            self._arrive(data)
        else:
            self._send(data, Kind.DATA)

    def finish(self) -> None:
        """Send FIN."""
        self._send(b"", Kind.FIN)

    def reset(self) -> None:
        """Send RST, once; the kernel forgets what it would have sent again."""
        self.abandon()
        if not self.is_mute:
            self._send(b"", Kind.RST)

    def abandon(self) -> None:
        """Send nothing again: the sender's kernel is done with this connection."""
        if self.is_mute:
            self._in_flight.clear()
        while self._in_flight and self._in_flight[-1].held_by:
            self._in_flight.pop()
        self._in_flight_size = sum(len(segment.data) for segment in self._in_flight)
        self._starved_since = None

    def inject(self, kind: Kind) -> None:
        """Let FIN or RST arrive that the sender did not send, behind all that is under way."""
        now = self._clock.now
        self._launch(Segment(b"", now, kind, sent_at=now))
        self.settle()

    def cut(self) -> None:
        """Close it as a proxy in between does: FIN now, and RST for what is sent later."""
        if not self._is_cut:
            self._is_cut = True
            self._is_plain = False
            self.inject(Kind.FIN)

    def _send(self, data: bytes, kind: Kind) -> None:
        if self._is_unheard and kind is not Kind.RST:
            self._has_sent_unheard = True
        if not self._is_cut:
            self._emit(data, kind)
        elif kind is Kind.DATA:
            self._answer_by_reset()
        self._watch_acknowledgements()

    def _emit(self, data: bytes, kind: Kind) -> None:
        now = self._clock.now
        segments = [Segment(data, now, kind, sent_at=now)]
        for effect in self._effects:
            segments = [_noted(effect, one, out) for one in segments for out in effect.shape(one)]
        for segment in segments:
            if segment.kind is not Kind.RST or not segment.held_by:
                self._launch(segment)
        self.settle()

    def _launch(self, segment: Segment) -> None:
        at, before = segment.at, self._in_flight[-1].at if self._in_flight else -math.inf
        self._in_flight.append(segment)
        self._in_flight_size += len(segment.data)
        # It does not arrive before the one in front of it, which has a timer.
        if self._blocked_since is None and at > before and at > self._clock.now:
            self._clock.call_at(at, self.settle)

    # --- arrival -----------------------------------------------------------------

    def settle(self) -> None:
        """Let arrive what is due."""
        now, in_flight = self._clock.now, self._in_flight
        while self._blocked_since is None and in_flight:
            segment = in_flight[0]
            if segment.at > now or segment.held_by:
                return
            in_flight.popleft()
            self._in_flight_size -= len(segment.data)
            if segment.kind is Kind.DATA:
                self._arrive(segment.data, is_piece=segment.is_piece)
            else:
                self._arrive_end(segment.kind)

    def _arrive(self, data: bytes, *, is_piece: bool = False) -> None:
        if self._is_refused:
            self._answer_by_reset()
        elif self.has_ended:
            self.sender.on_writable()  # behind an injected FIN bytes go nowhere, but they go
        else:
            self.unread += data
            if is_piece:
                self._ends_of_pieces.append(self._taken + len(self.unread))
            self.receiver.on_readable()

    def _arrive_end(self, kind: Kind) -> None:
        if self._is_refused:
            # One that closed in good order takes FIN; one that is gone does not know it.
            if kind is Kind.FIN and self._is_receiver_gone:
                self._answer_by_reset()
        elif kind is Kind.RST:
            self.receiver.on_reset(reset_error())
        else:
            self.has_ended = True
            self.receiver.on_readable()

    def _answer_by_reset(self) -> None:
        """Nobody is there any more: the other kernel answers with RST."""
        if self.reverse is None:
            self.sender.on_reset(reset_error())
        elif not self.reverse.is_mute:
            self.reverse._emit(b"", Kind.RST)  # noqa: SLF001 - two halves of one connection

    # --- the receiver's side -----------------------------------------------------

    def take(self, max_bytes: int) -> bytes:
        """Take bytes that have arrived."""
        ends = self._ends_of_pieces
        while ends and ends[0] <= self._taken:
            ends.popleft()
        if ends:
            max_bytes = min(max_bytes, ends[0] - self._taken)
        data = bytes(self.unread[:max_bytes])
        del self.unread[:max_bytes]
        self._taken += len(data)
        if self._is_unheard:
            self._taken_unheard += len(data)
        else:
            self.sender.on_writable()
        return data

    def refuse(self, *, is_gone: bool) -> None:
        """Receive no more: what comes from now on is answered with RST.

        Args:
            is_gone: Whether the receiver's kernel has forgotten the connection,
                so that FIN is answered likewise, and so are the probes of a
                sender that waits for room.
        """
        self._is_refused = True
        if is_gone and not self._is_receiver_gone:
            self._is_receiver_gone = True
            if not self.room:
                self._answer_by_reset()

    # --- faults ------------------------------------------------------------------

    def add(self, effect: Effect) -> None:
        """Begin with an effect; what has arrived by now has arrived."""
        self.settle()
        self._effects.append(effect)
        self.update()

    def remove(self, effect: Effect) -> None:
        """End an effect."""
        self._effects.remove(effect)
        effect.stop()
        self._forget(effect)
        self.update(retransmits=effect.retransmits)

    def update(self, *, retransmits: bool = True) -> None:
        """Look again at what the effects say.

        Args:
            retransmits: Whether what was held back arrives at the next
                retransmission, or at once.
        """
        limits = [effect.capacity for effect in self._effects if effect.capacity is not None]
        self._limit = min([self._capacity, *limits])
        blocking = [effect for effect in self._effects if effect.blocks]
        self.is_mute = not all(effect.acknowledges for effect in blocking)
        if blocking and self._blocked_since is None:
            self.settle()
            self._blocked_since = self._clock.now
        elif not blocking and self._blocked_since is not None:
            since, self._blocked_since = self._blocked_since, None
            if retransmits:
                now, resent_at = self._clock.now, self._resent_at(since)
                self._relaunch(lambda segment: _resent(segment, now, resent_at))
            else:
                self._relaunch(lambda segment: segment)
        self._is_plain = not (self._effects or self._is_cut or self._is_unheard)
        self._watch_acknowledgements()
        if self.reverse is not None:
            self.reverse._hear(is_heard=not self.is_mute)  # noqa: SLF001 - as above
        self.sender.on_writable()

    def _forget(self, effect: Effect) -> None:
        """Undo an effect on what is in flight."""
        now = self._clock.now
        resent_at = self._resent_at(now) if effect.retransmits else now
        self._relaunch(lambda segment: _without(effect, segment, now, resent_at))

    def _relaunch(self, change: Callable[[Segment], Segment]) -> None:
        held = [*self._in_flight]
        self._in_flight.clear()
        self._in_flight_size = 0
        for segment in held:
            self._launch(change(segment))
        self.settle()

    def _resent_at(self, since: float) -> float:
        starved_since = self._starved_since
        return retransmission_after(
            since if starved_since is None else starved_since, self._clock.now
        )

    # --- acknowledgements --------------------------------------------------------

    def _hear(self, *, is_heard: bool) -> None:
        """Take note of whether acknowledgements come back."""
        if is_heard != self._is_unheard:
            return
        self._is_unheard = not is_heard
        self._is_plain = not (self._effects or self._is_cut or self._is_unheard)
        if is_heard:
            self._taken_unheard = 0
            if self._has_sent_unheard and self._is_refused and not self.is_mute:
                self._answer_by_reset()  # it was sent again
            self._has_sent_unheard = False
            self._watch_acknowledgements()
            self.sender.on_writable()

    def _watch_acknowledgements(self) -> None:
        """Count how long the sender's kernel waits in vain, and let it give up."""
        is_held = self._in_flight and (self.is_mute or self._in_flight[-1].held_by)
        if not (is_held or self._has_sent_unheard):
            self._starved_since = None
        elif self._starved_since is None:
            since = self._starved_since = self._clock.now
            self._clock.call_at(since + self._give_up_after, lambda: self._give_up(since))

    def _give_up(self, since: float) -> None:
        if self._starved_since == since:
            self._has_sent_unheard = False
            self.sender.on_reset(TimeoutError(errno.ETIMEDOUT, "Connection timed out"))


def _noted(effect: Effect, before: Segment, after: Segment) -> Segment:
    """Keep book of what an effect made late, and how much."""
    if after.at == before.at:
        return after
    return attrs.evolve(after, waits=(*before.waits, (effect, after.at - before.at)))


def _without(effect: Effect, segment: Segment, now: float, resent_at: float) -> Segment:
    """Undo an effect; what it held back is sent again at a moment."""
    waits = tuple(wait for wait in segment.waits if wait[0] is not effect)
    if len(waits) < len(segment.waits):
        at = segment.sent_at + sum(wait for _, wait in waits)
        segment = attrs.evolve(segment, at=at, waits=waits)
    if effect not in segment.held_by:
        return segment
    held_by = tuple(other for other in segment.held_by if other is not effect)
    return _resent(attrs.evolve(segment, held_by=held_by), now, resent_at)


def _resent(segment: Segment, now: float, at: float) -> Segment:
    """Send again at a moment what should have arrived by now; it is as late as it was."""
    if segment.at > now:
        return segment
    return attrs.evolve(segment, at=at + sum(wait for _, wait in segment.waits), sent_at=at)
