"""The page on faults tells of all of them, and its examples are valid."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import attrs
import pytest

from trio_wsguard.testing import faults
from trio_wsguard.testing.faults import Fault

PAGE = (Path(__file__).parents[2] / "docs" / "faults.md").read_text()
FAULTS = {
    name: value
    for name, value in vars(faults).items()
    if isinstance(value, type) and issubclass(value, Fault) and value is not Fault
}
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^#)", PAGE, re.MULTILINE | re.DOTALL))


def test_every_fault_has_a_heading() -> None:
    """Each exported fault has a heading, and each link leads to one."""
    assert set(SECTIONS) - {"Which"} == set(FAULTS)
    anchors = {name.lower() for name in FAULTS}
    assert set(re.findall(r"\]\(#(\w+)\)", PAGE)) == anchors


@pytest.mark.parametrize("name", FAULTS)
def test_every_setting_is_told_and_the_example_is_valid(name: str) -> None:
    """A fault's section names its settings and source; its example makes such a fault."""
    section = SECTIONS[name]
    for field in attrs.fields(FAULTS[name]):
        if field.name not in attrs.fields_dict(Fault):
            assert f"`{field.name}`" in section, field.name
    assert "- source: " in section
    assert "- guard: " in section
    (example,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    made: Any = eval(example, dict(vars(faults)))  # noqa: S307 - our own page
    assert type(made) is FAULTS[name]
    assert repr(made) == example.strip().replace("30_000", "30000").replace('"', "'")


def test_toxiproxys_toxics_are_all_there() -> None:
    """The table maps each of toxiproxy's toxics."""
    toxics = ("latency", "bandwidth", "slow_close", "timeout", "reset_peer", "slicer", "limit_data")
    for toxic in toxics:
        assert f"| `{toxic}` | [" in PAGE


def test_the_rows_of_the_test_kit_are_all_there() -> None:
    """The table maps each of the 32 faults that were asked for."""
    rows = re.findall(r"^\|[^|]*\|[^|]*\| \|([^|]+)\|", PAGE, re.MULTILINE)
    assert {int(number) for row in rows for number in re.findall(r"\d+", row)} == set(range(1, 33))
