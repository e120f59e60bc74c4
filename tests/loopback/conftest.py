"""Servers for the tests on loopback sockets."""

from __future__ import annotations

import ssl
from inspect import iscoroutinefunction
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from ..clocks import run_by, within_limit
from . import servers
from .servers import CA, Server, server_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bound every test of this folder."""
    run_by(items, Path(__file__).parent, lambda _: within_limit)


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


@pytest.fixture
def client_context() -> ssl.SSLContext:
    """A client's context that trusts the tests' CA alone."""
    context = ssl.create_default_context()
    CA.configure_trust(context)
    return context


@pytest.fixture
async def tls_server() -> AsyncIterator[Server]:
    """A server with a good certificate for 127.0.0.1 and some names."""
    async with trio.open_nursery() as nursery:
        context = server_context("127.0.0.1", "localhost", "feed.test")
        one = Server(nursery, ssl_context=context)
        await one.start()
        yield one
        nursery.cancel_scope.cancel()
