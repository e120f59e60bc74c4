"""The commands as click sees them: options in, an exit code out."""

from __future__ import annotations

import logging
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import click
import trio

import trio_wsguard as wsguard
from trio_wsguard.cli import lines
from trio_wsguard.cli.bench import BenchOptions, run_bench
from trio_wsguard.cli.conformance import ConformanceOptions, run_conformance
from trio_wsguard.cli.demo import DEFAULT_SECONDS, MIN_SECONDS, DemoOptions, run_demo
from trio_wsguard.cli.export import export
from trio_wsguard.cli.options import CONTEXT, HEADERS, INSECURE
from trio_wsguard.cli.report_command import recording, report
from trio_wsguard.cli.watch import HEARTBEATS, METRICS_PORT, POLICIES, WatchOptions, run_watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from trio_wsguard.cli.record import RecordOptions

_T = TypeVar("_T")

_PROGRAM: Final = "trio-wsguard"
_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells count
# The backspace keeps click from filling the lines into a paragraph.
_EXAMPLES: Final = """\b
Examples:
  trio-wsguard demo                        see a guard survive five faults
  trio-wsguard watch wss://feed.example/   guard an endpoint and watch it
  trio-wsguard report run.jsonl            make a page of what --record wrote
  trio-wsguard conformance                 prove the parts of the library, or yours
  trio-wsguard bench wss://feed.example/   measure how fast it reconnects
  trio-wsguard export grafana-dashboard    see guards in Grafana
"""
_DEMO_EXAMPLES: Final = """\b
Examples:
  trio-wsguard demo
  trio-wsguard demo --seconds 30           more calm between the faults
  trio-wsguard demo | cat                  plain lines
"""
_WATCH_EXAMPLES: Final = """\b
Examples:
  trio-wsguard watch wss://feed.example/v1 -H 'Authorization: Bearer ...'
  trio-wsguard watch ws://localhost:8080 --policy low-latency --wait
  trio-wsguard watch wss://feed.example/v1 --json | jq .event
  trio-wsguard watch wss://feed.example/v1 --record run.jsonl
  trio-wsguard watch wss://feed.example/v1 --metrics-port 9464
"""
_CONFORMANCE_EXAMPLES: Final = """\b
Examples:
  trio-wsguard conformance                          the library's own parts
  trio-wsguard conformance --backoff app.net:policy
  trio-wsguard conformance --heartbeat app.net:Heartbeat --profile thorough
  trio-wsguard conformance --property delay_within_cap --seed 1
  trio-wsguard conformance --list                   what is there to prove
"""
_BENCH_EXAMPLES: Final = """\b
Examples:
  trio-wsguard bench wss://feed.example/v1 --count 100 --plot latency.png
  trio-wsguard bench ws://localhost:8080 --pause 0 --json | jq .p99
"""


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line; every error is one line on stderr.

    Args:
        argv: The arguments; ``None`` for those of the process.

    Returns:
        The exit code.
    """
    # Without a handler, logging prints warnings to stderr, across the live view;
    # they are on the screen as events already.
    logging.getLogger("trio_wsguard").addHandler(logging.NullHandler())
    if sys.stdout is None:  # closed by the shell, as by ">&-"
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - for the life of the process
    try:
        code = cli.main(
            args=None if argv is None else list(argv), prog_name=_PROGRAM, standalone_mode=False
        )
    except click.ClickException as exc:
        return _complain(exc.format_message(), exc.exit_code)
    except wsguard.PolicyError as exc:
        subject = repr(exc.value) if exc.field == "url" else f"{exc.field} {exc.value!r}"
        return _complain(f"{subject}: {exc.problem}", 2)
    except (click.Abort, KeyboardInterrupt):
        return _complain("interrupted", _INTERRUPTED)
    except OSError as exc:
        return _complain(str(exc), 1)
    finally:
        _let_go_of_stdout()
    return code if isinstance(code, int) else 0


def _run_async(fn: Callable[[_T], Awaitable[int]], argument: _T) -> int:
    """Run an async command; Ctrl-C before it heeds signals comes out of nurseries in a group."""
    try:
        return trio.run(fn, argument)
    except BaseExceptionGroup as group:
        if group.split(KeyboardInterrupt)[1] is not None:
            raise
        raise KeyboardInterrupt from None


def _complain(text: str, code: int) -> int:
    # Not cut: a message of our own may list choices.
    one_line = " ".join(text.split())
    sys.stderr.write(f"{_PROGRAM}: {lines.printable(one_line, 1000)}\n")
    return code


def _let_go_of_stdout() -> None:
    """Keep the interpreter from complaining about a reader that went away."""
    try:
        sys.stdout.flush()
    except OSError:
        # As the documentation of `signal` advises on SIGPIPE.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(context_settings=CONTEXT, invoke_without_command=True, epilog=_EXAMPLES)
@click.version_option(package_name="trio-wsguard", prog_name=_PROGRAM)
@click.pass_context
def cli(context: click.Context) -> None:
    """WebSocket connections that stay up."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)


cli.add_command(export)


def _check_seconds(_context: click.Context, _option: click.Parameter, value: float) -> float:
    # Not FloatRange: nan is within every range.
    if not math.isfinite(value) or value < MIN_SECONDS:
        raise click.BadParameter(f"{value:g} must be a number of seconds from {MIN_SECONDS:g} on.")
    return value


@cli.command(context_settings=CONTEXT, epilog=_DEMO_EXAMPLES)
@click.option(
    "--seconds",
    type=float,
    default=DEFAULT_SECONDS,
    show_default=True,
    callback=_check_seconds,
    metavar="N",
    help=f"About how long the run may take in all; at least {MIN_SECONDS:g}.",
)
@recording
def demo(seconds: float, record: RecordOptions) -> int:
    """Put a guard through five faults, on loopback.

    A server is started on this machine, and a guard keeps a connection to it
    while it is reset, closed with 1012, without a server, without an answer,
    and refused with 503. The exit code is 0 only if it survived all of them.
    """
    return _run_async(run_demo, DemoOptions(total=seconds, record=record))


@cli.command(context_settings=CONTEXT, epilog=_WATCH_EXAMPLES)
@click.argument("url")
@HEADERS
@click.option(
    "--heartbeat",
    type=click.Choice(list(HEARTBEATS)),
    default="ping",
    show_default=True,
    help="What a beat is: a WebSocket ping, or a message that the server's program answers.",
)
@click.option(
    "--policy",
    type=click.Choice(list(POLICIES)),
    default="default",
    show_default=True,
    help="The settings: intervals, timeouts and backoff.",
)
@click.option(
    "--max-failures",
    type=click.IntRange(min=0),
    metavar="N",
    help="Consecutive failures after which to give up; 0 for never.  [default: the policy's]",
)
@click.option("--wait", is_flag=True, help="Keep trying even if the very first attempt fails.")
@click.option("--json", "is_json", is_flag=True, help="Print one event a line, as JSON.")
@click.option("--messages", "is_showing_messages", is_flag=True, help="Print each message, too.")
@INSECURE
@click.option(
    "--proxy",
    metavar="URL",
    help="Go through an http, https, socks4, socks4a, socks5 or socks5h proxy;"
    " 'env' for what HTTPS_PROXY and its like say.",
)
@METRICS_PORT
@click.option("--name", help="What to call the guard.  [default: the URL without its secrets]")
@recording
def watch(
    url: str,
    headers: dict[str, str],
    heartbeat: str,
    policy: str,
    max_failures: int | None,
    wait: bool,
    is_json: bool,
    is_showing_messages: bool,
    insecure: bool,
    proxy: str | None,
    metrics_port: int | None,
    name: str | None,
    record: RecordOptions,
) -> int:
    """Guard the endpoint at URL and show how it fares.

    Ctrl-C ends it with a summary. The exit code is 1 if the endpoint cannot
    be reached or the guard gives up, and 0 otherwise, also where the server
    closes the connection for good.
    """
    if insecure:
        sys.stderr.write(f"{_PROGRAM}: warning: certificates are not checked\n")
    options = WatchOptions(
        url=url,
        headers=headers,
        heartbeat=heartbeat,
        policy=policy,
        max_failures=max_failures,
        name=name,
        proxy=proxy,
        is_json=is_json,
        is_showing_messages=is_showing_messages,
        is_insecure=insecure,
        is_patient=wait,
        record=record,
        metrics_port=metrics_port,
    )
    return _run_async(run_watch, options)


cli.add_command(report)


@cli.command(context_settings=CONTEXT, epilog=_CONFORMANCE_EXAMPLES)
@click.option("--transport", metavar="PKG.MOD:FACTORY", help="A transport factory, or a name.")
@click.option(
    "--backoff",
    metavar="PKG.MOD:OBJECT",
    help="A backoff, a BackoffPolicy, or what makes one.",
)
@click.option("--heartbeat", metavar="PKG.MOD:FACTORY", help="What makes a heartbeat.")
@click.option(
    "--profile",
    type=click.Choice(["quick", "thorough"]),
    default="quick",
    show_default=True,
    help="How many examples: a hundred of most properties, or thousands.",
)
@click.option(
    "--seed", type=int, metavar="N", help="Chooses the examples.  [default: a new one each time]"
)
@click.option(
    "--arm",
    type=click.Choice(["simulated", "loopback", "all"]),
    default="all",
    show_default=True,
    help="In virtual time, on real sockets of this machine, or both.",
)
@click.option(
    "--property",
    "names",
    multiple=True,
    metavar="NAME",
    help="Try this one only; may be given several times.",
)
@click.option("--list", "is_list", is_flag=True, help="Show what would be tried, and try nothing.")
def conformance(
    transport: str | None,
    backoff: str | None,
    heartbeat: str | None,
    profile: str,
    seed: int | None,
    arm: str,
    names: tuple[str, ...],
    is_list: bool,
) -> int:
    """Prove the library's parts, or yours, by properties.

    Each property is tried on many examples. Where parts of yours are named,
    only what concerns them is tried. The exit code is 0 if all properties
    hold, and 1 if one does not: then the smallest example is shown for which
    it does not.
    """
    options = ConformanceOptions(
        transport=transport,
        backoff=backoff,
        heartbeat=heartbeat,
        profile=profile,
        seed=seed,
        arm=arm,
        names=names,
        is_list=is_list,
    )
    return run_conformance(options)


def _check_pause(_context: click.Context, _option: click.Parameter, value: float) -> float:
    # Not FloatRange: nan is within every range.
    if not math.isfinite(value) or value < 0:
        raise click.BadParameter(f"{value:g} must be a number of seconds from 0 on.")
    return value


@cli.command(context_settings=CONTEXT, epilog=_BENCH_EXAMPLES)
@click.argument("url")
@click.option(
    "--count",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    metavar="N",
    help="How often to cut the connection.",
)
@click.option(
    "--pause",
    type=float,
    default=0.5,
    show_default=True,
    callback=_check_pause,
    metavar="SECONDS",
    help="How long to leave the server alone before each cut.",
)
@HEADERS
@click.option(
    "--transport",
    type=click.Choice(["trio-websocket", "websockets"]),
    default="trio-websocket",
    show_default=True,
    help="What carries the connection; 'websockets' needs the extra fast.",
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Draw the distribution, as PNG, SVG or PDF; needs matplotlib.",
)
@click.option("--json", "is_json", is_flag=True, help="Print one object of JSON, in seconds.")
@INSECURE
def bench(
    url: str,
    count: int,
    pause: float,
    headers: dict[str, str],
    transport: str,
    plot: Path | None,
    is_json: bool,
    insecure: bool,
) -> int:
    """Measure how fast a connection to URL comes back.

    The command's own connection is cut again and again, abruptly and with no
    delay afterwards; shown is how long each cut took until the connection
    stood again: name, dial, TLS and handshake. The exit code is 1 if the
    endpoint cannot be reached, or did not come back.
    """
    if insecure:
        sys.stderr.write(f"{_PROGRAM}: warning: certificates are not checked\n")
    options = BenchOptions(
        url=url,
        count=count,
        pause=pause,
        headers=headers,
        transport=transport,
        plot=plot,
        is_json=is_json,
        is_insecure=insecure,
    )
    return _run_async(run_bench, options)
