"""Sinks within the program: a log, a callable, a memory channel."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.lowlevel

import trio_wsguard as wsguard
from trio_wsguard.instrumentation import (
    CallSink,
    ChannelSink,
    LogSink,
    Sink,
    SinkError,
    SinkPolicy,
    open_notifier,
)

from .kit import AT_ONCE, guard_named, names, notification, raised, resolved

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


# --- a log -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alerts", "level", "line"),
    [
        ([raised("A")], logging.WARNING, "alerts (first): 1 open: A of feed"),
        (
            [raised("A"), raised("C", "news")],
            logging.CRITICAL,
            "alerts (first): 2 open: A of feed, C of news",
        ),
        (
            [raised("A"), resolved("C")],
            logging.WARNING,
            "alerts (first): 1 open: A of feed; 1 over: C of feed",
        ),
        ([resolved("C")], logging.INFO, "alerts (first): 1 over: C of feed"),
    ],
)
async def test_a_notification_is_one_line(
    alerts: list[wsguard.Alert], level: int, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It says what is open and what is over, at the level of the worst that is open."""
    caplog.set_level(logging.INFO, "trio_wsguard.alerts")
    await LogSink().send(notification(*alerts))
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("trio_wsguard.alerts", level)
    assert record.getMessage() == line


FACTS = {
    "alert": "A",
    "guard": "feed",
    "level": "warning",
    "figure": "queue_depth",
    "value": 11.0,
    "threshold": 10,
    "message": "queue_depth is 11 (> 10)",
    "advice": "look after A",
    "time": 1e9,
}


async def test_the_facts_are_fields(caplog: pytest.LogCaptureFixture) -> None:
    """Every field is prefixed, and all of them are plain JSON."""
    logger = logging.getLogger("mine")
    told = notification(raised("A"), resolved("B"), group=(("guard", "feed"),))
    await LogSink(logger).send(told)
    (record,) = caplog.records
    fields = {key: value for key, value in vars(record).items() if key.startswith("wsguard_")}
    assert json.loads(json.dumps(fields)) == fields
    (over,) = fields.pop("wsguard_resolved")
    assert fields == {
        "wsguard_reason": "first",
        "wsguard_level": "warning",
        "wsguard_group": {"guard": "feed"},
        "wsguard_firing": [FACTS],
    }
    assert (over["alert"], over["duration"]) == ("B", 30.0)
    assert over["message"] == "queue_depth alert is over after 30 s (now 9)"


async def test_structlog_picks_the_fields_up() -> None:
    """Structlog's formatter shows them with nothing done for it."""
    structlog = pytest.importorskip("structlog")
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    processors = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.JSONRenderer(),
    ]
    extra = [structlog.stdlib.ExtraAdder()]
    formatter = structlog.stdlib.ProcessorFormatter(processors=processors, foreign_pre_chain=extra)
    handler.setFormatter(formatter)
    logger = logging.getLogger("for_structlog")
    logger.addHandler(handler)
    try:
        await LogSink(logger).send(notification(raised("A")))
    finally:
        logger.removeHandler(handler)
    line = json.loads(written.getvalue())
    assert line["event"] == "alerts (first): 1 open: A of feed"
    assert line["wsguard_firing"] == [FACTS]


async def test_an_end_that_nobody_measured_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """The end of a guard is told without a value."""
    over = wsguard.AlertResolved(
        rule=raised("A").rule, guard="feed", value=None, duration=5.0, at=0.0, time=0.0
    )
    caplog.set_level(logging.INFO)
    await LogSink().send(notification(over))
    (facts,) = vars(caplog.records[0])["wsguard_resolved"]
    assert facts["message"] == "queue_depth alert is over after 5 s (not measured any more)"


# --- a callable --------------------------------------------------------------------


def calls(taken: list[Any]) -> list[Callable[[wsguard.Notification], Awaitable[None] | None]]:
    """An async function and a plain one."""

    async def page(told: wsguard.Notification) -> None:
        await trio.lowlevel.checkpoint()
        taken.append(told)

    return [page, lambda told: taken.append(told)]


@pytest.mark.parametrize("index", [0, 1], ids=["async", "plain"])
async def test_a_function_is_called(index: int) -> None:
    """Any (async) callable is a sink, named after itself."""
    taken: list[wsguard.Notification] = []
    guard = guard_named()
    async with open_notifier(guard, sinks=[calls(taken)[index]], grouping=AT_ONCE) as notifier:
        await trio.sleep(1)
        guard.begin("A")
        await trio.sleep(1)
        (figures,) = notifier.sinks
    assert [names(told.firing) for told in taken] == ["A", ""]
    assert figures.name.startswith("calls.<locals>.")
    assert figures.sent == 1


async def test_a_call_sink_has_a_name_and_a_policy() -> None:
    """Both can be given; an object is named after its class."""

    class Pager:
        def __call__(self, told: wsguard.Notification) -> None: ...

    assert CallSink(Pager()).name == "Pager"
    policy = SinkPolicy(timeout=1)
    sink = CallSink(Pager(), name="pager", policy=policy)
    assert (sink.name, sink.policy) == ("pager", policy)
    assert isinstance(sink, Sink)


# --- a memory channel --------------------------------------------------------------


async def test_a_channel_without_a_buffer_loses_nothing() -> None:
    """A reader that takes its time gets every notification, in order."""
    send, receive = trio.open_memory_channel[wsguard.Notification](0)
    guard, read = guard_named(), list[str]()

    async def reader() -> None:
        async for told in receive:
            await trio.sleep(50)
            read.append(names(told.firing))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader)
        async with send, open_notifier(guard, sinks=[send], grouping=AT_ONCE, linger=1000):
            await trio.sleep(1)
            for name in "ABC":
                guard.begin(name)
                await trio.sleep(1)
    assert read == ["A", "AB", "ABC", ""]


async def test_a_channel_that_nobody_reads_overflows() -> None:
    """What does not fit into channel and queue is dropped, the oldest first, and counted."""
    send, receive = trio.open_memory_channel[wsguard.Notification](1)
    guard = guard_named()
    sink = ChannelSink(send, policy=SinkPolicy(timeout=None, max_queue=2))
    async with send, receive, open_notifier(guard, sinks=[sink], grouping=AT_ONCE) as notifier:
        await trio.sleep(1)
        for _ in range(3):
            guard.begin("A")
            await trio.sleep(1)
            guard.end("A")
            await trio.sleep(1)
        (figures,) = notifier.sinks
        assert (figures.sent, figures.queued, figures.dropped) == (1, 3, 2)
        await trio.sleep(1000)  # nor does it time out
        assert [names(receive.receive_nowait().firing) for _ in range(1)] == ["A"]


@pytest.mark.parametrize("side", [0, 1], ids=["by us", "by the reader"])
async def test_a_closed_channel_is_a_final_failure(side: int) -> None:
    """Where nobody can read any more, nothing is tried again."""
    channel = trio.open_memory_channel[wsguard.Notification](1)
    sink = ChannelSink(channel[0])
    await channel[side].aclose()
    with pytest.raises(SinkError) as failed:
        await sink.send(notification(raised("A")))
    assert not failed.value.is_transient
    await channel[1 - side].aclose()
