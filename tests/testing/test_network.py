"""Hosts, ports and dials of the simulated network."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
import trio

import trio_wsguard as wsguard
from trio_wsguard import PolicyError
from trio_wsguard._shell.dial import parse_url
from trio_wsguard.testing import Latency, SimulatedNetwork, SimulatedStream, run_simulation
from trio_wsguard.testing.peer import Accept, Echo, Script, ScriptedPeer

from .wire import TARGET, dial, read_all, send


async def park(stream: SimulatedStream) -> None:
    await stream.wait_over()


async def idle(_: SimulatedStream) -> None:
    await trio.sleep_forever()


def test_a_dial_reaches_the_handler() -> None:
    """A dial gives one end of a stream, the handler the other; it closes when that returns."""

    async def main() -> list[Any]:
        async with SimulatedNetwork() as network:

            async def greet(stream: trio.abc.Stream) -> None:
                await stream.send_all(b"hello " + await stream.receive_some(10))

            listener = network.listen("server:80", greet)
            stream = await network.dial(TARGET)
            assert isinstance(stream, SimulatedStream)
            await stream.send_all(b"you")
            return [listener.url, await read_all(stream), network.dials, len(network.connections)]

    heard = [(0, b"hello you"), (0, "EOF")]
    assert run_simulation(main) == ["ws://server:80/", heard, 1, 1]


def test_dial_errors() -> None:
    """A closed port refuses, an unknown host has no name."""
    assert dial(url="ws://server:80/") == (0, "open")

    async def main() -> list[str]:
        async with SimulatedNetwork() as network:
            network.listen("server:80", park)
            found: list[str] = []
            for url in ("ws://server:81/", "ws://nowhere/"):
                with pytest.raises(OSError, match=r".+") as caught:
                    await network.dial(parse_url(url))
                found.append(type(caught.value).__name__)
            return found

    assert run_simulation(main) == ["ConnectionRefusedError", "gaierror"]


def test_closing_a_listener() -> None:
    """Dials are refused from then on, connections live on, and the port can be used again."""

    async def main() -> list[Any]:
        async with SimulatedNetwork() as network:
            listener = network.listen("server:80", park)
            stream = await network.dial(TARGET)
            listener.close()
            listener.close()
            with pytest.raises(ConnectionRefusedError):
                await network.dial(TARGET)
            network.listen("server:80", park)
            await network.dial(TARGET)
            assert isinstance(stream, SimulatedStream)
            return [await send(stream, b"x"), stream.closed_at]

    assert run_simulation(main) == ["sent", None]


def test_crashing_a_listener() -> None:
    """Its connections are reset, its handlers cancelled, dials refused."""

    async def main() -> list[Any]:
        async with SimulatedNetwork() as network:
            listener = network.listen("server:80", park)
            streams = [await network.dial(TARGET) for _ in range(2)]
            await trio.sleep(1)
            listener.crash()
            with pytest.raises(ConnectionRefusedError):
                await network.dial(TARGET)
            found: list[Any] = []
            for stream in streams:
                assert isinstance(stream, SimulatedStream)
                found.append(await read_all(stream))
            return [*found, len(listener.serving)]

    broken = [(1, "ConnectionResetError")]
    assert run_simulation(main) == [broken, broken, 0]


@pytest.mark.parametrize("address", ["server", ":80", "server:", "server:http", ""])
def test_bad_addresses(address: str) -> None:
    """An address is a host and a port."""

    async def main() -> None:
        async with SimulatedNetwork() as network:
            with pytest.raises(PolicyError, match='must be "host:port"'):
                network.listen(address, park)

    run_simulation(main)


def test_a_port_is_served_once() -> None:
    """A second listener on a port is refused; another port of the host is not."""

    async def main() -> None:
        async with SimulatedNetwork() as network:
            network.listen("server:80", park)
            network.listen("server:81", park)
            with pytest.raises(PolicyError, match="address='server:80': is in use"):
                network.listen("server:80", park)

    run_simulation(main)


@pytest.mark.parametrize("seed", [None, 1.5, True, "1"])
def test_bad_seeds(seed: Any) -> None:
    """A seed is a whole number."""
    with pytest.raises(PolicyError, match="seed="):
        SimulatedNetwork(seed)


def test_not_entered() -> None:
    """A dial before the network is entered is an error of the caller's."""

    async def main() -> None:
        with pytest.raises(RuntimeError, match="not entered"):
            await SimulatedNetwork().dial(TARGET)

    run_simulation(main)


def test_what_a_handler_raises_leaves_the_block() -> None:
    """An error of a server's own code fails the test that it is in, with the trace as a note."""

    async def fail(stream: SimulatedStream) -> None:
        await stream.receive_some()
        raise KeyError("the server's own")

    async def main() -> None:
        async with SimulatedNetwork(seed=3) as network:
            network.listen("server:80", fail)
            stream = await network.dial(TARGET)
            await stream.send_all(b"x")
            await trio.sleep(1)
            raise AssertionError("not reached")

    with pytest.raises(KeyError, match="the server's own"):
        run_simulation(main)


def test_a_client_that_goes_is_no_error_of_a_handlers() -> None:
    """What a stream raises when its client is gone ends the handler and nothing else."""

    async def main() -> float:
        async with SimulatedNetwork() as network:

            async def talk_on(stream: trio.abc.Stream) -> None:
                while True:
                    await stream.send_all(b"x")
                    await trio.sleep(1)

            network.listen("server:80", talk_on)
            await (await network.dial(TARGET)).aclose()
            await trio.sleep(10)
            return trio.current_time()

    assert run_simulation(main) == 10


def test_an_error_carries_the_trace() -> None:
    """What leaves the block has the seed and the end of the trace as notes."""

    async def main() -> None:
        async with SimulatedNetwork(seed=42) as network:
            network.listen("server:80", park)
            await network.dial(TARGET)
            raise KeyError("mine")

    with pytest.raises(KeyError) as caught:
        run_simulation(main)
    seed, trace = caught.value.__notes__
    assert seed.startswith("seed 42, ")
    assert "dials server:80" in trace


def test_leaving_cancels_the_servers() -> None:
    """Leaving the block ends all handlers, whatever they wait for."""

    async def main() -> float:
        async with SimulatedNetwork() as network:
            network.listen("server:80", idle)
            await network.dial(TARGET)
            await trio.sleep(1)
        return trio.current_time()

    assert run_simulation(main) == 1


def test_a_cancelled_dial_makes_no_connection() -> None:
    """A dial that is given up leaves nothing behind."""

    async def main() -> list[Any]:
        async with SimulatedNetwork() as network:
            network.listen("server:80", park)
            with network.link("server").fault(Latency(delay=60)):
                with trio.move_on_after(10) as scope:
                    await network.dial(TARGET)
                await trio.sleep(300)
            return [scope.cancelled_caught, network.dials, network.connections]

    assert run_simulation(main) == [True, 1, []]


def test_two_clients_have_two_links() -> None:
    """A fault between one client and a host does not concern another client."""

    async def main() -> list[float]:
        async with SimulatedNetwork() as network:
            network.listen("server:80", park)
            network.link("server", client="far").add(Latency(delay=1))
            await network.dial(TARGET)
            near = trio.current_time()
            await network.dial_from("far")(TARGET)
            return [near, trio.current_time(), network.faults_injected]

    assert run_simulation(main) == [0, 2, 1]


def test_a_guard_runs_on_it() -> None:
    """`open_guard` opens a guard whose events are in the trace."""

    async def main() -> tuple[list[str], str]:
        async with SimulatedNetwork() as network:
            network.listen("feed:80", ScriptedPeer(Script(Accept(), Echo())))
            async with network.open_guard("ws://feed/", name="mine") as ws:
                await ws.send_message("hello")
                await ws.get_message()
            return [entry.what for entry in network.trace() if entry.where == "mine"], str(
                network.trace()
            )

    changes, trace = run_simulation(main)
    assert [change.partition(" (")[0] for change in changes] == [
        "DISCONNECTED -> CONNECTING",
        "CONNECTING -> CONNECTED",
        "health DOWN -> HEALTHY, score 100",
        "CONNECTED -> CLOSED",
        "health HEALTHY -> DOWN, score 100",
    ]
    assert "1 >          'GET / HTTP/1.1'" in trace
    assert "1 <          TEXT 'hello'" in trace
    assert "1 >          CLOSE 1000" in trace


def test_without_a_record() -> None:
    """A network that keeps no record has an empty trace and forgets its connections."""

    async def main() -> list[Any]:
        async with SimulatedNetwork(record=False) as network:
            network.listen("server:80", park)
            await network.dial(TARGET)
            return [len(network.trace()), network.connections, network.dials]

    assert run_simulation(main) == [0, [], 1]


LIFE = """
from random import Random
import trio
from trio_wsguard import GuardPolicy
from trio_wsguard.testing import SimulatedNetwork, random_plan, run_simulation
from trio_wsguard.testing.peer import Accept, Echo, Feed, Script, ScriptedPeer

async def main():
    async with SimulatedNetwork(seed=11) as network:
        network.listen("feed:80", ScriptedPeer(Script(Accept(), Echo())))
        plan = random_plan(Random(5), duration=20_000, mean_gap=300)
        network.link("feed").add(*plan)
        policy = GuardPolicy.fleet()
        async with network.open_guard("ws://feed/", wait=False, name="g", policy=policy) as ws:
            for n in range(400):
                await trio.sleep(50)
                if ws.state.name == "CONNECTED":
                    with trio.move_on_after(5):
                        await ws.send_message(f"message {n}")
        print(network.trace())

import logging
logging.disable()
run_simulation(main, seed=11)
"""


def test_two_processes_have_one_trace() -> None:
    """One seed gives one trace in another process too, whatever its hash seed is."""

    def run(hash_seed: str) -> str:
        done = subprocess.run(  # noqa: S603 - our own script
            [sys.executable, "-c", LIFE],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    first, second = run("1"), run("2")
    assert first == second
    assert first.count("begins:") > 30
    assert "CONNECTED -> RECONNECTING" in first


def test_another_seed_has_another_trace() -> None:
    """The chance of faults comes from the seed."""

    async def life(seed: int) -> str:
        async with SimulatedNetwork(seed) as network:
            network.listen("feed:80", ScriptedPeer(Script(Accept(), Echo())))
            network.link("feed").add(Latency(delay=1, jitter=1))
            async with network.open_guard("ws://feed/", name="g") as ws:
                await ws.send_message("hello")
                await ws.get_message()
            return str(network.trace())

    assert run_simulation(life, 1) == run_simulation(life, 1) != run_simulation(life, 2)


def test_a_network_can_be_typed_as_a_dial() -> None:
    """`dial` fits `open_guarded_websocket(dial=...)` as it is."""

    async def main() -> str:
        async with SimulatedNetwork() as network:
            network.listen("feed:80", ScriptedPeer(Script(Accept(), Echo())))
            async with wsguard.open_guarded_websocket("ws://feed/", dial=network.dial) as ws:
                return ws.state.name

    assert run_simulation(main) == "CONNECTED"
