"""Unix sockets: servers of this machine, by path."""

from __future__ import annotations

import socket
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest
import trio
import trustme

import trio_wsguard as wsguard
from trio_wsguard import ConnectionState, FailureKind

from .servers import (
    Server,
    accept,
    drop,
    echo,
    eventually,
    failure_of,
    header,
    needs_proc,
    open_files,
    open_guard,
    quick,
    redirect,
    respond,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")


@attrs.define(eq=False)
class UnixServer(Server):
    """A server on a Unix socket."""

    path: Path = Path()

    @property
    def url(self) -> str:
        return f"{'wss' if self.ssl_context else 'ws'}+unix:{self.path}:/"

    async def start(self) -> None:
        self.path.unlink(missing_ok=True)
        sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        await sock.bind(str(self.path))
        sock.listen()
        self._listener = trio.SocketListener(sock)
        self._scope = trio.CancelScope()
        self.nursery.start_soon(self._accept, self._listener, self._scope)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: the path of a socket has at most about 100 bytes."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture
async def unix_server(folder: Path) -> AsyncIterator[UnixServer]:
    """A server on a Unix socket."""
    async with trio.open_nursery() as nursery:
        server = UnixServer(nursery, path=folder / "a.sock")
        await server.start()
        yield server
        nursery.cancel_scope.cancel()


async def test_a_guard_over_a_unix_socket(unix_server: UnixServer) -> None:
    """A guard connects to a socket by its path, asks for the resource, and names localhost."""
    unix_server.script(accept(echo))
    async with open_guard(unix_server.url + "v1/feed?token=s3cret", name=None) as ws:
        await ws.send_message("x" * 100_000)
        assert await ws.get_message() == "x" * 100_000
        assert ws.name == unix_server.url + "v1/feed"
    assert unix_server.paths == ["/v1/feed?token=s3cret"]
    assert header(unix_server.heads[0], "Host") == "localhost"


async def test_it_comes_back(unix_server: UnixServer) -> None:
    """A lost connection comes back, also after the server was away, as NETWORK."""
    unix_server.script(accept(drop), accept(echo))
    policy = quick(max_connection_failures=None)
    async with open_guard(unix_server.url, policy=policy) as ws, ws.events() as events:
        await eventually(lambda: ws.generation == 2)
        await ws.wait_connected()
        await unix_server.stop()
        unix_server.path.unlink()
        async for event in events:
            failure = getattr(event, "failure", None)
            if failure is not None and failure.kind is FailureKind.NETWORK:
                break
        await unix_server.start()
        await ws.send_message("back")
        assert await ws.get_message() == "back"


async def test_a_path_with_any_characters(folder: Path) -> None:
    """A colon, a question mark and a space in the path are written percent-encoded."""
    async with trio.open_nursery() as nursery:
        server = UnixServer(nursery, path=folder / "a:b? ü.sock")
        await server.start()
        server.script(accept(echo))
        async with open_guard(f"ws+unix:{folder}/a%3Ab%3F%20%C3%BC.sock:/x") as ws:
            assert ws.state is ConnectionState.CONNECTED
        assert server.paths == ["/x"]
        nursery.cancel_scope.cancel()


async def test_tls_over_a_unix_socket(folder: Path) -> None:
    """`wss+unix:` speaks TLS over the socket, with a certificate for localhost."""
    ca = trustme.CA()
    client, context = (
        ssl.create_default_context(),
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH),
    )
    ca.configure_trust(client)
    ca.issue_cert("localhost").configure_cert(context)
    async with trio.open_nursery() as nursery:
        server = UnixServer(nursery, ssl_context=context, path=folder / "a.sock")
        await server.start()
        server.script(accept(echo))
        async with open_guard(server.url, ssl_context=client) as ws:
            await ws.send_message("x")
            assert await ws.get_message() == "x"
        nursery.cancel_scope.cancel()


async def test_no_socket_there(folder: Path, unix_server: UnixServer) -> None:
    """A path without a socket, or with a dead one, is NETWORK, and retried."""
    await unix_server.stop()
    for url in (f"ws+unix:{folder}/none.sock", unix_server.url, f"ws+unix:{folder}"):
        failure = await failure_of(url)
        assert (failure.kind, failure.transient) == (FailureKind.NETWORK, True)


async def test_a_path_that_is_too_long(folder: Path) -> None:
    """A path longer than the system takes fails, and says so."""
    failure = await failure_of(f"ws+unix:/{'x' * 200}")
    assert failure.kind is FailureKind.NETWORK
    assert "too long" in failure.message


async def test_redirects_stay_on_the_socket(unix_server: UnixServer) -> None:
    """A redirect to another resource is followed on the same socket, with the credentials."""
    unix_server.script(redirect("/there?q=1"), accept(echo))
    async with open_guard(unix_server.url + "here", headers={"Cookie": "id=1"}) as ws:
        assert ws.generation == 1
    assert unix_server.paths == ["/here", "/there?q=1"]
    assert header(unix_server.heads[1], "Cookie") == "id=1"


async def test_no_redirect_leads_to_a_unix_socket(server: Server, unix_server: UnixServer) -> None:
    """A server cannot send us to a socket of this machine: PROTOCOL, and it sees nothing."""
    unix_server.script(accept(echo))
    server.script(redirect(unix_server.url))
    failure = await failure_of(server.url)
    assert failure.kind is FailureKind.PROTOCOL
    assert "redirected to a Unix socket" in failure.message
    assert unix_server.accepted_at == []


async def test_no_redirect_leads_away_from_a_unix_socket(
    server: Server, unix_server: UnixServer
) -> None:
    """Nor does a server behind a socket send us elsewhere."""
    server.script(accept(echo))
    unix_server.script(redirect(server.url))
    failure = await failure_of(unix_server.url)
    assert failure.kind is FailureKind.PROTOCOL
    assert "redirected from a Unix socket" in failure.message
    assert server.accepted_at == []


async def test_endpoints_may_be_mixed(server: Server, unix_server: UnixServer) -> None:
    """A Unix socket may stand among several endpoints."""
    unix_server.script(respond(503))
    server.script(accept(echo))
    async with open_guard([unix_server.url, server.url]) as ws:
        assert ws.generation == 2


@needs_proc
async def test_no_socket_is_left_open(unix_server: UnixServer) -> None:
    """Whatever ends a connection, its socket is closed."""
    unix_server.script(*[accept(drop), respond(503)] * 5, accept(echo))
    before = open_files()
    policy = quick(max_connection_failures=None)
    async with open_guard(unix_server.url, policy=policy) as ws:
        await eventually(lambda: ws.generation == 11)
        await ws.wait_connected()
    await eventually(lambda: open_files() <= before)


async def test_where_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a system without Unix sockets the URL is refused, and says why."""
    monkeypatch.delattr(socket, "AF_UNIX")
    with pytest.raises(wsguard.PolicyError, match="no Unix sockets"):
        async with open_guard("ws+unix:/tmp/a.sock", wait=False):
            raise AssertionError("entered")
