"""Hypothesis strategies for what a guard may meet; they shrink to what a person can read.

Times are drawn in quarters of a second, so that a shrunk example says 12.25
and not 12.249999999999996.
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Final

import attrs
import trio
from hypothesis import strategies as st

import trio_wsguard as wsguard
from trio_wsguard.testing import faults
from trio_wsguard.testing.faults import Direction, FaultPlan
from trio_wsguard.testing.peer import (
    VIOLATIONS,
    Accept,
    AnswerBeats,
    Close,
    CutFrame,
    Drop,
    Feed,
    IgnoreBeats,
    Push,
    Redirect,
    Reject,
    Reset,
    Script,
    SendRaw,
    Silence,
    StopReading,
    Violate,
    Wait,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

    from trio_wsguard._shell.transport import Message
    from trio_wsguard.testing.faults import Fault
    from trio_wsguard.testing.peer import Step

_QUARTER: Final = 0.25
_RETRY_AFTER: Final = (
    *("0", "1", "30", "299", "301", "100000000000000000000"),
    *("-1", "1.5", "soon", "", "Fri, 31 Feb 2026 99:99:99 GMT", "Mon, 01 Jan 1990 00:00:00 GMT"),
)
_NO_ANSWERS: Final = (Drop(), Reset(), Silence(), Redirect("ws://nowhere.example/"))
_GARBAGE: Final = (
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
    b"\x00" * 16,
)


def seconds(at_least: float = 0, at_most: float = 60) -> SearchStrategy[float]:
    """Draw a time in quarters of a second; shrinks to the shortest."""
    low, high = round(at_least / _QUARTER), round(at_most / _QUARTER)
    return st.integers(low, high).map(lambda quarters: quarters * _QUARTER)


_FAULTS: Final[tuple[Fault, ...]] = (
    faults.ResetPeer(),
    faults.Refuse(),
    faults.Unreachable(),
    faults.DnsFailure(),
    faults.Partition(),
    faults.AcceptThenClose(),
    faults.AcceptThenSilent(),
    faults.HandshakeDelay(delay=3),
    faults.HalfOpen(),
)
_TWO_WAY: Final[SearchStrategy[Callable[[Direction], Fault]]] = st.sampled_from(
    [
        lambda way: faults.Blackhole(direction=way),
        lambda way: faults.Latency(delay=1, jitter=0.5, direction=way),
        lambda way: faults.StallRead(direction=way),
        lambda way: faults.Hold(direction=way),
        lambda way: faults.HalfClose(direction=way),
        lambda way: faults.Slicer(size=20, direction=way),
        lambda way: faults.Bandwidth(rate=100, direction=way),
        lambda way: faults.Loss(rate=0.2, direction=way),
        lambda way: faults.LimitData(size=300, direction=way),
    ]
)


# --- messages ------------------------------------------------------------------


def messages(max_size: int = 200) -> SearchStrategy[Message]:
    """Draw a message, text or bytes; surrogates cannot be sent, so text has none."""
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=max_size)
    return text | st.binary(max_size=max_size)


def message_streams(max_length: int = 20, max_size: int = 200) -> SearchStrategy[list[Message]]:
    """Draw several messages, with long ones and empty ones among them."""
    long = st.integers(1, 2**17).map(lambda size: "x" * size)
    return st.lists(messages(max_size) | long, max_size=max_length)


# --- what servers say ----------------------------------------------------------


def close_codes() -> SearchStrategy[int]:
    """Draw a close code that may be sent (RFC 6455, section 7.4); 1000 first."""
    return st.sampled_from([*range(1000, 1004), *range(1007, 1015)]) | st.integers(3000, 4999)


def lossy_close_codes() -> SearchStrategy[int]:
    """Draw a close code after which a guard comes back."""
    return close_codes().filter(lambda code: code != 1000)


def statuses() -> SearchStrategy[int]:
    """Draw an HTTP status other than 101."""
    usual = st.sampled_from([503, 429, 500, 502, 504, 401, 403, 404, 400, 408, 410, 426, 200, 204])
    return usual | st.integers(200, 599)


def transient_statuses() -> SearchStrategy[int]:
    """Draw an HTTP status after which a guard tries again."""
    return st.sampled_from([503, 429, 500, 502, 504, 408, 425, 200, 204, 599])


def retry_after() -> SearchStrategy[str]:
    """Draw a value for the header Retry-After, sensible or not."""
    return st.integers(0, 400).map(str) | st.sampled_from(_RETRY_AFTER)


def rejections(of: SearchStrategy[int] | None = None) -> SearchStrategy[Reject]:
    """Draw a refusal: a status, often with Retry-After.

    Args:
        of: Which statuses; ``None`` for all.
    """
    none: dict[str, str] = {}
    headers = st.just(none) | retry_after().map(lambda value: {"Retry-After": value})
    return st.builds(Reject, statuses() if of is None else of, headers, framed=st.booleans())


def endings() -> SearchStrategy[Step]:
    """Draw how a server ends a connection that a guard then comes back from."""
    closes = lossy_close_codes().map(Close)
    return st.just(Drop()) | st.just(Reset()) | closes | st.sampled_from(_violations())


def _violations() -> list[Step]:
    return [Violate(rule) for rule in VIOLATIONS]


def refusals() -> SearchStrategy[Script]:
    """Draw a script that never accepts, and after which a guard tries again."""
    return st.one_of(
        st.sampled_from([Script(step) for step in _NO_ANSWERS]),
        rejections(transient_statuses()).map(Script),
        st.sampled_from([Script(SendRaw(raw), Silence()) for raw in _GARBAGE]),
    )


def lost_connections(at_most: float = 60) -> SearchStrategy[Script]:
    """Draw a script that accepts, talks a little, and ends the connection.

    Args:
        at_most: The longest life, in seconds.
    """
    talk = st.one_of(
        st.just(()),
        st.integers(1, 5).map(lambda count: (Feed(count, interval=0),)),
        st.just((Push("x", b"y"),)),
    )
    return st.builds(
        lambda before, life, end: Script(Accept(), *before, Wait(life), end),
        talk,
        seconds(0, at_most),
        endings(),
    )


def dead_connections(at_most: float = 60) -> SearchStrategy[Script]:
    """Draw a script that accepts and is dead after a while, without a word.

    Args:
        at_most: When, in seconds, at the latest.
    """
    deaths: SearchStrategy[tuple[Step, ...]] = st.sampled_from(
        [(Silence(),), (StopReading(),), (IgnoreBeats(), Wait(10_000)), (CutFrame(),)]
    )
    return st.builds(
        lambda life, death: Script(Accept(), Wait(life), *death), seconds(0, at_most), deaths
    )


def sound_connections() -> SearchStrategy[Script]:
    """Draw a script that accepts and stays, quick or slow to answer beats."""
    slow = st.builds(AnswerBeats, seconds(0, 4))
    return st.one_of(
        st.just(Script(Accept())),
        slow.map(lambda answers: Script(Accept(), answers)),
        seconds(1, 10).map(lambda pause: Script(Accept(), Feed(interval=pause))),
    )


def scripts() -> SearchStrategy[Script]:
    """Draw any script of these."""
    return st.one_of(lost_connections(), refusals(), dead_connections(), sound_connections())


def servers(max_size: int = 4) -> SearchStrategy[tuple[Script, ...]]:
    """Draw what the connections of a guard meet, one after another; the last is sound."""
    return st.builds(
        lambda bad, good: (*bad, good), st.lists(scripts(), max_size=max_size), sound_connections()
    )


# --- what networks do ----------------------------------------------------------


def directions() -> SearchStrategy[Direction]:
    """Draw a direction."""
    return st.sampled_from([Direction.BOTH, Direction.UP, Direction.DOWN])


def recoverable_faults(at_most: float = 120, longest: float = 60) -> SearchStrategy[Fault]:
    """Draw a fault that begins within a time and ends; the network is sound afterwards.

    Args:
        at_most: When it begins at the latest, in seconds.
        longest: How long it lasts at most, likewise.
    """
    return st.builds(
        lambda fault, start, lasts: attrs.evolve(fault, start=start, end=start + lasts),
        passing_faults(),
        seconds(0, at_most),
        seconds(_QUARTER, longest),
    )


def passing_faults() -> SearchStrategy[Fault]:
    """Draw a fault, without a time, after which the network is as it was."""
    return st.one_of(
        st.sampled_from(_FAULTS), st.builds(lambda make, way: make(way), _TWO_WAY, directions())
    )


def fault_plans(
    at_most: float = 120, longest: float = 60, max_size: int = 4
) -> SearchStrategy[FaultPlan]:
    """Draw a plan of faults that all end.

    Args:
        at_most: When the last one begins at the latest, in seconds.
        longest: How long each lasts at most, likewise.
        max_size: How many there are at most.
    """
    return st.lists(recoverable_faults(at_most, longest), max_size=max_size).map(
        lambda found: FaultPlan(*found)
    )


def dial_errors() -> SearchStrategy[OSError]:
    """Draw what a dial raises."""
    return st.sampled_from(
        [
            ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
            OSError(errno.EHOSTUNREACH, "No route to host"),
            OSError(errno.ENETUNREACH, "Network is unreachable"),
            TimeoutError(errno.ETIMEDOUT, "Connection timed out"),
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
        ]
    )


def exceptions() -> SearchStrategy[Exception]:
    """Draw what the user's own code may raise."""
    return st.sampled_from(
        [
            ValueError("bad"),
            KeyError("missing"),
            RuntimeError("broken"),
            trio.BrokenResourceError("broken"),
            trio.TooSlowError(),
            OSError("disk"),
            ExceptionGroup("several", [ValueError("a"), OSError("b")]),
            wsguard.FatalError("no more"),
        ]
    )


# --- policies ------------------------------------------------------------------


def backoffs() -> SearchStrategy[wsguard.Backoff]:
    """Draw a backoff, plain or with jitter, up to a minute."""
    linear = st.builds(wsguard.LinearBackoff, step=seconds(0, 20), cap=seconds(0, 60))
    growing = st.builds(
        wsguard.ExponentialBackoff,
        initial=seconds(0.25, 5),
        factor=st.sampled_from([2.0, 1.5, 1.0, 3.0]),
        cap=seconds(5, 60),
        immediate=st.booleans(),
    )
    plain = linear | growing
    jitters = st.sampled_from(["full", "equal", "decorrelated"])
    return plain | st.builds(wsguard.JitteredBackoff, plain, jitters)


def backoff_policies() -> SearchStrategy[wsguard.BackoffPolicy]:
    """Draw which backoff follows which failure; the documented policy first."""
    return st.just(wsguard.BackoffPolicy()) | st.builds(
        wsguard.BackoffPolicy, closed=backoffs(), network=backoffs(), other=backoffs()
    )


def heartbeat_policies() -> SearchStrategy[wsguard.HeartbeatPolicy]:
    """Draw when to beat; the documented policy first."""
    return st.just(wsguard.HeartbeatPolicy()) | st.builds(
        wsguard.HeartbeatPolicy,
        interval=seconds(1, 30),
        response_timeout=seconds(5, 15),
        slow_response=seconds(1, 5),
        max_missed=st.integers(1, 4),
        adaptive=st.booleans(),
        traffic_is_life=st.booleans(),
    )


def policies() -> SearchStrategy[wsguard.GuardPolicy]:
    """Draw all settings of a guard; the documented ones first. It never gives up."""
    return st.builds(
        wsguard.GuardPolicy,
        heartbeat=heartbeat_policies(),
        backoff=backoff_policies(),
        max_connection_failures=st.none(),
        stable_after=st.just(5) | seconds(0, 20),
        open_timeout=st.just(20) | seconds(1, 30),
        close_timeout=st.just(5) | seconds(0, 10),
    )
