"""Scripts and steps: what they refuse, and how they read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest

import trio_wsguard as wsguard
from trio_wsguard.testing import peer as kit
from trio_wsguard.testing.peer import (
    VIOLATIONS,
    Accept,
    AnswerBeats,
    Call,
    Close,
    CutFrame,
    Drop,
    Echo,
    Feed,
    IgnoreBeats,
    Push,
    PushFragmented,
    Receive,
    Redirect,
    Reject,
    Reset,
    Script,
    ScriptedPeer,
    SendRaw,
    Silence,
    StopReading,
    Violate,
    Wait,
)

if TYPE_CHECKING:
    from collections.abc import Callable


async def chat(conversation: kit.Conversation) -> None:
    """Say nothing."""


@pytest.mark.parametrize(
    ("steps", "shown"),
    [
        ((Accept(), Push("a", b"b"), Echo()), "Script(Accept(), Push('a', b'b'), Echo())"),
        ((Accept("chat", {"X": "1"}),), "Script(Accept('chat', {'X': '1'}))"),
        ((Accept(headers={"Upgrade": None}),), "Script(Accept(headers={'Upgrade': None}))"),
        ((Reject(503, {"Retry-After": "1"}),), "Script(Reject(503, {'Retry-After': '1'}))"),
        (
            (Reject(401, body=b"no", framed=False),),
            "Script(Reject(401, body=b'no', framed=False))",
        ),
        ((Redirect("/other", 307),), "Script(Redirect('/other', 307))"),
        (
            (Accept(), Push("a", interval=2), Drop()),
            "Script(Accept(), Push('a', interval=2), Drop())",
        ),
        (
            (Accept(), PushFragmented("a", "b", ping=True), Wait(3)),
            "Script(Accept(), PushFragmented('a', 'b', ping=True), Wait(3))",
        ),
        ((Accept(), Feed(3, size=2), Silence()), "Script(Accept(), Feed(3, size=2), Silence())"),
        (
            (Accept(), AnswerBeats(7, stale=True, skip=2), Feed()),
            "Script(Accept(), AnswerBeats(7, stale=True, skip=2), Feed())",
        ),
        (
            (Accept(), IgnoreBeats(), Receive(2), Close(1012, "restart", wait=False)),
            "Script(Accept(), IgnoreBeats(), Receive(2), Close(1012, 'restart', wait=False))",
        ),
        ((Wait(1), StopReading(5), Reset()), "Script(Wait(1), StopReading(5), Reset())"),
    ],
)
def test_a_script_reads_as_the_call_that_makes_it(steps: tuple[kit.Step, ...], shown: str) -> None:
    """The repr leaves defaults out, and evaluates to an equal script."""
    script = Script(*steps)
    assert repr(script) == shown
    assert eval(shown, {**vars(kit)}) == script  # noqa: S307 - our own text


def test_functions_and_long_messages_are_shown_short() -> None:
    """A function is shown by its name, a long message by its beginning and size."""
    assert repr(Call(chat)) == "Call(chat)"
    assert repr(Push(b"x" * 61)) == f"Push({b'x' * 60!r}...<61 in all>)"


def test_steps_are_frozen() -> None:
    """A step cannot be changed, so that one may stand in many scripts."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Wait(1).seconds = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("make", "field", "problem"),
    [
        (lambda: Script(), "steps", "needs a step"),
        (lambda: Script(Accept(), "Echo()"), "steps", "is no step"),  # type: ignore[arg-type]
        (lambda: Script(Accept(), Echo), "steps", "is no step"),  # type: ignore[arg-type]
        (lambda: Script(Push("a"), Accept()), "steps", "needs an Accept() before it"),
        (lambda: Script(Reject(503), Push("a")), "steps", "needs an Accept() before it"),
        (lambda: Script(Accept(), Accept()), "steps", "was answered by Accept()"),
        (lambda: Script(Redirect("/"), Reject(503)), "steps", "answered by Redirect('/')"),
        (lambda: Script(Drop(), Accept()), "steps", "never reached: Drop() comes before it"),
        (lambda: Script(Accept(), Echo(), Drop()), "steps", "never reached: Echo()"),
        (lambda: Script(Silence(), Drop()), "steps", "never reached: Silence()"),
        (lambda: Script(StopReading(), Drop()), "steps", "never reached: StopReading()"),
        (lambda: Script(Accept(), Feed(), Drop()), "steps", "never reached: Feed()"),
        (lambda: Script(Accept(), Close(), Drop()), "steps", "never reached: Close()"),
        (lambda: Reject(700), "status", "must be within 100..599"),
        (lambda: Reject(101), "status", "use Accept()"),
        (lambda: Reject(503, {"X": "a\r\nb"}), "headers", "printable ASCII"),
        (lambda: Reject(503, {"X": 1}), "headers", "printable ASCII"),  # type: ignore[dict-item]
        (lambda: Accept(headers="X"), "headers", "a mapping"),  # type: ignore[arg-type]
        (lambda: Accept(7), "subprotocol", "must be a str"),  # type: ignore[arg-type]
        (lambda: Redirect("/\n"), "location", "printable ASCII"),
        (lambda: Redirect("/", 200), "status", "must be within 300..399"),
        (lambda: Push(), "messages", "must be one at least"),
        (lambda: Push(7), "messages", "text or bytes"),  # type: ignore[arg-type]
        (lambda: Push("\ud800"), "messages", "lone surrogate"),
        (lambda: PushFragmented("a", b"b"), "parts", "all text or all bytes"),
        (lambda: Feed(interval=0), "interval", "above 0"),
        (lambda: Echo(0), "count", "at least 1"),
        (lambda: Wait(-1), "seconds", "must not be negative"),
        (lambda: Call("chat"), "fn", "async function"),  # type: ignore[arg-type]
        (lambda: SendRaw("text"), "data", "must be a bytes"),  # type: ignore[arg-type]
        (lambda: Violate("manners"), "rule", "one of reserved bit, "),
        (lambda: CutFrame(5, "abc"), "size", "less than the whole frame"),
        (lambda: CutFrame(message=None), "message", "text or bytes"),  # type: ignore[arg-type]
        (lambda: Close(999), "code", "must be within 1000..4999"),
        (lambda: Close(reason="é" * 62), "reason", "must not exceed 123 bytes"),
        (lambda: Close(reason=None), "reason", "must be text"),  # type: ignore[arg-type]
        (lambda: AnswerBeats(skip=-1), "skip", "must not be negative"),
        (lambda: ScriptedPeer(Accept()), "scripts", "must be a Script"),  # type: ignore[arg-type]
        (lambda: ScriptedPeer().script(), "scripts", "needs a script"),
        (lambda: ScriptedPeer(heartbeat=7), "heartbeat", "needs a function"),
    ],
)
def test_what_is_no_script_is_refused_by_name(
    make: Callable[[], Any], field: str, problem: str
) -> None:
    """A wrong script is refused when it is built, naming what is wrong."""
    with pytest.raises(wsguard.PolicyError) as caught:
        make()
    assert caught.value.field == field
    assert problem in str(caught.value)


async def test_a_step_without_play_says_so() -> None:
    """A step of the user's own that plays nothing is an error of the user's."""
    with pytest.raises(NotImplementedError):
        await kit.Step().play(None)  # type: ignore[arg-type]


def test_violations_are_named_and_say_what_a_client_closes_with() -> None:
    """Every violation has bytes and a close code of the RFC's."""
    assert {violation.code for violation in VIOLATIONS.values()} == {1002, 1007}
    assert all(violation.raw for violation in VIOLATIONS.values())
