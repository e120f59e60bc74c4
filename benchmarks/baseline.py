"""The loop that this library replaces: the documents' algorithm, written by hand in asyncio.

A heartbeat task, a message loop, a failure count that rules the delay, and a
sleep in pieces of a second between which a flag is looked at ("interruptible
sleep"). It is written as the documents have it and no worse; what it lacks (a
watchdog, a bounded dial, a classification that is not by text) they lack.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

from websockets.asyncio.client import ClientConnection, connect

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

BEAT_INTERVAL: Final = 15.0
SEND_TIMEOUT: Final = 2.0
MAX_MISSED: Final = 3
MAX_FAILURES: Final = 5
PIECE: Final = 1.0  # seconds between two looks at the flag


def retry_delay(error: str, failures: int) -> float:
    """Tell how long to wait, by what the error's text says."""
    if "no close frame received or sent" in error:
        return min(3 * failures, 15)
    if "Connection refused" in error or "Connect call failed" in error or "timeout" in error:
        return min(10 * failures, 60)
    return min(5 * failures, 30)


class DocumentedClient:
    """One connection, kept up.

    Args:
        url: Where to.
        on_message: Called with each message.
        tls: For ``wss://``.

    Attributes:
        connection_failures: Consecutive ones.
        is_waiting: Whether it sleeps between two attempts.
        is_stopping: The flag.
    """

    def __init__(
        self, url: str, on_message: Callable[[Any], None], tls: ssl.SSLContext | None = None
    ) -> None:
        self.connection_failures = 0
        self.is_waiting = False
        self.is_stopping = False
        self.last_heartbeat_time = self.last_heartbeat_response = 0.0
        self._url = url
        self._on_message = on_message
        self._tls = tls

    async def run(self) -> None:
        """Connect, listen, wait, and again; until stopped, or failed five times in a row."""
        while not self.is_stopping and self.connection_failures < MAX_FAILURES:
            try:
                await self._listen()
            except Exception as exc:  # noqa: BLE001 - as the documents have it
                self.connection_failures += 1
                await self._sleep(retry_delay(str(exc), self.connection_failures))

    def stop(self) -> None:
        """Ask it to end."""
        self.is_stopping = True

    async def _listen(self) -> None:
        options = {"compression": None, "proxy": None, "ping_interval": None, "ssl": self._tls}
        async with connect(self._url, **options) as ws:  # type: ignore[arg-type]
            self.connection_failures = 0
            beats = asyncio.create_task(self._beat(ws))
            try:
                while not self.is_stopping:
                    self._handle(await ws.recv())
            finally:
                beats.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await beats

    def _handle(self, message: Any) -> None:
        if isinstance(message, str) and '"code"' in message:
            self.last_heartbeat_response = time.time()
            return
        self._on_message(message)

    async def _beat(self, ws: ClientConnection) -> None:
        missed = 0
        while missed < MAX_MISSED:
            beat = json.dumps({"lwp": "/!", "headers": {"mid": str(uuid.uuid4())}})
            try:
                async with asyncio.timeout(SEND_TIMEOUT):
                    await ws.send(beat)
                self.last_heartbeat_time = time.time()
                missed = 0
            except Exception:  # noqa: BLE001 - likewise
                missed += 1
            await self._sleep(BEAT_INTERVAL, is_between=False)

    async def _sleep(self, seconds: float, *, is_between: bool = True) -> None:
        """Sleep in pieces, and look at the flag after each."""
        self.is_waiting = is_between
        while seconds > 0 and not self.is_stopping:
            piece = min(PIECE, seconds)
            await asyncio.sleep(piece)
            seconds -= piece
        if is_between:
            self.is_waiting = False
