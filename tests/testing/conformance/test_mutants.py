"""Every mutant is caught: a suite that cannot fail is worth nothing."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

import pytest

from trio_wsguard.testing.conformance import Arm, Profile, Run, named_properties, run_property

from ... import mutants

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = sorted(module.name for module in pkgutil.iter_modules(mutants.__path__))


def mutant(name: str) -> Any:
    return importlib.import_module(f"{mutants.__name__}.{name}")


def test_there_are_mutants_enough() -> None:
    """Seventeen were asked for; each has a docstring that tells the bug, and a property."""
    assert len(NAMES) >= 17
    for name in NAMES:
        assert (mutant(name).__doc__ or "").endswith((".", ".\n")), name
        assert named_properties([mutant(name).CAUGHT_BY]), name


# A mutant may well leave behind what Python complains of: that is its bug.
@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("name", NAMES)
def test_the_mutant_is_caught(name: str, record_property: Callable[[str, object], None]) -> None:
    """The property that is named finds the bug in the quick profile, and passes without it."""
    (prop,) = named_properties([mutant(name).CAUGHT_BY])
    with mutant(name).mutated() as parts:
        run = Run(property=prop, parts=parts, arm=Arm.SIMULATED, profile=Profile.QUICK, seed=1)
        row = run_property(run)
    record_property("caught_by", prop.name)
    record_property("examples", row.examples)
    assert row.outcome == "failed", f"{row.examples} examples of {prop.name} did not find it"
    assert row.violation is not None
    assert row.violation.__cause__ is not None, "the property itself is broken"
