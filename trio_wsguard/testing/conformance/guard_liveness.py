"""What must hold of a guard's judgement: who is dead, who is silent, and who is only slow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio
from hypothesis import strategies as st
from wsproto.frame_protocol import Opcode

import trio_wsguard as wsguard
from trio_wsguard.testing import strategies
from trio_wsguard.testing.conformance.life import Life, World, open_life, policy_for
from trio_wsguard.testing.conformance.property import property_of
from trio_wsguard.testing.conformance.violation import expect
from trio_wsguard.testing.faults import Blackhole, Direction, Latency
from trio_wsguard.testing.peer import (
    Accept,
    AnswerBeats,
    Call,
    Conversation,
    CutFrame,
    Feed,
    IgnoreBeats,
    Script,
    Silence,
    StopReading,
    Wait,
    frame,
)

if TYPE_CHECKING:
    from trio_wsguard.testing.conformance.run import Run
    from trio_wsguard.testing.peer import Step

_S: Final = wsguard.ConnectionState
_K: Final = wsguard.FailureKind
_EPS: Final = 1e-6


async def _send_for_ever(life: Life, size: int, pause: float) -> None:
    """Send on, whatever happens to a single message."""
    while True:
        try:
            await life.ws.send_message("x" * size)
        except wsguard.ConnectionLostError:
            pass
        except trio.ClosedResourceError:
            return
        await trio.sleep(pause)


async def _loss_of(life: Life, within: float) -> wsguard.StateChange | None:
    """Wait for the first loss of a connection; ``None`` if there is none in time."""
    with trio.move_on_after(within):
        await life.ws.wait_state(_S.CONNECTED)
        await life.ws.wait_state(_S.RECONNECTING)
        await life.settle()
    return life.losses[0] if life.losses else None


@property_of("guard", rows=(8,))
def a_dead_peer_is_found(run: Run) -> None:
    """A peer of whom nothing comes is given up within `detection_bound`, whatever is sent to it."""

    async def check(
        dead_at: float, policy: wsguard.HeartbeatPolicy, way: Direction, send: tuple[int, float]
    ) -> None:
        settings = policy_for(run, heartbeat=policy)
        blackhole = Blackhole(start=dead_at, direction=way) if dead_at else Blackhole(start=0.25)
        async with (
            open_life(run, World(faults=(blackhole,)), settings) as life,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(_send_for_ever, life, *send)
            await _loss_of(life, 1000)
            nursery.cancel_scope.cancel()
        _found_in_time(life, blackhole.start, settings)

    run.for_all(
        {
            "dead_at": strategies.seconds(0, 60),
            "policy": strategies.heartbeat_policies(),
            "way": strategies.directions(),
            "send": st.tuples(st.sampled_from([10, 100_000]), strategies.seconds(0.25, 20)),
        },
        check,
        share=0.6,
    )


def _found_in_time(life: Life, dead_at: float, policy: wsguard.GuardPolicy) -> None:
    expect(bool(life.losses), "the connection still counts as open")
    took = life.losses[0].at - dead_at
    bound = policy.detection_bound
    expect(took <= bound + _EPS, f"it was found after {took:g} s, the bound is {bound:g} s")


@property_of("guard", rows=(8,))
def a_mute_peer_is_found(run: Run) -> None:
    """A peer that answers no beat, reading or not, is given up within `detection_bound`."""

    async def check(
        dead_at: float, death: tuple[Step, ...], policy: wsguard.HeartbeatPolicy
    ) -> None:
        settings = policy_for(run, heartbeat=policy)
        world = World(scripts=(Script(Accept(), Wait(dead_at), *death), Script(Accept())))
        async with open_life(run, world, settings) as life:
            await _loss_of(life, 1000)
        _found_in_time(life, dead_at, settings)

    deaths: list[tuple[Step, ...]] = [
        (Silence(),),
        (StopReading(),),
        (IgnoreBeats(), Wait(10_000)),
        (CutFrame(),),
    ]
    run.for_all(
        {
            "dead_at": strategies.seconds(0, 60),
            "death": st.sampled_from(deaths),
            "policy": strategies.heartbeat_policies(),
        },
        check,
    )


@property_of("guard", rows=(9,))
def a_healthy_peer_is_kept(run: Run) -> None:
    """A peer that answers in time is never given up, however slowly the application reads."""

    async def check(
        feed: float, pause: float | None, delay: float, latency: float, max_queue: int
    ) -> None:
        talk = (Feed(interval=feed, size=1000),) if feed else ()
        world = World(
            scripts=(Script(Accept(), AnswerBeats(delay), *talk),),
            faults=(Latency(delay=latency),) if latency else (),
        )
        policy = policy_for(run, max_queue=max_queue)
        async with open_life(run, world, policy) as life, trio.open_nursery() as nursery:
            nursery.start_soon(_send_for_ever, life, 100, 7)
            if pause is not None:
                nursery.start_soon(life.consume, pause)
            await trio.sleep(400)
            nursery.cancel_scope.cancel()
        losses = [f"{loss.reason} at {loss.at:g} s" for loss in life.losses]
        expect(not losses, f"lost: {', '.join(losses)}")

    run.for_all(
        {
            "feed": st.sampled_from([0, 0.25, 1, 10]),
            "pause": st.none() | strategies.seconds(0, 120),
            "delay": strategies.seconds(0, 4),
            "latency": strategies.seconds(0, 2),
            "max_queue": st.integers(1, 100),
        },
        check,
        share=0.25,
    )


@property_of("guard", rows=(30,))
def an_old_pong_proves_nothing(run: Run) -> None:
    """Pongs for beats of an earlier connection do not keep a dead one alive."""

    async def check(dead_at: float, pause: float) -> None:
        heartbeat = wsguard.HeartbeatPolicy(traffic_is_life=False)
        settings = policy_for(run, heartbeat=heartbeat)
        old: list[bytes] = []

        async def replay(conversation: Conversation) -> None:
            while True:
                await trio.sleep(pause)
                for beat in old:
                    await conversation.write(frame(Opcode.PONG, beat))

        scripts = (
            Script(Accept(), Wait(dead_at), Silence()),
            Script(Accept(), IgnoreBeats(), Call(replay)),
            Script(Accept()),
        )
        async with open_life(run, World(scripts=scripts), settings) as life:
            with trio.move_on_after(1000):
                await life.peer.wait_connections(2)
                old += [bytes(beat.message) for beat in life.peer.connections[0].beats]  # type: ignore[arg-type]
                await life.peer.wait_connections(3)
        expect(len(life.losses) >= 2, "the second connection still counts as open")
        ready = life.entered(_S.CONNECTED)[1]
        took = life.losses[1].at - ready.at
        bound = settings.detection_bound
        expect(took <= bound + _EPS, f"it was given up after {took:g} s, the bound is {bound:g} s")
        answered = life.ws.snapshot().beats_answered
        first = len([1 for at in range(15, int(dead_at) + 1, 15)])
        expect(answered <= first + 1, f"{answered} beats count as answered")

    run.for_all(
        {"dead_at": strategies.seconds(0, 40), "pause": strategies.seconds(0.25, 10)},
        check,
        share=0.3,
    )


@property_of("guard")
def anomalies_come_in_pairs(run: Run) -> None:
    """An anomaly is raised once, recovered once, and only then raised again."""

    async def check(world: World) -> None:
        async with open_life(run, world) as life, trio.open_nursery() as nursery:
            nursery.start_soon(life.consume, 3)
            await trio.sleep(240)
            nursery.cancel_scope.cancel()
        opened: dict[wsguard.AnomalyKind, float] = {}
        for event in life.events:
            if isinstance(event, wsguard.Anomaly):
                kind = event.kind.value
                expect(event.kind not in opened, f"{kind} is raised twice, at {event.at:g} s")
                opened[event.kind] = event.at
            elif isinstance(event, wsguard.Recovery):
                since = opened.pop(event.kind, None)
                expect(since is not None, f"{event.kind.value} is over, and never began")
                lasted = event.at - (since or 0)
                expect(abs(event.duration - lasted) < _EPS, f"it lasted {lasted:g} s: {event}")

    dead_first = st.builds(
        lambda dead, rest: (dead, *rest), strategies.dead_connections(20), strategies.servers(2)
    )
    run.for_all(
        {
            "world": st.builds(
                World,
                scripts=strategies.servers() | dead_first,
                faults=strategies.fault_plans().map(tuple),
                seed=st.integers(0, 2**16),
            )
        },
        check,
        share=0.5,
    )


@property_of("guard")
def silence_is_told_in_time(run: Run) -> None:
    """`silence` is raised when nothing came in its timeout, ends by a message, drops nothing."""

    async def check(pauses: list[float], timeout: float) -> None:
        watchdog = wsguard.WatchdogPolicy(silence_timeout=timeout)
        steps: list[Step] = [Accept()]
        for pause in pauses:
            steps += [Wait(pause), Feed(1)]
        policy = policy_for(run, watchdog=watchdog)
        async with open_life(run, World(scripts=(Script(*steps),)), policy) as life:
            await trio.sleep(sum(pauses))
            await trio.sleep(0.125)
        raised = [a.at for a in life.told(wsguard.Anomaly) if a.kind.value == "silence"]
        wanted, at = [], 0.0
        for pause in pauses:
            if pause > timeout:
                wanted.append(at + timeout)
            at += pause
        expect(len(raised) == len(wanted), f"raised at {raised}, it was silent from {wanted}")
        for one, two in zip(raised, wanted, strict=True):
            expect(abs(one - two) <= 1 + _EPS, f"raised at {one:g} s, due at {two:g} s")
        recovered = [r for r in life.told(wsguard.Recovery) if r.kind.value == "silence"]
        expect(len(recovered) == len(raised), f"{len(recovered)} recoveries of {len(raised)}")
        expect(not life.losses, "the connection was dropped")

    # Not exactly the timeout: which comes first is then nobody's promise.
    timeouts = strategies.seconds(1, 60).map(lambda seconds: seconds + 0.1)
    run.for_all(
        {"pauses": st.lists(strategies.seconds(0.25, 90), max_size=5), "timeout": timeouts},
        check,
        share=0.5,
    )


@property_of("guard")
def a_slow_answer_is_told_when_it_is_slow(run: Run) -> None:
    """`slow_response` is raised once its seconds are over, not only when the answer comes."""

    async def check(delay: float) -> None:
        world = World(scripts=(Script(Accept(), AnswerBeats(delay)),))
        async with open_life(run, world) as life:
            await trio.sleep(15 + 14)
        raised = [a.at for a in life.told(wsguard.Anomaly) if a.kind.value == "slow_response"]
        if delay <= 5:
            expect(not raised, f"raised at {raised} for an answer after {delay:g} s")
        else:
            expect(raised == [20], f"raised at {raised}, an answer was due at 20 s")
        expect(not life.losses, "the connection was dropped")

    delays = strategies.seconds(0, 9.75).filter(lambda delay: delay != 5)
    run.for_all({"delay": delays}, check, share=0.3)
