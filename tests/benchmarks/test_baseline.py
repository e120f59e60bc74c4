"""The documents' loop: its delays, its beats, its flag."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

pytest.importorskip("websockets")

from websockets.asyncio.server import ServerConnection, serve

from benchmarks.baseline import DocumentedClient, retry_delay


@pytest.mark.parametrize(
    ("error", "delays"),
    [
        ("no close frame received or sent", [3, 6, 9, 12, 15, 15]),
        ("[Errno 111] Connection refused", [10, 20, 30, 40, 50, 60]),
        ("timed out during opening handshake: timeout", [10, 20, 30, 40, 50, 60]),
        ("what else", [5, 10, 15, 20, 25, 30]),
    ],
)
def test_its_delays_are_the_documents(error: str, delays: list[float]) -> None:
    """By what the text says."""
    assert [retry_delay(error, failures) for failures in range(1, 7)] == delays


def test_it_connects_beats_and_hands_messages_on() -> None:
    """The first beat goes out at once; its answer is none of the application's."""

    async def main() -> tuple[list[Any], DocumentedClient]:
        received: list[Any] = []
        came = asyncio.Event()

        async def talk(ws: ServerConnection) -> None:
            assert '"lwp": "/!"' in str(await ws.recv())
            await ws.send('{"code": 200}')
            await ws.send("hello")
            await ws.wait_closed()

        def take(message: Any) -> None:
            received.append(message)
            came.set()

        async with serve(talk, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            client = DocumentedClient(f"ws://127.0.0.1:{port}/", take)
            running = asyncio.create_task(client.run())
            async with asyncio.timeout(10):
                await came.wait()
            running.cancel()
            await asyncio.wait([running])
        return received, client

    received, client = asyncio.run(main())
    assert received == ["hello"]
    assert 0 < client.last_heartbeat_time <= client.last_heartbeat_response <= time.time()


def test_it_gives_up_after_five_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    """And never waits longer than its pieces allow a flag to be seen."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def fail() -> None:
        raise OSError("Connection refused")

    client = DocumentedClient("ws://127.0.0.1:9/", lambda _message: None)
    monkeypatch.setattr(client, "_listen", fail)
    monkeypatch.setattr("benchmarks.baseline.asyncio.sleep", sleep)
    asyncio.run(client.run())
    assert client.connection_failures == 5
    assert sum(slept) == 10 + 20 + 30 + 40 + 50
    assert max(slept) == 1.0
