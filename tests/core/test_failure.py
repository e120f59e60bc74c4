"""What an exception means for the guard."""

from __future__ import annotations

import asyncio
import builtins
import errno
import logging
import socket
import ssl

import pytest
import trio
from hypothesis import example, given
from hypothesis import strategies as st

from trio_wsguard._core.failure import (
    DEFAULT_RULES,
    MAX_TEXT,
    Failure,
    FailureKind,
    FailureRules,
    classify,
    printable,
)
from trio_wsguard._errors import (
    ConnectFailedError,
    ConnectionClosedError,
    ConnectionLostError,
    FatalError,
    TransportError,
)

CLOSED, HEARTBEAT, NETWORK, TIMEOUT = (
    FailureKind.CLOSED,
    FailureKind.HEARTBEAT,
    FailureKind.NETWORK,
    FailureKind.TIMEOUT,
)
REJECTED, TLS, PROTOCOL, OTHER = (
    FailureKind.REJECTED,
    FailureKind.TLS,
    FailureKind.PROTOCOL,
    FailureKind.OTHER,
)


class RemoteProtocolError(Exception):
    """Named as wsproto's, which the core must not import."""


class SlowPeerTimeout(Exception):  # noqa: N818 - named as other libraries name theirs
    """Of no known type; its name tells."""


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise ValueError


def caused(outer: BaseException, inner: BaseException) -> BaseException:
    outer.__cause__ = inner
    return outer


def group(*members: Exception) -> ExceptionGroup[Exception]:
    return ExceptionGroup("several", members)


@pytest.mark.parametrize(
    ("exc", "kind"),
    [
        (ConnectionResetError(errno.ECONNRESET, "reset by peer"), CLOSED),
        (ConnectionAbortedError(), CLOSED),
        (BrokenPipeError(), CLOSED),
        (EOFError(), CLOSED),
        (asyncio.IncompleteReadError(b"", 2), CLOSED),
        (trio.BrokenResourceError(), CLOSED),
        (trio.ClosedResourceError(), CLOSED),
        (trio.EndOfChannel(), CLOSED),
        (ConnectionClosedError(1006), CLOSED),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), NETWORK),
        (OSError(errno.ECONNREFUSED, "Connection refused"), NETWORK),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), NETWORK),
        (OSError("all attempts to connect failed"), NETWORK),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), NETWORK),
        (TimeoutError(), TIMEOUT),
        (TimeoutError(errno.ETIMEDOUT, "Connection timed out"), TIMEOUT),
        (trio.TooSlowError(), TIMEOUT),
        (ssl.SSLError(1, "wrong version number"), TLS),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), TLS),
        (RemoteProtocolError("bad frame"), PROTOCOL),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), PROTOCOL),
        (KeyError("token"), OTHER),
        (ZeroDivisionError(), OTHER),
    ],
    ids=repr,
)
def test_types(exc: BaseException, kind: FailureKind) -> None:
    """A known type tells the kind, and all of these are worth retrying."""
    failure = classify(exc)
    assert failure.kind is kind
    assert failure.transient


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("no close frame received or sent", CLOSED),
        ("Connection refused", NETWORK),
        ("[Errno 111] connection REFUSED by host", NETWORK),
        ("opening handshake timeout", TIMEOUT),
        ("Timeout while reading", TIMEOUT),
        ("the request timed out", TIMEOUT),
        ("something else", OTHER),
        ("", OTHER),
    ],
)
def test_message_rules(text: str, kind: FailureKind) -> None:
    """Where no type tells, the text decides by the documents' rules."""
    assert classify(RuntimeError(text)).kind is kind


def test_type_goes_before_text() -> None:
    """A known type is not overruled by what its message says."""
    assert classify(ConnectionResetError("timeout")).kind is CLOSED
    assert classify(TimeoutError("Connection refused")).kind is TIMEOUT


def test_name_of_an_unknown_type_tells() -> None:
    """The message rules read the name of an unknown type too."""
    assert classify(SlowPeerTimeout()).kind is TIMEOUT


@pytest.mark.parametrize(
    ("exc", "kind"),
    [
        (caused(RuntimeError("handshake"), ConnectionRefusedError()), NETWORK),
        (caused(RuntimeError("a"), caused(RuntimeError("b"), TimeoutError())), TIMEOUT),
        (caused(trio.BrokenResourceError(), ConnectionResetError()), CLOSED),
        (caused(trio.BrokenResourceError(), ssl.SSLError(1, "bad record")), TLS),
        (caused(OSError("all attempts failed"), group(ConnectionRefusedError())), NETWORK),
        (caused(OSError("all attempts failed"), group(TimeoutError())), TIMEOUT),
        (caused(OSError("all attempts failed"), ValueError()), NETWORK),
        (group(ValueError("x"), ConnectionResetError()), CLOSED),
        (group(group(group(TimeoutError()))), TIMEOUT),
        (caused(ConnectionResetError(), TimeoutError()), CLOSED),
    ],
)
def test_chains_and_groups(exc: BaseException, kind: FailureKind) -> None:
    """An exception that says little is looked beneath, along causes and into groups."""
    assert classify(exc).kind is kind


def test_context_counts_as_cause() -> None:
    """What was being handled counts, unless it was suppressed by "from None"."""
    exc = RuntimeError("handshake failed")
    exc.__context__ = ConnectionRefusedError()
    assert classify(exc).kind is NETWORK
    exc.__suppress_context__ = True
    assert classify(exc).kind is OTHER


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        *((code, CLOSED) for code in (1000, 1001, 1005, 1006, 1011, 1012, 1013, 1014)),
        *((code, PROTOCOL) for code in (1002, 1003, 1007, 1008, 1009, 1010)),
        *((code, CLOSED) for code in (3000, 4000, 4001, 4999)),
    ],
)
def test_close_codes(code: int, kind: FailureKind) -> None:
    """A close code tells between a lost connection and a broken protocol; all are retried."""
    failure = classify(TransportError(CLOSED, f"closed with {code}", code))
    assert failure == Failure(kind=kind, message=f"closed with {code}", close_code=code)
    assert failure.transient


@pytest.mark.parametrize("code", [*range(1001, 1015), 3000, 4000, 4999])
def test_only_1000_is_final(code: int) -> None:
    """Of all close codes, 1000 alone ends a guard by default."""
    assert 1000 in DEFAULT_RULES.final_close_codes
    assert code not in DEFAULT_RULES.final_close_codes


def test_fatal_close_codes() -> None:
    """A close code that the rules call fatal is not worth retrying."""
    rules = FailureRules(fatal_close_codes={4001})
    assert not classify(TransportError(CLOSED, "bad token", 4001), rules).transient
    assert classify(TransportError(CLOSED, "busy", 4002), rules).transient


def test_protocol_close_codes_can_be_changed() -> None:
    """Which close codes count as PROTOCOL is the policy's to say."""
    rules = FailureRules(protocol_close_codes={4002})
    assert classify(TransportError(CLOSED, "x", 4002), rules).kind is PROTOCOL
    assert classify(TransportError(CLOSED, "x", 1002), rules).kind is CLOSED


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 426, 451, 499])
def test_fatal_statuses(status: int) -> None:
    """A 4xx answer is not worth retrying."""
    failure = classify(TransportError(REJECTED, f"HTTP {status}", http_status=status))
    assert (failure.kind, failure.transient, failure.http_status) == (REJECTED, False, status)


@pytest.mark.parametrize("status", [200, 301, 408, 425, 429, 500, 502, 503, 504])
def test_transient_statuses(status: int) -> None:
    """408, 425, 429 and all that is not 4xx is worth retrying, after Retry-After."""
    exc = TransportError(REJECTED, f"HTTP {status}", http_status=status, retry_after=7.5)
    failure = classify(exc)
    assert (failure.kind, failure.transient, failure.retry_after) == (REJECTED, True, 7.5)


def test_fatal_statuses_can_be_changed() -> None:
    """Which statuses are fatal is the policy's to say."""
    rules = FailureRules(fatal_statuses={503})
    assert not classify(TransportError(REJECTED, "x", http_status=503), rules).transient
    assert classify(TransportError(REJECTED, "x", http_status=404), rules).transient


@pytest.mark.parametrize("kind", [HEARTBEAT, NETWORK, TIMEOUT, TLS, PROTOCOL, OTHER])
def test_transport_errors_keep_their_kind(kind: FailureKind) -> None:
    """What a transport says of the kind stands."""
    failure = classify(TransportError(kind, "as told"))
    assert failure == Failure(kind=kind, message="as told")


def test_transport_error_is_found_beneath() -> None:
    """A transport's error is found in the group of a nursery."""
    exc = group(ValueError(), group(TransportError(REJECTED, "HTTP 404", http_status=404)))
    assert classify(exc).http_status == 404


@pytest.mark.parametrize(
    "exc",
    [
        ConnectFailedError(Failure(kind=HEARTBEAT, message="m", log_level=7), 2),
        ConnectionLostError(Failure(kind=HEARTBEAT, message="m", log_level=7), 2),
        caused(ValueError(), ConnectFailedError(Failure(kind=HEARTBEAT, message="m"), 1)),
    ],
)
def test_own_errors_pass_their_failure_through(exc: BaseException) -> None:
    """A failure that was classified already is not classified anew."""
    failure = classify(exc)
    assert (failure.kind, failure.message) == (HEARTBEAT, "m")
    own = exc if isinstance(exc, ConnectFailedError | ConnectionLostError) else exc.__cause__
    assert isinstance(own, ConnectFailedError | ConnectionLostError)
    assert failure is own.failure


def test_connection_dropped_by_this_side() -> None:
    """A lost connection without a failure is still classified."""
    assert classify(ConnectionLostError(None, 4)).kind is OTHER


@pytest.mark.parametrize(
    "exc",
    [
        FatalError("account closed"),
        group(FatalError("account closed")),
        caused(RuntimeError(), FatalError("account closed")),
        group(ValueError(), FatalError("account closed")),
    ],
)
def test_fatal_error(exc: BaseException) -> None:
    """FatalError is not worth retrying, and its text is the message."""
    assert classify(exc) == Failure(kind=OTHER, message="account closed", transient=False)


class OwnVerificationError(ssl.SSLCertVerificationError):
    """A class of another library that derives from the standard one."""


@pytest.mark.parametrize("cls", [ssl.SSLCertVerificationError, OwnVerificationError])
def test_certificate_verification_is_fatal(cls: type[ssl.SSLCertVerificationError]) -> None:
    """A certificate that does not verify will not on the next attempt either."""
    exc = cls(1, "certificate verify failed")
    for outer in (exc, caused(trio.BrokenResourceError(), exc), group(exc)):
        failure = classify(outer)
        assert (failure.kind, failure.transient) == (TLS, False)


def test_certificate_verification_beneath_a_transport_error() -> None:
    """A transport's TLS error is fatal exactly if a refused certificate lies beneath."""
    refused = ssl.SSLCertVerificationError(1, "certificate verify failed")
    told = caused(TransportError(TLS, "TLS"), caused(trio.BrokenResourceError(), refused))
    assert not classify(told).transient
    assert classify(caused(TransportError(TLS, "TLS"), ssl.SSLError(1, "x"))).transient


@pytest.mark.parametrize("kind", FailureKind)
def test_log_levels(kind: FailureKind) -> None:
    """What a living network does to any connection is a WARNING, all else an ERROR."""
    level = logging.WARNING if kind in (CLOSED, HEARTBEAT) else logging.ERROR
    assert kind.log_level == level
    assert Failure(kind=kind, message="").log_level == level


def test_failure_in_one_line() -> None:
    """A failure prints as its kind and message."""
    assert str(classify(TimeoutError("too slow"))) == "TIMEOUT: TimeoutError: too slow"
    assert str(classify(TimeoutError())) == "TIMEOUT: TimeoutError"


def test_peer_text_is_escaped_and_cut() -> None:
    """What a peer wrote reaches no terminal unescaped, nor at any length."""
    failure = classify(TransportError(CLOSED, "\x1b[2J\r\n" + "x" * 10_000, 4000))
    assert failure.message.startswith("\\x1b[2J\\r\\nxxx")
    assert len(failure.message) == MAX_TEXT


def test_broken_str_does_not_hide_the_failure() -> None:
    """An exception whose text cannot be had is told by its name."""
    assert classify(UnprintableError()).message == "UnprintableError"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain, with ümläuts and 漢字", "plain, with ümläuts and 漢字"),
        ("\x00\x07\x1b[31m", "\\x00\\x07\\x1b[31m"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\u202eright to left", "\\u202eright to left"),
        ("\u2028\x85", "\\u2028\\x85"),
        ("\ud800", "\\ud800"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_printable_escapes(text: str, escaped: str) -> None:
    """Control characters, line ends, direction marks and surrogates are escaped."""
    assert printable(text) == escaped


@given(st.text(st.characters(exclude_categories=())), st.integers(1, 300))
@example("\U000e0001" * 50, 5)
def test_printable_is_printable_and_bounded(text: str, limit: int) -> None:
    """Whatever the text, the result is printable and within the limit."""
    result = printable(text, limit)
    assert len(result) <= limit
    assert result.isprintable()


@given(st.text(st.characters(categories=["L", "N", "P"]), max_size=50), st.integers(50, 60))
def test_printable_leaves_short_text_alone(text: str, limit: int) -> None:
    """Printable text within the limit is not touched."""
    assert printable(text, limit) == text


def test_printable_marks_the_cut() -> None:
    """Text that was cut ends in an ellipsis."""
    assert printable("x" * 10, 10) == "x" * 10
    assert printable("x" * 11, 10) == "x" * 9 + "…"


GROUPS = (BaseExceptionGroup, ExceptionGroup)
BUILTINS = sorted(
    {
        cls
        for cls in vars(builtins).values()
        if isinstance(cls, type) and issubclass(cls, BaseException) and cls not in GROUPS
    },
    key=lambda cls: cls.__name__,
)


def build(cls: type[BaseException], text: str) -> BaseException:
    try:
        return cls(text)
    except TypeError:  # the Unicode errors want five arguments
        return cls.__new__(cls)


@st.composite
def tangles(draw: st.DrawFn) -> BaseException:
    """Exceptions of any type, grouped and linked at random, cycles included."""
    types = st.sampled_from([*BUILTINS, FatalError, UnprintableError])
    texts = st.text(st.characters(exclude_categories=()), max_size=300)
    built = [build(draw(types), draw(texts)) for _ in range(draw(st.integers(1, 5)))]
    for _ in range(draw(st.integers(0, 2))):
        built.append(BaseExceptionGroup("group", list(built)))
    anyone = st.sampled_from(built)
    for exc in built:
        if draw(st.booleans()):
            exc.__cause__ = draw(anyone)
        if draw(st.booleans()):
            exc.__context__ = draw(anyone)
    return draw(anyone)


@given(tangles())
def test_classification_is_total(exc: BaseException) -> None:
    """Every exception gives a failure with one bounded, printable line."""
    failure = classify(exc)
    assert failure.kind in FailureKind
    assert 0 < len(failure.message) <= MAX_TEXT
    assert failure.message.isprintable()
    assert failure.log_level == failure.kind.log_level


@given(tangles())
def test_classification_is_repeatable(exc: BaseException) -> None:
    """The same exception gives the same failure, and is not changed by it."""
    assert classify(exc) == classify(exc)


def test_long_chains_end() -> None:
    """A chain of thousands of causes is followed only so far."""
    exc: BaseException = TimeoutError()
    for _ in range(5000):
        exc = caused(ValueError("x"), exc)
    assert classify(exc).kind is OTHER
