"""The shell's side of liveness: feeds the core with facts and obeys its verdicts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import trio

from trio_wsguard._core.events import AnomalyKind
from trio_wsguard._core.liveness import (
    Beat,
    Liveness,
    PeerDead,
    Raise,
    Recover,
    RenewalDue,
    SendBeat,
    Verdict,
)
from trio_wsguard._shell.alarm import Alarm
from trio_wsguard._shell.ending import NORMAL_CLOSURE, Ending
from trio_wsguard._shell.heartbeats import PingHeartbeat

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from trio_wsguard._policy import GuardPolicy
    from trio_wsguard._shell.heartbeats import Answer, Heartbeat
    from trio_wsguard._shell.journal import Journal
    from trio_wsguard._shell.observer import Observer
    from trio_wsguard._shell.transport import Message
    from trio_wsguard._shell.watched import WatchedStream


class Vitals:
    """The beats, the silence and the deadlines of one connection.

    Args:
        policy: The settings.
        heartbeat: What a beat says.
        journal: Where figures and anomalies go.
        observer: Who looks at the figures when the watchdog wakes.
        stream: Where traffic and progress are seen.
        end: Called with the ending once a verdict is that it is over.

    Attributes:
        beat_due: Set while a beat is due.
        alarm: The one timer, on which the watchdog sleeps.
    """

    def __init__(
        self,
        policy: GuardPolicy,
        heartbeat: Heartbeat,
        journal: Journal,
        observer: Observer,
        stream: WatchedStream,
        end: Callable[[Ending], None],
    ) -> None:
        self._policy = policy
        self._in_messages = None if isinstance(heartbeat, PingHeartbeat) else heartbeat
        self._journal = journal
        self._observer = observer
        self._monitor = journal.monitor
        self._counters = journal.monitor.counters
        self._stream = stream
        self._end = end
        self._beat_key: str | None = None
        self.alarm = Alarm()
        self.beat_due = trio.Event()
        self.start()

    def start(self) -> None:
        """Begin to watch, from now on."""
        policy = self._policy
        self._liveness = Liveness(
            policy.heartbeat, policy.watchdog, trio.current_time(), policy.max_age
        )
        # Silence outlives a connection: the first message of any ends it.
        self._liveness.is_silent = self._journal.is_open(AnomalyKind.SILENCE)

    @property
    def silence(self) -> float:
        """Seconds since the last message."""
        return trio.current_time() - self._liveness.last_message_at

    @property
    def open_delay(self) -> float:
        """Seconds that the open beat has waited for its answer."""
        return self._liveness.open_delay(trio.current_time())

    # --- facts -----------------------------------------------------------------

    def received(self, batch: list[Message]) -> list[Message]:
        """Note messages; tell those that are not answers to beats.

        This is the hot path: the stream has read the clock already. With a slow
        application that was long ago, which the core allows for.
        """
        at = self._stream.received_at
        heartbeat = self._in_messages
        if heartbeat is not None:
            batch = [m for m in batch if not self._take_answer(heartbeat.read(m), at)]
            if not batch:
                return batch
        self._counters.messages_received += len(batch)
        self._monitor.last_message_received_time = time.time()
        for verdict in self._liveness.message(at):
            self._obey(verdict)
            self._rearm()  # no deadline counts the silence while it lasts
        return batch

    def _take_answer(self, answer: Answer | None, now: float) -> bool:
        if answer is None:
            return False
        if answer.key is None or answer.key == self._beat_key:
            self._answered(now, answer.code)
        return True

    def on_pong(self, payload: bytes) -> None:
        """Take a pong in."""
        if payload.decode("ascii", "replace") == self._beat_key:
            self._answered(trio.current_time(), None)

    def _answered(self, now: float, code: object) -> None:
        beat = self._liveness.beats.open
        if beat is None:
            return
        if code is None:
            self._counters.beats_answered += 1
            self._monitor.last_heartbeat_response = time.time()
            self._monitor.rates.beat(now, is_good=True)
            self._journal.debug("beat %d answered after %.3f s", beat.number, beat.taken(now))
            if beat.is_measured:
                self._monitor.response_times.add(beat.taken(now))
                self._monitor.rates.responded(now, beat.taken(now))
        for verdict in self._liveness.beats.answer(beat.number, now, code):
            self._obey(verdict)
        self._rearm()

    def begin_beat(self, generation: int, rng: Random) -> tuple[Beat, Message]:
        """Open the beat that is due.

        Returns:
            The beat, and what is sent for it: a ping's payload, or a message.
        """
        beat = self._liveness.begin_beat(trio.current_time())
        self._rearm()
        if self._in_messages is None:
            # Of this connection and beat alone: a late pong of another matches nothing.
            self._beat_key = f"{generation}.{beat.number}"
            return beat, self._beat_key.encode()
        message, self._beat_key = self._in_messages.request(rng)
        return beat, message

    def beat_sent(self, beat: Beat) -> None:
        """Note that a beat is on its way."""
        beat.sent_at = trio.current_time()
        self._counters.beats_sent += 1
        self._monitor.last_heartbeat_time = time.time()
        self._journal.debug("beat %d sent", beat.number)
        self._rearm()

    def write_begun(self) -> None:
        """Note that a write began."""
        self._liveness.send_begun_at = now = trio.current_time()
        self.alarm.move_up(now + self._policy.watchdog.send_timeout)

    def write_ended(self) -> None:
        """Note that it is over."""
        self._liveness.send_begun_at = None

    def paused(self, depth: int) -> None:
        """Note that reading stopped because so many messages are unread."""
        self._liveness.pause()
        message = f"the application has left {depth} messages unread"
        self._obey(Raise(AnomalyKind.SLOW_CONSUMER, message, depth))
        self._rearm()

    def resumed(self) -> None:
        """Note that reading goes on."""
        self._liveness.resume(trio.current_time())
        self._obey(Recover(AnomalyKind.SLOW_CONSUMER))
        self._rearm()

    # --- judgement -------------------------------------------------------------

    def next_deadline(self) -> float:
        """Tell when to judge next, in monotonic seconds."""
        looks_at = self._observer.next_deadline(trio.current_time())
        deadline = min(self._liveness.next_deadline(), looks_at)
        if self._journal.is_open(AnomalyKind.FLAPPING):
            deadline = min(deadline, self._monitor.sound_at)
        return deadline

    def _rearm(self) -> None:
        self.alarm.move(self.next_deadline())

    def judge(self, late: float) -> None:
        """Let the core judge what is due, and obey.

        Args:
            late: Seconds by which the watchdog woke too late.
        """
        now = trio.current_time()
        verdicts = self._liveness.tick(
            now,
            traffic_at=self._stream.received_at,
            progress_at=self._stream.progress_at,
            late=late,
        )
        for verdict in verdicts:
            self._obey(verdict)
        if now >= self._monitor.sound_at:
            self._journal.note(Recover(AnomalyKind.FLAPPING))
        if now >= self._observer.next_deadline(now):
            self._observer.look(now)

    def _obey(self, verdict: Verdict) -> None:
        if isinstance(verdict, SendBeat):
            self.beat_due.set()
        elif isinstance(verdict, PeerDead):
            failure = verdict.failure
            self._end(Ending(reason=str(failure), failure=failure))
        elif isinstance(verdict, RenewalDue):
            close = (NORMAL_CLOSURE, "")
            self._end(Ending(reason="max_age reached", close=close, is_ours=True))
        else:
            if isinstance(verdict, Raise) and verdict.kind is AnomalyKind.HEARTBEAT_LOST:
                self._counters.beats_missed += 1
                self._monitor.rates.beat(trio.current_time(), is_good=False)
                self._journal.debug("beat failed: %s", verdict.message)
            self._journal.note(verdict)
