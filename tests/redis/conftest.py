"""A real Redis on a loopback port, in real time."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import pytest

from ..clocks import run_by, within_limit

if TYPE_CHECKING:
    from collections.abc import Iterator

BINARY: Final = shutil.which("redis-server")
PATIENCE: Final = 10.0  # seconds for it to start
PAUSE: Final = 0.01  # seconds between two looks at what another process does


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bound every test of this folder, and skip it where there is no Redis."""
    run_by(items, Path(__file__).parent, lambda _: within_limit)
    for item in items:
        if BINARY is None and Path(__file__).parent in item.path.parents:
            need = "needs redis-server (Debian: apt-get install redis-server)"
            item.add_marker(pytest.mark.skip(reason=need))


@attrs.define(eq=False)
class RedisServer:
    """The program, which can be killed and started again on the same port.

    Attributes:
        port: On loopback.
        folder: Where it works.
    """

    port: int
    folder: Path
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        settings = {"port": str(self.port), "bind": "127.0.0.1", "save": "", "appendonly": "no"}
        settings |= {"dir": str(self.folder), "daemonize": "no"}
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        assert BINARY is not None
        self._process = subprocess.Popen([BINARY, *words], stdout=subprocess.DEVNULL)  # noqa: S603 - ours
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert self._process.poll() is None, "redis-server ended"
            assert time.monotonic() < deadline, "redis-server does not start"
            time.sleep(PAUSE)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as tcp:
                tcp.sendall(b"PING\r\n")
                return tcp.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def kill(self) -> None:
        """Kill it, and its memory with it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that runs."""
    with socket.socket() as tcp:
        tcp.bind(("127.0.0.1", 0))
        port = tcp.getsockname()[1]
    server = RedisServer(port, tmp_path)
    server.start()
    yield server
    server.kill()
