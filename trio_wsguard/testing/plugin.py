"""The pytest plugin: options of the conformance suite, fixtures, the report.

It is loaded by every run of pytest where the library is installed. So it does
nothing unless asked to, and imports what is heavy only then.

Fixtures (async ones need pytest-trio and a trio test):

``simulated_network``
    An open `SimulatedNetwork` in virtual time. If the test fails, its trace is
    shown.
``scripted_peer``
    ``scripted_peer(*scripts, address="peer.example:80", heartbeat=None)`` makes
    a `ScriptedPeer` that listens on the simulated network.
``loopback_peer``
    ``await loopback_peer(*scripts, ssl_context=None, heartbeat=None)`` starts
    one on a real socket; the result has its `peer`, its `server` and its `url`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence

    import trio

    from trio_wsguard.testing import SimulatedNetwork
    from trio_wsguard.testing.conformance import Arm, Parts, Property
    from trio_wsguard.testing.peer import LoopbackServer, Script, ScriptedPeer

ROW: Final = "trio_wsguard_row"  # the name of a property's row among a report's user properties
_SHOWN: Final = 200  # entries of the trace under a failed test
_PARTS: Final = ("backoff", "heartbeat", "transport")
_NETWORK: Final = pytest.StashKey["SimulatedNetwork"]()
_CHOSEN: Final = pytest.StashKey["Parts"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("trio_wsguard", "conformance of WebSocket parts (trio_wsguard)")
    for part, metavar, what in (
        ("backoff", "pkg.mod:object", "a backoff, a BackoffPolicy, or what makes one"),
        ("heartbeat", "pkg.mod:factory", "what makes a heartbeat"),
        ("transport", "pkg.mod:factory", "a transport factory"),
    ):
        text = f"{what}, to be tested in place of the library's own parts"
        group.addoption(f"--wsguard-{part}", metavar=metavar, help=text)
    group.addoption(
        "--wsguard-profile",
        choices=("quick", "thorough"),
        default="quick",
        help="how many examples: a hundred of most properties (quick, the default), or thousands",
    )
    group.addoption(
        "--wsguard-arm",
        choices=("simulated", "loopback", "all"),
        default="all",
        help="in virtual time, on real sockets of this machine, or both (the default)",
    )


def _option(config: pytest.Config, name: str, default: str | None = None) -> str | None:
    # With a default: this module may be imported while the plugin is switched off.
    value: str | None = config.getoption(f"wsguard_{name}", default)
    return value


def profile_name(config: pytest.Config) -> str:
    """Tell the profile that was asked for."""
    return _option(config, "profile", "quick") or "quick"


def chosen_parts(config: pytest.Config) -> Parts:
    """Give the parts that were asked for.

    Raises:
        pytest.UsageError: An option names no such part.
    """
    from trio_wsguard.testing.conformance.parts import PartError, named_parts

    if _CHOSEN not in config.stash:
        names = {part: _option(config, part) for part in _PARTS}
        try:
            config.stash[_CHOSEN] = named_parts(names, str(config.invocation_params.dir))
        except PartError as exc:
            text = f"--wsguard-{exc.option}={exc.value}: {exc.problem}"
            raise pytest.UsageError(text) from exc
    return config.stash[_CHOSEN]


def chosen_plan(config: pytest.Config) -> tuple[tuple[Property, Arm], ...]:
    """Pair the properties that concern the parts with the arms that were asked for.

    Raises:
        pytest.UsageError: An option names no such part, or nothing is left to try.
    """
    from trio_wsguard.testing.conformance import Arm, all_properties, plan

    subjects = chosen_parts(config).subjects
    arm = _option(config, "arm", "all")
    pairs = plan(all_properties(*subjects), Arm if arm == "all" else [Arm(arm)])
    if not pairs:
        what = f"no property of {' or '.join(subjects)} can be tried there"
        raise pytest.UsageError(f"--wsguard-arm={arm}: {what}")
    return pairs


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Complain about wrong options before anything is collected."""
    config = session.config
    is_asked = any(_option(config, part) is not None for part in _PARTS)
    if is_asked or _option(config, "arm", "all") != "all":
        chosen_plan(config)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the report, if any property was tried."""
    reports = [one for group in terminalreporter.stats.values() for one in group]
    calls = [one for one in reports if getattr(one, "when", None) == "call"]
    # The reporter keeps them by outcome; here they stand in the order of the files.
    calls.sort(key=lambda report: report.start)
    rows = [value for one in calls for name, value in one.user_properties if name == ROW]
    if not rows:
        return
    from trio_wsguard.testing.conformance import Report

    terminalreporter.section("trio_wsguard conformance")
    terminalreporter.write_line(str(Report.from_dicts(rows)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the simulated network saw, if the test failed."""
    report = yield
    network = item.stash.get(_NETWORK, None)
    if network is not None and report.when == "call" and report.failed:
        report.sections.append(("trace of the simulated network", network.trace().excerpt(_SHOWN)))
    return report


def _run_in_virtual_time(
    fn: Callable[[], Awaitable[object]],
    *,
    clock: trio.abc.Clock | None,
    instruments: Sequence[trio.abc.Instrument],
) -> object:
    """Stand in for `trio.run`: in virtual time, and the same schedule every time."""
    import trio
    import trio.testing

    from trio_wsguard.testing.simulation import keep_moving, seeded_scheduling

    clock = trio.testing.MockClock(autojump_threshold=0) if clock is None else clock
    with seeded_scheduling(0):
        return trio.run(keep_moving, fn, clock=clock, instruments=instruments)


@pytest.fixture
def _virtual_time(request: pytest.FixtureRequest) -> None:
    # pytest-trio takes a clock only from a test that asks for it itself.
    # In front of the mark that its trio_mode adds: the first one wins.
    request.node.add_marker(pytest.mark.trio(run=_run_in_virtual_time), append=False)


@pytest.fixture
async def simulated_network(
    request: pytest.FixtureRequest, _virtual_time: None
) -> AsyncIterator[SimulatedNetwork]:
    """Open a simulated network, in virtual time."""
    from trio_wsguard.testing import SimulatedNetwork

    async with SimulatedNetwork(seed=0) as network:
        request.node.stash[_NETWORK] = network
        yield network


@pytest.fixture
def scripted_peer(simulated_network: SimulatedNetwork) -> Callable[..., ScriptedPeer]:
    """Give what makes scripted peers that listen on the simulated network."""
    from trio_wsguard.testing.peer import ScriptedPeer

    def make(
        *scripts: Script, address: str = "peer.example:80", heartbeat: object = None
    ) -> ScriptedPeer:
        peer = ScriptedPeer(*scripts, heartbeat=heartbeat)
        simulated_network.listen(address, peer)
        return peer

    return make


@attrs.frozen
class LoopbackPeer:
    """A scripted peer on a real socket.

    Attributes:
        peer: What it does, and what it noted.
        server: The socket, which can be stopped and started.
    """

    peer: ScriptedPeer
    server: LoopbackServer

    @property
    def url(self) -> str:
        """Where to connect."""
        return self.server.url


@pytest.fixture
async def loopback_peer() -> AsyncIterator[Callable[..., Awaitable[LoopbackPeer]]]:
    """Give what starts scripted peers on real sockets."""
    import trio

    from trio_wsguard.testing.peer import ScriptedPeer, open_loopback

    async def serve(
        peer: ScriptedPeer,
        ssl_context: ssl.SSLContext | None,
        *,
        task_status: trio.TaskStatus[LoopbackServer],
    ) -> None:
        async with open_loopback(peer, ssl_context=ssl_context) as server:
            task_status.started(server)
            await trio.sleep_forever()

    # In a task of the fixture's own: what the test's task opened, no other task could close.
    async with trio.open_nursery() as nursery:

        async def start(
            *scripts: Script, ssl_context: ssl.SSLContext | None = None, heartbeat: object = None
        ) -> LoopbackPeer:
            peer = ScriptedPeer(*scripts, heartbeat=heartbeat)
            return LoopbackPeer(peer, await nursery.start(serve, peer, ssl_context))

        yield start
        nursery.cancel_scope.cancel()
