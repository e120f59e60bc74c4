"""``trio-wsguard watch URL``: guard a real endpoint and show how it fares."""

from __future__ import annotations

import importlib.util
import ssl
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

import attrs
import click

import trio_wsguard as wsguard
from trio_wsguard.cli import lines
from trio_wsguard.cli.record import Limits, RecordOptions, open_recorder
from trio_wsguard.cli.session import Session, run_session
from trio_wsguard.cli.view import Screen, open_screen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HEARTBEATS: Final[Mapping[str, Callable[[], wsguard.PingHeartbeat | wsguard.MessageHeartbeat]]] = {
    "ping": wsguard.PingHeartbeat,
    "json": wsguard.JsonHeartbeat,
    "text": wsguard.TextHeartbeat,
    "lwp": wsguard.LwpHeartbeat,
}
POLICIES: Final[Mapping[str, Callable[[], wsguard.GuardPolicy]]] = {
    "default": wsguard.GuardPolicy,
    "low-latency": wsguard.GuardPolicy.low_latency,
    "fleet": wsguard.GuardPolicy.fleet,
}


def _check_metrics_port(
    _context: click.Context, _option: click.Parameter, value: int | None
) -> int | None:
    if value is not None and importlib.util.find_spec("prometheus_client") is None:
        needed = "pip install 'trio-wsguard[prometheus]'"
        raise click.UsageError(f"--metrics-port needs prometheus_client: {needed}")
    return value


METRICS_PORT: Final = click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    metavar="N",
    callback=_check_metrics_port,
    help="Serve the figures to Prometheus at http://127.0.0.1:N/metrics; 0 for any free port.",
)
_CLOSE_TIMEOUT: Final = 1.0  # whoever pressed Ctrl-C does not wait for the documented five


@attrs.frozen(kw_only=True)
class WatchOptions:
    """What ``watch`` was asked for; see its ``--help``."""

    url: str
    headers: Mapping[str, str]
    heartbeat: str = "ping"
    policy: str = "default"
    max_failures: int | None = None
    name: str | None = None
    proxy: str | None = None
    is_json: bool = False
    is_showing_messages: bool = False
    is_insecure: bool = False
    is_patient: bool = False
    record: RecordOptions = attrs.field(factory=RecordOptions)
    metrics_port: int | None = None

    def guard_policy(self) -> wsguard.GuardPolicy:
        """Make the settings."""
        policy = attrs.evolve(POLICIES[self.policy](), close_timeout=_CLOSE_TIMEOUT)
        if self.max_failures is None:
            return policy
        return attrs.evolve(policy, max_connection_failures=self.max_failures or None)


class _Watch:
    """One run: what it shows, and how it ended.

    Attributes:
        error: Why it failed, in one line; ``None`` if it did not.
    """

    def __init__(self, options: WatchOptions, screen: Screen) -> None:
        self.error: str | None = None
        self._options = options
        self._screen = screen

    async def run(self, ws: wsguard.GuardedWebSocket) -> None:
        """Read until the guard ends."""
        async with AsyncExitStack() as stack:
            if await self._serve(stack, ws):
                await self._read(ws)

    async def _serve(self, stack: AsyncExitStack, ws: wsguard.GuardedWebSocket) -> bool:
        """Serve metrics if asked to; tell whether nothing is in the way of that."""
        port = self._options.metrics_port
        if port is None:
            return True
        from trio_wsguard.instrumentation.prometheus import serve_metrics

        try:
            server = await stack.enter_async_context(serve_metrics(port, ws))
        except OSError as exc:
            self.error = f"--metrics-port {port}: {exc}"
            return False
        self._screen.note("metrics", server.url)
        return True

    async def _read(self, ws: wsguard.GuardedWebSocket) -> None:
        if not self._options.is_patient and not await self._is_reached(ws):
            return
        try:
            while True:
                batch = await ws.get_messages()
                if self._options.is_showing_messages:
                    self._screen.messages(batch, ws.generation)
        except wsguard.ConnectionClosedError as exc:
            self._screen.note("closed", f"the peer is done: {lines.printable(str(exc))}")
        except wsguard.GuardFailedError as exc:
            self.error = str(exc)

    async def _is_reached(self, ws: wsguard.GuardedWebSocket) -> bool:
        """Tell whether the very first attempt succeeds.

        A mistyped address is told at once, and not after the minutes that
        retrying takes.
        """
        async with ws.events() as events:
            async for event in events:
                if not isinstance(event, wsguard.StateChange):
                    continue
                if event.state is wsguard.ConnectionState.CONNECTED:
                    return True
                if event.failure is not None:
                    hint = "; --wait keeps trying" if event.failure.transient else ""
                    self.error = f"cannot reach {ws.name}: {event.failure}{hint}"
                    return False
        return False


def insecure_context() -> ssl.SSLContext:
    """Make TLS settings that accept any certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def run_watch(options: WatchOptions) -> int:
    """Guard an endpoint and show how it fares.

    Returns:
        The exit code: 0 unless the endpoint could not be reached or the guard gave up.

    Raises:
        PolicyError: A setting is wrong.
        OSError: What happens cannot be recorded.
    """
    policy = options.guard_policy()
    opening = wsguard.open_guarded_websocket(
        options.url,
        policy=policy,
        heartbeat=HEARTBEATS[options.heartbeat](),
        headers=options.headers,
        proxy=options.proxy,
        ssl_context=insecure_context() if options.is_insecure else None,
        name=options.name,
        wait=False,
    )
    with (
        open_recorder(options.record, policy) as recorder,
        open_screen(as_json=options.is_json, limits=Limits.of(policy)) as screen,
    ):
        watch = _Watch(options, screen)
        session = await run_session(opening, screen, watch.run, recorder)
    watch.error = watch.error or recorder.error
    return _conclude(watch, session, screen)


def _conclude(watch: _Watch, session: Session, screen: Screen) -> int:
    error = watch.error
    snapshot = session.snapshot
    # Of an endpoint that was never reached there is nothing to sum up.
    if snapshot is not None and (snapshot.last_successful_connection or error is None):
        screen.figures(snapshot, session.last_failure)
    if screen.write_error is not None and not isinstance(screen.write_error, BrokenPipeError):
        error = error or f"cannot write to stdout: {screen.write_error}"
    if error is None:
        return 0
    sys.stderr.write(f"trio-wsguard: {lines.printable(error)}\n")
    return 1
