"""Whether the peer of a connection lives, on a simulated clock."""

from __future__ import annotations

import heapq
import itertools
import math
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_wsguard._core.events import AnomalyKind
from trio_wsguard._core.failure import Failure, FailureKind
from trio_wsguard._core.liveness import (
    Beat,
    Liveness,
    PeerDead,
    Raise,
    Recover,
    RenewalDue,
    ResponseTime,
    SendBeat,
    Verdict,
)
from trio_wsguard._policy import HeartbeatPolicy, WatchdogPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

HEARTBEAT_LOST = AnomalyKind.HEARTBEAT_LOST
HEARTBEAT_REJECTED = AnomalyKind.HEARTBEAT_REJECTED
LOCAL_STALL = AnomalyKind.LOCAL_STALL
SILENCE = AnomalyKind.SILENCE
SLOW_RESPONSE = AnomalyKind.SLOW_RESPONSE


class Simulation:
    """One connection: a clock, an agenda, and the watchdog's own loop.

    `send` is what the heartbeat task does with a beat that is due.
    """

    def __init__(
        self,
        heartbeat: HeartbeatPolicy | None = None,
        watchdog: WatchdogPolicy | None = None,
        *,
        now: float = 0.0,
        max_age: float | None = None,
        send: Callable[[Simulation], object] | None = None,
    ) -> None:
        self.now = self.traffic_at = self.progress_at = now
        self.liveness = Liveness(
            heartbeat or HeartbeatPolicy(), watchdog or WatchdogPolicy(), now, max_age
        )
        self.send: Callable[[Simulation], object] = send or Simulation.beat
        self.log: list[tuple[float, Verdict]] = []
        self.ticks = 0
        self.ended_at: float | None = None
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def at(self, moment: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (moment, next(self._order), action))

    def beat(self) -> Beat:
        """Begin a beat and send it at once."""
        beat = self.liveness.beats.begin(self.now)
        beat.sent_at = self.now
        return beat

    def answer(self, number: int | None = None, code: object = None) -> None:
        self.traffic_at = self.now
        self.act(self.liveness.beats.answer(number, self.now, code))

    def message(self) -> None:
        self.traffic_at = self.now
        self.act(self.liveness.message(self.now))

    def act(self, verdicts: Iterable[Verdict]) -> None:
        for verdict in verdicts:
            self.log.append((self.now, verdict))
            if isinstance(verdict, SendBeat):
                self.send(self)
            elif isinstance(verdict, PeerDead | RenewalDue):
                self.ended_at = self.now

    def tick(self, late: float = 0.0) -> None:
        self.ticks += 1
        self.act(
            self.liveness.tick(
                self.now, traffic_at=self.traffic_at, progress_at=self.progress_at, late=late
            )
        )

    def run(self, until: float) -> Simulation:
        """Sleep to each deadline and tick, as the watchdog does, with the agenda between."""
        at_once = 0
        while self.ended_at is None:
            deadline = self.liveness.next_deadline()
            assert deadline >= self.now, "a deadline in the past is a busy loop"
            event_at = self._agenda[0][0] if self._agenda else math.inf
            if min(deadline, event_at) > until:
                self.now = until
                break
            at_once = at_once + 1 if min(deadline, event_at) == self.now else 0
            assert at_once < 20, "the clock stands still"
            if event_at <= deadline:
                self.now, _, action = heapq.heappop(self._agenda)
                action()
            else:
                self.now = deadline
                self.tick()
        return self

    def raised(self, kind: AnomalyKind) -> list[float]:
        return [t for t, v in self.log if isinstance(v, Raise) and v.kind is kind]

    def recovered(self, kind: AnomalyKind) -> list[float]:
        return [t for t, v in self.log if isinstance(v, Recover) and v.kind is kind]

    def beats(self) -> list[float]:
        return [t for t, v in self.log if isinstance(v, SendBeat)]

    def failure(self) -> Failure | None:
        return next((v.failure for _, v in self.log if isinstance(v, PeerDead)), None)


def never(_: Simulation) -> None:
    """The heartbeat task hangs and takes no beat that is due."""


def blocked(sim: Simulation) -> None:
    """The beat is begun, but its write never ends."""
    if sim.liveness.beats.open is None:
        sim.liveness.beats.begin(sim.now)


def answering(delay: float, code: object = None) -> Callable[[Simulation], object]:
    """Send each beat at once and let the peer answer it after `delay` seconds."""

    def send(sim: Simulation) -> None:
        number = sim.beat().number
        sim.at(sim.now + delay, lambda: sim.answer(number, code))

    return send


def unsettled(verdicts: list[Verdict]) -> list[Verdict]:
    """Leave out what ends anomalies: it says nothing where none is open."""
    return [verdict for verdict in verdicts if not isinstance(verdict, Recover)]


SECONDS = st.floats(0.5, 60)


@st.composite
def heartbeats(draw: st.DrawFn, /, **fixed: Any) -> HeartbeatPolicy:
    interval = draw(SECONDS)
    drawn: dict[str, Any] = {
        "interval": interval,
        "send_timeout": draw(SECONDS),
        "response_timeout": draw(SECONDS),
        "slow_response": draw(SECONDS),
        "max_missed": draw(st.integers(1, 5)),
        "adaptive": draw(st.booleans()),
        "max_interval": interval + draw(st.floats(0, 120)),
        "traffic_is_life": draw(st.booleans()),
    }
    return HeartbeatPolicy(**{**drawn, **fixed})


WATCHDOGS = st.builds(
    WatchdogPolicy, silence_timeout=SECONDS, send_timeout=SECONDS, stall_tolerance=SECONDS
)
STARTS = st.just(0.0) | st.floats(0, 1e6)


class TestDeadPeer:
    @given(
        policy=heartbeats(),
        watchdog=WATCHDOGS,
        start=STARTS,
        lifetime=st.floats(0, 300),
        latency=st.floats(0, 0.9),
        every=st.none() | st.floats(0.5, 60),
        after=st.sampled_from([Simulation.beat, blocked, never]),
        progress=st.booleans(),
    )
    def test_is_found_within_the_bound(
        self,
        policy: HeartbeatPolicy,
        watchdog: WatchdogPolicy,
        start: float,
        lifetime: float,
        latency: float,
        every: float | None,
        after: Callable[[Simulation], object],
        progress: bool,
    ) -> None:
        """However its death looks from here, a dead peer is found within detection_bound."""
        died_at = start + lifetime

        def send(sim: Simulation) -> None:
            if sim.now >= died_at:
                after(sim)
                return
            beat = sim.beat()
            answer_at = sim.now + latency * beat.timeout
            if answer_at <= died_at:
                sim.at(answer_at, lambda: sim.answer(beat.number))

        def talk() -> None:
            if sim.now <= died_at:
                sim.message()
                sim.at(sim.now + (every or 0), talk)

        def trickle() -> None:
            sim.progress_at = sim.now
            sim.at(sim.now + 0.5, trickle)

        sim = Simulation(policy, watchdog, now=start, send=send)
        if every is not None:
            sim.at(start, talk)
        if progress:  # other messages fill the send buffer of a peer long gone
            sim.at(start, trickle)
        sim.run(died_at + policy.detection_bound + 1000)
        assert sim.ended_at is not None
        assert died_at <= sim.ended_at <= died_at + policy.detection_bound + 1e-6
        assert sim.ticks <= 10 * (1 + (sim.now - start) / 0.5)

    def test_with_the_defaults(self) -> None:
        """With the defaults a peer that never answers is found after 45 seconds."""
        sim = Simulation().run(100)
        assert sim.beats() == [15, 25, 35]
        assert sim.raised(HEARTBEAT_LOST) == [25, 35, 45]
        assert sim.ended_at == 45
        failure = sim.failure()
        assert failure is not None
        assert failure.kind is FailureKind.HEARTBEAT
        assert failure.message == "3 of 3 beats unanswered"

    def test_while_the_write_of_a_beat_is_stuck(self) -> None:
        """A beat that cannot be written fails after send_timeout, and the next at once."""
        sim = Simulation(send=blocked).run(100)
        assert sim.raised(HEARTBEAT_LOST) == [17, 19, 21]
        assert sim.ended_at == 21

    def test_while_the_heartbeat_task_hangs(self) -> None:
        """A heartbeat task that never takes up its beats hides nothing."""
        sim = Simulation(send=never).run(100)
        assert sim.ended_at == 21

    def test_while_a_large_message_makes_progress(self) -> None:
        """A beat queued behind a message under way has until its response timeout."""
        sim = Simulation(send=blocked)

        def trickle() -> None:
            sim.progress_at = sim.now
            sim.at(sim.now + 1, trickle)

        sim.at(1, trickle)
        sim.run(100)
        assert sim.raised(HEARTBEAT_LOST) == [25, 35, 45]

    @given(policy=heartbeats(traffic_is_life=True), start=STARTS)
    def test_that_spoke_once_after_a_beat(self, policy: HeartbeatPolicy, start: float) -> None:
        """A peer that dies just after a word, its answer still owed, is found within the bound."""
        died_at = math.inf

        def send(sim: Simulation) -> None:
            nonlocal died_at
            sim.beat()
            if died_at == math.inf:
                died_at = sim.now + policy.response_timeout / 100
                sim.at(died_at, sim.message)

        sim = Simulation(policy, now=start, send=send).run(start + 10_000)
        assert sim.ended_at is not None
        assert sim.ended_at <= died_at + policy.detection_bound + 1e-6


class TestLivingPeer:
    @given(
        policy=heartbeats(),
        watchdog=WATCHDOGS,
        start=STARTS,
        delays=st.lists(st.tuples(st.floats(0, 0.9), st.floats(0, 0.99)), min_size=1, max_size=9),
        is_named=st.booleans(),
    )
    def test_is_never_declared_dead(
        self,
        policy: HeartbeatPolicy,
        watchdog: WatchdogPolicy,
        start: float,
        delays: list[tuple[float, float]],
        is_named: bool,
    ) -> None:
        """A peer that answers every beat within its timeout is never declared dead."""
        turns = itertools.cycle(delays)

        def send(sim: Simulation) -> None:
            sending, answering = next(turns)
            beat = sim.liveness.beats.begin(sim.now)
            sent_at = sim.now + sending * min(policy.send_timeout, beat.timeout)
            answer_at = max(sent_at, sim.now + answering * beat.timeout)

            def sent() -> None:
                beat.sent_at = sim.progress_at = sim.now

            sim.at(sent_at, sent)
            sim.at(answer_at, lambda: sim.answer(beat.number if is_named else None))

        sim = Simulation(policy, watchdog, now=start, send=send)
        sim.run(start + 1000)
        assert sim.ended_at is None
        assert not sim.raised(HEARTBEAT_LOST)
        assert sim.beats()
        assert sim.ticks <= 10 * (1 + 1000 / 0.5)

    def test_beats_come_at_the_interval(self) -> None:
        """While all is well one beat goes out every interval, whenever the answers come."""
        sim = Simulation(send=answering(4)).run(100)
        assert sim.beats() == [15, 30, 45, 60, 75, 90]
        assert not unsettled([v for _, v in sim.log if not isinstance(v, SendBeat)])[1:]

    def test_answer_slower_than_the_interval(self) -> None:
        """Where an answer takes longer than the interval, the next beat follows it at once."""
        sim = Simulation(
            HeartbeatPolicy(interval=1, response_timeout=10), send=answering(4), now=1e5 + 0.1
        )
        sim.run(sim.now + 60)
        gaps = [b - a for a, b in itertools.pairwise(sim.beats())]
        assert gaps == pytest.approx([4] * len(gaps))
        assert len(gaps) > 10

    def test_one_lost_beat_is_forgiven(self) -> None:
        """A missed beat is followed at once by another, whose answer wipes it out."""
        sim = Simulation(send=lambda s: answering(1)(s) if len(s.beats()) % 2 == 0 else s.beat())
        sim.run(200)
        assert sim.ended_at is None
        assert sim.beats()[:4] == [15, 25, 40, 50]
        assert sim.raised(HEARTBEAT_LOST)[:2] == [25, 50]
        assert sim.recovered(HEARTBEAT_LOST)[:2] == [26, 51]

    @pytest.mark.parametrize("traffic_is_life", [True, False])
    def test_traffic_counts_as_life_if_the_policy_says_so(self, traffic_is_life: bool) -> None:
        """A peer that talks but answers no beat lives exactly if traffic_is_life."""
        sim = Simulation(HeartbeatPolicy(traffic_is_life=traffic_is_life))

        def talk() -> None:
            sim.message()
            sim.at(sim.now + 7, talk)

        sim.at(1, talk)
        sim.run(600)
        assert sim.ended_at == (None if traffic_is_life else 45)

    def test_traffic_before_a_beat_is_no_answer_to_it(self) -> None:
        """What arrived before a beat, or as it began, does not prove life after it."""
        sim = Simulation()
        sim.at(15, sim.message)
        sim.run(100)
        assert sim.ended_at == 45


class TestAnswers:
    def test_answer_naming_another_beat_is_ignored(self) -> None:
        """An answer to a beat no longer open, or never sent, settles nothing."""
        sim = Simulation(HeartbeatPolicy(traffic_is_life=False))
        sim.at(26, lambda: sim.answer(1))
        sim.at(27, lambda: sim.answer(7))
        sim.at(28, lambda: sim.answer(1, code=500))
        sim.run(100)
        assert sim.raised(HEARTBEAT_LOST) == [25, 35, 45]
        assert not sim.raised(HEARTBEAT_REJECTED)
        assert sim.ended_at == 45

    def test_answer_without_a_number_answers_the_open_beat(self) -> None:
        """Where the protocol names no beat, an answer is taken for the open one."""
        sim = Simulation()
        sim.at(16, sim.answer)
        sim.at(17, sim.answer)
        sim.run(29)
        assert sim.beats() == [15]
        assert sim.liveness.beats.response_time.smoothed == 1

    def test_wrong_code_is_a_miss(self) -> None:
        """An answer with another code is an anomaly and a failure; the next beat is at once."""
        sim = Simulation(send=answering(1, code=403)).run(100)
        assert sim.beats() == [15, 16, 17]
        assert sim.raised(HEARTBEAT_REJECTED) == [16, 17, 18]
        assert sim.raised(HEARTBEAT_LOST) == [16, 17, 18]
        assert sim.ended_at == 18
        failure = sim.failure()
        assert failure is not None
        assert failure.message == "3 of 3 beats rejected, the last with code 403"

    def test_good_answer_ends_a_rejection(self) -> None:
        """A rejected beat is over with the next good answer."""
        codes = iter([403, 500])
        sim = Simulation(send=lambda s: answering(1, code=next(codes, None))(s)).run(60)
        assert sim.ended_at is None
        assert sim.raised(HEARTBEAT_REJECTED) == [16, 17]
        assert sim.recovered(HEARTBEAT_REJECTED)[0] == 18

    def test_open_delay(self) -> None:
        """The delay of the open beat grows from its sending until its answer."""
        sim = Simulation(send=answering(4)).run(14)
        assert sim.liveness.open_delay(14) == 0
        sim.run(17)
        assert sim.liveness.open_delay(17) == 2
        sim.run(20)
        assert sim.liveness.open_delay(20) == 0


class TestSlowResponse:
    @given(start=STARTS)
    def test_is_raised_while_the_answer_is_missing(self, start: float) -> None:
        """A slow answer is raised when 5 seconds are over, not when it arrives."""
        sim = Simulation(send=answering(8), now=start)
        sim.run(sim.now + 29)
        assert sim.raised(SLOW_RESPONSE) == pytest.approx([start + 20])

    def test_recovers_with_the_next_quick_answer(self) -> None:
        """A slow answer is over with the next quick one, and not before."""
        delays = iter([8.0, 6.0, 1.0])
        sim = Simulation(send=lambda s: answering(next(delays))(s)).run(59)
        assert sim.raised(SLOW_RESPONSE) == [20, 35]
        assert sim.recovered(SLOW_RESPONSE) == [46]

    def test_is_not_raised_by_an_answer_in_time(self) -> None:
        """An answer after exactly slow_response seconds is not slow."""
        sim = Simulation(send=answering(5)).run(300)
        assert not sim.raised(SLOW_RESPONSE)

    def test_is_raised_by_the_answer_if_no_tick_came_first(self) -> None:
        """An answer that overtakes the clock's own verdict is still told as slow, once."""
        live = Liveness(HeartbeatPolicy(), WatchdogPolicy(), 0)
        live.beats.begin(15).sent_at = 15
        raised = [v for v in live.beats.answer(1, 22) if isinstance(v, Raise)]
        assert [(v.kind, v.value) for v in raised] == [(SLOW_RESPONSE, 7)]


class TestSilence:
    @given(start=STARTS, timeout=SECONDS)
    def test_is_raised_and_recovered(self, start: float, timeout: float) -> None:
        """Silence is raised once after silence_timeout and over with the next message."""
        policy = WatchdogPolicy(silence_timeout=timeout)
        sim = Simulation(HeartbeatPolicy(interval=1e4), policy, now=start)
        sim.at(start + 5 * timeout, sim.message)
        sim.run(start + 5.5 * timeout)
        assert sim.raised(SILENCE) == pytest.approx([start + timeout])
        assert sim.recovered(SILENCE) == [start + 5 * timeout]
        assert sim.ended_at is None

    def test_answers_are_no_messages(self) -> None:
        """A peer that only answers beats is silent, and alive."""
        sim = Simulation(send=answering(1)).run(300)
        assert sim.raised(SILENCE) == [30]
        assert sim.ended_at is None

    def test_messages_put_it_off(self) -> None:
        """While messages come, however slowly, nobody is silent."""
        sim = Simulation(send=answering(1))
        for moment in range(0, 300, 29):
            sim.at(moment, sim.message)
        sim.run(300)
        assert not sim.raised(SILENCE)

    def test_is_not_raised_while_paused(self) -> None:
        """Who does not read cannot call the feed silent; silence counts anew after it."""
        sim = Simulation(send=answering(1))
        sim.at(20, sim.liveness.pause)
        sim.at(100, lambda: sim.liveness.resume(sim.now))
        sim.run(129)
        assert not sim.raised(SILENCE)
        assert sim.run(131).raised(SILENCE) == [130]


class TestSlowConsumer:
    @given(policy=heartbeats(), watchdog=WATCHDOGS, start=STARTS, pause_at=st.floats(0, 100))
    def test_is_never_judged(
        self, policy: HeartbeatPolicy, watchdog: WatchdogPolicy, start: float, pause_at: float
    ) -> None:
        """While we do not read, no missing answer is held against the peer."""
        sim = Simulation(policy, watchdog, now=start)
        sim.at(start + pause_at, sim.liveness.pause)
        sim.run(start + pause_at)
        if sim.ended_at is not None:
            return
        sim.log.clear()
        sim.run(start + 2000)
        assert sim.ended_at is None
        assert not unsettled([v for _, v in sim.log if not isinstance(v, SendBeat)])
        assert sim.ticks <= 10 * (1 + 2000 / 0.5)

    @given(
        policy=heartbeats(),
        start=STARTS,
        send=st.sampled_from([Simulation.beat, blocked, never]),
        resume_at=st.floats(0, 300),
    )
    def test_gives_a_fresh_beat_when_it_reads_again(
        self,
        policy: HeartbeatPolicy,
        start: float,
        send: Callable[[Simulation], object],
        resume_at: float,
    ) -> None:
        """Reading again asks the peer anew, and gives it all its beats from then on."""
        sim = Simulation(policy, now=start, send=send)
        sim.liveness.pause()
        sim.run(start + resume_at)
        sim.log.clear()
        resumed_at = sim.now
        sim.send = Simulation.beat
        sim.liveness.resume(resumed_at)
        sim.run(start + 10_000)
        assert sim.beats()[0] == resumed_at
        assert sim.ended_at is not None
        expected = resumed_at + policy.max_missed * policy.response_timeout
        assert sim.ended_at == pytest.approx(expected, abs=1e-6)

    def test_beats_go_on(self) -> None:
        """While we do not read, beats still go out: the peer may live by them."""
        sim = Simulation()
        sim.liveness.pause()
        assert sim.run(100).beats() == [15, 30, 45, 60, 75, 90]


class TestLocalStall:
    @given(
        policy=heartbeats(),
        watchdog=WATCHDOGS,
        start=STARTS,
        before=st.floats(0, 200),
        late=st.floats(0, 500),
        send=st.sampled_from([Simulation.beat, blocked, never]),
        max_age=st.none() | st.floats(1, 500),
    )
    def test_judges_no_beat(
        self,
        policy: HeartbeatPolicy,
        watchdog: WatchdogPolicy,
        start: float,
        before: float,
        late: float,
        send: Callable[[Simulation], object],
        max_age: float | None,
    ) -> None:
        """Who wakes too late blames itself, judges no beat, and asks the peer anew."""
        sim = Simulation(policy, watchdog, now=start, send=send, max_age=max_age)
        sim.run(start + before)
        deadline = sim.liveness.next_deadline()
        if sim.ended_at is not None or deadline == math.inf:
            return
        sim.log.clear()
        sim.now = deadline + watchdog.stall_tolerance + 0.01 + late
        sim.tick(late=sim.now - deadline)
        assert sim.raised(LOCAL_STALL) == [sim.now]
        assert not sim.raised(HEARTBEAT_LOST)
        assert sim.failure() is None
        woken_at = sim.now
        if sim.ended_at is None:
            sim.run(woken_at)
            assert sim.beats() == [woken_at]
            assert sim.recovered(LOCAL_STALL)

    def test_tells_how_late(self) -> None:
        """The anomaly carries the seconds that the loop was blocked."""
        live = Liveness(HeartbeatPolicy(), WatchdogPolicy(), 0)
        verdicts = unsettled(live.tick(18.5, traffic_at=0, progress_at=0, late=3.5))
        stall = verdicts[0]
        assert isinstance(stall, Raise)
        assert (stall.kind, stall.value) == (LOCAL_STALL, 3.5)
        assert stall.message == "this program's own loop was blocked for 3.5 s"

    def test_within_the_tolerance_beats_are_judged(self) -> None:
        """Waking a little late is no stall."""
        sim = Simulation()
        sim.run(24)
        sim.now = 26.0
        sim.tick(late=1.0)
        assert sim.raised(HEARTBEAT_LOST) == [26]
        assert not sim.raised(LOCAL_STALL)

    def test_calls_nobody_silent(self) -> None:
        """What arrived while the loop was blocked lies unread: silence counts anew."""
        sim = Simulation(send=answering(1))
        sim.run(29)
        sim.now = 60.0
        sim.tick(late=30.0)
        sim.run(89)
        assert not sim.raised(SILENCE)
        assert sim.run(91).raised(SILENCE) == [90]

    def test_gives_a_send_its_time_again(self) -> None:
        """A send could make no progress while the loop was blocked, and is not ended for it."""
        sim = Simulation(send=answering(1))
        sim.liveness.send_begun_at = 1.0
        sim.run(9)
        sim.now = 40.0
        sim.tick(late=29.0)
        assert sim.run(49).ended_at is None
        assert sim.run(51).ended_at == 50


class TestStuckSend:
    @given(start=STARTS)
    def test_ends_the_connection(self, start: float) -> None:
        """A send without progress for 10 seconds ends the connection."""
        sim = Simulation(send=answering(1), now=start)
        sim.at(start + 3, lambda: setattr(sim.liveness, "send_begun_at", sim.now))
        sim.run(start + 100)
        assert sim.ended_at == pytest.approx(start + 13)
        failure = sim.failure()
        assert failure is not None
        assert failure.kind is FailureKind.TIMEOUT

    def test_not_while_it_makes_progress(self) -> None:
        """A slow send lives as long as it makes progress, and 10 seconds more."""
        sim = Simulation(send=answering(1))

        def progress() -> None:
            sim.progress_at = sim.now
            if sim.now < 100:
                sim.at(sim.now + 9, progress)

        sim.at(1, lambda: setattr(sim.liveness, "send_begun_at", sim.now))
        sim.at(1, progress)
        sim.run(300)
        assert sim.ended_at == 110

    def test_not_once_it_is_done(self) -> None:
        """A send that ended in time is forgotten."""
        sim = Simulation(send=answering(1))
        sim.at(1, lambda: setattr(sim.liveness, "send_begun_at", sim.now))
        sim.at(10, lambda: setattr(sim.liveness, "send_begun_at", None))
        assert sim.run(300).ended_at is None

    def test_also_while_paused(self) -> None:
        """A peer that takes no bytes is found though we do not read."""
        sim = Simulation()
        sim.liveness.pause()
        sim.liveness.send_begun_at = 0.0
        assert sim.run(300).ended_at == 10


class TestRenewal:
    @given(start=STARTS, max_age=st.floats(1, 1000))
    def test_is_due_at_max_age(self, start: float, max_age: float) -> None:
        """A connection is renewed at its greatest age, whatever else goes on."""
        sim = Simulation(send=answering(0.2), now=start, max_age=max_age)
        sim.run(start + 2000)
        assert sim.ended_at == start + max_age
        assert isinstance(sim.log[-1][1], RenewalDue)

    def test_is_never_due_without_max_age(self) -> None:
        """Without max_age a connection lives as long as it answers."""
        assert Simulation(send=answering(1)).run(100_000).ended_at is None


@given(
    policy=heartbeats(),
    watchdog=WATCHDOGS,
    start=STARTS,
    until=st.floats(0, 300),
    part=st.floats(0, 0.99),
    send=st.sampled_from([Simulation.beat, blocked, never, answering(0.3)]),
    is_paused=st.booleans(),
)
def test_early_tick_changes_nothing(
    policy: HeartbeatPolicy,
    watchdog: WatchdogPolicy,
    start: float,
    until: float,
    part: float,
    send: Callable[[Simulation], object],
    is_paused: bool,
) -> None:
    """A tick before the deadline says nothing and moves nothing."""
    sim = Simulation(policy, watchdog, now=start, send=send)
    if is_paused:
        sim.liveness.pause()
    sim.run(start + until)
    deadline = sim.liveness.next_deadline()
    if sim.ended_at is not None or deadline in (sim.now, math.inf):
        return
    early = sim.now + part * (deadline - sim.now)
    beat = attrs.evolve(sim.liveness.beats.open) if sim.liveness.beats.open else None
    verdicts = sim.liveness.tick(early, traffic_at=sim.traffic_at, progress_at=sim.progress_at)
    assert not unsettled(verdicts)
    assert sim.liveness.next_deadline() == deadline
    assert sim.liveness.beats.open == beat


class TestResponseTime:
    def test_first_sample(self) -> None:
        """The first sample is the smoothed time, and half of it the variation (RFC 6298, 2.2)."""
        measured = ResponseTime()
        measured.add(0.8)
        assert (measured.smoothed, measured.variation) == (0.8, 0.4)
        assert measured.timeout(0, 10) == pytest.approx(2.4)

    def test_later_samples(self) -> None:
        """Later samples are taken in by an eighth and a quarter (RFC 6298, 2.3)."""
        measured = ResponseTime()
        smoothed, variation = 1.0, 0.5
        measured.add(1.0)
        for sample in (2.0, 0.5, 0.25, 4.0, 1.0):
            variation = 0.75 * variation + 0.25 * abs(smoothed - sample)
            smoothed = 0.875 * smoothed + 0.125 * sample
            measured.add(sample)
            assert measured.smoothed == pytest.approx(smoothed)
            assert measured.variation == pytest.approx(variation)
            assert measured.timeout(0, 100) == pytest.approx(smoothed + 4 * variation)

    def test_bounds(self) -> None:
        """The timeout stays within its bounds, and is the upper one before any sample."""
        measured = ResponseTime()
        assert measured.timeout(2, 10) == 10
        measured.add(0.01)
        assert measured.timeout(2, 10) == 2
        measured.add(60.0)
        assert measured.timeout(2, 10) == 10


class TestAdaptive:
    POLICY = HeartbeatPolicy(adaptive=True, interval=15, max_interval=60)

    def gaps(self, sim: Simulation) -> list[float]:
        return [b - a for a, b in itertools.pairwise([0.0, *sim.beats()])]

    def test_interval_grows(self) -> None:
        """Every calm beat lets the interval grow by half, up to max_interval."""
        sim = Simulation(self.POLICY, send=answering(1)).run(400)
        assert self.gaps(sim)[:7] == pytest.approx([15, 22.5, 33.75, 50.625, 60, 60, 60])

    def test_interval_falls_back_on_a_slow_answer(self) -> None:
        """The first slow answer brings the interval back."""
        delays = iter([1, 1, 6])
        policy = attrs.evolve(self.POLICY, send_timeout=10)
        sim = Simulation(policy, send=lambda s: answering(next(delays, 1))(s)).run(150)
        assert self.gaps(sim)[:5] == pytest.approx([15, 22.5, 33.75, 15, 22.5])

    def test_interval_falls_back_on_a_missed_beat(self) -> None:
        """The first missed beat brings the interval back."""
        sim = Simulation(
            self.POLICY, send=lambda s: s.beat() if len(s.beats()) == 3 else answering(1)(s)
        )
        sim.run(140)
        timeout = 4  # smoothed 1 s and variation 0.375 s would give 3 s after one answer
        missed_at = sim.raised(HEARTBEAT_LOST)[0]
        assert missed_at - sim.beats()[2] <= timeout
        assert self.gaps(sim)[:3] == pytest.approx([15, 22.5, 33.75])
        assert sim.beats()[3] == missed_at
        assert sim.beats()[4] - sim.beats()[3] == pytest.approx(22.5)

    def test_timeout_follows_the_response_times(self) -> None:
        """The response timeout comes down to what the peer needs, within bounds."""
        sim = Simulation(self.POLICY, send=answering(0.1)).run(1000)
        assert sim.liveness.beats.begin(sim.now).timeout == self.POLICY.send_timeout
        fresh = Simulation(self.POLICY)
        assert fresh.liveness.beats.begin(0).timeout == self.POLICY.response_timeout

    def test_fixed_policy_adapts_nothing(self) -> None:
        """Without adaptive, interval and timeout stay as they were set."""
        sim = Simulation(send=answering(0.1)).run(1000)
        assert set(self.gaps(sim)) == {15.0}
        assert sim.liveness.beats.begin(sim.now).timeout == 10
