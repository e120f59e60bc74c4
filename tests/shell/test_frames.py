"""Messages out of bytes: the short way and the library's give the same, however it is cut."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("websockets")

from websockets.client import ClientProtocol
from websockets.frames import BINARY, CONT, PONG, TEXT
from websockets.protocol import OPEN
from websockets.uri import WebSocketURI

from trio_wsguard._shell.transports.frames import FrameReader

from ..loopback.servers import frame

if TYPE_CHECKING:
    from trio_wsguard._shell.transport import Message

MAX_SIZE = 300

Cut = list[bytes]


def open_protocol(max_size: int = MAX_SIZE) -> ClientProtocol:
    """The library's protocol after the handshake."""
    return ClientProtocol(WebSocketURI(False, "sim", 80, "/", ""), state=OPEN, max_size=max_size)


@attrs.define
class Outcome:
    """What a stream of bytes comes to.

    Attributes:
        messages: What was received.
        pongs: Their payloads.
        end: What it ended by, if it did.
    """

    messages: list[Message] = attrs.field(factory=list)
    pongs: list[bytes] = attrs.field(factory=list)
    end: str = "none"


def ended_by(protocol: ClientProtocol, invalid: UnicodeDecodeError | None) -> str:
    """Name the end, the first one where there are several."""
    if invalid is not None:
        return "invalid UTF-8"
    if protocol.close_rcvd is not None:
        return f"close {protocol.close_rcvd}"
    if protocol.parser_exc is not None:
        return type(protocol.parser_exc).__name__
    return "none"


def by_the_library(raw: bytes) -> Outcome:
    """Feed all at once to the library alone."""
    protocol, outcome = open_protocol(), Outcome()
    protocol.receive_data(raw)
    parts, is_text, events = bytearray(), False, protocol.events_received()
    for event in events:
        assert not isinstance(event, str)
        found: Any = event
        if found.opcode is PONG:
            outcome.pongs.append(bytes(found.data))
        if found.opcode not in (CONT, TEXT, BINARY):
            continue
        is_text = is_text if found.opcode is CONT else found.opcode is TEXT
        parts += found.data
        if found.fin:
            try:
                outcome.messages.append(parts.decode() if is_text else bytes(parts))
            except UnicodeDecodeError:
                outcome.end = "invalid UTF-8"
                return outcome
            parts.clear()
    outcome.end = ended_by(protocol, None)
    return outcome


def by_us(chunks: Cut) -> Outcome:
    """Feed piece by piece to our reader."""
    protocol, outcome = open_protocol(), Outcome()
    reader = FrameReader(protocol, outcome.pongs.append)
    for chunk in chunks:
        outcome.messages += reader.feed(chunk)
        if reader.is_over:
            break
    outcome.end = ended_by(protocol, reader.invalid)
    return outcome


payloads = st.one_of(
    st.binary(max_size=8),
    st.text(max_size=8).map(str.encode),
    st.sampled_from([124, 125, 126, 127, 128, 200, MAX_SIZE, MAX_SIZE + 1]).map(lambda n: b"x" * n),
)
opcodes = st.sampled_from([TEXT, TEXT, BINARY, BINARY, CONT, 8, 9, 10, 10, 3, 11])
frames = st.one_of(
    st.builds(frame, st.sampled_from([1, 2]), payloads),
    st.builds(frame, opcodes, payloads, first=st.sampled_from([0x80, 0x80, 0x00])),
    st.builds(frame, opcodes, payloads, first=st.sampled_from([0xC0, 0x90])),
    st.builds(frame, opcodes, payloads, mask=st.just(True)),
    st.binary(max_size=3),
)
# Streams that live long: whole messages, fragments of good ones, and pongs.
fragmented = st.builds(
    lambda op, a, b, c, pong: (
        frame(op, a, first=0)
        + frame(10, pong)
        + frame(CONT, b, first=0)
        + frame(10, b"between")
        + frame(CONT, c)
    ),
    st.sampled_from([1, 2]),
    st.text(max_size=5).map(str.encode),
    st.text(max_size=5).map(str.encode),
    st.text(max_size=5).map(str.encode),
    st.binary(max_size=4),
)
whole = st.one_of(
    st.text(max_size=80).map(lambda text: frame(1, text.encode())),
    st.sampled_from([0, 125, 126, 200, MAX_SIZE]).map(lambda n: frame(2, b"x" * n)),
    st.just(frame(10, b"pong")),
    st.just(frame(9, b"ping")),
    fragmented,
)
streams = st.one_of(
    st.lists(frames, max_size=8).map(b"".join),
    st.tuples(st.lists(whole, max_size=12).map(b"".join), frames).map(b"".join),
)


@st.composite
def cut_streams(draw: st.DrawFn) -> tuple[bytes, Cut]:
    """A server's bytes, and one way in which the network may cut them."""
    raw = draw(streams)
    cuts = draw(st.one_of(st.just([*range(len(raw))]), st.lists(st.integers(0, len(raw)))))
    at = sorted({0, len(raw), *cuts})
    return raw, [raw[a:b] for a, b in pairwise(at)]


@settings(max_examples=1000)
@given(cut_streams())
def test_however_it_is_cut(case: tuple[bytes, Cut]) -> None:
    """Any cut of any bytes gives the messages, pongs and end that the library finds in them."""
    raw, chunks = case
    assert by_us(chunks) == by_us([raw]) == by_the_library(raw)


def test_all_messages_of_a_chunk_are_one_batch() -> None:
    """A chunk's messages come together and in order, those of several frames among them."""
    reader = FrameReader(open_protocol(), lambda _: None)
    raw = frame(1, b"a") + fragmented_ab + frame(2, b"z") + frame(1, b"cut")
    assert reader.feed(raw[:-1]) == ["a", "ab", b"z"]
    assert reader.feed(raw[-1:]) == ["cut"]


fragmented_ab = frame(1, b"a", first=0) + frame(9, b"ping") + frame(0, b"b")


def test_empty_fragments_fill_no_memory() -> None:
    """A message of endless empty fragments holds nothing."""
    reader = FrameReader(open_protocol(), lambda _: None)
    reader.feed(frame(1, b"", first=0))
    for _ in range(10):
        assert reader.feed(frame(0, b"", first=0) * 1000) == []
    assert not reader.is_over
    assert len(reader._partial) == 0
    assert reader.feed(frame(0, b"end")) == ["end"]


def test_a_frame_beyond_the_limit_is_refused_by_its_head() -> None:
    """Nothing of a message that is too big is waited for."""
    protocol = open_protocol()
    reader = FrameReader(protocol, lambda _: None)
    assert reader.feed(frame(1, b"ok") + frame(2, bytes(MAX_SIZE + 1))[:4]) == ["ok"]
    assert reader.is_over
    assert protocol.close_sent is not None
    assert protocol.close_sent.code == 1009
