"""The exceptions."""

from __future__ import annotations

import pickle

import pytest

from trio_wsguard import _errors as errors
from trio_wsguard._core.failure import Failure, FailureKind
from trio_wsguard._core.state import CLOSED, CONNECTED, CONNECTING, FAILED

CLOSED_FAILURE = Failure(kind=FailureKind.CLOSED, message="no close frame", close_code=1006)
REFUSED = Failure(
    kind=FailureKind.REJECTED, message="HTTP 503", http_status=503, retry_after=7.0, log_level=10
)
EXAMPLES: list[tuple[errors.WSGuardError, str]] = [
    (errors.WSGuardError("plain"), "plain"),
    (errors.PolicyError("interval", -1, "must be above 0"), "interval=-1: must be above 0"),
    (
        errors.IllegalTransitionError(CLOSED, CONNECTING),
        "no transition from CLOSED to CONNECTING",
    ),
    (errors.ConnectFailedError(REFUSED, 3), "attempt 3 failed: REJECTED: HTTP 503"),
    (
        errors.ConnectionLostError(CLOSED_FAILURE, 2),
        "connection 2 lost: CLOSED: no close frame",
    ),
    (
        errors.ConnectionLostError(None, 2, maybe_sent=True),
        "connection 2 lost: dropped by this side; the message may have been sent",
    ),
    (errors.ConnectionClosedError(1000), "closed with code 1000"),
    (errors.ConnectionClosedError(1000, "bye"), "closed with code 1000: bye"),
    (errors.GuardFailedError(()), "the guard failed"),
    (
        errors.GuardFailedError((REFUSED, CLOSED_FAILURE)),
        "gave up after 2 failures; the last: CLOSED: no close frame",
    ),
    (errors.NotConnectedError(FAILED), "not sent: the guard is FAILED"),
    (errors.NotConnectedError(CONNECTED), "not sent: the connection is ending"),
    (errors.BufferFullError("max_bytes", 9), "no room for the message: max_bytes is 9"),
    (errors.DuplicateKeyError("a"), "the outbox holds a message with the key 'a' already"),
    (errors.OutboxError("/a.db", "is damaged"), "outbox /a.db: is damaged"),
    (errors.LeaseStoreError("a", "no answer"), "lease 'a': no answer"),
    (errors.FatalError("account closed"), "account closed"),
    (
        errors.TransportError(
            FailureKind.REJECTED, "HTTP 302", None, "", 302, 1.5, "wss://other.example/"
        ),
        "HTTP 302",
    ),
    (errors.InternalError("please report"), "please report"),
]


@pytest.mark.parametrize(("error", "text"), EXAMPLES)
def test_text(error: errors.WSGuardError, text: str) -> None:
    """The sentence is built from the attributes."""
    assert str(error) == text


@pytest.mark.parametrize(("error", "text"), EXAMPLES)
def test_errors_are_picklable(error: errors.WSGuardError, text: str) -> None:
    """An error that went through pickle has the same type, attributes and text."""
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes, made a line ago
    assert type(copy) is type(error)
    assert vars(copy) == vars(error)
    assert copy.args == error.args
    assert str(copy) == text


def test_every_error_is_among_the_examples() -> None:
    """No error of the module escapes the tests of text and pickling."""
    defined = {cls for cls in vars(errors).values() if isinstance(cls, type)}
    assert {type(error) for error, _ in EXAMPLES} == defined


@pytest.mark.parametrize(
    ("cls", "bases"),
    [
        (errors.WSGuardError, (Exception,)),
        (errors.PolicyError, (errors.WSGuardError, ValueError)),
        (errors.IllegalTransitionError, (errors.WSGuardError, RuntimeError)),
        (errors.ConnectFailedError, (errors.WSGuardError,)),
        (errors.ConnectionLostError, (errors.WSGuardError,)),
        (errors.ConnectionClosedError, (errors.WSGuardError,)),
        (errors.GuardFailedError, (errors.WSGuardError,)),
        (errors.NotConnectedError, (errors.WSGuardError,)),
        (errors.BufferFullError, (errors.WSGuardError,)),
        (errors.DuplicateKeyError, (errors.WSGuardError, ValueError)),
        (errors.OutboxError, (errors.WSGuardError,)),
        (errors.LeaseStoreError, (errors.WSGuardError,)),
        (errors.FatalError, (errors.WSGuardError,)),
        (errors.TransportError, (errors.WSGuardError,)),
        (errors.InternalError, (errors.WSGuardError, RuntimeError)),
    ],
)
def test_hierarchy(cls: type[Exception], bases: tuple[type[Exception], ...]) -> None:
    """Each error derives from exactly what the documented tree says."""
    assert cls.__bases__ == bases


def test_data_is_in_attributes() -> None:
    """A handler reads facts from attributes, never from the text."""
    failed = errors.ConnectFailedError(REFUSED, 3)
    assert (failed.failure, failed.attempt) == (REFUSED, 3)
    lost = errors.ConnectionLostError(CLOSED_FAILURE, 2, maybe_sent=True)
    assert (lost.failure, lost.generation, lost.maybe_sent) == (CLOSED_FAILURE, 2, True)
    closed = errors.ConnectionClosedError(4001, "go away")
    assert (closed.code, closed.reason) == (4001, "go away")
    assert errors.GuardFailedError((REFUSED,)).failures == (REFUSED,)
    refused = errors.PolicyError("max_age", "x", "must be a number")
    assert (refused.field, refused.value, refused.problem) == ("max_age", "x", "must be a number")


def test_lost_message_is_not_in_doubt_by_default() -> None:
    """Unless it is said, a lost connection leaves no message in doubt."""
    assert not errors.ConnectionLostError(None, 1).maybe_sent
