"""Servers for the tests on loopback sockets."""

from __future__ import annotations

from inspect import iscoroutinefunction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

from .servers import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# Far beyond what any test needs, and below the 20 s of `open_timeout`: a guard
# that only ends by that timeout fails here.
LIMIT = 15


def _run_within_limit(fn: Any, **options: Any) -> Any:
    async def limited() -> Any:
        with trio.fail_after(LIMIT):
            return await fn()

    return trio.run(limited, **options)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bound every test of this folder; a safety net that says nothing about speed."""
    for item in items:
        is_async = iscoroutinefunction(getattr(item, "obj", None))
        if is_async and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.trio(run=_run_within_limit), append=False)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A server on a loopback socket."""
    async with trio.open_nursery() as nursery:
        one = Server(nursery)
        await one.start()
        yield one
        nursery.cancel_scope.cancel()


@pytest.fixture
async def other_server() -> AsyncIterator[Server]:
    """Another, on a port of its own: another origin."""
    async with trio.open_nursery() as nursery:
        one = Server(nursery)
        await one.start()
        yield one
        nursery.cancel_scope.cancel()
