"""The suite as pytest collects it: one item for each property and arm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from trio_wsguard.testing import plugin
from trio_wsguard.testing.conformance.check import run_property
from trio_wsguard.testing.conformance.property import Profile
from trio_wsguard.testing.conformance.run import Run, default_seed

if TYPE_CHECKING:
    from trio_wsguard.testing.conformance.property import Arm, Property


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make an item for each property and arm."""
    pairs = plugin.chosen_plan(metafunc.config)
    names = [f"{prop.subject}-{prop.name}-{arm.value}" for prop, arm in pairs]
    metafunc.parametrize(("prop", "arm"), pairs, ids=names)


@pytest.fixture(scope="session")
def wsguard_seed() -> int | str:
    """Give one seed for the whole run, so that any failure names it."""
    return default_seed()


def test_property(
    prop: Property,
    arm: Arm,
    wsguard_seed: int | str,
    request: pytest.FixtureRequest,
) -> None:
    """The parts under test have the property."""
    __tracebackhide__ = True
    config = request.config
    run = Run(
        property=prop,
        parts=plugin.chosen_parts(config),
        arm=arm,
        profile=Profile(plugin.profile_name(config)),
        seed=wsguard_seed,
    )
    row = run_property(run)
    # Not `record_property`: it warns where a JUnit report is written.
    request.node.user_properties.append((plugin.ROW, row.as_dict()))
    if row.outcome == "skipped":
        pytest.skip(row.reason)
    if row.violation is not None:
        raise row.violation.with_traceback(None)
