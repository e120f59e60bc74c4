"""What the properties of transports accept, and what they catch."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from trio_wsguard.testing.conformance import (
    Arm,
    PartError,
    Parts,
    Property,
    PropertyViolatedError,
    Run,
    all_properties,
    check_transport,
    named_properties,
    property_of,
    run_properties,
)
from trio_wsguard.testing.conformance import transport_client as client_module
from trio_wsguard.testing.conformance.transport import Fragmented
from trio_wsguard.testing.conformance.transport_arms import Chopped, cancelled_at
from trio_wsguard.testing.conformance.transport_client import ends, is_within
from trio_wsguard.testing.frames import FrameReader

from . import bad_transports as bad


def _name(value: Any) -> str:
    return value if isinstance(value, str) else getattr(value, "__self__", value).__name__


@pytest.mark.parametrize("transport", ["trio-websocket", "websockets"])
def test_shipped_transports_pass(transport: str) -> None:
    """The library's own transports have every property, on both arms."""
    if transport == "websockets":
        pytest.importorskip("websockets")
    report = check_transport(transport, seed=1)
    assert {row.outcome for row in report.rows} == {"passed"}
    assert {row.property for row in report.rows} == {
        one.name for one in all_properties("transport")
    }
    assert {row.arm for row in report.rows} == {"simulated", "loopback"}


@pytest.mark.parametrize(
    ("transport", "caught_by"),
    [
        (bad.Duplicates.open, "messages_come_as_sent"),
        (bad.Reorders.open, "messages_come_as_sent"),
        (bad.GivesEmptyBatches.open, "messages_come_as_sent"),
        (bad.SendsTextAsBytes.open, "sends_arrive_as_sent"),
        (bad.HeedsNoLimit.open, "the_largest_message_passes"),
        (bad.ReliesOnSegments.open, "segmentation_changes_nothing"),
        (bad.ReadsAhead.open, "a_slow_reader_holds_the_peer_back"),
        (bad.BeatsByItself.open, "an_idle_connection_is_silent"),
        (bad.MixesPongsUp.open, "pongs_are_told_by_their_payload"),
        (bad.WaitsForPongs.open, "pings_return_once_written"),
        (bad.LosesOnCancel.open, "cancelled_receive_loses_nothing"),
        (bad.GoesOnAfterACut.open, "cancelled_send_leaves_whole_frames"),
        (bad.ShieldsItsClose.open, "a_bounded_aclose_ends_by_its_bound"),
        (bad.LingersOnLeaving.open, "cancelling_at_any_step_ends_all"),
        (bad.LeavesATask.open, "cancelling_at_any_step_ends_all"),
        (bad.RaisesGroups.open, "errors_of_the_block_come_out"),
        (bad.tells_another_status, "a_refusal_is_told_with_its_facts"),
        (bad.forgets_retry_after, "a_refusal_is_told_with_its_facts"),
        (bad.forgets_the_location, "a_refusal_is_told_with_its_facts"),
        (bad.waits_for_the_body, "a_refusal_is_told_with_its_facts"),
        (bad.tells_all_as_closed, "no_websocket_server_is_protocol"),
        (bad.tells_all_as_protocol, "an_end_within_the_handshake_is_closed"),
        (bad.offers_no_subprotocol, "the_request_is_as_asked"),
        (bad.SwallowsALoss.open, "a_loss_is_told_as_1006"),
        (bad.LeaksExceptions.open, "a_loss_is_told_as_1006"),
        (bad.LeaksCancelled.open, "a_loss_is_told_as_1006"),
        (bad.ForgetsWhatCame.open, "a_loss_is_told_as_1006"),
        (bad.ForgetsTheReason.open, "close_codes_are_told"),
        (bad.TellsBreachesAsLosses.open, "broken_frames_are_protocol"),
        (bad.SendsIntoTheVoid.open, "a_send_under_a_loss_raises"),
        (bad.SendsIntoTheVoid.open, "after_the_end_every_call_raises"),
        (bad.ClosesWithItsOwnCode.open, "aclose_does_the_close_handshake"),
    ],
    ids=_name,
)
def test_mistakes_are_caught(transport: Any, caught_by: str) -> None:
    """Each mistake is caught by the property that should catch it, in virtual time."""
    properties = named_properties([caught_by])
    parts = Parts.of(transport=transport)
    report = run_properties(properties, parts, arms=[Arm.SIMULATED], seed=1)
    (violation,) = report.violations
    assert violation.name == caught_by
    assert not violation.is_flaky
    assert type(violation.__cause__) is AssertionError


def test_the_first_mistake_is_raised() -> None:
    """`check_transport` raises the first violation, and says on which arm."""
    with pytest.raises(PropertyViolatedError) as caught:
        check_transport(bad.Duplicates.open, seed=1)
    assert (caught.value.name, caught.value.arm) == ("messages_come_as_sent", "simulated")


def test_what_is_no_transport_is_refused() -> None:
    """What cannot be called, or is no transport's name, is refused before anything is tried."""
    for value in (5, "no-such-transport"):
        with pytest.raises(PartError):
            check_transport(value)


def test_parts_have_names() -> None:
    """A shipped transport is called by its name, one of the user's by its function's."""
    assert [repr(part) for part in Parts.of(transport="trio-websocket").transports] == [
        "trio-websocket"
    ]
    (part,) = Parts.of(transport=bad.waits_for_the_body).transports
    assert repr(part) == "waits_for_the_body"
    assert repr(Parts().transports[0]) == "trio-websocket"


# --- what the properties are made of ----------------------------------------------------


def a_run(arm: Arm = Arm.SIMULATED) -> Run:
    def body(run: Run) -> None:
        """All is well."""

    prop: Property = property_of("transport")(body)
    return Run(property=prop, parts=Parts(), arm=arm, seed=1)


@pytest.mark.parametrize("message", ["", "aé𝄞", b"", b"\x00\x01\x02"])
@pytest.mark.parametrize("size", [1, 2, 2**20])
def test_messages_are_fragmented(message: str | bytes, size: int) -> None:
    """A message is cut into frames of a size, of which the last one alone is final."""
    frames = FrameReader().feed(Fragmented(message, size).raw)
    data = message.encode() if isinstance(message, str) else message
    assert b"".join(one.payload for one in frames) == data
    assert all(len(one.payload) == size for one in frames[:-1])
    assert [one.is_final for one in frames] == [False] * (len(frames) - 1) + [True]
    first = 1 if isinstance(message, str) else 2
    assert [one.opcode for one in frames] == [first] + [0] * (len(frames) - 1)


def test_subsequences() -> None:
    """Whether some things are within others, in the same order."""
    assert is_within([], [])
    assert is_within([1, 3], [1, 2, 3])
    assert not is_within([3, 1], [1, 2, 3])
    assert not is_within([1, 1], [1, 2])


async def test_what_hangs_is_told(autojump_clock: trio.testing.MockClock) -> None:
    """What never ends, or ends late, fails; a block that fails by itself does so as itself."""
    run = a_run()
    with pytest.raises(AssertionError, match="after 100000 s"), ends(run, "waiting"):
        await trio.sleep_forever()
    with pytest.raises(AssertionError, match="took 2 s"), ends(run, "waiting", within=1):
        await trio.sleep(2)
    with pytest.raises(KeyError), ends(run, "waiting"):
        raise KeyError


async def test_patience_on_real_sockets(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """On loopback, seconds prove nothing but a hang; what hung once is given less time."""
    monkeypatch.setattr(client_module, "_hung", [])
    run = a_run(Arm.LOOPBACK)
    with ends(run, "waiting", within=0.1):
        await trio.sleep(9)
    for seconds in ("10", "0.5"):
        with pytest.raises(AssertionError, match=f"after {seconds} s"), ends(run, "waiting"):
            await trio.sleep_forever()


async def test_a_block_cancelled_at_a_step() -> None:
    """A block is cancelled at the step that is asked for, or before it begins, or not at all."""

    async def steps_until(step: int) -> int:
        done = 0
        with cancelled_at(step):
            for _ in range(5):
                await trio.lowlevel.checkpoint()
                done += 1
        return done

    assert [await steps_until(step) for step in (0, 1, 2, 100)] == [0, 0, 1, 5]


async def test_a_chopped_stream() -> None:
    """A chopped stream gives pieces of the sizes asked for, and no more than it was asked for."""
    one, other = trio.testing.memory_stream_pair()
    await one.send_all(b"0123456789")
    await one.send_eof()
    chopped = Chopped(other, [1, 3])
    assert [bytes(await chopped.receive_some(2)) for _ in range(7)] == [
        *(b"0", b"12", b"3", b"45", b"6", b"78", b"9")
    ]
    assert await chopped.receive_some() == b""
    await chopped.wait_send_all_might_not_block()
    await chopped.send_all(b"x")
    await chopped.aclose()
    assert await one.receive_some() == b"x"
