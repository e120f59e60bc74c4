"""What the properties of heartbeats accept, and what they catch."""

from __future__ import annotations

import pytest

import trio_wsguard as wsguard
from trio_wsguard.testing.conformance import (
    HeartbeatPart,
    PartError,
    Parts,
    PropertyViolatedError,
    all_properties,
    check_heartbeat,
    named_properties,
    run_properties,
)

from . import bad_parts


def outcomes(part: object, **options: object) -> dict[str, str]:
    report = check_heartbeat(part, seed=1, **options)  # type: ignore[arg-type]
    assert len(report.rows) == len(all_properties("heartbeat"))
    return {row.property: row.outcome for row in report.rows}


@pytest.mark.usefixtures("few_examples")
@pytest.mark.parametrize(
    "part",
    [
        wsguard.TextHeartbeat(beat="same", answer="same"),
        wsguard.JsonHeartbeat(answer={}, good_code=0),
        wsguard.JsonHeartbeat(code_key=None),
        wsguard.LwpHeartbeat(),
    ],
    ids=repr,
)
def test_sound_parts_pass(part: object) -> None:
    """The library's own heartbeats have every property, however they are set."""
    assert set(outcomes(part).values()) == {"passed"}


def test_pings_are_not_judged() -> None:
    """Of pings there is nothing to prove: they are the WebSocket library's own."""
    report = run_properties(parts=Parts.of(heartbeat=wsguard.PingHeartbeat), seed=1)
    assert {row.outcome for row in report.rows} == {"skipped"}
    assert {row.reason for row in report.rows} == {"beats are WebSocket pings"}
    assert not report.is_passed


@pytest.mark.usefixtures("few_examples")
def test_answers_are_tried_where_they_are_known() -> None:
    """Whether answers are recognised is tried once it is told how a peer answers."""
    found = outcomes(bad_parts.GoodHeartbeat)
    assert found.pop("answers_are_recognised") == "skipped"
    assert set(found.values()) == {"passed"}
    found = outcomes(bad_parts.GoodHeartbeat, answer=bad_parts.good_answer)
    assert set(found.values()) == {"passed"}


@pytest.mark.parametrize(
    ("part", "caught_by"),
    [
        (bad_parts.LoneSurrogate, "beats_can_be_sent"),
        (bad_parts.KeysOfNumbers, "beats_can_be_sent"),
        (bad_parts.ConstantKeys, "keys_are_unique"),
        (bad_parts.RandomIds, "same_seed_same_beats"),
        (bad_parts.RaisesOnOddInput, "read_never_raises"),
        (bad_parts.ReadsTrue, "read_never_raises"),
        (bad_parts.RaisesOnDepth, "hostile_messages_do_no_harm"),
        (bad_parts.ForgetsAnswers, "reading_changes_nothing"),
        (bad_parts.TakesBeats, "a_beat_is_no_answer"),
        (bad_parts.NamesTheFirst, "a_beat_is_no_answer"),
        (bad_parts.TakesAnything, "a_beat_is_no_answer"),
        (bad_parts.TakesAnything, "ordinary_messages_are_handed_on"),
        (bad_parts.TakesAnyObject, "ordinary_messages_are_handed_on"),
        (bad_parts.OverlooksAnswers, "answers_are_recognised"),
        (bad_parts.OverlooksRefusals, "answers_are_recognised"),
        (bad_parts.MixesKeysUp, "answers_are_recognised"),
    ],
)
def test_mistakes_are_caught(part: object, caught_by: str) -> None:
    """Each mistake is caught by the property that forbids it, in the quick profile."""
    properties = named_properties([caught_by])
    parts = Parts.of(heartbeat=part, answer=bad_parts.good_answer)
    report = run_properties(properties, parts, seed=1)
    assert [row.outcome for row in report.rows] == ["failed"]


def test_a_peer_that_does_not_know_the_beat() -> None:
    """An answer that was told wrongly is told as such."""
    with pytest.raises(PropertyViolatedError, match="the peer does not know"):
        check_heartbeat(bad_parts.GoodHeartbeat, answer=lambda _message, _code: None)


def test_the_smallest_example_is_told() -> None:
    """The error shows the message that was read wrongly, and where it went wrong."""
    with pytest.raises(PropertyViolatedError) as caught:
        check_heartbeat(bad_parts.RaisesOnOddInput, seed=1)
    error = caught.value
    assert error.name == "read_never_raises"
    assert error.example.startswith("heartbeat=RaisesOnOddInput, message=")
    assert "in read, line" in error.observed
    assert "bad_parts.py" in error.observed


def test_the_beats_words_are_collected() -> None:
    """Messages that are nearly answers are made of the words of any kind of beat."""

    class Beats(bad_parts.GoodHeartbeat):
        def request(self, rng: object) -> tuple[object, None]:
            return '["hb", {"list": [1, null]}]', None

    properties = named_properties(["read_never_raises"])
    assert run_properties(properties, Parts.of(heartbeat=Beats), seed=1).is_passed


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        (5, "has no request and read"),
        (bad_parts.GoodBackoff, "has no request and read"),
        (lambda _: None, "calling it failed: TypeError"),
    ],
)
def test_what_is_no_heartbeat_is_refused(part: object, problem: str) -> None:
    """What is no heartbeat is not tried."""
    with pytest.raises(PartError, match=problem):
        check_heartbeat(part)


def test_a_factory_that_changes_its_mind() -> None:
    """A factory that makes something else later fails, and the error says what."""
    made = iter([wsguard.LwpHeartbeat()])
    part = HeartbeatPart(lambda: next(made, 5), name="fickle")  # type: ignore[arg-type,return-value]
    properties = named_properties(["beats_can_be_sent"])
    report = run_properties(properties, Parts(heartbeats=(part,)), seed=1)
    (violation,) = report.violations
    assert violation.observed == "the factory made 5, which has no request and read"
