"""Whether the peer of one connection lives, told from beats, traffic and the clock.

One object a connection. The shell tells it what happened (a beat begun, sent
or answered; a send begun or ended; reading paused), asks `next_deadline`,
sleeps until then and calls `tick`, which answers with what is to be done.

Four verdicts are kept apart: the *peer is dead* (beats failed in a row, or a
send is stuck), the *feed is silent* (no message; proves nothing), *our
consumer is slow* (we stopped reading, so a missing answer is our doing) and
*our loop stalled* (we woke late, so a missing answer may lie unread).

Every judgement is made by the clock in `tick`: a task that hangs in a write
cannot delay it. A deadline may be stale by the traffic that came after it was
told; `tick` called too early changes nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import attrs

from trio_wsguard._core.events import AnomalyKind
from trio_wsguard._core.failure import Failure, FailureKind

if TYPE_CHECKING:
    from trio_wsguard._policy import HeartbeatPolicy, WatchdogPolicy

GROWTH: Final = 1.5  # of an adaptive interval, on every calm beat


@attrs.frozen
class SendBeat:
    """A beat is due."""


@attrs.frozen
class PeerDead:
    """The connection must be ended by force."""

    failure: Failure


@attrs.frozen
class RenewalDue:
    """The connection has reached its greatest age."""


@attrs.frozen
class Raise:
    """An anomaly begins."""

    kind: AnomalyKind
    message: str
    value: float


@attrs.frozen
class Recover:
    """An anomaly, if there was one, is over."""

    kind: AnomalyKind


Verdict = SendBeat | PeerDead | RenewalDue | Raise | Recover


@attrs.define
class ResponseTime:
    """A smoothed response time and its variation, in seconds.

    Source: RFC 6298, section 2, with its constants.
    """

    smoothed: float | None = None
    variation: float = 0.0

    def add(self, seconds: float) -> None:
        """Take one measured response time in."""
        if self.smoothed is None:
            self.smoothed, self.variation = seconds, seconds / 2
            return
        self.variation += (abs(self.smoothed - seconds) - self.variation) / 4
        self.smoothed += (seconds - self.smoothed) / 8

    def timeout(self, lowest: float, highest: float) -> float:
        """Tell how long to wait for an answer, within bounds, in seconds."""
        if self.smoothed is None:
            return highest
        return min(highest, max(lowest, self.smoothed + 4 * self.variation))


@attrs.define
class Beat:
    """One beat: when it was begun, and when it was on its way.

    Attributes:
        number: Counted from 1 within the connection; late answers of other
            beats and other connections do not match it.
        begun_at: When it was due, in monotonic seconds.
        sent_at: Monotonic seconds; ``None`` until it is written.
        timeout: Seconds from its beginning to its answer.
        is_measured: Whether the time to its answer says anything about the
            peer; not if we stopped reading meanwhile.
    """

    number: int
    begun_at: float
    timeout: float
    sent_at: float | None = None
    is_measured: bool = True

    def taken(self, now: float) -> float:
        """Tell how many seconds it has been on its way."""
        return now - (self.begun_at if self.sent_at is None else self.sent_at)


class Heartbeats:
    """The beats of one connection: owed, open, answered, missed.

    Args:
        policy: Intervals and timeouts, in seconds.
        now: Monotonic seconds; the first beat is due an interval later.
    """

    def __init__(self, policy: HeartbeatPolicy, now: float) -> None:
        self._policy = policy
        self.open: Beat | None = None
        self.due_at = now + policy.interval
        self.missed_in_a_row = 0
        self.interval = policy.interval
        self.response_time = ResponseTime()
        self._last_number = 0
        self._is_asked_for = False
        self._is_slow = False

    def begin(self, now: float) -> Beat:
        """Open the beat that is due; one still open is given up unjudged."""
        self._last_number += 1
        # Its time runs from when it was due: a sender blocked before it must not
        # hide a dead peer, and the beats keep their pace.
        self.open = Beat(self._last_number, min(now, self.due_at), self._timeout())
        self._is_slow = False
        return self.open

    def _timeout(self) -> float:
        policy = self._policy
        if not policy.adaptive:
            return policy.response_timeout
        # Not below the send timeout: both are spent from the same deadline.
        lowest = min(policy.send_timeout, policy.response_timeout)
        estimate = self.response_time.timeout(lowest, policy.response_timeout)
        # Doubled by each miss (RFC 6298, 5.5): a peer that became slower is not dead.
        return min(policy.response_timeout, estimate * 2.0 ** min(self.missed_in_a_row, 16))

    def answer(self, number: int | None, now: float, code: object = None) -> list[Verdict]:
        """Take in an answer.

        Args:
            number: The beat it names; ``None`` where the protocol names none.
            now: Monotonic seconds.
            code: What the peer refused the beat with; ``None`` for a good answer.

        Returns:
            What is to be done; nothing for an answer to a beat no longer open.
        """
        beat = self.open
        if beat is None or (number is not None and number != beat.number):
            return []
        if code is not None:
            rejected = Raise(
                AnomalyKind.HEARTBEAT_REJECTED, f"the beat was answered with code {code}", 1
            )
            return [rejected, *self._miss(now, f"beats rejected, the last with code {code}")]
        if not beat.is_measured:
            self._calm(beat, now, is_slow=False)
            return [Recover(AnomalyKind.HEARTBEAT_LOST)]
        taken = beat.taken(now)
        self.response_time.add(taken)
        verdicts: list[Verdict] = []
        if taken > self._policy.slow_response:
            if not self._is_slow:
                verdicts.append(self._slow(taken))
            self._calm(beat, now, is_slow=True)
        else:
            verdicts += [
                Recover(AnomalyKind.SLOW_RESPONSE),
                Recover(AnomalyKind.HEARTBEAT_REJECTED),
            ]
            self._calm(beat, now, is_slow=False)
        return [*verdicts, Recover(AnomalyKind.HEARTBEAT_LOST)]

    def _calm(self, beat: Beat, now: float, *, is_slow: bool) -> None:
        if self._policy.adaptive:
            grown = min(self.interval * GROWTH, self._policy.max_interval)
            self.interval = self._policy.interval if is_slow else grown
        self.missed_in_a_row = 0
        self._settle(max(now, beat.begun_at + self.interval))

    def _settle(self, due_at: float) -> None:
        self.open, self.due_at, self._is_asked_for = None, due_at, False

    def _miss(self, now: float, what: str) -> list[Verdict]:
        self.missed_in_a_row += 1
        self.interval = self._policy.interval
        # Followed at once by the next: quick questions tell a dead peer from a
        # lost packet sooner than slow ones.
        self._settle(now)
        message = f"{self.missed_in_a_row} of {self._policy.max_missed} {what}"
        verdicts: list[Verdict] = [Raise(AnomalyKind.HEARTBEAT_LOST, message, self.missed_in_a_row)]
        if self.missed_in_a_row >= self._policy.max_missed:
            failure = Failure(kind=FailureKind.HEARTBEAT, message=message)
            verdicts.append(PeerDead(failure))
        return verdicts

    def _slow(self, seconds: float) -> Raise:
        self._is_slow = True
        message = f"no answer to a beat within {self._policy.slow_response:g} s"
        return Raise(AnomalyKind.SLOW_RESPONSE, message, seconds)

    def excuse(self, now: float) -> None:
        """Give up the open beat unjudged; the next is due at once."""
        self._settle(now)

    def deadline(self, progress_at: float, *, is_judging: bool) -> float:
        """Tell when `tick` has something to do, in monotonic seconds."""
        if self.open is None:
            if not self._is_asked_for:
                return self.due_at
            return self._unsent_until(self.due_at, progress_at) if is_judging else math.inf
        ends_at = self._ends_at(self.open, progress_at)
        if self._is_slow or self.open.sent_at is None or not is_judging:
            return ends_at
        return min(ends_at, self.open.sent_at + self._policy.slow_response)

    def _unsent_until(self, since: float, progress_at: float) -> float:
        # A beat behind a message that makes progress waits for no fault of the
        # peer, but never longer than an answer may take: a blocked sender must
        # not hide a dead peer.
        policy = self._policy
        patience = max(since, progress_at) + policy.send_timeout
        return min(patience, since + policy.response_timeout)

    def _ends_at(self, beat: Beat, progress_at: float) -> float:
        if beat.sent_at is None:
            return min(self._unsent_until(beat.begun_at, progress_at), beat.begun_at + beat.timeout)
        return beat.begun_at + beat.timeout

    def tick(
        self, now: float, traffic_at: float, progress_at: float, *, is_judging: bool
    ) -> list[Verdict]:
        """Judge the beats; see `Liveness.tick`."""
        beat = self.open
        if beat is None:
            return self._tick_between(now, progress_at, is_judging=is_judging)
        if now < self._ends_at(beat, progress_at):
            return self._tick_slow(beat, now) if is_judging else []
        if not is_judging:
            self._settle(max(now, beat.begun_at + self.interval))
            return []
        if self._policy.traffic_is_life and traffic_at > beat.begun_at:
            self._calm(beat, now, is_slow=self._is_slow)
            return [Recover(AnomalyKind.HEARTBEAT_LOST)]
        what = "beats in a row not sent in time" if beat.sent_at is None else "beats unanswered"
        return self._miss(now, what)

    def _tick_slow(self, beat: Beat, now: float) -> list[Verdict]:
        if self._is_slow or beat.sent_at is None:
            return []
        # Compared as `deadline` adds it up: a difference may round to just below.
        is_due = now >= beat.sent_at + self._policy.slow_response
        return [self._slow(now - beat.sent_at)] if is_due else []

    def _tick_between(self, now: float, progress_at: float, *, is_judging: bool) -> list[Verdict]:
        if now < self.due_at:
            return []
        if not self._is_asked_for:
            self._is_asked_for = True
            return [SendBeat()]
        if is_judging and now >= self._unsent_until(self.due_at, progress_at):
            # The heartbeat task hangs in the write of an earlier beat.
            return self._miss(now, "beats in a row not sent in time")
        return []


class Liveness:
    """What one connection's watchdog knows.

    Args:
        heartbeat: When to beat.
        watchdog: What else to watch.
        now: Monotonic seconds at which the connection was ready.
        max_age: Seconds after which it is to be renewed; ``None`` for never.
    """

    def __init__(
        self,
        heartbeat: HeartbeatPolicy,
        watchdog: WatchdogPolicy,
        now: float,
        max_age: float | None = None,
    ) -> None:
        self.beats = Heartbeats(heartbeat, now)
        self._watchdog = watchdog
        self.last_message_at = now
        self.is_silent = False
        self.is_paused = False
        self.send_begun_at: float | None = None
        self._progress_at = now
        self._excused_at = now
        self._renew_at = math.inf if max_age is None else now + max_age

    def message(self, now: float) -> tuple[Verdict, ...]:
        """Note that a message arrived; told late, it never turns the time back."""
        self.last_message_at = max(now, self.last_message_at)
        if not self.is_silent:
            return ()
        self.is_silent = False
        return (Recover(AnomalyKind.SILENCE),)

    def begin_beat(self, now: float) -> Beat:
        """Open the beat that is due."""
        beat = self.beats.begin(now)
        beat.is_measured = not self.is_paused
        return beat

    def pause(self) -> None:
        """We stopped reading: from now on a missing answer is our own doing."""
        self.is_paused = True
        if self.beats.open is not None:
            self.beats.open.is_measured = False

    def resume(self, now: float) -> None:
        """We read again: ask anew, and count silence from now."""
        self.is_paused = False
        self.last_message_at = now
        self.beats.excuse(now)

    def next_deadline(self) -> float:
        """Tell when to call `tick`, in monotonic seconds; never later than needed."""
        is_judging = not self.is_paused
        deadline = min(
            self.beats.deadline(self._progress_at, is_judging=is_judging), self._renew_at
        )
        if self.send_begun_at is not None:
            deadline = min(deadline, self._stuck_at(self.send_begun_at))
        if is_judging and not self.is_silent:
            deadline = min(deadline, self._silent_at())
        return deadline

    def _silent_at(self) -> float:
        return max(self.last_message_at, self._excused_at) + self._watchdog.silence_timeout

    def _stuck_at(self, begun_at: float) -> float:
        return max(begun_at, self._progress_at) + self._watchdog.send_timeout

    def tick(
        self, now: float, *, traffic_at: float, progress_at: float, late: float = 0.0
    ) -> list[Verdict]:
        """Judge everything that is due; called too early it does nothing.

        Args:
            now: Monotonic seconds.
            traffic_at: When bytes were last received, in monotonic seconds.
            progress_at: When bytes were last accepted for sending.
            late: Seconds by which the caller woke too late.

        Returns:
            What is to be done, in order.
        """
        self._progress_at = max(self._progress_at, progress_at)
        if late > self._watchdog.stall_tolerance:
            # What arrived meanwhile lies unread, and no send could make progress:
            # nothing is judged by it, and every patience begins anew.
            self.beats.excuse(now)
            self._excused_at = self._progress_at = now
            message = f"this program's own loop was blocked for {late:.1f} s"
            return [Raise(AnomalyKind.LOCAL_STALL, message, late), *self._tick_age(now)]
        verdicts: list[Verdict] = [Recover(AnomalyKind.LOCAL_STALL)]
        if self.send_begun_at is not None and now >= self._stuck_at(self.send_begun_at):
            stuck = f"a send made no progress for {self._watchdog.send_timeout:g} s (timeout)"
            return [PeerDead(Failure(kind=FailureKind.TIMEOUT, message=stuck))]
        verdicts += self._tick_silence(now)
        verdicts += self.beats.tick(
            now, traffic_at, self._progress_at, is_judging=not self.is_paused
        )
        return [*verdicts, *self._tick_age(now)]

    def _tick_age(self, now: float) -> list[Verdict]:
        return [RenewalDue()] if now >= self._renew_at else []

    def _tick_silence(self, now: float) -> list[Verdict]:
        if self.is_silent or self.is_paused or now < self._silent_at():
            return []
        self.is_silent = True
        silence = now - self.last_message_at
        return [Raise(AnomalyKind.SILENCE, f"no message for {silence:.3g} s", silence)]

    def open_delay(self, now: float) -> float:
        """Tell how long the open beat has been waiting for its answer, in seconds."""
        beat = self.beats.open
        if beat is None or beat.sent_at is None or not beat.is_measured:
            return 0.0
        return beat.taken(now)
