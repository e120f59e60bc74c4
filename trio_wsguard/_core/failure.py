"""What went wrong, and whether trying again makes sense.

`classify` is total: every exception gives a `Failure`. It looks at types
first, along the chain of causes and into groups, because a library's outer
exception often says less than what lies beneath it (a refused connection
arrives as `HandshakeError` from `OSError` from an `ExceptionGroup`). Types of
other libraries are known by name, so that this file imports none of them.
Only where no type tells does the text decide, by the documents' own rules.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Final

import attrs

from trio_wsguard._core import checks
from trio_wsguard._errors import (
    ConnectFailedError,
    ConnectionLostError,
    FatalError,
    PolicyError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

WARNING: Final = 30  # logging.WARNING and logging.ERROR; the core imports no logging
ERROR: Final = 40

MAX_TEXT: Final = 200


class FailureKind(enum.Enum):
    """What kind of thing went wrong; it chooses the backoff and the log level."""

    CLOSED = "closed"
    HEARTBEAT = "heartbeat"
    NETWORK = "network"
    TIMEOUT = "timeout"
    REJECTED = "rejected"
    TLS = "tls"
    PROTOCOL = "protocol"
    OTHER = "other"

    @property
    def log_level(self) -> int:
        """WARNING for what a living network does to any connection, else ERROR."""
        return WARNING if self in (FailureKind.CLOSED, FailureKind.HEARTBEAT) else ERROR


@attrs.frozen(kw_only=True)
class Failure:
    """One failed attempt, or one lost connection.

    Attributes:
        kind: What it was.
        message: One line; text from the peer is escaped and cut.
        transient: Whether trying again makes sense.
        close_code: The close code (RFC 6455, section 7.4), if there was one.
        http_status: The status that refused the handshake, if one did.
        retry_after: Seconds that the server asked us to wait, if it did.
        log_level: As in `logging`.
    """

    kind: FailureKind
    message: str
    transient: bool = True
    close_code: int | None = None
    http_status: int | None = None
    retry_after: float | None = None
    log_level: int = attrs.field(
        default=attrs.Factory(lambda self: self.kind.log_level, takes_self=True)
    )

    def __str__(self) -> str:
        return f"{self.kind.name}: {self.message}"


def frozen_set(values: Any) -> frozenset[int]:
    """Freeze a collection of codes; what is none is left to the validator to refuse."""
    return frozenset(values) if isinstance(values, set | range | list | tuple) else values


@attrs.frozen(kw_only=True)
class FailureRules:
    """Which codes and statuses end a guard, and which only a connection.

    Args:
        final_close_codes: The peer is done with us: CLOSED, not retried.
        protocol_close_codes: Retried, but as `PROTOCOL` (the slower backoff).
        fatal_close_codes: FAILED, not retried; for codes by which a server
            refuses an account or a token.
        fatal_statuses: HTTP statuses that a repeated request cannot change.
            408, 425 and 429 ask for a retry by their definition (RFC 9110,
            RFC 8470, RFC 6585).
    """

    final_close_codes: frozenset[int] = attrs.field(
        default=frozenset({1000}), converter=frozen_set, validator=checks.codes(1000, 4999)
    )
    protocol_close_codes: frozenset[int] = attrs.field(
        default=frozenset({1002, 1003, 1007, 1008, 1009, 1010}),
        converter=frozen_set,
        validator=checks.codes(1000, 4999),
    )
    fatal_close_codes: frozenset[int] = attrs.field(
        default=frozenset(), converter=frozen_set, validator=checks.codes(1000, 4999)
    )
    fatal_statuses: frozenset[int] = attrs.field(
        default=frozenset(range(400, 500)) - {408, 425, 429},
        converter=frozen_set,
        validator=checks.codes(100, 599),
    )


DEFAULT_RULES: Final = FailureRules()

_CERTIFICATE_REFUSED: Final = "SSLCertVerificationError"
# Known by name along the class hierarchy, the nearest class first. OSError stands last:
# ssl.SSLError, socket.gaierror and the resets are all subclasses of it.
_KINDS_BY_TYPE: Final = {
    _CERTIFICATE_REFUSED: FailureKind.TLS,
    "SSLError": FailureKind.TLS,
    "gaierror": FailureKind.NETWORK,
    "ConnectionRefusedError": FailureKind.NETWORK,
    "ConnectionResetError": FailureKind.CLOSED,
    "ConnectionAbortedError": FailureKind.CLOSED,
    "BrokenPipeError": FailureKind.CLOSED,
    "TimeoutError": FailureKind.TIMEOUT,
    "TooSlowError": FailureKind.TIMEOUT,
    "ConnectionClosedError": FailureKind.CLOSED,
    "IncompleteReadError": FailureKind.CLOSED,
    "EOFError": FailureKind.CLOSED,
    "EndOfChannel": FailureKind.CLOSED,
    "BrokenResourceError": FailureKind.CLOSED,
    "ClosedResourceError": FailureKind.CLOSED,
    "RemoteProtocolError": FailureKind.PROTOCOL,
    "LocalProtocolError": FailureKind.PROTOCOL,
    "UnicodeDecodeError": FailureKind.PROTOCOL,
    "OSError": FailureKind.NETWORK,
}
# A user's word, and a setting that stays as wrong as it is.
_FATAL: Final = (FatalError, PolicyError)
# The documents' own rules, in their order.
_KINDS_BY_TEXT: Final = (
    ("no close frame received or sent", FailureKind.CLOSED),
    ("connection refused", FailureKind.NETWORK),
    ("timeout", FailureKind.TIMEOUT),
    ("timed out", FailureKind.TIMEOUT),
)
# What these wrap says more than they do: look beneath them first.
_SHALLOW_TYPES: Final = {"BrokenResourceError", "ClosedResourceError", "OSError"}
_MAX_DEPTH: Final = 32


def printable(text: str, limit: int = MAX_TEXT) -> str:
    """Escape and cut text from a peer, so that it can go to a log or a terminal.

    Args:
        text: Anything.
        limit: Characters to keep at the most.
    """
    escaped = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[: limit + 1])
    return escaped if len(escaped) <= limit else escaped[: limit - 1] + "…"


def classify(exc: BaseException, rules: FailureRules = DEFAULT_RULES) -> Failure:
    """Tell what an exception means for the guard.

    Args:
        exc: Whatever an attempt or a connection ended with.
        rules: Which codes and statuses are final or fatal.

    Returns:
        A failure, for any exception.
    """
    if type(exc) is TransportError:
        return _from_transport(exc, rules)  # the usual case; it says all there is to say
    fatal = next((link for link in _members(exc) if isinstance(link, _FATAL)), None)
    if fatal is not None:
        return _fatal(fatal)
    chain = list(_chain(exc))
    shallow: Failure | None = None
    for link in chain:
        found = _by_own_type(link, rules) or _by_name(link)
        if found is None:
            continue
        if type(link).__name__ not in _SHALLOW_TYPES:
            return found
        shallow = shallow or found
    return shallow or _by_message(chain)


def _members(exc: BaseException) -> Iterator[BaseException]:
    """Walk an exception and what it groups, but not what caused it."""
    yield exc
    if isinstance(exc, BaseExceptionGroup):
        for member in exc.exceptions:
            yield from _members(member)


def _chain(exc: BaseException) -> Iterator[BaseException]:
    """Walk an exception, what it groups and what caused it, outermost first."""
    queue, seen = [exc], set[int]()
    while queue and len(seen) < _MAX_DEPTH:
        link = queue.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        if isinstance(link, BaseExceptionGroup):
            queue.extend(link.exceptions)
        beneath = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
        if beneath is not None:
            queue.append(beneath)


def _by_own_type(exc: BaseException, rules: FailureRules) -> Failure | None:
    if isinstance(exc, _FATAL):
        return _fatal(exc)
    if isinstance(exc, ConnectFailedError | ConnectionLostError):
        return exc.failure
    if isinstance(exc, TransportError):
        return _from_transport(exc, rules)
    return None


def _fatal(exc: BaseException) -> Failure:
    return Failure(kind=FailureKind.OTHER, message=_sentence(exc), transient=False)


def _from_transport(exc: TransportError, rules: FailureRules) -> Failure:
    kind, transient = exc.kind, True
    if exc.close_code is not None and kind is FailureKind.CLOSED:
        if exc.close_code in rules.protocol_close_codes:
            kind = FailureKind.PROTOCOL
        transient = exc.close_code not in rules.fatal_close_codes
    if kind is FailureKind.REJECTED:
        transient = exc.http_status not in rules.fatal_statuses
    if kind is FailureKind.TLS:
        transient = not _is_certificate_refused(exc)
    return Failure(
        kind=kind,
        message=_sentence(exc),
        transient=transient,
        close_code=exc.close_code,
        http_status=exc.http_status,
        retry_after=exc.retry_after,
    )


def _is_certificate_refused(exc: BaseException) -> bool:
    return any(type(link).__name__ == _CERTIFICATE_REFUSED for link in _chain(exc))


def _by_name(exc: BaseException) -> Failure | None:
    for cls in type(exc).__mro__:
        kind = _KINDS_BY_TYPE.get(cls.__name__)
        if kind is not None:
            transient = cls.__name__ != _CERTIFICATE_REFUSED
            return Failure(kind=kind, message=_sentence(exc), transient=transient)
    return None


def _by_message(chain: list[BaseException]) -> Failure:
    for link in chain:
        text = _sentence(link)
        for needle, kind in _KINDS_BY_TEXT:
            if needle in text.lower():
                return Failure(kind=kind, message=text)
    return Failure(kind=FailureKind.OTHER, message=_sentence(chain[0]))


def _text(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception:  # noqa: BLE001 - a user's broken __str__ must not hide the failure itself
        return ""


def _sentence(exc: BaseException) -> str:
    text = _text(exc)
    name = type(exc).__name__
    if isinstance(exc, TransportError | FatalError) and text:
        return printable(text)
    return printable(f"{name}: {text}" if text else name)
