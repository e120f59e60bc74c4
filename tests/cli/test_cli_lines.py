"""Events as lines, for people and for pipes."""

from __future__ import annotations

import json

import pytest

import trio_wsguard as wsguard
from trio_wsguard.cli import lines

HOSTILE = "\x1b[31m[bold]\u202e\r\n"
FAILURE = wsguard.Failure(kind=wsguard.FailureKind.CLOSED, message="gone", close_code=1012)
EVENTS: list[wsguard.Event] = [
    wsguard.StateChange(
        previous=wsguard.ConnectionState.CONNECTED,
        state=wsguard.ConnectionState.RECONNECTING,
        at=1.0,
        time=2.0,
        reason=HOSTILE,
        failure=FAILURE,
        generation=3,
        retry_in=0.5,
    ),
    wsguard.Gap(lost_at=1.0, ready_at=3.5, time=4.0, lost_generation=3, ready_generation=4),
    wsguard.Anomaly(
        kind=wsguard.AnomalyKind.SILENCE,
        message=HOSTILE,
        value=30.0,
        at=1.0,
        time=2.0,
        generation=4,
    ),
    wsguard.Recovery(
        kind=wsguard.AnomalyKind.SLOW_RESPONSE, duration=3.0, at=1.0, time=2.0, generation=4
    ),
    wsguard.EventsDropped(count=7),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_is_one_harmless_line(event: wsguard.Event) -> None:
    """No event, whatever a peer put into it, holds what could disturb a terminal."""
    assert str(lines.event_line(event)).isprintable()
    assert lines.event_json(event).isascii()
    assert lines.event_json(event).isprintable()


@pytest.mark.parametrize(
    ("event", "said"),
    list(
        zip(
            EVENTS,
            [
                "#3  RECONNECTING  \\x1b[31m[bold]\\u202e\\r\\n - trying again in 500 ms",
                "#4  gap           2.50 s without a connection, #3 to #4",
                "#4  anomaly       silence: \\x1b[31m[bold]\\u202e\\r\\n",
                "#4  recovery      slow response is over, after 3.00 s",
                "dropped       7 events, shown too slowly",
            ],
            strict=True,
        )
    ),
    ids=lambda value: type(value).__name__,
)
def test_what_lines_tell(event: wsguard.Event, said: str) -> None:
    """A line tells the connection, what happened, and the figures of it."""
    assert str(lines.event_line(event)).endswith(said)


def test_json_of_a_state_change() -> None:
    """In JSON, enums are names, times are numbers and failures are objects."""
    found = json.loads(lines.event_json(EVENTS[0]))
    assert found["event"] == "state_change"
    assert (found["previous"], found["state"]) == ("CONNECTED", "RECONNECTING")
    assert (found["at"], found["time"], found["retry_in"]) == (1.0, 2.0, 0.5)
    assert found["failure"]["kind"] == "CLOSED"
    assert found["failure"]["close_code"] == 1012


def test_json_of_the_others() -> None:
    """Every kind of event has its own name, and a gap tells how long it was."""
    found = [json.loads(lines.event_json(event)) for event in EVENTS]
    names = ["state_change", "gap", "anomaly", "recovery", "events_dropped"]
    assert [pairs["event"] for pairs in found] == names
    assert found[1]["duration"] == 2.5
    assert found[2]["kind"] == "SILENCE"


def test_messages_are_escaped_and_cut_for_people() -> None:
    """A message shown to a person is harmless and short, be it text or binary."""
    for message in (HOSTILE * 1000, HOSTILE.encode() * 1000):
        line = lines.message_line(message, 1.0, 2)
        assert line.text.isprintable()
        assert len(line.text) < lines.MAX_SHOWN + 20


def test_messages_are_whole_for_pipes() -> None:
    """A message in JSON is whole and can be told from binary."""
    text = HOSTILE * 1000
    found = json.loads(lines.message_json(text, 1.0, 2))
    assert found == {"event": "message", "time": 1.0, "generation": 2, "text": text}
    assert json.loads(lines.message_json(b"\x00\xff", 1.0, 2))["base64"] == "AP8="


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (0.0, "0.0 ms"),
        (0.00123, "1.2 ms"),
        (0.00996, "10.0 ms"),
        (0.25, "250 ms"),
        (0.9996, "1.00 s"),
        (9.996, "10.0 s"),
        (42.0, "42.0 s"),
        (99.96, "1 min 39 s"),
        (3599.9, "59 min 59 s"),
        (7380.0, "2 h 03 min"),
    ],
)
def test_seconds(value: float | None, shown: str) -> None:
    """Durations are written as a person would read them."""
    assert lines.seconds(value) == shown
