"""What a peer notes of each connection."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_wsguard._shell.transport import Message


class End(enum.Enum):
    """How a connection ended, as the peer saw it."""

    CLOSED = "closed"
    """The peer closed it with a close frame, or both did."""
    DROPPED = "dropped"
    """The peer ended the stream without a close frame."""
    RESET = "reset"
    """The peer reset the stream."""
    REFUSED = "refused"
    """The peer answered the request with a status other than 101."""
    VIOLATION = "violation"
    """The client broke the protocol; `ConnectionRecord.violation` tells how."""
    LEFT = "left"
    """The client ended the stream."""
    LOST = "lost"
    """The stream broke."""
    ABANDONED = "abandoned"
    """The peer was cancelled, or a function of `Call` raised."""


class Received(NamedTuple):
    """Something that came from the client.

    Attributes:
        at: When it was read, in monotonic seconds.
        message: What it was: a message, or the payload of a ping or a pong.
    """

    at: float
    message: Message


@attrs.define(eq=False)
class ConnectionRecord:
    """One connection of a `ScriptedPeer`.

    Attributes:
        number: Which one it is, from 1.
        opened_at: When it came, in monotonic seconds.
        path: What was asked for, the query included.
        headers: The request's headers, names in lower case.
        subprotocols: The subprotocols offered.
        status: The HTTP status answered; ``None`` if there was none.
        received: The messages, those that are beats left out.
        beats: The pings and the message beats.
        pongs: The pongs.
        close_code: The code of the client's close frame, 1005 for one without;
            ``None`` if there was no close frame.
        close_reason: Its reason.
        violation: What the client did that the RFC forbids; ``None`` if nothing.
        end: How the connection ended; ``None`` while it lives.
        ended_at: When, in monotonic seconds.
        is_cut: Whether the client's bytes ended within a frame or a message.
    """

    number: int
    opened_at: float
    path: str = ""
    headers: Mapping[str, str] = attrs.field(factory=dict)
    subprotocols: tuple[str, ...] = ()
    status: int | None = None
    received: list[Received] = attrs.field(factory=list)
    beats: list[Received] = attrs.field(factory=list)
    pongs: list[Received] = attrs.field(factory=list)
    close_code: int | None = None
    close_reason: str = ""
    violation: str | None = None
    end: End | None = None
    ended_at: float | None = None
    is_cut: bool = False

    @property
    def is_accepted(self) -> bool:
        """Whether the handshake's request was accepted."""
        return self.status == 101

    @property
    def messages(self) -> list[Message]:
        """The messages received, without their times."""
        return [one.message for one in self.received]
