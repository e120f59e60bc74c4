"""Claim: a guarded reconnect costs what a bare one does, and no more than asyncio's.

What is measured is the time from the cut to the first message on the next
connection. The server (`benchmarks.cutter`) stamps the cut and sends the stamp
as that message, so that a client does nothing for the measurement but read a
clock. All loops retry at once: the guard by a policy without delays, the peers
because they are bare loops (`websockets` has an iterator that reconnects, but it
sleeps up to 5 s after a dial that is refused; without one it is the same loop).
The documents' loop has its own delays, of which its figures consist.

Addresses are numeric: a resolver is not measured. Of a round trip of 50 ms, made
by a relay of ours, SYN takes none: the kernel answers it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib
import logging
import os
import socket
import ssl
import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio
import trio_websocket

import trio_wsguard as wsguard
from benchmarks.cutter import certified, cutter
from benchmarks.framework import (
    PATIENCE,
    Benchmark,
    Claim,
    Context,
    Sample,
    is_installed,
    take_turns,
)
from benchmarks.peers import AIOHTTP, BARE, FAST, GUARD, PICOWS, RAW, REQUIRES, WS_ASYNCIO, WS_TRIO
from benchmarks.relay import relay_to

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    Loop = Callable[["Place", "Stopwatch"], Awaitable[None]]

DOCUMENTED: Final = "documented"

RESET: Final = "reset"
CLOSE: Final = "close frame"
RESTART: Final = "server restart"
TLS: Final = "reset, TLS"
TLS_FRESH: Final = "reset, TLS without tickets"
FAR: Final = "reset, 50 ms away"
# The port of the server, by case; the last goes through the relay.
WAYS: Final = {
    RESET: "reset",
    CLOSE: "close",
    RESTART: "restart",
    TLS: "tls",
    TLS_FRESH: "tls-fresh",
    FAR: "reset",
}
ROUND_TRIP: Final = 0.05

WORD: Final = "go"  # what a client says once it is ready to be cut

WARM_UP: Final = 3  # reconnects that are not counted

ZERO: Final = wsguard.GuardPolicy(
    backoff=wsguard.BackoffPolicy(
        closed=wsguard.LinearBackoff(0, 0),
        network=wsguard.LinearBackoff(0, 0),
        other=wsguard.LinearBackoff(0, 0),
    ),
    max_connection_failures=None,
)


@attrs.frozen
class Place:
    """Where to connect.

    Attributes:
        port: On 127.0.0.1.
        tls: For TLS; ``None`` for plain text.
    """

    port: int
    tls: ssl.SSLContext | None = None

    @property
    def url(self) -> str:
        """The same as a URL."""
        return f"{'ws' if self.tls is None else 'wss'}://127.0.0.1:{self.port}/"


class Done(Exception):  # noqa: N818 - no error
    """Enough was measured."""


class Stopwatch:
    """Takes the first message of each connection, and tells how long ago the cut was.

    Args:
        count: Reconnects to count.
        warm_up: Reconnects before that.
    """

    def __init__(self, count: int, warm_up: int = WARM_UP) -> None:
        self._began_at = time.monotonic()
        self._left = count + warm_up
        self._count = count
        self._seconds: list[float] = []

    def note(self, message: Any) -> None:
        """Take a first message.

        Raises:
            Done: That was enough.
        """
        at = time.monotonic()
        cut_at = float(message)
        if cut_at <= self._began_at:
            return  # the first connection, or the end of another peer's
        self._seconds.append(at - cut_at)
        self._left -= 1
        if not self._left:
            raise Done

    @property
    def milliseconds(self) -> float:
        """The median of those that count."""
        return 1000 * median(self._seconds[-self._count :])


# --- the floor -------------------------------------------------------------------


def _raw(place: Place, watch: Stopwatch) -> None:
    """Connect, upgrade and read by blocking calls; TLS sessions are resumed."""
    session: ssl.SSLSession | None = None
    key = base64.b64encode(os.urandom(16))
    request = (
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{place.port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key.decode()}\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n"
    ).encode()
    while True:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", place.port)))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if place.tls is not None:
                sock = stack.enter_context(
                    place.tls.wrap_socket(sock, server_hostname="127.0.0.1", session=session)
                )
            sock.sendall(request)
            data = b""
            while b"\r\n\r\n" not in data or not data.partition(b"\r\n\r\n")[2]:
                data += sock.recv(2**16)
            watch.note(data.partition(b"\r\n\r\n")[2][2:])
            if isinstance(sock, ssl.SSLSocket):
                session = sock.session
            sock.sendall(b"\x81\x82" + bytes(4) + WORD.encode())
            if sock.recv(2**16):
                sock.sendall(b"\x88\x82" + bytes(4) + (1012).to_bytes(2, "big"))
                sock.recv(1)


# --- peers on trio ---------------------------------------------------------------

_LOST: Final = (trio_websocket.ConnectionClosed, trio_websocket.HandshakeError, OSError)


async def _bare(place: Place, watch: Stopwatch) -> None:
    while True:
        with contextlib.suppress(*_LOST):
            async with trio_websocket.open_websocket_url(place.url, ssl_context=place.tls) as ws:
                while True:
                    watch.note(await ws.get_message())
                    await ws.send_message(WORD)


async def _websockets_trio(place: Place, watch: Stopwatch) -> None:
    from websockets.exceptions import ConnectionClosed, InvalidHandshake
    from websockets.trio.client import connect

    lost = (ConnectionClosed, InvalidHandshake, OSError, trio.BrokenResourceError)
    while True:
        with contextlib.suppress(*lost):
            async with connect(place.url, ssl=place.tls, compression=None, proxy=None) as ws:
                while True:
                    watch.note(await ws.recv())
                    await ws.send(WORD)


async def _guard(place: Place, watch: Stopwatch, *, transport: str) -> None:
    async with wsguard.open_guarded_websocket(
        place.url, policy=ZERO, transport=transport, ssl_context=place.tls
    ) as ws:
        async for message in ws:
            watch.note(message)
            with contextlib.suppress(wsguard.ConnectionLostError):
                await ws.send_message(WORD)


# --- peers on asyncio ------------------------------------------------------------


async def _websockets(place: Place, watch: Stopwatch) -> None:
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed, InvalidHandshake

    while True:
        with contextlib.suppress(ConnectionClosed, InvalidHandshake, OSError):
            async with connect(place.url, ssl=place.tls, compression=None, proxy=None) as ws:
                while True:
                    watch.note(await ws.recv())
                    await ws.send(WORD)


async def _aiohttp(place: Place, watch: Stopwatch) -> None:
    aiohttp: Any = importlib.import_module("aiohttp")

    async with aiohttp.ClientSession() as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                async with session.ws_connect(place.url, ssl=place.tls or True) as ws:
                    async for message in ws:
                        watch.note(message.data)
                        await ws.send_str(WORD)


async def _picows(place: Place, watch: Stopwatch) -> None:
    picows: Any = importlib.import_module("picows")

    done = asyncio.Event()

    class Listener(picows.WSListener):  # type: ignore[misc]
        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            if frame.msg_type != picows.WSMsgType.TEXT:
                if frame.msg_type == picows.WSMsgType.CLOSE:
                    transport.send_close(frame.get_close_code())
                return
            try:
                watch.note(frame.get_payload_as_bytes())
                transport.send(picows.WSMsgType.TEXT, WORD.encode())
            except Done:
                done.set()
                transport.disconnect()

    while not done.is_set():
        with contextlib.suppress(OSError, picows.WSError):
            transport, _ = await picows.ws_connect(Listener, place.url, ssl_context=place.tls)
            await transport.wait_disconnected()


async def _documented(place: Place, watch: Stopwatch) -> None:
    from benchmarks.baseline import DocumentedClient

    done = asyncio.Event()

    def take(message: Any) -> None:
        try:
            watch.note(message)
        except Done:
            done.set()

    running = asyncio.create_task(DocumentedClient(place.url, take, place.tls).run())
    await done.wait()
    running.cancel()
    await asyncio.wait([running])


_ON_TRIO: Final[dict[str, Loop]] = {
    BARE: _bare,
    WS_TRIO: _websockets_trio,
    GUARD: partial(_guard, transport="trio-websocket"),
    FAST: partial(_guard, transport="websockets"),
}
_ON_ASYNCIO: Final[dict[str, Loop]] = {
    WS_ASYNCIO: _websockets,
    AIOHTTP: _aiohttp,
    PICOWS: _picows,
    DOCUMENTED: _documented,
}
PEERS: Final = (
    RAW, BARE, GUARD, WS_TRIO, FAST, WS_ASYNCIO, AIOHTTP, PICOWS, DOCUMENTED
)  # fmt: skip


# --- measuring -------------------------------------------------------------------


def measure(peer: str, place: Place, count: int, warm_up: int = WARM_UP) -> float:
    """Tell how long one peer is away, in milliseconds: the median of so many reconnects."""
    patience = PATIENCE + count * 0.1
    watch = Stopwatch(count, warm_up)
    with contextlib.suppress(Done):
        if peer == RAW:
            _raw(place, watch)
        elif peer in _ON_TRIO:
            trio.run(_trio_main, _ON_TRIO[peer], place, watch, patience)
        else:
            asyncio.run(_asyncio_main(_ON_ASYNCIO[peer], place, watch, patience))
    return watch.milliseconds


async def _trio_main(loop: Loop, place: Place, watch: Stopwatch, patience: float) -> None:
    try:
        with trio.fail_after(patience):
            await loop(place, watch)
    except BaseExceptionGroup as group:
        # Some libraries let what their user raised out in a group.
        _, rest = group.split(Done)
        if rest is not None:
            raise
        raise Done from None


async def _asyncio_main(loop: Loop, place: Place, watch: Stopwatch, patience: float) -> None:
    async with asyncio.timeout(patience):
        await loop(place, watch)


@contextlib.contextmanager
def places() -> Iterator[Callable[[str], Place]]:
    """Run what is needed; gives what tells where a case is to be measured."""
    with contextlib.ExitStack() as stack:
        certificate = stack.enter_context(certified()) if is_installed("trustme") else None
        ports = stack.enter_context(cutter(None if certificate is None else certificate.path))
        far = stack.enter_context(relay_to(ports[WAYS[FAR]], delay=ROUND_TRIP / 2)).port

        def find(case: str) -> Place:
            if case == FAR:
                return Place(far)
            if case not in (TLS, TLS_FRESH) or certificate is None:
                return Place(ports[WAYS[case]])
            # A context for each measurement: no peer resumes the session of another.
            return Place(ports[WAYS[case]], certificate.trusting())

        yield find


def run(context: Context) -> Iterable[Sample]:
    """Measure all peers in all cases."""
    silence()
    rounds, count, warm_up = (2, 4, 1) if context.quick else (9, 40, WARM_UP)
    # Rounds of the documents' loop take seconds and differ by milliseconds.
    left = {RESET: 1} if context.quick else {RESET: 3, CLOSE: 3, RESTART: 3}
    with places() as find:

        def measure_one(peer: str, case: str) -> dict[str, float]:
            if peer != DOCUMENTED:
                some = max(2, count // 4) if case == FAR else count
                return {case: measure(peer, find(case), some, warm_up)}
            if not left.get(case):
                return {}
            left[case] -= 1
            return {case: measure(peer, find(case), 1, 0)}

        cases = list(WAYS)
        if not is_installed("trustme"):
            cases = [case for case in cases if case not in (TLS, TLS_FRESH)]
            context.notes.append("TLS was not measured: pip install trustme")
        yield from take_turns(context, cases, rounds, measure_one)


def silence() -> None:
    """Keep what is logged off the terminal; it is made all the same."""
    for name in ("trio_wsguard", "trio-websocket", "websockets", "picows", "asyncio"):
        logging.getLogger(name).addHandler(logging.NullHandler())
        logging.getLogger(name).propagate = False


_CASES: Final = tuple(WAYS)
RECONNECT_LATENCY: Final = Benchmark(
    name="reconnect_latency",
    claim="A guarded reconnect costs what a bare loop over the same library does.",
    unit="ms",
    lower_is_better=True,
    peers=PEERS,
    baseline=BARE,
    floor=RAW,
    claims=(
        *(Claim(peer=GUARD, case=case, bound=1.10, against=BARE) for case in _CASES),
        *(Claim(peer=FAST, case=case, bound=1.10, against=WS_TRIO) for case in _CASES),
        *(Claim(peer=FAST, case=case, bound=1.10, against=WS_ASYNCIO) for case in _CASES),
    ),
    requires={**REQUIRES, DOCUMENTED: "websockets"},
    run=run,
)
BENCHMARKS: Final = (RECONNECT_LATENCY,)
