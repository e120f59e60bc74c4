"""The guard has all its properties, over both transports that are shipped."""

from __future__ import annotations

import pytest

from trio_wsguard.testing.conformance import (
    Arm,
    Parts,
    Property,
    Run,
    all_properties,
    plan,
    run_property,
)

PAIRS = plan(all_properties("guard"))


EACH = pytest.mark.parametrize(
    ("prop", "arm"), PAIRS, ids=[f"{prop.name}-{arm.value}" for prop, arm in PAIRS]
)


@EACH
def test_the_guard_conforms(prop: Property, arm: Arm) -> None:
    """The property holds over trio-websocket, in the quick profile."""
    conforms(prop, arm, "trio-websocket")


@EACH
@pytest.mark.usefixtures("untraced")
def test_the_guard_conforms_over_websockets(prop: Property, arm: Arm) -> None:
    """The property holds over websockets' Sans-I/O core as well."""
    conforms(prop, arm, "websockets")


def conforms(prop: Property, arm: Arm, transport: str) -> None:
    """Try a property; a violation comes out with its example."""
    run = Run(property=prop, parts=Parts.of(transport=transport), arm=arm, seed=1)
    row = run_property(run)
    if row.violation is not None:
        raise row.violation
    assert row.outcome == "passed"
