"""The page on monitoring tells the truth: its tables are the code's, its cases run as written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest

import trio_wsguard as wsguard
from tests.pages import ROOT, Act, acts, assert_runs, table_rows
from trio_wsguard._core.monitor import ConnectionMonitor

if TYPE_CHECKING:
    from pathlib import Path

PAGE: Final = (ROOT / "docs" / "monitoring.md").read_text()
NEW: Final = ConnectionMonitor(wsguard.GuardPolicy(), 0.0, 0.0).snapshot(
    0.0, 0.0, name="the URL", generation=0, queue_depth=0, silence=None, open_delay=0.0
)


def figures() -> dict[str, object]:
    """Tell the figures of a new guard, by the names that the page has for them."""
    found: dict[str, object] = {}
    for field in attrs.fields(wsguard.Snapshot):
        value: Any = getattr(NEW, field.name)
        if attrs.has(type(value)):
            parts = [part.name for part in attrs.fields(type(value))]
            found |= {f"{field.name}.{part}": getattr(value, part) for part in parts}
        else:
            found[field.name] = value
    return found


def shown(value: object) -> str:
    """Write a default as the page does."""
    if value is None or value in ((), {}):
        return "none"
    if isinstance(value, tuple):
        return f"{value[0]} each"
    return str(getattr(value, "name", value))


def test_each_figure_is_told_with_its_default() -> None:
    """The table has the figures of a snapshot, in their order, as a new guard shows them."""
    rows = {row[0].strip("`"): row[2] for row in table_rows(PAGE, "figures")}
    expected = {name: shown(value) for name, value in figures().items()}
    of_the_moment = dict.fromkeys(("time", "last_state_change_time"), "now")
    assert list(rows) == list(expected)
    assert rows == expected | of_the_moment


def test_each_anomaly_is_told() -> None:
    """The table has every kind of anomaly, in their order."""
    rows = [row[0].strip("`") for row in table_rows(PAGE, "anomalies")]
    assert rows == [kind.value for kind in wsguard.AnomalyKind]


def test_each_alert_is_told() -> None:
    """The table has the documented rules, with threshold, level and advice."""
    assert table_rows(PAGE, "alerts") == [
        (f"`{r.name}`", f"{r.comparison} {r.threshold:g}", r.level.name, r.advice)
        for r in wsguard.DOCUMENTED_RULES
    ]


def test_the_links_within_the_page_lead_somewhere() -> None:
    """Every link to a heading has that heading."""
    headings = {
        re.sub(r"[^a-z -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    }
    links = set(re.findall(r"\]\(#([^)]+)\)", PAGE))
    assert links
    assert links <= headings


@pytest.mark.parametrize("act", acts(PAGE), ids=lambda act: act.command)
def test_the_cases_run_as_written(act: Act, tmp_path: Path) -> None:
    """Each case of the troubleshooting prints what the page shows."""
    assert_runs(act, tmp_path)
