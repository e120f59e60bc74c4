"""Claims: an idle guarded connection takes at most 32 KiB, and twice the CPU of a bare one.

Each measurement has a process of its own (``python -m benchmarks.footprint``), and
all idle connections go to the same server.

- `FOOTPRINT`: how much the resident memory grows for each connection, after a
  collection; the first `WARM` connections, and what the library loads for them,
  are not counted. What four hours of beats add is measured with beats that follow
  each other fast. The tasks of a connection are told beside it.
- `IDLE_CPU`: the CPU time that a beat costs, of 1,000 connections. They beat every
  `FAST_BEAT` seconds instead of every 15, so that a window of seconds holds
  thousands of beats; idle connections cost nothing between two. A beat is a ping,
  sent, answered and bounded by a timeout; bare trio-websocket does it by the loop
  of its documentation. aiohttp and `websockets` do it themselves.
- `IMPORT_TIME`: an interpreter's first import, all that it imports included.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import importlib
import json
import os
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final, NoReturn

import attrs
import trio
import trio_websocket

import trio_wsguard as wsguard
from benchmarks.framework import Benchmark, Claim, Context, Sample, take_turns
from benchmarks.peers import AIOHTTP, BARE, FAST, GUARD, REQUIRES, WS_ASYNCIO

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    Keep = Callable[["Idle", Callable[[], None]], Awaitable[None]]

PEERS: Final = (BARE, GUARD, FAST, WS_ASYNCIO, AIOHTTP)
IMPORTS: Final = {
    "trio": "trio",
    BARE: "trio_websocket",
    GUARD: "trio_wsguard",
    WS_ASYNCIO: "websockets.asyncio.client",
    AIOHTTP: "aiohttp",
}

WARM: Final = 20  # connections that are opened before, and not counted
AT_ONCE: Final = 50  # connections opened at a time
QUIET: Final = 3600.0  # seconds between beats where none is wanted
FAST_BEAT: Final = 1.0  # seconds
BRISK_BEAT: Final = 0.02  # seconds
BEATS: Final = 1000  # of a connection that is to be old: four hours' worth
AGED: Final = 50  # connections that grow old
REAL_BEAT: Final = 15.0  # seconds
LIMIT: Final = 32.0  # KiB
COUNTS: Final = (100, 1000, 5000)
AGED_CASE: Final = f"{AGED} idle, after {BEATS:,} beats"
CPU_CASE: Final = "1,000 idle, 15 s beats"
IMPORT_CASE: Final = "import"


@attrs.frozen
class Idle:
    """What the process of one measurement is told, in its command line.

    Attributes:
        peer: Who is measured.
        port: Of the server.
        count: Connections.
        interval: Seconds between two beats of one.
        window: Seconds in which CPU time is measured; 0 for none.
    """

    peer: str
    port: int
    count: int
    interval: float = QUIET
    window: float = 0.0

    @property
    def url(self) -> str:
        """Where to connect: the server sends a word at once, and is quiet."""
        return f"ws://127.0.0.1:{self.port}/first/16"


@attrs.frozen
class Found:
    """What such a process tells.

    Attributes:
        kib: Resident memory of a connection, before it beats.
        aged_kib: The same after the window.
        tasks: Tasks of a connection.
        cpu_seconds: CPU time in the window.
    """

    kib: float
    aged_kib: float
    tasks: float
    cpu_seconds: float


# --- in the process of one measurement -------------------------------------------


def _resident() -> int:
    """Tell the bytes of memory that this process has."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


# Each is one application's task, that waits for messages until it is cancelled.


async def _bare(idle: Idle, connected: Callable[[], None]) -> None:
    async with trio_websocket.open_websocket_url(idle.url) as ws, trio.open_nursery() as nursery:
        if idle.interval < QUIET:
            nursery.start_soon(_beat, ws, idle.interval)
        await ws.get_message()
        connected()
        await ws.get_message()


async def _beat(ws: trio_websocket.WebSocketConnection, interval: float) -> None:
    # As in the library's documentation, "Heartbeat recipe".
    while True:
        with trio.fail_after(10):
            await ws.ping()
        await trio.sleep(interval)


async def _guard(idle: Idle, connected: Callable[[], None], *, transport: str) -> None:
    policy = _policy(idle.interval)
    async with wsguard.open_guarded_websocket(idle.url, policy=policy, transport=transport) as ws:
        await ws.get_message()
        connected()
        await ws.get_message()


@functools.cache
def _policy(interval: float) -> wsguard.GuardPolicy:
    """One for all, as programs have it; as many beats in its windows as real ones."""
    window = wsguard.AlertPolicy().window * interval / REAL_BEAT
    return wsguard.GuardPolicy(
        heartbeat=wsguard.HeartbeatPolicy(interval=interval),
        watchdog=wsguard.WatchdogPolicy(silence_timeout=QUIET),
        alerts=wsguard.AlertPolicy(window=window),
    )


async def _websockets(idle: Idle, connected: Callable[[], None]) -> None:
    from websockets.asyncio.client import connect

    async with connect(
        idle.url, ping_interval=idle.interval, ping_timeout=10, compression=None, proxy=None
    ) as ws:
        await ws.recv()
        connected()
        await ws.recv()


async def _aiohttp(idle: Idle, connected: Callable[[], None]) -> None:
    async with _session().ws_connect(idle.url, heartbeat=idle.interval) as ws:
        await ws.receive()
        connected()
        await ws.receive()


@functools.cache
def _session() -> Any:
    aiohttp: Any = importlib.import_module("aiohttp")

    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


_ON_TRIO: Final[dict[str, Keep]] = {
    BARE: _bare,
    GUARD: partial(_guard, transport="trio-websocket"),
    FAST: partial(_guard, transport="websockets"),
}
_ON_ASYNCIO: Final[dict[str, Keep]] = {WS_ASYNCIO: _websockets, AIOHTTP: _aiohttp}


async def _on_trio(idle: Idle) -> None:
    connected = 0
    changed = trio.Event()

    def connect() -> None:
        nonlocal connected
        connected += 1
        changed.set()

    async def open_some(count: int) -> None:
        nonlocal changed
        for at in range(0, count, AT_ONCE):
            wanted = connected + min(AT_ONCE, count - at)
            for _ in range(min(AT_ONCE, count - at)):
                nursery.start_soon(_ON_TRIO[idle.peer], idle, connect)
            while connected < wanted:
                changed = trio.Event()
                await changed.wait()

    def tasks() -> int:
        return trio.lowlevel.current_statistics().tasks_living

    async with trio.open_nursery() as nursery:
        await open_some(WARM)
        before, tasks_before = _resident(), tasks()
        await open_some(idle.count)
        after, tasks_after = _resident(), tasks()
        began = time.process_time()
        await trio.sleep(idle.window)
        used = time.process_time() - began
        aged = _resident()
        _tell(idle, (after - before, aged - after), tasks_after - tasks_before, used)


async def _on_asyncio(idle: Idle) -> None:
    connected = 0
    changed = asyncio.Event()
    living: set[asyncio.Task[None]] = set()

    def connect() -> None:
        nonlocal connected
        connected += 1
        changed.set()

    async def keep() -> None:
        await _ON_ASYNCIO[idle.peer](idle, connect)

    async def open_some(count: int) -> None:
        for at in range(0, count, AT_ONCE):
            wanted = connected + min(AT_ONCE, count - at)
            living.update(asyncio.create_task(keep()) for _ in range(min(AT_ONCE, count - at)))
            while connected < wanted:
                changed.clear()
                await changed.wait()

    await open_some(WARM)
    before, tasks_before = _resident(), len(asyncio.all_tasks())
    await open_some(idle.count)
    after, tasks_after = _resident(), len(asyncio.all_tasks())
    began = time.process_time()
    await asyncio.sleep(idle.window)
    used = time.process_time() - began
    aged = _resident()
    _tell(idle, (after - before, aged - after), tasks_after - tasks_before, used)


def _tell(idle: Idle, sizes: tuple[int, int], tasks: int, cpu_seconds: float) -> NoReturn:
    kib, grown = (size / 1024 for size in sizes)
    kib /= idle.count
    # Those that were warm before have aged, too.
    aged_kib = kib + grown / (idle.count + WARM)
    found = Found(kib, aged_kib, tasks / idle.count, cpu_seconds)
    sys.stdout.write(json.dumps(attrs.asdict(found)))
    sys.stdout.flush()
    # A close handshake for each of thousands takes long, and nobody is interested.
    os._exit(0)


def main() -> None:
    """Hold idle connections, and tell what they take."""
    idle = Idle(**json.loads(sys.argv[1]))
    if idle.peer in _ON_TRIO:
        trio.run(_on_trio, idle)
    else:
        asyncio.run(_on_asyncio(idle))


# --- in the process of the benchmark ---------------------------------------------


def _python(*arguments: str, seconds: float) -> str:
    """Run an interpreter; tell what it printed."""
    ran = subprocess.run(  # noqa: S603 - our own
        [sys.executable, *arguments], stdout=subprocess.PIPE, text=True, timeout=seconds, check=True
    )
    return ran.stdout


def measure(idle: Idle) -> Found:
    """Hold idle connections in a process of their own.

    Raises:
        subprocess.SubprocessError: It failed or hung.
    """
    seconds = 30 + idle.window + idle.count / 50
    arguments = json.dumps(attrs.asdict(idle))
    return Found(**json.loads(_python("-m", "benchmarks.footprint", arguments, seconds=seconds)))


def _files() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def run(context: Context) -> Iterable[Sample]:
    """Measure memory."""
    counts = [100] if context.quick else [n for n in COUNTS if n + WARM + 100 < _files()]
    if not context.quick and len(counts) < len(COUNTS):
        context.notes.append(f"no more than {_files()} files may be open (ulimit -n)")
    tasks: dict[str, float] = {}
    with context.server() as server:

        def measure_one(peer: str, count: int) -> dict[str, float]:
            found = measure(Idle(peer, server.port, count))
            tasks[peer] = found.tasks
            return {f"{count:,} idle": found.kib}

        def measure_aged(peer: str, case: str) -> dict[str, float]:
            window = BEATS * BRISK_BEAT * 1.05
            return {case: measure(Idle(peer, server.port, AGED, BRISK_BEAT, window)).aged_kib}

        yield from take_turns(context, counts, 2, measure_one)
        if not context.quick:
            yield from take_turns(context, [AGED_CASE], 1, measure_aged)
    told = ", ".join(f"{peer} {count:.0f}" for peer, count in tasks.items())
    context.notes.append(f"tasks a connection, the application's own among them: {told}")


def run_cpu(context: Context) -> Iterable[Sample]:
    """Measure CPU time."""
    count, window, rounds = (200, 2.0, 1) if context.quick else (1000, 6.0, 3)
    with context.server() as server:

        def measure_one(peer: str, case: str) -> dict[str, float]:
            found = measure(Idle(peer, server.port, count, FAST_BEAT, window))
            each = found.cpu_seconds / window / count  # seconds a second, beating fast
            return {case: 100 * each * 1000 * FAST_BEAT / REAL_BEAT}

        yield from take_turns(context, [CPU_CASE], rounds, measure_one)
    context.notes.append(
        f"{count} connections, {FAST_BEAT:g} s between beats, {window:g} s; "
        f"scaled to 1,000 and {REAL_BEAT:g} s"
    )


def run_import(context: Context) -> Iterable[Sample]:
    """Measure imports."""

    def measure_one(peer: str, case: str) -> dict[str, float]:
        code = (
            "import time; began = time.perf_counter(); "
            f"import {IMPORTS[peer]}; print(time.perf_counter() - began)"
        )
        figures = [float(_python("-c", code, seconds=60)) for _ in range(3)]
        return {case: 1000 * median(figures)}

    yield from take_turns(context, [IMPORT_CASE], 2 if context.quick else 5, measure_one)


FOOTPRINT: Final = Benchmark(
    name="footprint",
    claim="An idle guarded connection takes at most 32 KiB of memory.",
    unit="KiB",
    lower_is_better=True,
    peers=PEERS,
    baseline=BARE,
    claims=tuple(
        Claim(peer=peer, case=case, bound=LIMIT)
        for peer in (GUARD, FAST)
        for case in (*(f"{count:,} idle" for count in COUNTS), AGED_CASE)
    ),
    requires=REQUIRES,
    run=run,
)
IDLE_CPU: Final = Benchmark(
    name="idle_cpu",
    claim="A guard's beats cost at most twice the CPU of the same pings on a bare connection.",
    unit="% of a core",
    lower_is_better=True,
    peers=PEERS,
    baseline=BARE,
    claims=tuple(
        Claim(peer=peer, case=CPU_CASE, bound=2.0, against=BARE) for peer in (GUARD, FAST)
    ),
    requires=REQUIRES,
    run=run_cpu,
)
IMPORT_TIME: Final = Benchmark(
    name="import_time",
    claim="Importing trio_wsguard costs at most half as much again as trio-websocket alone.",
    unit="ms",
    lower_is_better=True,
    peers=tuple(IMPORTS),
    baseline=BARE,
    floor="trio",
    claims=(Claim(peer=GUARD, case=IMPORT_CASE, bound=1.5, against=BARE),),
    requires=REQUIRES,
    run=run_import,
)
BENCHMARKS: Final = (FOOTPRINT, IDLE_CPU, IMPORT_TIME)

if __name__ == "__main__":
    main()
