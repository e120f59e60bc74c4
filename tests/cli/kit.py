"""What the tests of the command line share: its processes, and a server that nobody here wrote."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import attrs
import pytest

from trio_wsguard.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for a child there")
PATIENCE: Final = 30.0  # seconds; only a failing test ever waits so long

# Prints its port; each client gets a hostile feed, until it asks for the end.
_SERVER: Final = r"""
import asyncio, ssl, sys
import websockets

async def serve(ws):
    if ws.request.path == "/done":
        await ws.close(1000, "no \x1b[31mmore")
        return
    if ws.request.path == "/wants-header" and ws.request.headers.get("X-Token") != "a:b":
        await ws.close(4001, "no header")
        return
    number = 0
    while True:
        number += 1
        await ws.send(f"tick {number} \x1b[31m[bold]\u202e")
        await ws.send(b"\x00\x1b")
        await asyncio.sleep(0.05)

async def main():
    context = None
    if len(sys.argv) > 1:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1])
    async with websockets.serve(serve, "127.0.0.1", 0, ssl=context) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()

asyncio.run(main())
"""


@attrs.frozen
class Ended:
    """How a run of the command line ended."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line on stderr."""
        assert "Traceback" not in self.err + self.out
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> Ended:
    """Run the command line in this process."""
    with pytest.raises(SystemExit) as caught:
        main(argv)
    captured = capsys.readouterr()
    code = caught.value.code
    assert isinstance(code, int)
    return Ended(code, captured.out, captured.err)


@contextmanager
def spawn(*argv: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command line in a process of its own, its stdout in a pipe."""
    with subprocess.Popen(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-m", "trio_wsguard", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def finish(process: subprocess.Popen[str]) -> Ended:
    """Wait for the end of a process."""
    out, err = process.communicate(timeout=PATIENCE)
    return Ended(process.returncode, out, err)


@contextmanager
def feed_server(*argv: str) -> Iterator[int]:
    """Run a server of `websockets` in a process of its own; gives its port."""
    pytest.importorskip("websockets")
    with subprocess.Popen(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", _SERVER, *argv], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()
