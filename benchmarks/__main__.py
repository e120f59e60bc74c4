"""python -m benchmarks: measure, show tables and verdicts, and write JSON and pictures."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from rich.console import Console
from rich.text import Text

from benchmarks.framework import Context, is_installed
from benchmarks.report import Result, conclude, conditions, write_json
from benchmarks.report_plot import can_plot, plot
from benchmarks.report_table import open_progress, show

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.framework import Benchmark

# In the order in which they run.
_MODULES: Final = (
    "throughput",
    "figures",
    "echo",
    "reconnect_latency",
    "cancel_latency",
    "detection",
    "footprint",
    "herd",
    "simulation",
)
_EPILOG: Final = """\
examples:
  python -m benchmarks                              everything, in about half an hour
  python -m benchmarks receive send --quick         a smoke test of two
  python -m benchmarks receive --peers guard,fast-guard,aiohttp
  python -m benchmarks --list                       claims and peers

A claim that is not kept is shown as 'behind', and the exit code is 0 all the
same: a figure of one machine on one day is for a reader to judge. Peers that
are not installed are left out and named; pip install 'trio-wsguard[bench]'
has them all.
"""


def find_benchmarks() -> dict[str, Benchmark]:
    """Give all benchmarks by name."""
    found: dict[str, Benchmark] = {}
    for name in _MODULES:
        if importlib.util.find_spec(f"benchmarks.{name}") is None:
            continue
        for benchmark in getattr(importlib.import_module(f"benchmarks.{name}"), "BENCHMARKS", ()):
            found[benchmark.name] = benchmark
    return found


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m benchmarks",
        description="Measure trio_wsguard beside its peers, in turn in one run.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="which to run (default: all)")
    parser.add_argument(
        "--quick", action="store_true", help="a smoke test: its figures prove nothing"
    )
    parser.add_argument(
        "--peers", metavar="A,B", help="whom to measure, by the names of --list (default: all)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        default=Path(__file__).parent / "out",
        help="where JSON and PNG go (default: benchmarks/out)",
    )
    parser.add_argument("--list", action="store_true", help="show the benchmarks, and run none")
    return parser


def _choose(
    parser: argparse.ArgumentParser, kind: str, names: Sequence[str], known: Sequence[str]
) -> list[str]:
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"no {kind} named {', '.join(unknown)}; there is {', '.join(known)}")
    return list(dict.fromkeys(names)) or list(known)


def _list(benchmarks: Mapping[str, Benchmark], console: Console) -> None:
    for benchmark in benchmarks.values():
        console.print(Text(benchmark.name, style="bold"), Text(f"({benchmark.unit})"))
        console.print(Text(f"  {benchmark.claim}"), soft_wrap=True)
        lacking = {peer for peer, module in benchmark.requires.items() if not is_installed(module)}
        peers = (f"{peer} (not installed)" if peer in lacking else peer for peer in benchmark.peers)
        console.print(Text(f"  peers: {', '.join(peers)}"), soft_wrap=True)


def _run(benchmark: Benchmark, peers: frozenset[str] | None, *, quick: bool) -> Result:
    with open_progress(benchmark.name) as progress:
        context = Context(benchmark, quick=quick, peers=peers, progress=progress)
        return conclude(benchmark, context, list(benchmark.run(context)))


def _report(result: Result, machine: dict[str, object], seconds: float, folder: Path) -> None:
    console = Console()
    name = result.benchmark.name
    show(result, console)
    path = folder / f"{name}.json"
    write_json(path, machine, seconds, result)
    picture = ""
    if result.rows and can_plot():
        plot(path.with_suffix(".png"), result, machine)
        picture = f" and {name}.png"
    console.print(Text(f"{seconds:.0f} s; written to {path}{picture}\n"), soft_wrap=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run what it names.

    Args:
        argv: The arguments; ``None`` for those of the process.

    Returns:
        The exit code.
    """
    parser = _parser()
    options = parser.parse_args(argv)
    benchmarks = find_benchmarks()
    names = _choose(parser, "benchmark", options.names, list(benchmarks))
    known = dict.fromkeys(peer for name in names for peer in benchmarks[name].peers)
    peers: frozenset[str] | None = None
    if options.peers is not None:
        asked = [peer.strip() for peer in options.peers.split(",") if peer.strip()]
        peers = frozenset(_choose(parser, "peer", asked, list(known)))
    if options.list:
        _list({name: benchmarks[name] for name in names}, Console())
        return 0
    console, verdicts, began = Console(), [], time.perf_counter()
    for name in names:
        machine = conditions()  # before, since the load is the machine's and not ours
        started = time.perf_counter()
        result = _run(benchmarks[name], peers, quick=options.quick)
        _report(result, machine, time.perf_counter() - started, options.out)
        verdicts += [verdict.word for verdict in result.verdicts]
    if not can_plot():
        console.print("no pictures: pip install matplotlib")
    words = ", ".join(f"{verdicts.count(word)} {word}" for word in dict.fromkeys(verdicts))
    console.print(f"{time.perf_counter() - began:.0f} s in all; claims: {words or 'none'}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
