"""Trying properties, one by one or all of a part."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from trio_wsguard.testing.conformance.catalogue import all_properties, plan
from trio_wsguard.testing.conformance.parts import Parts
from trio_wsguard.testing.conformance.property import Arm, Profile
from trio_wsguard.testing.conformance.report import Report, Row
from trio_wsguard.testing.conformance.run import (
    NotApplicableError,
    Run,
    default_seed,
    observation,
)
from trio_wsguard.testing.conformance.violation import PropertyViolatedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from trio_wsguard.testing.conformance.property import Property, Subject
    from trio_wsguard.testing.conformance.report import Outcome
    from trio_wsguard.testing.peer.beats import BeatAnswer


class Progress(Protocol):
    """Told what is going on."""

    def __call__(self, prop: Property, arm: Arm, row: Row | None) -> None:
        """Note that a property is being tried, or how it fared.

        Args:
            prop: The property.
            arm: Where.
            row: How it fared; ``None`` before it is tried.
        """
        ...


def run_property(run: Run) -> Row:
    """Try one property; a violation is in the row and is not raised."""
    began_at = time.perf_counter()
    outcome: Outcome = "passed"
    reason, violation = "", None
    try:
        with _without_logs():
            run.property.body(run)
    except NotApplicableError as exc:
        outcome, reason = "skipped", str(exc)
    except PropertyViolatedError as exc:
        outcome, violation = "failed", exc
    except Exception as exc:  # noqa: BLE001 - of the user's part, which cannot even be made
        outcome, violation = "failed", run.violation(observation(exc))
        violation.__cause__ = exc
    return Row(
        property=run.property.name,
        subject=run.property.subject,
        arm=run.arm.value,
        outcome=outcome,
        examples=run.examples,
        faults=run.faults,
        virtual_hours=run.virtual_seconds / 3600,
        wall_seconds=time.perf_counter() - began_at,
        reason=reason,
        violation=violation,
    )


@contextmanager
def _without_logs() -> Iterator[None]:
    """Keep thousands of simulated losses out of the log; formatting them takes time, too."""
    logger = logging.getLogger("trio_wsguard")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _rows(
    pairs: Iterable[tuple[Property, Arm]],
    parts: Parts,
    profile: Profile,
    seed: int | str,
    progress: Progress | None,
) -> Iterator[Row]:
    for prop, arm in pairs:
        if progress is not None:
            progress(prop, arm, None)
        row = run_property(Run(property=prop, parts=parts, arm=arm, profile=profile, seed=seed))
        if progress is not None:
            progress(prop, arm, row)
        yield row


def run_properties(
    properties: Iterable[Property] | None = None,
    parts: Parts | None = None,
    *,
    arms: Iterable[Arm] = tuple(Arm),
    profile: Profile | str = Profile.QUICK,
    seed: int | str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Try properties, all to the end.

    Args:
        properties: Which; ``None`` for all of the parts' subjects.
        parts: What is tested; ``None`` for the library's own.
        arms: Where.
        profile: How many examples.
        seed: Chooses the examples; ``None`` for the one of ``--hypothesis-seed``,
            or else a new one.
        progress: Told what is going on.

    Returns:
        How they fared, violations among it.
    """
    parts = Parts() if parts is None else parts
    properties = all_properties(*parts.subjects) if properties is None else properties
    seed = default_seed() if seed is None else seed
    return Report(tuple(_rows(plan(properties, arms), parts, Profile(profile), seed, progress)))


def _check(
    subject: Subject,
    parts: Parts,
    arms: Iterable[Arm],
    profile: Profile | str,
    seed: int | None,
) -> Report:
    __tracebackhide__ = True
    pairs = plan(all_properties(subject), arms)
    if not pairs:
        raise LookupError(f"no property of {subject} can be tried there")
    seed_used = default_seed() if seed is None else seed
    rows: list[Row] = []
    for row in _rows(pairs, parts, Profile(profile), seed_used, None):
        if row.violation is not None:
            raise row.violation.with_traceback(None)
        rows.append(row)
    return Report(tuple(rows))


def check_backoff(
    policy: object, *, profile: Profile | str = Profile.QUICK, seed: int | None = None
) -> Report:
    """Prove a backoff, or fail with the smallest counterexample.

    Args:
        policy: A `Backoff`, a `BackoffPolicy`, or what makes one.
        profile: ``"quick"`` or ``"thorough"``.
        seed: Chooses the examples; ``None`` for the one of ``--hypothesis-seed``,
            or else a new one.

    Raises:
        PropertyViolatedError: A property does not hold; the first found.
        PartError: It is no backoff.
    """
    __tracebackhide__ = True
    return _check("backoff", Parts.of(backoff=policy), Arm, profile, seed)


def check_heartbeat(
    factory: object,
    *,
    answer: BeatAnswer | None = None,
    profile: Profile | str = Profile.QUICK,
    seed: int | None = None,
) -> Report:
    """Prove a heartbeat, or fail with the smallest counterexample.

    Args:
        factory: Makes a heartbeat, with no state left of another.
        answer: What a peer answers a beat with, as a `ScriptedPeer` is told it:
            ``(message, code) -> answer``. ``None`` for a heartbeat of the
            library's own; of another, it leaves untested whether answers are
            recognised.
        profile: ``"quick"`` or ``"thorough"``.
        seed: As for `check_backoff`.

    Raises:
        PropertyViolatedError: A property does not hold; the first found.
        PartError: It makes no heartbeat.
    """
    __tracebackhide__ = True
    return _check("heartbeat", Parts.of(heartbeat=factory, answer=answer), Arm, profile, seed)


def check_transport(
    factory: object,
    *,
    arms: Iterable[Arm] = tuple(Arm),
    profile: Profile | str = Profile.QUICK,
    seed: int | None = None,
) -> Report:
    """Prove a transport, or fail with the smallest counterexample.

    Args:
        factory: A `TransportFactory`, or the name of a shipped transport.
        arms: Where.
        profile: ``"quick"`` or ``"thorough"``.
        seed: As for `check_backoff`.

    Raises:
        PropertyViolatedError: A property does not hold; the first found.
        PartError: It is no transport factory.
    """
    __tracebackhide__ = True
    return _check("transport", Parts.of(transport=factory), arms, profile, seed)


def check_guard(
    open_guard: object,
    *,
    arms: Iterable[Arm] = tuple(Arm),
    profile: Profile | str = Profile.QUICK,
    seed: int | None = None,
) -> Report:
    """Prove a guard, or fail with the smallest counterexample.

    Args:
        open_guard: `open_guarded_websocket`, or what stands for it.
        arms: Where.
        profile: ``"quick"`` or ``"thorough"``.
        seed: As for `check_backoff`.

    Raises:
        PropertyViolatedError: A property does not hold; the first found.
        PartError: It cannot be called.
    """
    __tracebackhide__ = True
    return _check("guard", Parts.of(open_guard=open_guard), arms, profile, seed)
