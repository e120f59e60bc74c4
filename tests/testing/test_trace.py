"""The trace: what happened, in lines that two runs from one seed have in common."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.frame_protocol import Opcode

import trio_wsguard as wsguard
from trio_wsguard.testing import Trace, TraceEntry
from trio_wsguard.testing.frames import Frame, FrameReader, show
from trio_wsguard.testing.trace import Recorder, describe

from .test_flow import FakeClock


def encode(frame: Frame, mask: bytes | None) -> bytes:
    """Write a frame as RFC 6455, section 5.2, says."""
    size = len(frame.payload)
    head = bytes([frame.is_final << 7 | frame.reserved << 4 | frame.opcode])
    bit = 0x80 if mask else 0
    if size < 126:
        head += bytes([bit | size])
    elif size < 2**16:
        head += bytes([bit | 126]) + size.to_bytes(2)
    else:
        head += bytes([bit | 127]) + size.to_bytes(8)
    if mask is None:
        return head + frame.payload
    masked = bytes(byte ^ mask[n % 4] for n, byte in enumerate(frame.payload))
    return head + mask + masked


payloads = st.binary(max_size=200) | st.integers(0, 70_000).map(bytes)
frames = st.builds(Frame, st.integers(0, 15), payloads, st.booleans(), st.integers(0, 7))
masks = st.none() | st.binary(min_size=4, max_size=4)


@settings(deadline=None)
@given(st.lists(st.tuples(frames, masks), max_size=6), st.lists(st.integers(1, 5000)))
def test_frames_however_they_are_cut(
    sent: list[tuple[Frame, bytes | None]], cuts: list[int]
) -> None:
    """Whatever the pieces, a reader tells the frames that were sent, and keeps no more."""
    data = b"".join(encode(frame, mask) for frame, mask in sent)
    reader, found = FrameReader(), []
    for size in cuts:
        found += reader.feed(data[:size])
        data = data[size:]
    found += reader.feed(data)
    assert found == [frame for frame, _ in sent]
    assert reader.rest == b""


def test_the_beginning_of_a_frame_is_kept() -> None:
    """An incomplete frame is told as the rest, and completed later."""
    data = encode(Frame(Opcode.TEXT, b"hello"), None)
    reader = FrameReader()
    assert reader.feed(data[:4]) == []
    assert reader.rest == data[:4]
    assert reader.feed(data[4:]) == [Frame(Opcode.TEXT, b"hello")]


@pytest.mark.parametrize(
    ("frame", "line"),
    [
        (Frame(Opcode.TEXT, b"hi"), "TEXT 'hi'"),
        (Frame(Opcode.BINARY, b"\xff"), "BINARY b'\\xff'"),
        (Frame(Opcode.PING, b""), "PING"),
        (Frame(Opcode.CLOSE, b""), "CLOSE"),
        (Frame(Opcode.CLOSE, b"\x03\xe8bye"), "CLOSE 1000 'bye'"),
        (Frame(Opcode.CLOSE, b"\x03\xe8"), "CLOSE 1000"),
        (Frame(Opcode.TEXT, b"a", is_final=False), "TEXT (goes on) 'a'"),
        (Frame(Opcode.TEXT, b"a", reserved=4), "TEXT rsv=100 'a'"),
        (Frame(11, b"a"), "opcode 11 'a'"),
    ],
)
def test_frames_in_a_line(frame: Frame, line: str) -> None:
    """A frame is shown in one line."""
    assert str(frame) == line


def test_long_payloads_are_cut() -> None:
    """A long payload is shown by its beginning, size and checksum: two of them differ."""
    first, second = show(b"x" * 100 + b"a"), show(b"x" * 100 + b"b")
    assert first.startswith("'" + "x" * 48 + "'... (101 B, crc ")
    assert first != second


def test_a_recorder_decodes_heads_and_frames() -> None:
    """The bytes of a connection become the first line of its head, then frames."""
    recorder, clock = Recorder(), FakeClock()
    log = recorder.log(clock, "1 >")
    head = b"GET / HTTP/1.1\r\nSec-WebSocket-Key: random\r\n\r\n"
    data = head + encode(Frame(Opcode.TEXT, b"hi"), b"mask")
    for n in range(0, len(data), 7):
        log(data[n : n + 7])
    log("FIN")
    recorder.note(3, "link", "begins")
    assert [entry.what for entry in recorder.trace()] == [
        "'GET / HTTP/1.1'",
        "TEXT 'hi'",
        "FIN",
        "begins",
    ]


def test_what_is_no_http_is_shown_as_it_is() -> None:
    """A banner, or what else a server says in place of a head."""
    recorder = Recorder()
    log = recorder.log(FakeClock(), "1 <")
    log(b"SSH-2.0-x\r\n\r\n")
    other = recorder.log(FakeClock(), "2 <")
    other(b"\x00\x01\x02\x03")
    assert [entry.what for entry in recorder.trace()] == [
        "'SSH-2.0-x\\r\\n\\r\\n'",
        "'\\x00\\x01\\x02\\x03'",
    ]


def test_a_recorder_that_is_off_keeps_nothing() -> None:
    """Without a record nothing is noted."""
    recorder = Recorder(is_on=False)
    recorder.note(1, "a", "b")
    assert len(recorder.trace()) == 0


ENTRIES = [TraceEntry(0, "client", "dials"), TraceEntry(1.5, "1 >", "FIN")]


def test_a_trace_is_a_sequence_that_prints() -> None:
    """It has length, members, slices, equality, hash, and a line for each entry."""
    trace = Trace(ENTRIES)
    assert (len(trace), trace[0], trace[-1:]) == (2, ENTRIES[0], Trace(ENTRIES[1:]))
    assert list(trace) == ENTRIES
    assert hash(trace) == hash(Trace(ENTRIES))
    assert trace != ENTRIES
    assert repr(trace) == "<Trace of 2 entries>"
    assert str(trace) == f"{0:14.6f}  client       dials\n{1.5:14.6f}  1 >          FIN"


def test_the_difference() -> None:
    """Two traces are told apart by the first entry that differs."""
    trace, other = Trace(ENTRIES), Trace([ENTRIES[0], TraceEntry(2, "1 >", "FIN")])
    assert trace.difference(Trace(ENTRIES)) == ""
    assert trace.difference(other) == f"entry 1:\n- {ENTRIES[1]}\n+ {other[1]}"
    assert trace.difference(trace[:1]) == f"entry 1:\n- {ENTRIES[1]}"
    assert trace[:1].difference(trace) == f"entry 1:\n+ {ENTRIES[1]}"


def test_events_in_a_line() -> None:
    """A state change is told without what differs between two runs: its time on the wall."""
    change = wsguard.StateChange(
        previous=wsguard.ConnectionState.CONNECTED,
        state=wsguard.ConnectionState.RECONNECTING,
        at=1,
        time=1e9,
        reason="reset",
        generation=2,
        retry_in=3,
    )
    expected = "CONNECTED -> RECONNECTING (reset, retrying in 3 s) generation 2"
    assert describe(change) == expected
    assert describe(wsguard.EventsDropped(count=3)) == "3 events dropped"


def test_tls_is_one_line() -> None:
    """Of an encrypted direction nothing is shown but that it is one: a handshake is random."""
    recorder = Recorder()
    log = recorder.log(FakeClock(), "1 >")
    log(b"\x16\x03\x01\x02\x00" + bytes(512))
    log(b"\x17\x03\x03 more")
    log("FIN")
    assert [entry.what for entry in recorder.trace()] == ["TLS, encrypted", "FIN"]


def test_an_excerpt_leaves_beats_out_where_it_is_short_of_room() -> None:
    """A short trace is shown whole; of a long one the last entries that tell something."""
    entries = [
        TraceEntry(float(n), "1 >", what) for n, what in enumerate(("FIN", "PING 'a'", "RST"))
    ]
    assert Trace(entries).excerpt(3).count("\n") == 2
    shown = Trace(entries).excerpt(2)
    assert "FIN" in shown
    assert "PING" not in shown
