"""What must hold of a heartbeat in messages.

`request` makes a beat, `read` tells whether a message answers one. Pings are
the WebSocket library's own and have neither, so that nothing is to be said of
a `PingHeartbeat`.
"""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

import trio_wsguard as wsguard
from trio_wsguard.testing.conformance.property import property_of
from trio_wsguard.testing.conformance.violation import expect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trio_wsguard._shell.transport import Message
    from trio_wsguard.testing.conformance.parts import HeartbeatPart
    from trio_wsguard.testing.conformance.run import Run

_SEEDS: Final = st.integers(0, 2**32 - 1)
_BEATS: Final = 50  # of one connection, in one example
_MAX_SIZE: Final = 2**20  # bytes: what a guard takes itself, by default
_ORDINARY: Final = 10  # messages of the application, in one example

_JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
# Beside what its own beats say: what protocols call the parts of a message.
_USUAL_WORDS: Final = (
    *("type", "op", "event", "method", "lwp", "id", "mid", "seq", "headers", "code"),
    *("status", "ok", "error", "result", "body", "data", "ts", "ping", "pong", "heartbeat"),
)
_REFUSED: Final = -1  # a code that nobody takes for a good one
_DEEP: Final = 100_000  # brackets: beyond any stack
_HOSTILE: Final[tuple[Message, ...]] = (
    "",
    b"",
    "null",
    "{}",
    "[]",
    "{",
    "\ufeff{}",
    "NaN",
    "1e999",
    "[" * _DEEP,
    '{"id":' * _DEEP,
    '{"id":' * 600,
    '{"code": 200, "headers": {"mid": ' + "[" * 3900,
    b"[" * _DEEP,
    "1" * _DEEP,
    '{"code": ' + "1" * _DEEP + "}",
    "{" + " " * _MAX_SIZE + "}",
    b"\x00" * _MAX_SIZE,
    b"\xff\xfe{}",
    b'{"\xff": 1}',
    '{"\\ud800": "\\udfff"}',
)


def _rng(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - beats are no secret


def _parts(run: Run) -> list[HeartbeatPart]:
    """Give the parts whose beats are messages; without any, the property is skipped."""
    parts = run.parts.heartbeats
    found = [part for part in parts if not isinstance(part.make(), wsguard.PingHeartbeat)]
    if not found:
        run.skip("beats are WebSocket pings")
    return found


def _beats(part: HeartbeatPart, seed: int, count: int) -> list[tuple[Message, str | None]]:
    """Make beats, as one connection after another would."""
    rng, heartbeat = _rng(seed), _make(part)
    return [heartbeat.request(rng) for _ in range(count)]


def _make(part: HeartbeatPart) -> wsguard.MessageHeartbeat:
    heartbeat = part.make()
    if not isinstance(heartbeat, wsguard.MessageHeartbeat):
        raise AssertionError(f"the factory made {heartbeat!r}, which has no request and read")  # noqa: TRY004
    return heartbeat


def _shown(message: object) -> str:
    shown = repr(message)
    return shown if len(shown) <= 100 else f"{shown[:50]}... ({len(shown)} characters)"


def _read(heartbeat: wsguard.MessageHeartbeat, message: Message) -> wsguard.Answer | None:
    """Let it read; what is no answer at all goes no further."""
    answer: object = heartbeat.read(message)
    if answer is None:
        return None
    if not isinstance(answer, wsguard.Answer):
        raise AssertionError(f"read gives {answer!r}, neither an Answer nor None")  # noqa: TRY004
    key: object = answer.key
    expect(key is None or isinstance(key, str), f"the answer's key is {key!r}, not text")
    return answer


@property_of("heartbeat")
def beats_can_be_sent(run: Run) -> None:
    """A beat is text or bytes that a WebSocket can carry; its key is text, or there is none."""

    def check(heartbeat: HeartbeatPart, seed: int) -> None:
        for message, key in _beats(heartbeat, seed, 3):
            kind = type(message).__name__
            expect(isinstance(message, str | bytes), f"a beat is {kind}, not str or bytes")
            # Raises what says why, if it is no Unicode.
            size = len(message.encode() if isinstance(message, str) else message)
            expect(size <= _MAX_SIZE, f"a beat has {size:,} bytes")
            expect(key is None or isinstance(key, str), f"a key is {key!r}, not text")

    run.for_all({"heartbeat": st.sampled_from(_parts(run)), "seed": _SEEDS}, check)


@property_of("heartbeat", rows=(30,))
def keys_are_unique(run: Run) -> None:
    """No two beats of a connection have the same key: a late answer must not pass for another's."""

    def check(heartbeat: HeartbeatPart, seed: int) -> None:
        keys = [key for _, key in _beats(heartbeat, seed, _BEATS) if key is not None]
        twice = [key for key in keys if keys.count(key) > 1]
        what = f"{len(twice)} of {_BEATS} beats share a key with another: {_shown(twice[:1])}"
        expect(not twice, what)

    run.for_all({"heartbeat": st.sampled_from(_parts(run)), "seed": _SEEDS}, check)


@property_of("heartbeat", rows=(38,))
def same_seed_same_beats(run: Run) -> None:
    """The same seed gives the same beats: chance is drawn from the given source alone."""

    def check(heartbeat: HeartbeatPart, seed: int) -> None:
        first, second = (_beats(heartbeat, seed, 3) for _ in range(2))
        for one, two in zip(first, second, strict=True):
            expect(one == two, f"first {_shown(one)}, then {_shown(two)}")

    run.for_all({"heartbeat": st.sampled_from(_parts(run)), "seed": _SEEDS}, check)


@property_of("heartbeat", rows=(22,))
def read_never_raises(run: Run) -> None:
    """Reading any message at all gives an answer or none, and raises nothing."""
    parts = _parts(run)

    def check(heartbeat: HeartbeatPart, message: Message) -> None:
        _read(_make(heartbeat), message)

    run.for_all(
        {"heartbeat": st.sampled_from(parts), "message": _odd_messages(parts)}, check, share=5
    )


@property_of("heartbeat", rows=(22,))
def hostile_messages_do_no_harm(run: Run) -> None:
    """Reading a deep, huge, broken or empty message gives an answer or none, and raises nothing."""

    def check(heartbeat: HeartbeatPart, message: Message) -> None:
        _read(_make(heartbeat), message)

    messages = st.sampled_from(_HOSTILE)
    run.for_all({"heartbeat": st.sampled_from(_parts(run)), "message": messages}, check, share=2)


@property_of("heartbeat", rows=(38,))
def reading_changes_nothing(run: Run) -> None:
    """The same message is read the same each time, whatever was read or sent between."""
    parts = _parts(run)

    def check(heartbeat: HeartbeatPart, messages: list[Message], seed: int) -> None:
        one, rng = _make(heartbeat), _rng(seed)
        first = [_read(one, message) for message in messages]
        one.request(rng)
        for message, before in reversed(list(zip(messages, first, strict=True))):
            after = _read(one, message)
            what = f"{_shown(message)} is read as {before}, and later as {after}"
            expect(before == after, what)

    messages = st.lists(_odd_messages(parts) | _answers(parts), min_size=1, max_size=4)
    run.for_all(
        {"heartbeat": st.sampled_from(parts), "messages": messages, "seed": _SEEDS}, check, share=2
    )


@property_of("heartbeat", rows=(30,))
def a_beat_is_no_answer(run: Run) -> None:
    """A beat that the peer sends is not taken for the answer to ours.

    Peers beat, too. Who takes their beats for answers declares a peer alive
    that never answered, and hides the beats from the program that should
    answer them. Where beat and answer are the same by protocol, the heartbeat
    says so by attributes `beat` and `answer` that are equal, as `TextHeartbeat`
    has them; a keyed beat may be echoed, but answers no other.
    """

    def check(heartbeat: HeartbeatPart, seed: int) -> None:
        one = _make(heartbeat)
        if _is_echo(one):
            return
        (_, ours), (theirs, _) = _beats(heartbeat, seed, 2)
        answer = _read(one, theirs)
        if ours is None or answer is None or answer.key is None:
            expect(answer is None, f"{_shown(theirs)} is a beat, and is taken for an answer")
        else:
            expect(answer.key != ours, f"{_shown(theirs)} is taken for the answer to {ours!r}")

    run.for_all({"heartbeat": st.sampled_from(_parts(run)), "seed": _SEEDS}, check)


def _is_echo(heartbeat: object) -> bool:
    nothing = object()
    beat = getattr(heartbeat, "beat", nothing)
    return beat is not nothing and beat == getattr(heartbeat, "answer", None)


@property_of("heartbeat")
def answers_are_recognised(run: Run) -> None:
    """A peer's answer to a beat is recognised, names no other beat, is good unless it refuses."""
    parts = [part for part in _parts(run) if part.answer is not None]
    if not parts:
        run.skip("how a peer answers is not known: see check_heartbeat(answer=...)")

    def check(heartbeat: HeartbeatPart, seed: int) -> None:
        for message, key in _beats(heartbeat, seed, 2):
            good = _answered(heartbeat, message, None)
            answer = _read(_make(heartbeat), good)
            if answer is None:
                raise AssertionError(f"{_shown(good)} is not recognised as an answer")
            expect(answer.code is None, f"{_shown(good)} is read as refused: {answer.code!r}")
            what = f"the answer to {key!r} names {answer.key!r}"
            expect(answer.key is None or answer.key == key, what)
            refused = _answered(heartbeat, message, _REFUSED)
            answer = _read(_make(heartbeat), refused)
            is_good = answer is not None and answer.code is None
            expect(not is_good, f"{_shown(refused)} refuses the beat, and is read as good")

    run.for_all({"heartbeat": st.sampled_from(parts), "seed": _SEEDS}, check)


def _answered(part: HeartbeatPart, beat: Message, code: object) -> Message:
    answer = None if part.answer is None else part.answer(beat, code)
    if answer is None:
        raise AssertionError(f"the peer does not know {_shown(beat)} as a beat")
    return answer


@property_of("heartbeat")
def ordinary_messages_are_handed_on(run: Run) -> None:
    """Of ten different messages of an application it takes fewer than half for answers.

    Any one message may be an answer by protocol. Bytes are not judged: a
    protocol may well keep them for beats.
    """

    def check(heartbeat: HeartbeatPart, messages: list[str]) -> None:
        one = _make(heartbeat)
        taken = [message for message in messages if _read(one, message) is not None]
        what = f"{len(taken)} of {len(messages)} are taken for answers, the first {taken[:1]}"
        expect(len(taken) * 2 < len(messages), what)

    texts = _batch(st.text(min_size=8, max_size=30))
    objects = _batch(st.builds(_data, st.text(max_size=8), st.integers(), _JSON))
    run.for_all({"heartbeat": st.sampled_from(_parts(run)), "messages": texts | objects}, check)


def _batch(messages: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(messages, min_size=_ORDINARY, max_size=_ORDINARY, unique=True)


def _data(channel: str, number: int, data: object) -> str:
    return json.dumps({"channel": channel, "number": number, "data": data})


def _odd_messages(parts: Iterable[HeartbeatPart]) -> st.SearchStrategy[Message]:
    """Draw anything, and above all what is nearly an answer."""
    words = st.sampled_from(sorted({*_USUAL_WORDS, *_words(parts)}))
    near = st.dictionaries(
        words,
        words | st.integers(0, 500) | _JSON | st.dictionaries(words, _JSON, max_size=2),
        max_size=5,
    ).map(json.dumps)
    return near | near.map(str.encode) | _JSON.map(json.dumps) | st.text() | st.binary()


def _words(parts: Iterable[HeartbeatPart]) -> set[str]:
    """Collect what the parts' own beats are made of."""
    found: set[str] = set()
    for part in parts:
        for message, _ in _beats(part, 0, 1):
            try:
                _collect(json.loads(message), found.add)
            except (ValueError, TypeError):
                if isinstance(message, str):
                    found.add(message)
    return found


def _collect(value: Any, add: Callable[[str], None]) -> None:
    if isinstance(value, str):
        add(value)
    elif isinstance(value, list):
        for one in value:
            _collect(one, add)
    elif isinstance(value, dict):
        for key, one in value.items():
            add(key)
            _collect(one, add)


def _answers(parts: Iterable[HeartbeatPart]) -> st.SearchStrategy[Message]:
    """Draw answers of peers, as far as it is known how they answer."""
    known = [
        _answered(part, _beats(part, seed, 1)[0][0], None)
        for part in parts
        if part.answer is not None
        for seed in range(3)
    ]
    return st.sampled_from(known) if known else st.nothing()
