"""The guard against a server that nobody here wrote: `websockets` on asyncio, in a process."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import attrs
import pytest
import trio

import trio_wsguard as wsguard
from trio_wsguard import ConnectionState, FailureKind

from .servers import BEATING, next_change, next_event, open_guard, quick

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytest.importorskip("websockets")

SCRIPT = """
import asyncio, sys
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

async def talk(ws):
    async for message in ws:
        if not isinstance(message, str) or not message.startswith("!"):
            await ws.send(message)
            continue
        word, *numbers = message[1:].split()
        if word == "flood":
            count, size = map(int, numbers)
            try:
                for n in range(count):
                    await ws.send(str(n) + " " * size)
                for _ in range(5):
                    await (await ws.ping())
                print("answered", flush=True)
                await ws.wait_closed()
            except ConnectionClosed:
                pass
            print("closed", ws.close_code, flush=True)
        elif word == "close":
            await ws.close(int(numbers[0]), "as asked")

async def main(port, interval, timeout):
    options = {"ping_interval": interval, "ping_timeout": timeout, "close_timeout": 1}
    async with serve(talk, "127.0.0.1", port, **options) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().create_future()

asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
"""


@attrs.define
class Foreign:
    """The server's process and what it prints."""

    process: trio.Process
    port: int = 0
    _unread: bytes = b""

    @property
    def url(self) -> str:
        """Where it is."""
        return f"ws://127.0.0.1:{self.port}/"

    async def line(self) -> str:
        """Wait for the next line that it prints."""
        stdout = self.process.stdout
        assert stdout is not None
        while b"\n" not in self._unread:
            chunk = await stdout.receive_some()
            assert chunk, "the server's process ended"
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    async def kill(self) -> None:
        """Kill it, without any goodbye; once more does nothing."""
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


@asynccontextmanager
async def foreign_server(
    folder: Path, port: int = 0, *, ping_interval: float = 20, ping_timeout: float = 20
) -> AsyncIterator[Foreign]:
    """Run the server until the block is left; it is killed, without any goodbye."""
    script = folder / "server.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(port), str(ping_interval), str(ping_timeout)]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    try:
        foreign = Foreign(process)
        foreign.port = int(await foreign.line())
        yield foreign
    finally:
        with trio.CancelScope(shield=True):
            await Foreign(process).kill()
            assert process.stdout is not None
            await process.stdout.aclose()


async def _echo(ws: wsguard.GuardedWebSocket, message: str | bytes) -> None:
    await ws.send_message(message)
    assert await ws.get_message() == message


async def test_echo_kill_and_revive(tmp_path: Path) -> None:
    """Killed with SIGKILL and started anew on its port, the server is found again."""
    policy = quick(max_connection_failures=None)
    async with foreign_server(tmp_path) as first, open_guard(first.url, policy=policy) as ws:
        await _echo(ws, "one")
        await _echo(ws, bytes(100_000))
        await first.kill()
        await ws.wait_state(ConnectionState.RECONNECTING)
        async with foreign_server(tmp_path, first.port):
            await ws.wait_connected()
            assert ws.generation > 1
            await _echo(ws, "two")


async def test_a_frozen_server_is_found_and_found_again(tmp_path: Path) -> None:
    """Stopped by SIGSTOP, its kernel still takes bytes: the beats tell; SIGCONT brings it back."""
    policy = quick(heartbeat=BEATING, max_connection_failures=None)
    async with (
        foreign_server(tmp_path) as server,
        open_guard(server.url, policy=policy) as ws,
        ws.events() as events,
    ):
        await _echo(ws, "one")
        server.process.send_signal(signal.SIGSTOP)
        lost = await next_change(events, ConnectionState.RECONNECTING)
        assert lost.failure is not None
        assert lost.failure.kind is FailureKind.HEARTBEAT
        await next_change(events, ConnectionState.CONNECTING)
        server.process.send_signal(signal.SIGCONT)
        await ws.wait_connected()
        await _echo(ws, "two")


async def test_closed_by_the_server_and_open_again(tmp_path: Path) -> None:
    """A close with 1012 is CLOSED and retried, one with 1000 is final."""
    async with (
        foreign_server(tmp_path) as server,
        open_guard(server.url) as ws,
        ws.events() as events,
    ):
        await ws.send_message("!close 1012")
        lost = await next_change(events, ConnectionState.RECONNECTING)
        assert lost.failure is not None
        assert (lost.failure.kind, lost.failure.close_code) == (FailureKind.CLOSED, 1012)
        await _echo(ws, "again")
        await ws.send_message("!close 1000")
        assert [message async for message in ws] == []
        assert ws.closed == wsguard.CloseReason(1000, "as asked")


async def test_beats_are_answered_by_it(tmp_path: Path) -> None:
    """Its pongs answer our beats, and we answer its keepalive, for many beats of both."""
    heartbeat = wsguard.HeartbeatPolicy(interval=0.05, response_timeout=5)
    async with (
        foreign_server(tmp_path, ping_interval=0.05, ping_timeout=5) as server,
        open_guard(server.url, policy=quick(heartbeat=heartbeat)) as ws,
    ):
        while ws.snapshot().beats_answered < 5:
            await _echo(ws, "meanwhile")
        assert ws.generation == 1


async def test_its_pings_are_answered_though_nobody_reads_messages(tmp_path: Path) -> None:
    """An application that takes no message, with room in the queue, still answers pings."""
    async with (
        foreign_server(tmp_path, ping_interval=0.1, ping_timeout=5) as server,
        open_guard(server.url) as ws,
    ):
        await ws.send_message("!flood 800 10")
        assert await server.line() == "answered"
        assert [int(await ws.get_message()) for _ in range(800)] == [*range(800)]
        assert ws.generation == 1


async def test_a_slow_consumer_is_kept_by_this_side(tmp_path: Path) -> None:
    """While its keepalive is patient, a consumer slower than our beats loses nothing."""
    heartbeat = wsguard.HeartbeatPolicy(interval=0.1, response_timeout=0.3, max_missed=2)
    policy = quick(heartbeat=heartbeat, max_queue=16)
    async with (
        foreign_server(tmp_path) as server,
        open_guard(server.url, policy=policy) as ws,
        ws.events() as events,
    ):
        await ws.send_message("!flood 4000 4096")
        anomaly = await next_event(events, wsguard.Anomaly)
        assert anomaly.kind is wsguard.AnomalyKind.SLOW_CONSUMER
        await trio.sleep(1)  # the application is slow: this is the input
        assert [int(await ws.get_message()) for _ in range(4000)] == [*range(4000)]
        assert await server.line() == "answered"
        assert ws.generation == 1


async def test_a_server_that_loses_patience_costs_one_connection(tmp_path: Path) -> None:
    """Dropped by its keepalive for our slowness, we deliver what was read and come back."""

    async def on_connect(connection: wsguard.Connection) -> None:
        if connection.generation == 1:
            await connection.send_message("!flood 3000 100")
        else:
            await connection.send_message("-1")

    async with (
        foreign_server(tmp_path, ping_interval=0.2, ping_timeout=0.3) as server,
        open_guard(server.url, policy=quick(max_queue=16), on_connect=on_connect) as ws,
    ):
        assert (await server.line()).startswith("closed")  # before any message is taken
        assert ws.generation == 1
        numbers: list[int] = []
        while not numbers or numbers[-1] != -1:
            numbers.append(int(await ws.get_message()))
        assert len(numbers) > 16
        assert numbers[:-1] == [*range(len(numbers) - 1)]
        assert ws.generation == 2
        await _echo(ws, "again")
