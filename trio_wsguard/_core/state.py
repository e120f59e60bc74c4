"""The states of a guard and the ten moves between them.

The table is the whole truth: code asks it, the documentation's diagram is
generated from it, and a move that it does not have raises. Precedent: h11
keeps its state machine as literal tables for the same reason.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

import attrs

from trio_wsguard._errors import IllegalTransitionError

if TYPE_CHECKING:
    from trio_wsguard._core.failure import Failure


class ConnectionState(enum.Enum):
    """Where a guard stands; a new one begins in DISCONNECTED."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    FAILED = "failed"
    CLOSED = "closed"


DISCONNECTED: Final = ConnectionState.DISCONNECTED
CONNECTING: Final = ConnectionState.CONNECTING
CONNECTED: Final = ConnectionState.CONNECTED
RECONNECTING: Final = ConnectionState.RECONNECTING
FAILED: Final = ConnectionState.FAILED
CLOSED: Final = ConnectionState.CLOSED

TRANSITIONS: Final[dict[tuple[ConnectionState, ConnectionState], str]] = {
    (DISCONNECTED, CONNECTING): "entering, connect()",
    (CONNECTING, CONNECTED): "handshake and on_connect done",
    (CONNECTING, RECONNECTING): "attempt failed, or abandoned",
    (CONNECTED, RECONNECTING): "connection lost",
    (CONNECTED, CLOSED): "aclose(), leaving the block, or a final close by the peer",
    (RECONNECTING, CONNECTING): "backoff over",
    (RECONNECTING, FAILED): "max_connection_failures reached, or a fatal failure",
    (RECONNECTING, DISCONNECTED): "disconnect(), or leaving the block",
    (FAILED, RECONNECTING): "reset(), or failed_cooldown over",
    (FAILED, DISCONNECTED): "disconnect(), or leaving the block",
}


@attrs.frozen(kw_only=True)
class StateChange:
    """One move of a guard.

    Attributes:
        previous: The state left.
        state: The state entered.
        at: When, in monotonic seconds (trio's clock).
        time: When, in Unix seconds.
        duration: Seconds that the state left had lasted.
        reason: Why, in one line.
        failure: The failure behind it, if there was one.
        generation: The connection it is about; 0 before the first.
        endpoint: Where that connection goes, without user, password and query;
            empty as long as it was not asked for.
        retry_in: For RECONNECTING: seconds until the next attempt.
    """

    previous: ConnectionState
    state: ConnectionState
    at: float
    time: float
    duration: float = 0.0
    reason: str = ""
    failure: Failure | None = None
    generation: int = 0
    endpoint: str = ""
    retry_in: float | None = None


def check_transition(previous: ConnectionState, state: ConnectionState) -> None:
    """Refuse a move that the table does not have.

    Raises:
        IllegalTransitionError: The table has no such edge.
    """
    if (previous, state) not in TRANSITIONS:
        raise IllegalTransitionError(previous, state)


def mermaid_diagram() -> str:
    """Draw the table as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2", f"    [*] --> {DISCONNECTED.name}"]
    lines += [
        f"    {previous.name} --> {state.name} : {when}"
        for (previous, state), when in TRANSITIONS.items()
    ]
    return "\n".join([*lines, f"    {CLOSED.name} --> [*]"])
