"""What may become of an accepted message."""

from __future__ import annotations

import pytest

from trio_wsguard._core.delivery import (
    ACKNOWLEDGED,
    DELIVERY_TRANSITIONS,
    EXPIRED,
    FAILED,
    IN_FLIGHT,
    MAYBE_SENT,
    QUEUED,
    SENT,
    STORING,
    Delivery,
    DeliveryState,
    Limits,
    size_of,
)
from trio_wsguard._errors import BufferFullError, InternalError, PolicyError


def following(state: DeliveryState) -> set[DeliveryState]:
    return {after for before, after in DELIVERY_TRANSITIONS if before is state}


def test_the_ends() -> None:
    """Three states are an end for good; SENT is one too, unless an outbox awaits the answer."""
    assert {state for state in DeliveryState if not following(state)} == {
        ACKNOWLEDGED,
        EXPIRED,
        FAILED,
    }
    assert following(SENT) == {ACKNOWLEDGED, MAYBE_SENT, FAILED}


def test_every_message_can_end_from_everywhere() -> None:
    """No state is a trap: each but the ends leads on, and each leads to an end."""
    for state in DeliveryState:
        reached, fresh = {state}, {state}
        while fresh:
            fresh = {after for before in fresh for after in following(before)} - reached
            reached |= fresh
        assert reached & {ACKNOWLEDGED, FAILED, EXPIRED}


def test_only_what_was_not_begun_or_is_in_doubt_is_sent_again() -> None:
    """A message written whole goes back to the queue only through doubt."""
    assert {before for before, after in DELIVERY_TRANSITIONS if after is QUEUED} == {
        STORING,
        IN_FLIGHT,
        MAYBE_SENT,
    }
    assert {before for before, after in DELIVERY_TRANSITIONS if after is IN_FLIGHT} == {QUEUED}


@pytest.mark.parametrize("state", list(DeliveryState))
def test_moves(state: DeliveryState) -> None:
    """A message moves along the table, and any other move raises and changes nothing."""
    for target in DeliveryState:
        delivery = Delivery("m", 0.0, state=state)
        if target in following(state):
            delivery.move(target)
            assert delivery.state is target
        else:
            with pytest.raises(InternalError, match=f"from {state.name} to {target.name}"):
                delivery.move(target)
            assert delivery.state is state


def test_a_failure_keeps_its_error() -> None:
    """A failed message tells why."""
    delivery, error = Delivery("m", 0.0), BufferFullError("max_bytes", 1)
    delivery.fail(error)
    assert (delivery.state, delivery.error) == (FAILED, error)


@pytest.mark.parametrize(("message", "size"), [("", 0), ("abc", 3), ("äöü", 6), (b"\xff", 1)])
def test_size(message: str | bytes, size: int) -> None:
    """A message counts as many bytes as its payload on the wire."""
    assert size_of(message) == Delivery(message, 0.0).size == size


def test_limits() -> None:
    """A limit that is reached exactly is not exceeded; the error names the first that is."""
    limits = Limits(max_messages=2, max_bytes=10)
    assert limits.exceeded(2, 10) is None
    for messages, size, field in [(3, 11, "max_messages"), (2, 11, "max_bytes")]:
        full = limits.exceeded(messages, size)
        assert full is not None
        assert full.field == field


@pytest.mark.parametrize(
    ("setting", "value"),
    [("max_messages", 0), ("max_bytes", 0), ("max_bytes", 1.5), ("overflow", "drop_newest")],
)
def test_limits_are_checked(setting: str, value: object) -> None:
    """A limit that would hold nothing is refused, as is an unknown overflow."""
    settings: dict[str, object] = {setting: value}
    with pytest.raises(PolicyError, match=setting):
        Limits(**settings)  # type: ignore[arg-type]
