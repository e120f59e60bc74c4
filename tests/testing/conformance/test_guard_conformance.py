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


@pytest.mark.parametrize("transport", ["trio-websocket", "websockets"])
@pytest.mark.parametrize(
    ("prop", "arm"), PAIRS, ids=[f"{prop.name}-{arm.value}" for prop, arm in PAIRS]
)
def test_the_guard_conforms(prop: Property, arm: Arm, transport: str) -> None:
    """The property holds in the quick profile."""
    run = Run(property=prop, parts=Parts.of(transport=transport), arm=arm, seed=1)
    row = run_property(run)
    if row.violation is not None:
        raise row.violation
    assert row.outcome == "passed"
