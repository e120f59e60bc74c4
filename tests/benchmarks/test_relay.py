"""The relay: bytes late, ends passed on, and the hole."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from typing import TYPE_CHECKING

import pytest

from benchmarks.relay import Relaying, relay_to

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 10.0  # seconds


@contextlib.contextmanager
def relayed(delay: float = 0.0) -> Iterator[tuple[socket.socket, socket.socket, Relaying]]:
    """A connection through a relay: both ends, and the relay."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        relay = stack.enter_context(relay_to(listening.getsockname()[1], delay))
        client = stack.enter_context(socket.create_connection(("127.0.0.1", relay.port)))
        server = stack.enter_context(listening.accept()[0])
        client.settimeout(LIMIT)
        server.settimeout(LIMIT)
        yield client, server, relay


def test_bytes_pass_both_ways_in_order() -> None:
    """Many small writes come out as they went in."""
    with relayed(delay=0.005) as (client, server, _):
        for number in range(200):
            client.sendall(number.to_bytes(2, "big"))
        server.sendall(b"back")
        data = b""
        while len(data) < 400:
            data += server.recv(400)
        assert data == b"".join(number.to_bytes(2, "big") for number in range(200))
        assert client.recv(10) == b"back"


def test_bytes_are_late() -> None:
    """Never earlier than the delay."""
    with relayed(delay=0.1) as (client, server, _):
        began = time.monotonic()
        client.sendall(b"x")
        assert server.recv(1) == b"x"
        assert time.monotonic() - began >= 0.1


def test_fin_and_rst_pass() -> None:
    """FIN behind the bytes before it; RST as RST."""
    with relayed() as (client, server, _):
        client.sendall(b"last")
        client.shutdown(socket.SHUT_WR)
        assert server.recv(10) == b"last"
        assert server.recv(10) == b""
    with relayed() as (client, server, _):
        client.sendall(b"x")
        assert server.recv(1) == b"x"
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        with pytest.raises(ConnectionResetError):
            server.recv(1)


def test_a_hole_lets_nothing_through_and_tells_nobody() -> None:
    """Writes are taken until the buffers are full, and nothing arrives."""
    with relayed() as (client, server, relay):
        client.sendall(b"before")
        assert server.recv(10) == b"before"
        before = time.monotonic()
        assert before <= relay.hole() <= time.monotonic()
        client.sendall(b"into the hole")
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.recv(1)
        client.setblocking(False)
        taken = 0
        with contextlib.suppress(BlockingIOError):
            while taken < 2**30:
                taken += client.send(bytes(2**20))
        assert taken < 2**30


def test_the_end_of_a_relay_ends_its_connections() -> None:
    """So that nobody waits for a close handshake through it."""
    with relayed() as (client, _, relay):
        relay.end()
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
