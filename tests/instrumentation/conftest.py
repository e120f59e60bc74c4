"""By which clock these tests run: a virtual one, but for those on real sockets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..clocks import in_virtual_time, run_by, within_limit

if TYPE_CHECKING:
    import pytest

ON_SOCKETS = {
    "test_alertmanager_real",
    "test_prometheus_endpoint",
    "test_prometheus_server",
    "test_webhook_loopback",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Choose the clock of each test of this folder."""
    run_by(
        items,
        Path(__file__).parent,
        lambda item: within_limit if item.path.stem in ON_SOCKETS else in_virtual_time,
    )
