"""What carries one connection, whichever library speaks the protocol.

An adapter maps its library's exceptions to `TransportError` here and nowhere
else; what they mean for the guard, `classify` decides.
"""

from __future__ import annotations

import email.utils
import time
from typing import TYPE_CHECKING, Protocol

import attrs

from trio_wsguard._core.delivery import Message as Message  # noqa: TC001 - imported from here

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from trio_wsguard._shell.dial import Target
    from trio_wsguard._shell.watched import WatchedStream


class Transport(Protocol):
    """One open WebSocket connection.

    Every method but `aclose` raises `TransportError` once the connection has
    ended, and nothing else of the library's own.
    """

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol agreed on."""
        ...

    async def receive(self) -> list[Message]:
        """Receive all messages at hand, at least one.

        Cancelling it loses nothing. One task calls it at a time.
        """
        ...

    async def send(self, message: Message) -> None:
        """Send a message.

        Cancelled before its first byte was given to the stream, it leaves no
        trace; after that the stream knows (`WatchedStream.is_cut`), and the
        connection is dropped.
        """
        ...

    async def ping(self, payload: bytes) -> None:
        """Send a ping and return once it is written; its pong is told to `on_pong`."""
        ...

    async def aclose(self, code: int, reason: str) -> None:
        """Do the close handshake. Without limit: the caller bounds it."""
        ...


@attrs.frozen(kw_only=True)
class Handshake:
    """What to ask the server for.

    Attributes:
        target: Where.
        headers: Extra headers, as bytes.
        subprotocols: In order of preference.
        max_message_size: Bytes; a larger message ends the connection with 1009.
    """

    target: Target
    headers: tuple[tuple[bytes, bytes], ...] = attrs.field(default=(), repr=False)
    subprotocols: tuple[str, ...] = ()
    max_message_size: int = 2**20


if TYPE_CHECKING:
    OnPong = Callable[[bytes], None]
    TransportFactory = Callable[
        [WatchedStream, Handshake, OnPong], AbstractAsyncContextManager[Transport]
    ]


def check_message(message: object) -> Message:
    """Accept text and bytes-like messages.

    Raises:
        TypeError: It is neither.
        ValueError: The text cannot be sent as UTF-8 (a lone surrogate).
    """
    if isinstance(message, str):
        try:
            message.encode()
        except UnicodeEncodeError as exc:
            raise ValueError(f"the message is not valid Unicode: {exc.reason}") from None
        return message
    if isinstance(message, bytes):
        return message
    if isinstance(message, bytearray | memoryview):
        return bytes(message)
    raise TypeError(f"a message is str or bytes, not {type(message).__name__}")


def retry_after_seconds(value: str | None, now: float | None = None) -> float | None:
    """Read a Retry-After header, in either of its forms.

    Args:
        value: Seconds, or an HTTP date; anything else counts as absent.
        now: Unix seconds; ``None`` for the present.

    Returns:
        Seconds from now, not negative; ``None`` for none.

    Source: RFC 9110, section 10.2.3.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        # A longer number is beyond every cap, and int() refuses thousands of digits.
        return float(text[:12])
    try:
        then = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return None
    return max(0.0, then.timestamp() - (time.time() if now is None else now))
