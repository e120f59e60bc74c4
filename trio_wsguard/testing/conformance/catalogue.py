"""All properties, and what to try where."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

from trio_wsguard.testing.conformance import (
    backoff,
    guard_delivery,
    guard_errors,
    guard_figures,
    guard_health,
    guard_intake,
    guard_leaving,
    guard_liveness,
    guard_messages,
    guard_outbox,
    guard_queue,
    guard_retry,
    guard_sending,
    guard_states,
    heartbeat,
    transport,
    transport_cancelling,
    transport_ending,
    transport_opening,
)
from trio_wsguard.testing.conformance.property import Arm, Property

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_wsguard.testing.conformance.property import Subject

_MODULES: Final = (
    *(backoff, heartbeat),
    *(transport, transport_opening, transport_ending, transport_cancelling),
    *(guard_states, guard_retry, guard_liveness, guard_figures, guard_health),
    *(guard_messages, guard_sending, guard_queue, guard_leaving, guard_errors),
    *(guard_intake, guard_delivery, guard_outbox),
)


class UnknownPropertyError(LookupError):
    """There is no property of that name."""

    def __init__(self, name: str, similar: str | None) -> None:
        super().__init__(name, similar)
        self.name = name
        self.similar = similar

    def __str__(self) -> str:
        hint = f"; did you mean {self.similar}?" if self.similar else ""
        return f"no property is called {self.name!r}{hint}"


def all_properties(*subjects: Subject) -> tuple[Property, ...]:
    """Give the properties of some subjects, or of all, in the order of the files."""
    found = [
        value
        for module in _MODULES
        for value in vars(module).values()
        if isinstance(value, Property)
    ]
    return tuple(one for one in found if not subjects or one.subject in subjects)


def named_properties(names: Iterable[str]) -> tuple[Property, ...]:
    """Give the properties of these names.

    Raises:
        UnknownPropertyError: There is none of a name.
    """
    known = {one.name: one for one in all_properties()}
    found: list[Property] = []
    for name in names:
        if name not in known:
            similar = difflib.get_close_matches(name, known, 1)
            raise UnknownPropertyError(name, similar[0] if similar else None)
        found.append(known[name])
    return tuple(found)


def plan(
    properties: Iterable[Property], arms: Iterable[Arm] = tuple(Arm)
) -> tuple[tuple[Property, Arm], ...]:
    """Pair each property with those of the arms on which it can be tried."""
    chosen = tuple(arms)
    return tuple((one, arm) for one in properties for arm in one.arms if arm in chosen)
