"""What the adapters share: how an answer is read, and how an end is worded.

Both libraries read a refusal to the end of its body, which may never come, and
one of them takes a 103 for a refusal. The head alone tells it all, so we read
it before they do: the same answer is the same failure over both.
"""

from __future__ import annotations

import http.client
import io
from typing import TYPE_CHECKING, Final

from trio_wsguard._core.failure import FailureKind, printable
from trio_wsguard._errors import TransportError
from trio_wsguard._shell.transport import retry_after_seconds

if TYPE_CHECKING:
    from trio_wsguard._shell.watched import WatchedStream

# After a close handshake the server closes TCP first (RFC 6455, section 7.1.1):
# seconds that we give it.
CLOSE_GRACE: Final = 0.05

_MAX_HEAD: Final = 2**16


class AnswerHead:
    """The head of the server's answer to the handshake, as far as it has come.

    Attributes:
        rest: What came behind the head.
        is_upgrade: Whether it is whole, and agrees to speak WebSocket.
    """

    def __init__(self) -> None:
        self.rest = b""
        self.is_upgrade = False
        self._head = bytearray()

    def read(self, chunk: bytes | bytearray) -> TransportError | None:
        """Take bytes of the answer.

        Args:
            chunk: The next ones.

        Returns:
            Why it is no upgrade, as soon as that is certain.
        """
        self._head += chunk
        if not self._head.startswith(b"HTTP/"[: len(self._head)]):
            shown = printable(repr(bytes(self._head[:40])))
            return TransportError(FailureKind.PROTOCOL, f"not an HTTP answer: {shown}")
        head, blank, rest = bytes(self._head).partition(b"\r\n\r\n")
        if blank:
            self.rest = rest
            error = _judge(head + blank)
            self.is_upgrade = error is None
            return error
        if len(self._head) > _MAX_HEAD:
            return TransportError(FailureKind.PROTOCOL, "the answer's headers do not end")
        return None


def _judge(head: bytes) -> TransportError | None:
    line, _, rest = head.partition(b"\r\n")
    fields = line.split(None, 2)
    # Three digits (RFC 9112, section 4); int() would refuse thousands of them.
    if len(fields) < 2 or len(fields[1]) != 3 or not fields[1].isdigit():
        text = f"not an HTTP answer: {printable(repr(line))}"
        return TransportError(FailureKind.PROTOCOL, text)
    status = int(fields[1])
    if status == 101:
        return None
    if status < 200:
        # Says nothing about us: it is neither a refusal nor an upgrade.
        text = f"HTTP {status} instead of an upgrade"
        return TransportError(FailureKind.PROTOCOL, text)
    return _rejected(status, fields[2] if len(fields) > 2 else b"", rest)


def _rejected(status: int, phrase: bytes, head: bytes) -> TransportError:
    try:
        headers = http.client.parse_headers(io.BytesIO(head))
    except http.client.HTTPException:
        text = f"HTTP {status} with unreadable headers"
        return TransportError(FailureKind.PROTOCOL, text, http_status=status)
    said = printable(phrase.decode("latin-1"), 60)
    return TransportError(
        FailureKind.REJECTED,
        f"HTTP {status} {said}".rstrip(),
        http_status=status,
        retry_after=retry_after_seconds(headers.get("Retry-After")),
        location=headers.get("Location"),
    )


def ended_in_handshake(stream: WatchedStream) -> TransportError:
    """Tell that the server ended the connection before it had answered."""
    error = TransportError(
        FailureKind.CLOSED, "the server ended the connection during the handshake"
    )
    error.__cause__ = stream.error
    return error


def broke_protocol(exc: BaseException, close_code: int | None = None) -> TransportError:
    """Tell that the peer broke the protocol.

    Args:
        exc: What the library said of it.
        close_code: What we closed with, if we did.
    """
    text = printable(f"the protocol was broken: {type(exc).__name__}: {exc}")
    error = TransportError(FailureKind.PROTOCOL, text, close_code=close_code)
    error.__cause__ = exc
    return error


def closed(code: int, reason: str, stream: WatchedStream) -> TransportError:
    """Tell how an open connection ended.

    Args:
        code: The peer's close code; 1006 where it sent none (RFC 6455, 7.1.5).
        reason: Its reason, as it came.
        stream: What may know the cause.
    """
    said = printable(reason)
    if code == 1006:
        message = "no close frame received or sent"
    else:
        message = f"closed with code {code}" + (f": {said}" if said else "")
    error = TransportError(FailureKind.CLOSED, message, close_code=code, close_reason=said)
    error.__cause__ = stream.error
    return error
