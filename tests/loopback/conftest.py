"""Servers for the tests on loopback sockets."""

from __future__ import annotations

from inspect import iscoroutinefunction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

from . import servers
from .servers import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# Far beyond what any test needs, and below the 20 s of `open_timeout`: a guard
# that only ends by that timeout fails here.
LIMIT = 15

# What runs over both transports; the rest depends on none.
OVER_BOTH = {
    "test_closing",
    "test_handshake",
    "test_leaving",
    "test_loss",
    "test_messages",
    "test_senders",
    "test_tls",
    "test_websockets_server",
}


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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what depends on the transport over both."""
    name = metafunc.definition.path.stem
    if name in OVER_BOTH and iscoroutinefunction(metafunc.function):
        metafunc.fixturenames.append("transport")
        metafunc.parametrize("transport", ["trio-websocket", "websockets"], indirect=True)


@pytest.fixture
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The transport of every guard that a test opens."""
    name: str = request.param
    if name == "websockets":
        pytest.importorskip("websockets")
    monkeypatch.setattr(servers, "default_transport", name)
    return name


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
