"""Sinks that fail, hang or overflow: tried again, bounded, reported, and in nobody's way."""

from __future__ import annotations

import logging
import random
from typing import Any

import pytest
import trio

import trio_wsguard as wsguard
from trio_wsguard.instrumentation import SinkError, SinkPolicy, open_notifier

from .kit import AT_ONCE, PLAIN, QUICK, Recorder, failing, guard_named, hanging, names


async def alone(sink: Recorder, *alerts: str, wait: float = 200) -> Any:
    """Tell a sink some alerts, a second apart; then wait, and tell its figures."""
    guard = guard_named()
    async with open_notifier(guard, sinks=[sink], grouping=AT_ONCE) as notifier:
        await trio.sleep(1)
        for name in alerts:
            guard.begin(name)
            await trio.sleep(1)
        await trio.sleep(wait)
        return notifier.sinks[0]


async def test_a_failure_is_tried_again() -> None:
    """Two failures cost their delays, and no notification."""
    sink = Recorder(troubles=[SinkError("no"), ValueError("no")])
    figures = await alone(sink, "A", "B")
    assert sink.told[:2] == [(4, "A", ""), (4, "AB", "")]
    assert (figures.sent, figures.retries, figures.failed, figures.dropped) == (2, 2, 0, 0)


async def test_retries_are_bounded_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    """After `max_attempts` a notification is given up: counted, shown, and logged as an error."""
    sink = Recorder(troubles=[SinkError("no"), SinkError("no"), SinkError("down")])
    figures = await alone(sink, "A", "B")
    assert sink.tried_at[:4] == [1, 2, 4, 4]
    assert sink.told[:1] == [(4, "AB", "")]
    assert (figures.sent, figures.retries, figures.failed) == (1, 2, 1)
    failure = figures.last_failure
    assert (failure.sink, failure.attempts, failure.at) == ("recorder", 3, 4)
    assert names(failure.notification.firing) == "A"
    assert failure.message == "recorder did not take a notification in 3 attempts: down"
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("trio_wsguard.notifier", logging.ERROR)
    assert record.getMessage() == failure.message
    assert vars(record)["wsguard_sink"] == "recorder"
    assert record.exc_info is None


async def test_what_cannot_help_is_not_repeated() -> None:
    """An error that says so is final at once."""
    sink = Recorder(troubles=[SinkError("never", is_transient=False)])
    figures = await alone(sink, "A")
    assert (figures.failed, figures.retries, sink.tried_at[0]) == (1, 0, 1)
    assert (
        figures.last_failure.message == "recorder did not take a notification in 1 attempt: never"
    )


async def test_a_foreign_error_shows_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """A bug in a user's sink can be found by the log."""
    bug = ZeroDivisionError("in the sink")
    figures = await alone(Recorder(troubles=[bug, bug, bug]), "A")
    assert figures.last_failure.error is bug
    assert figures.last_failure.message.endswith("ZeroDivisionError: in the sink")
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is bug


async def test_a_hanging_try_is_cut_short() -> None:
    """A try ends after the timeout, and the next may do better."""
    sink = Recorder(troubles=[float("inf")])
    await alone(sink, "A")
    assert sink.told[:1] == [(6, "A", "")]
    figures = await alone(hanging(), "A")
    assert figures.last_failure.message.endswith("in 3 attempts: nothing within 4 s")


@pytest.mark.parametrize(("asked_for", "waited"), [(0.5, 1), (30.0, 30), (1e6, 300)])
async def test_the_other_end_may_ask_for_time(asked_for: float, waited: float) -> None:
    """Retry-After is waited for, within a bound, and never shortens the backoff."""
    sink = Recorder(troubles=[SinkError("busy", retry_after=asked_for)])
    await alone(sink, "A", wait=400)
    assert sink.tried_at[:2] == [1, 1 + waited]


async def test_jitter_is_seeded() -> None:
    """One seed, one run; the default backoff draws between half a delay and the whole."""

    async def times(seed: int) -> list[float]:
        sink, guard, began = failing(), guard_named(), trio.current_time()
        sink.policy = SinkPolicy(grouping=AT_ONCE)
        async with open_notifier(guard, sinks=[sink], rng=random.Random(seed)):
            guard.begin("A")
            await trio.sleep(100)
            return [round(at - began, 6) for at in sink.tried_at]

    first = await times(1)
    assert len(first) == 5
    assert all(
        delay / 2 <= later - sooner <= delay
        for delay, sooner, later in zip((1, 2, 4, 8), first, first[1:], strict=False)
    )
    assert await times(1) == first != await times(2)


async def test_an_overflow_drops_the_oldest(caplog: pytest.LogCaptureFixture) -> None:
    """Beyond `max_queue` the oldest goes, counted each time and logged once."""
    sink = Recorder(troubles=[3.9], policy=PLAIN)
    guard = guard_named()
    async with open_notifier(guard, sinks=[sink], grouping=AT_ONCE) as notifier:
        await trio.sleep(0.9)
        for name in ("A", "B", "C"):
            guard.begin(name)
            await trio.sleep(0.6)
        for name in ("A", "B", "C"):
            guard.end(name)
            await trio.sleep(0.6)
        (figures,) = notifier.sinks
        assert (figures.queued, figures.dropped) == (4, 2)
        await trio.sleep(10)
        assert [told[1:] for told in sink.told] == [("A", ""), ("BC", "A"), ("C", "B"), ("", "C")]
        assert notifier.sinks[0].queued == 0
    (record,) = caplog.records
    assert "its queue is full" in record.getMessage()


async def test_a_whole_fleet_at_once_overflows_nothing() -> None:
    """A thousand guards, each a group of its own, are told at one moment."""
    guards, sink = [guard_named(str(number)) for number in range(1000)], Recorder()
    sink.policy = SinkPolicy()
    grouping = wsguard.Grouping(by=("guard",))
    async with open_notifier(*guards, sinks=[sink], grouping=grouping) as notifier:
        await trio.sleep(1)
        for guard in guards:
            guard.begin("A")
        await trio.sleep(31)
        assert notifier.sinks[0].sent == 1000
    assert {at for at, _ in sink.taken} == {31, 32}


async def test_bad_sinks_delay_nobody() -> None:
    """A good sink is told at the same times whatever hangs or fails beside it."""

    async def times(*bad: Recorder) -> list[Any]:
        guard, good, began = guard_named(), Recorder(), trio.current_time()
        async with open_notifier(guard, sinks=[*bad, good], grouping=QUICK, linger=0):
            for _ in range(10):
                guard.begin("A")
                await trio.sleep(25)
                guard.end("A")
                guard.begin("C")
                await trio.sleep(25)
                guard.end("C")
        return [(at - began, *told) for at, *told in good.told]

    assert await times(hanging(), failing()) == await times()


async def test_our_own_bugs_come_out() -> None:
    """A broken invariant is no failure of a sink."""
    sink = Recorder(troubles=[wsguard.InternalError("ours")])
    with pytest.raises(wsguard.InternalError):
        await alone(sink, "A")
