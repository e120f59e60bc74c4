"""Claims: a server that comes back is not trampled, and yet its clients are soon back.

All clients are connected; the server crashes, is down for a while, and listens
again. What is measured then is how many dials it meets in its worst tenth of a
second, and how long it takes until half and 99 % of the clients are back. The
guard's three policies are measured, and on the same guard the delays of others.

- `HERD` and `HERD_DIALS`: 1,000 clients, 30 s down, on the simulated network of the
  test kit, where a minute takes seconds and one seed gives one figure. Clients
  connect spread over 10 s, so that none is in step with others by our doing.
- Where it is not quick also 500 clients and 5 s, on the simulated network and for
  real on loopback: whether the one tells what the other does.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
import random
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Final

import attrs
import trio

import trio_wsguard as wsguard
from benchmarks.framework import Benchmark, Claim, Context, Sample, Server
from trio_wsguard.testing import SimulatedNetwork, run_simulation
from trio_wsguard.testing.peer import ScriptedPeer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    Dial = Callable[[wsguard.Target], Awaitable[trio.abc.Stream]]

DOCUMENTED: Final = "guard"
LOW_LATENCY: Final = "guard-low-latency"
FLEET: Final = "guard-fleet"
WEBSOCKETS: Final = "websockets-delays"
CENTRIFUGE: Final = "centrifuge-delays"

SPREAD: Final = 10.0  # seconds over which clients connect at first
SETTLE: Final = 6.0  # seconds from then to the crash: beyond `stable_after`
SLICE: Final = 0.1  # seconds in which dials are counted
PATIENCE: Final = 180.0  # seconds after which a client is no longer waited for
_HOST: Final = "feed.example"


# --- the delays of others --------------------------------------------------------


@attrs.frozen
class WebsocketsDelays:
    """The delays of `websockets`: up to 5 s at random, then 3.1 s, and 1.618 times longer each."""

    cap: float = 90.0

    def delay(self, failures: int, rng: random.Random | None = None) -> float:
        """Tell the delay."""
        if failures <= 1:
            return 5 * (1.0 if rng is None else rng.random()) * (failures > 0)
        return min(self.cap, 3.1 * 1.618 ** min(failures - 2, 50))


@attrs.frozen
class CentrifugeDelays:
    """Those of Centrifuge's clients: half a second, and full jitter over a doubling range."""

    cap: float = 20.0

    def delay(self, failures: int, rng: random.Random | None = None) -> float:
        """Tell the delay."""
        longest = min(self.cap - 0.5, 0.5 * 2.0 ** min(failures, 50))
        return 0.5 + longest * (1.0 if rng is None else rng.random())


def _with_delays(backoff: wsguard.Backoff) -> wsguard.GuardPolicy:
    return wsguard.GuardPolicy(
        backoff=wsguard.BackoffPolicy(closed=backoff, network=backoff, other=backoff),
        max_connection_failures=None,
    )


POLICIES: Final = {
    DOCUMENTED: wsguard.GuardPolicy(),
    LOW_LATENCY: wsguard.GuardPolicy.low_latency(),
    FLEET: wsguard.GuardPolicy.fleet(),
    WEBSOCKETS: _with_delays(WebsocketsDelays()),
    CENTRIFUGE: _with_delays(CentrifugeDelays()),
}


# --- a herd ----------------------------------------------------------------------


@attrs.frozen
class Story:
    """What happens to a herd.

    Attributes:
        policy: A key of `POLICIES`.
        clients: How many.
        down: Seconds.
        spread: Seconds over which they connect at first.
        settle: Seconds after that before the crash.
    """

    policy: str
    clients: int
    down: float
    spread: float = SPREAD
    settle: float = SETTLE


@attrs.frozen
class Outcome:
    """What came of it; times are seconds since the server was back.

    Attributes:
        most_dials: In the worst tenth of a second after that.
        half: Until half of the clients were back.
        most: Until 99 % were.
    """

    most_dials: int
    half: float
    most: float


class Herd:
    """The clients, and what is counted of them."""

    def __init__(self, story: Story, seed: int = 0) -> None:
        self._story = story
        self._seed = seed
        self._dialed: list[float] = []
        self._back: list[float] = []
        self._connected = 0
        self._changed = trio.Event()

    def counting(self, dial: Dial) -> Dial:
        """Count the dials made by a function."""

        async def counted(target: wsguard.Target) -> trio.abc.Stream:
            self._dialed.append(trio.current_time())
            return await dial(target)

        return counted

    async def live(self, url: str, number: int, dial: Dial) -> None:
        """Be one client."""
        await trio.sleep(self._story.spread * number / self._story.clients)
        policy = POLICIES[self._story.policy]
        rng = random.Random(f"{self._seed}/{number}")  # noqa: S311 - jitter
        async with wsguard.open_guarded_websocket(
            url, policy=policy, dial=self.counting(dial), rng=rng, wait=False, name=f"{number}"
        ) as ws:
            while True:
                await ws.wait_state(wsguard.ConnectionState.CONNECTED)
                self.note_back()
                await ws.wait_state(wsguard.ConnectionState.RECONNECTING)
                self._connected -= 1

    def note_back(self) -> None:
        """Note that one more client is connected."""
        self._back.append(trio.current_time())
        self._connected += 1
        self._changed.set()

    async def wait_connected(self, share: float) -> None:
        """Wait until a share of the clients is connected."""
        while self._connected < share * self._story.clients:
            self._changed = trio.Event()
            await self._changed.wait()

    def forget(self) -> None:
        """Count from now on."""
        self._back.clear()

    def outcome(self, back_at: float) -> Outcome:
        """Tell what happened since a moment."""
        slices = Counter(int((at - back_at) / SLICE) for at in self._dialed if at >= back_at)
        back = sorted(at - back_at for at in self._back)

        def when(share: float) -> float:
            needed = math.ceil(share * self._story.clients)
            return back[needed - 1] if len(back) >= needed else PATIENCE

        return Outcome(max(slices.values(), default=0), when(0.5), when(0.99))


@functools.cache
def simulate(story: Story, seed: int = 0) -> Outcome:
    """Tell the outcome on the simulated network; the same each time."""
    return run_simulation(_simulate, story, seed, seed=seed)


async def _simulate(story: Story, seed: int) -> Outcome:
    async with SimulatedNetwork(seed, record=False) as network, trio.open_nursery() as nursery:
        address, peer, herd = f"{_HOST}:80", ScriptedPeer(), Herd(story, seed)
        listener = network.listen(address, peer)
        for number in range(story.clients):
            dial = network.dial_from(f"client{number}")
            nursery.start_soon(herd.live, listener.url, number, dial)
        await herd.wait_connected(1)
        await trio.sleep(story.settle)
        herd.forget()
        listener.crash()
        await trio.sleep(story.down)
        network.listen(address, peer)
        outcome = await _aftermath(herd)
        nursery.cancel_scope.cancel()
    return outcome


async def _aftermath(herd: Herd) -> Outcome:
    back_at = trio.current_time()
    with trio.move_on_after(PATIENCE):
        await herd.wait_connected(0.99)
    return herd.outcome(back_at)


# --- for real, on loopback, in a process of its own ------------------------------


async def _meet(story: Story, port: int) -> Outcome:
    herd = Herd(story)
    async with trio.open_nursery() as nursery:
        for number in range(story.clients):
            nursery.start_soon(herd.live, f"ws://127.0.0.1:{port}/first/16", number, _dial)
        await herd.wait_connected(1)
        await trio.sleep(story.settle)
        herd.forget()
        await _order("down")
        await trio.sleep(story.down)
        await _order("up")
        outcome = await _aftermath(herd)
        nursery.cancel_scope.cancel()
    return outcome


async def _dial(target: wsguard.Target) -> trio.abc.Stream:
    return await trio.open_tcp_stream(target.host, target.port)


async def _order(command: str) -> None:
    """Have the parent order the server about."""
    print(command, flush=True)
    await trio.to_thread.run_sync(sys.stdin.readline)


def meet(server: Server, story: Story) -> Outcome:
    """Tell the outcome on loopback.

    Raises:
        RuntimeError: The process of the clients failed.
    """
    arguments = json.dumps([attrs.asdict(story), server.port])
    with subprocess.Popen(  # noqa: S603 - our own
        [sys.executable, "-m", "benchmarks.herd", arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a line for each loss
        text=True,
    ) as clients:
        try:
            assert clients.stdin is not None
            assert clients.stdout is not None
            for line in clients.stdout:
                if line.startswith("{"):
                    return Outcome(**json.loads(line))
                server.order(line.strip())
                print(file=clients.stdin, flush=True)
        finally:
            clients.kill()
    raise RuntimeError("the clients ended without a word")


def main() -> None:
    """Be the clients of one herd on loopback."""
    story, port = json.loads(sys.argv[1])
    print(json.dumps(attrs.asdict(trio.run(_meet, Story(**story), port))), flush=True)


# --- the benchmarks --------------------------------------------------------------

_BIG: Final = functools.partial(Story, clients=1000, down=30.0)
_SMALL: Final = functools.partial(Story, clients=100, down=30.0)
_REAL: Final = functools.partial(Story, clients=500, down=5.0, spread=4.0)
_SIMULATED: Final = "simulated"
_LOOPBACK: Final = "loopback"
HALF: Final = "50 % back"
MOST: Final = "99 % back"


def _name(story: Story) -> str:
    return f"{story.clients:,}, {story.down:g} s down"


def _outcomes(context: Context) -> Iterable[tuple[str, str, int, Outcome]]:
    """Simulate; gives policy, case, round and outcome."""
    kinds = [_SMALL] if context.quick else [_BIG, _REAL]
    seeds = range(1 if context.quick else 2)
    work = list(itertools.product(kinds, context.wanted, seeds))
    for done, (kind, policy, seed) in enumerate(work):
        story = kind(policy=policy)
        context.progress(0.9 * done / len(work), f"{_name(story)}, {policy}")
        yield policy, f"{_SIMULATED} {_name(story)}", seed, simulate(story, seed)


def _real_outcomes(context: Context) -> Iterable[tuple[str, str, int, Outcome]]:
    """Do it for real, for the guard's own policies.

    One after another: beside others, clients that are busy are late in all they do.
    """
    for policy in context.wanted:
        story = _REAL(policy=policy)
        if policy in (DOCUMENTED, LOW_LATENCY, FLEET):
            context.progress(0.9, f"{_LOOPBACK} {_name(story)}, {policy}")
            with context.server() as server:
                yield policy, f"{_LOOPBACK} {_name(story)}", 0, meet(server, story)


def run(context: Context) -> Iterable[Sample]:
    """Measure how long it takes."""
    real = () if context.quick else _real_outcomes(context)
    for peer, case, turn, outcome in itertools.chain(_outcomes(context), real):
        for what, value in ((HALF, outcome.half), (MOST, outcome.most)):
            yield Sample(peer=peer, case=f"{case}, {what}", round=turn, value=value)


def run_dials(context: Context) -> Iterable[Sample]:
    """Count dials."""
    for peer, case, turn, outcome in _outcomes(context):
        yield Sample(peer=peer, case=case, round=turn, value=float(outcome.most_dials))


_CASE: Final = f"{_SIMULATED} {_name(_BIG(policy=FLEET))}"
HERD: Final = Benchmark(
    name="herd",
    claim="After a server was down for 30 s, 99 % of its clients are back within a minute.",
    unit="s",
    lower_is_better=True,
    peers=tuple(POLICIES),
    baseline=WEBSOCKETS,
    claims=(
        Claim(peer=DOCUMENTED, case=f"{_CASE}, {MOST}", bound=60.0),
        Claim(peer=FLEET, case=f"{_CASE}, {MOST}", bound=60.0),
        Claim(peer=LOW_LATENCY, case=f"{_CASE}, {MOST}", bound=20.0),
    ),
    run=run,
)
HERD_DIALS: Final = Benchmark(
    name="herd_dials",
    claim="Of a fleet of 1,000, no more than 35 dial a server that is back in a tenth of a second.",
    unit="dials",
    lower_is_better=True,
    peers=tuple(POLICIES),
    baseline=WEBSOCKETS,
    claims=tuple(Claim(peer=peer, case=_CASE, bound=35.0) for peer in (FLEET, LOW_LATENCY)),
    run=run_dials,
)
BENCHMARKS: Final = (HERD, HERD_DIALS)

if __name__ == "__main__":
    main()
