"""A relay in a process of its own: bytes come late, or not at all.

It holds what it is sent back for a while, each way, and forwards FIN and RST
likewise. The kernel answers SYN at once: a connect through it costs no round
trip, everything after does.

Commands come on stdin, a line each: ``hole`` makes it stop reading, on all
connections and both ways, so that nothing arrives and a sender blocks once the
kernels' buffers are full. Nobody is told. It answers with the moment, on the
clock that all processes of a machine share. It ends, and resets everything, when
stdin does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LINGER_NOT: Final = struct.pack("ii", 1, 0)


class Relaying:
    """How a relay, from the outside, is told what to do.

    Attributes:
        port: Where it listens, on 127.0.0.1.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.port = int(self._answer())

    def hole(self) -> float:
        """Let nothing through any more; tell since when, in monotonic seconds."""
        assert self._process.stdin is not None
        self._process.stdin.write("hole\n")
        self._process.stdin.flush()
        return float(self._answer())

    def end(self) -> None:
        """End it, and every connection through it."""
        self._process.kill()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@contextlib.contextmanager
def relay_to(port: int, delay: float = 0.0) -> Iterator[Relaying]:
    """Run a relay to a port of loopback; connections through it do not outlive the block.

    Args:
        port: Where to.
        delay: Seconds, one way.
    """
    command = [sys.executable, "-m", "benchmarks.relay", str(port), "--delay", str(delay)]
    with subprocess.Popen(  # noqa: S603 - our own
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Relaying(process)
        finally:
            process.kill()


class _Later:
    """Runs what it is given a fixed time later, in order."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._due: deque[Callable[[], None]] = deque()

    def do(self, act: Callable[[], None]) -> None:
        """Run it in a while; at once where there is no delay."""
        if not self._delay:
            act()
            return
        self._due.append(act)
        asyncio.get_running_loop().call_later(self._delay, lambda: self._due.popleft()())


class _End(asyncio.Protocol):
    """One end of a relayed connection; what it is sent goes out at the other."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._later = _Later(relay.delay)
        self.transport: asyncio.Transport
        self.other: _End

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._relay.ends.add(self)

    def data_received(self, data: bytes) -> None:
        self._later.do(lambda: self.other.transport.write(data))

    def eof_received(self) -> bool:
        self._later.do(self._finish)
        return True

    def _finish(self) -> None:
        if not self.other.transport.is_closing():
            self.other.transport.write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        self._relay.ends.discard(self)
        self._later.do(self.other.abort if exc is not None else self.other.transport.close)

    def abort(self) -> None:
        """End it by RST."""
        with contextlib.suppress(OSError):  # closed meanwhile
            self.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT
            )
        self.transport.abort()


class _Accepted(_End):
    """The end of the client; reads nothing until there is another end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.pause_reading()
        self._relay.dial_for(self)


class Relay:
    """All connections through one relay."""

    def __init__(self, port: int, delay: float) -> None:
        self.delay = delay
        self.ends: set[_End] = set()
        self._port = port
        self._dials: set[asyncio.Task[None]] = set()

    def dial_for(self, near: _End) -> None:
        """Connect to the server for a client."""
        dial = asyncio.get_running_loop().create_task(self._dial(near))
        self._dials.add(dial)
        dial.add_done_callback(self._dials.discard)

    async def _dial(self, near: _End) -> None:
        far = _End(self)
        far.other, near.other = near, far
        try:
            loop = asyncio.get_running_loop()
            await loop.create_connection(lambda: far, "127.0.0.1", self._port)
        except OSError:
            near.other = near  # nobody else is there
            near.abort()
        else:
            near.transport.resume_reading()

    def hole(self) -> float:
        """Stop reading, everywhere."""
        for end in self.ends:
            end.transport.pause_reading()
        return time.monotonic()


async def main() -> None:
    """Relay from a free port of loopback, and print it; obey stdin until it ends."""
    parser = argparse.ArgumentParser(description="A relay that is late, or lets nothing through.")
    parser.add_argument("port", type=int, help="where to, on 127.0.0.1")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds, one way")
    options = parser.parse_args()
    relay = Relay(options.port, options.delay)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Accepted(relay), "127.0.0.1", 0)
    answer = str(server.sockets[0].getsockname()[1])
    stdin = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    while True:
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()
        if not await stdin.readline():
            break
        answer = repr(relay.hole())


if __name__ == "__main__":
    asyncio.run(main())
