"""What tests of several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .kit import feed_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Give the port of a server that sends a hostile feed."""
    with feed_server() as number:
        yield number
