"""The exceptions of this library.

WSGuardError
├── PolicyError (also ValueError)          a setting refused when built
├── IllegalTransitionError (RuntimeError)  a move the table does not have
├── ConnectFailedError                     one attempt failed
├── ConnectionLostError                    one generation was lost
├── ConnectionClosedError                  closed for good
├── GuardFailedError                       the guard is FAILED
├── NotConnectedError                      send_mode="fail": there is no connection now
├── BufferFullError                        no room among the messages to be sent
├── DuplicateKeyError (also ValueError)    the outbox holds a message of that key
├── OutboxError                            the outbox's file cannot be used
├── LeaseStoreError                        the store of leases gave no answer
├── FatalError                             for users to raise: do not retry
├── TransportError                         what a transport raises; never leaves the guard
└── InternalError                          a broken invariant: please report

Facts are attributes; the sentence is built in ``__str__``. Every argument is
positional and kept in ``args``, which is what makes them picklable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trio_wsguard._core.failure import Failure, FailureKind
    from trio_wsguard._core.state import ConnectionState


class WSGuardError(Exception):
    """The base of every error that this library raises of its own."""


class PolicyError(WSGuardError, ValueError):
    """A setting was refused when it was built.

    Attributes:
        field: The name of the setting.
        value: What was given.
        problem: What is wrong with it.
    """

    def __init__(self, field: str, value: object, problem: str) -> None:
        super().__init__(field, value, problem)
        self.field = field
        self.value = value
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.field}={self.value!r}: {self.problem}"


class IllegalTransitionError(WSGuardError, RuntimeError):
    """A move was asked for that the table of transitions does not have.

    Attributes:
        previous: The state the guard was and still is in.
        state: The state asked for.
    """

    def __init__(self, previous: ConnectionState, state: ConnectionState) -> None:
        super().__init__(previous, state)
        self.previous = previous
        self.state = state

    def __str__(self) -> str:
        return f"no transition from {self.previous.name} to {self.state.name}"


class ConnectFailedError(WSGuardError):
    """One attempt to connect failed; ``__cause__`` is the original error.

    Attributes:
        failure: What happened.
        attempt: Which attempt of this outage it was, counted from 1.
    """

    def __init__(self, failure: Failure, attempt: int) -> None:
        super().__init__(failure, attempt)
        self.failure = failure
        self.attempt = attempt

    def __str__(self) -> str:
        return f"attempt {self.attempt} failed: {self.failure}"


class ConnectionLostError(WSGuardError):
    """One connection was lost under a call; the guard itself lives on.

    Attributes:
        failure: What happened; ``None`` if the connection was dropped by an
            act of ours (`force_reconnect`, a cancelled send, a renewal).
        generation: The number of the connection.
        maybe_sent: Whether the peer may have received the message.
    """

    def __init__(self, failure: Failure | None, generation: int, maybe_sent: bool = False) -> None:
        super().__init__(failure, generation, maybe_sent)
        self.failure = failure
        self.generation = generation
        self.maybe_sent = maybe_sent

    def __str__(self) -> str:
        cause = self.failure or "dropped by this side"
        doubt = "; the message may have been sent" if self.maybe_sent else ""
        return f"connection {self.generation} lost: {cause}{doubt}"


class ConnectionClosedError(WSGuardError):
    """The peer closed the connection for good.

    Attributes:
        code: The close code (RFC 6455, section 7.4).
        reason: The peer's reason, escaped and cut.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"closed with code {self.code}" + (f": {self.reason}" if self.reason else "")


class GuardFailedError(WSGuardError):
    """The guard gave up; raised from an `ExceptionGroup` of what was tried.

    Attributes:
        failures: The failures of this outage, oldest first (the last 16).
    """

    def __init__(self, failures: tuple[Failure, ...]) -> None:
        super().__init__(failures)
        self.failures = failures

    def __str__(self) -> str:
        if not self.failures:
            return "the guard failed"
        count = len(self.failures)
        many = "s" if count > 1 else ""
        return f"gave up after {count} failure{many}; the last: {self.failures[-1]}"


class NotConnectedError(WSGuardError):
    """A message was not sent, since the guard is not connected; nothing keeps it.

    Attributes:
        state: Where the guard stands; CONNECTED if its connection is just ending.
    """

    def __init__(self, state: ConnectionState) -> None:
        super().__init__(state)
        self.state = state

    def __str__(self) -> str:
        if self.state.name == "CONNECTED":
            return "not sent: the connection is ending"
        return f"not sent: the guard is {self.state.name}"


class BufferFullError(WSGuardError):
    """There is no room for a message, or it was dropped in favour of newer ones.

    Attributes:
        field: The limit that is reached, by the name of its setting.
        limit: What it is set to.
    """

    def __init__(self, field: str, limit: int) -> None:
        super().__init__(field, limit)
        self.field = field
        self.limit = limit

    def __str__(self) -> str:
        return f"no room for the message: {self.field} is {self.limit}"


class DuplicateKeyError(WSGuardError, ValueError):
    """The outbox holds a message of that key already, and could not tell them apart.

    Attributes:
        key: The key.
    """

    def __init__(self, key: object) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"the outbox holds a message with the key {self.key!r} already"


class OutboxError(WSGuardError):
    """The file of an outbox cannot be read or written; it is left as it is.

    Attributes:
        path: The file.
        problem: What is wrong with it.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"outbox {self.path}: {self.problem}"


class LeaseStoreError(WSGuardError):
    """A store of leases cannot be asked now; ``__cause__`` is the original error.

    It is no verdict about a lease: a holder goes on as long as its lease lasts.

    Attributes:
        name: The lease that was asked for.
        problem: What is wrong.
    """

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(name, problem)
        self.name = name
        self.problem = problem

    def __str__(self) -> str:
        return f"lease {self.name!r}: {self.problem}"


class FatalError(WSGuardError):
    """Raise it in ``on_connect``, ``headers`` or ``url``: retrying is pointless."""


class TransportError(WSGuardError):
    """What a transport raises when its connection cannot be made or has ended.

    It carries the facts as the peer or the system told them; what they mean
    for the guard is decided by `classify`. It never leaves the guard.

    Attributes:
        kind: What it is.
        message: One line without peer text that was not escaped.
        close_code: The close code that arrived, if one did.
        close_reason: The peer's reason, escaped and cut.
        http_status: The status of the refusal, if it was one.
        retry_after: Seconds the server asked us to wait, if it did.
        location: Where the server sent us instead, if it did.
    """

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        close_code: int | None = None,
        close_reason: str = "",
        http_status: int | None = None,
        retry_after: float | None = None,
        location: str | None = None,
    ) -> None:
        super().__init__(
            kind, message, close_code, close_reason, http_status, retry_after, location
        )
        self.kind = kind
        self.message = message
        self.close_code = close_code
        self.close_reason = close_reason
        self.http_status = http_status
        self.retry_after = retry_after
        self.location = location

    def __str__(self) -> str:
        return self.message


class InternalError(WSGuardError, RuntimeError):
    """An invariant of this library is broken: please report it."""
