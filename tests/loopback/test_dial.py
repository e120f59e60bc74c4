"""Names with several addresses, and how the sockets are set, on real sockets."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
import trio

import trio_wsguard as wsguard
from trio_wsguard import FailureKind
from trio_wsguard._shell.dial import open_target, open_tcp, parse_url

from .servers import accept, echo, open_guard, quick

if TYPE_CHECKING:
    from .servers import Server


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let the name `several.test` have these addresses."""
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host != "several.test":
            return real(host, port, *args, **options)
        found = [real(address, port, *args, **options) for address in addresses]
        return [info for infos in found for info in infos]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


async def test_the_address_that_answers_wins(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several addresses, one that refuses does not hold up the one that answers."""
    resolve_to(monkeypatch, "127.0.0.2", "::1", "127.0.0.3", "127.0.0.1")
    server.script(accept(echo))
    url = server.url.replace("127.0.0.1", "several.test")
    async with open_guard(url) as ws:
        await ws.send_message("x")
        assert await ws.get_message() == "x"
        assert ws.snapshot().attempts == 1


async def test_all_addresses_refuse(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no address answers, the failure is NETWORK, with what each of them said."""
    resolve_to(monkeypatch, "127.0.0.2", "127.0.0.3")
    url = server.url.replace("127.0.0.1", "several.test")
    with pytest.raises(wsguard.GuardFailedError) as caught:
        async with open_guard(url, policy=quick(max_connection_failures=1)):
            raise AssertionError("entered")
    (failure,) = caught.value.failures
    assert failure.kind is FailureKind.NETWORK


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["127.0.0.2", "127.0.0.1"]])
async def test_small_messages_wait_for_no_ack(
    server: Server, monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    """TCP_NODELAY is set on whatever we dial: a beat goes out at once."""
    resolve_to(monkeypatch, *addresses)
    server.script(accept(echo))
    target = parse_url(server.url.replace("127.0.0.1", "several.test"))
    stream = await open_target(target)
    assert isinstance(stream, trio.SocketStream)
    async with stream:
        assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_an_address_is_not_looked_up(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """A numeric address is dialled straight away: no thread is waited for."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("looked up")

    listeners = await trio.open_tcp_listeners(0, host=host)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    async with listeners[0] as listener:
        port = listener.socket.getsockname()[1]
        async with await open_tcp(host, port) as stream:
            assert stream.socket.getpeername()[:2] == (host, port)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_cancelled_dial_leaves_no_socket(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """Cancelling a connect that hangs closes its socket at once."""
    made: list[trio.socket.SocketType] = []

    class Hanging:
        def __init__(self, inner: trio.socket.SocketType) -> None:
            self.close = inner.close

        async def connect(self, _: object) -> None:
            await trio.sleep_forever()

    def hang(*args: Any) -> Any:
        made.append(real(*args))
        return Hanging(made[-1])

    real = trio.socket.socket
    monkeypatch.setattr(trio.socket, "socket", hang)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(open_tcp, host, 9)
            while not made:
                await trio.lowlevel.checkpoint()
            scope.cancel()
    assert all(one.fileno() == -1 for one in made)
