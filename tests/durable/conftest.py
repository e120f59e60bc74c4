"""Real time for these tests: a worker thread knows no other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ..clocks import run_by, within_limit

if TYPE_CHECKING:
    from collections.abc import Callable


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bound every test of this folder."""
    run_by(items, Path(__file__).parent, lambda _: within_limit)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the outbox of a test is."""
    return tmp_path / "outbox.db"


@pytest.fixture
def contents(tmp_path: Path) -> Callable[[], dict[str, bytes]]:
    """Tells what every file of the folder holds."""
    return lambda: {file.name: file.read_bytes() for file in sorted(tmp_path.iterdir())}
