"""What the properties of messages catch, and what they do not mistake for a mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from trio_wsguard.testing.conformance import (
    guard_errors,
    guard_messages,
    guard_queue,
    guard_sending,
)
from trio_wsguard.testing.conformance.producers import Outcome, Sent, Treacherous
from trio_wsguard.testing.conformance.steps import at_step, cancelled_at
from trio_wsguard.testing.peer import Accept, Close, Push, Script
from trio_wsguard.testing.simulation import run_simulation

if TYPE_CHECKING:
    from trio_wsguard._shell.transport import Message


def sent(
    message: Message, outcome: Outcome = Outcome.SENT, generations: tuple[int, int] = (1, 1)
) -> Sent:
    return Sent(message=message, outcome=outcome, generations=generations, was_connected=True)


# --- acting at a step ------------------------------------------------------------


async def three_steps() -> str:
    for _ in range(3):
        await trio.lowlevel.checkpoint()
    return "done"


@pytest.mark.parametrize("step", [0, 1, 2, 3])
def test_a_function_is_cancelled_at_its_steps(step: int) -> None:
    """A function of three checkpoints can be cancelled before it begins and at each of them."""
    assert run_simulation(cancelled_at, step, three_steps)


def test_a_function_that_is_done_before_is_not_cancelled() -> None:
    """A step that never comes cancels nothing."""
    assert not run_simulation(cancelled_at, 1000, three_steps)


def test_steps_are_counted_within_the_block_alone() -> None:
    """Steps are counted from the block's beginning to its end, and acted on once."""
    seen: list[int] = []

    async def main() -> int:
        await three_steps()
        with at_step(2, lambda: seen.append(1)) as counted:
            await three_steps()
        await three_steps()
        return counted.seen

    assert run_simulation(main) == 3
    assert seen == [1]


# --- what is said of messages ------------------------------------------------------


def test_what_scripts_send_is_told_in_order() -> None:
    """The messages of all scripts are told in the order of connections."""
    scripts = guard_messages.scripts_of([(2, 0, Close(1001)), (0, 0, Close(1001)), (1, 0, Close())])
    assert guard_messages.pushed(scripts) == ["1.1", "1.2", "3.1"]
    assert scripts[1] == Script(Accept(), Close(1001))
    assert scripts[2] == Script(Accept(), Push("3.1"), Close())


@pytest.mark.parametrize(
    ("there", "problem"),
    [
        (["a", "b"], None),
        (["a"], None),
        ([], None),
        (["b", "a"], "and \\['b', 'a'\\] came"),
        (["b"], "and \\['b'\\] came"),
    ],
)
def test_a_record_is_a_beginning_of_what_was_sent(
    there: list[Message], problem: str | None
) -> None:
    """A connection may lose the end of what was sent, and neither order nor anything between."""
    log = [sent("a"), sent("b")]
    if problem is None:
        guard_sending._expect_prefix(1, there, log)
    else:
        with pytest.raises(AssertionError, match=problem):
            guard_sending._expect_prefix(1, there, log)


def test_doubtful_sends_may_be_missing_between() -> None:
    """What was cancelled, or sent while connections changed, need not have come."""
    log = [sent("a"), sent("b", Outcome.CANCELLED), sent("c", generations=(0, 1)), sent("d")]
    guard_sending._expect_prefix(1, ["a", "d"], log)


@pytest.mark.parametrize(
    ("received", "is_right"),
    [(["a", "b"], True), (["b"], True), ([], True), (["b", "a"], False), (["a", "a"], False)],
)
def test_received_may_have_gaps_but_no_repeats(received: list[Message], is_right: bool) -> None:
    """What was not read is missing; what was is in order, and once."""
    if is_right:
        guard_queue._expect_in_order(received, ["a", "b"])
    else:
        with pytest.raises(AssertionError):
            guard_queue._expect_in_order(received, ["a", "b"])


def test_groups_are_compared_by_their_members() -> None:
    """A rebuilt group is the same where its members are the same objects."""
    one, other = ValueError(), ValueError()
    assert guard_errors._is_same(ExceptionGroup("x", [one]), ExceptionGroup("x", [one]))
    assert not guard_errors._is_same(ExceptionGroup("x", [one]), ExceptionGroup("x", [other]))
    assert not guard_errors._is_same(ExceptionGroup("x", [one]), one)
    assert guard_errors._is_same(one, one)


@pytest.mark.parametrize("is_out", [True, False])
async def test_a_treacherous_stream_breaks_once(is_out: bool) -> None:
    """The stream breaks under the send that it was told, its bytes out or not."""
    client, server = trio.testing.memory_stream_pair()
    stream = Treacherous(client, 1, is_out=is_out)
    await stream.send_all(b"handshake ")
    with pytest.raises(trio.BrokenResourceError):
        await stream.send_all(b"first ")
    await stream.send_all(b"second")
    await stream.aclose()
    came = bytes(await server.receive_some())
    assert came == (b"handshake first second" if is_out else b"handshake second")
