"""python -m benchmarks: measure, show a table, and write JSON."""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks import receive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Each measures with a server's port, and gives its rows and all its samples.
BENCHMARKS: Final = {"receive": receive.run}
_PACKAGES: Final = ("trio-wsguard", "trio", "trio-websocket", "wsproto", "attrs")


@contextlib.contextmanager
def served() -> Iterator[int]:
    """Run the server in a process of its own, and tell its port."""
    command = [sys.executable, "-m", "benchmarks.server"]
    with subprocess.Popen(  # noqa: S603 - our own
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            yield int(server.stdout.readline())
        finally:
            server.kill()


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def conditions() -> dict[str, Any]:
    """Tell what was measured where."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def size_of(size: int) -> str:
    """Write a number of bytes."""
    return f"{size} B" if size < 1024 else f"{size // 1024} KiB"


def table_of(rows: list[receive.Row]) -> Table:
    """Lay the figures out."""
    table = Table(title="receive: messages a second, medians of rounds that take turns")
    table.add_column("size", justify="right")
    table.add_column("peer", no_wrap=True)
    for heading in ("median", "quartiles", "x bare", "range"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row, after in zip(rows, [*rows[1:], None], strict=True):
        table.add_row(
            size_of(row.size) if row.peer == receive.BARE else "",
            row.peer,
            f"{row.median:,.0f}",
            "-".join(f"{figure:,.0f}" for figure in row.quartiles),
            f"{row.ratio:.2f}",
            "-".join(f"{ratio:.2f}" for ratio in row.ratio_range),
            end_section=after is None or after.size != row.size,
        )
    return table


def verdicts_of(rows: list[receive.Row]) -> list[str]:
    """Tell, a line each, what became of the claims."""
    return [
        f"{row.verdict}: {row.peer} at {size_of(row.size)} reaches {row.ratio:.2f} x bare, "
        f"claimed is {row.claim:.2f} x"
        for row in rows
        if row.verdict is not None
    ]


def write_json(
    folder: Path, name: str, machine: dict[str, Any], rows: list[receive.Row], rates: list[Any]
) -> Path:
    """Write everything that was measured."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    content = {
        **machine,
        "summary": [attrs.asdict(row) | {"verdict": row.verdict} for row in rows],
        "samples": [attrs.asdict(rate) for rate in rates],
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


@contextlib.contextmanager
def open_progress(name: str) -> Iterator[Callable[[float, str], None]]:
    """Show how far a benchmark is: a bar on a terminal, else a line now and then."""
    console = Console(stderr=True)
    if not console.is_terminal:
        tenths = iter(range(11))
        due = next(tenths)

        def tell(share: float, what: str) -> None:
            nonlocal due
            if share * 10 >= due:
                print(f"{share:4.0%} {what}", file=sys.stderr, flush=True)
                due = next(tenths)

        yield tell
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=1.0)
        yield lambda share, what: bar.update(task, completed=share, description=what)


def main() -> None:
    """Parse the command line and run what it names."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure trio_wsguard beside its peers, in turn in one run.",
        epilog="A claim that is not kept is shown as 'behind' and stays in the JSON; "
        "the exit code is 0 all the same.",
    )
    known = ", ".join(BENCHMARKS)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which to run, of: {known} (default: all)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a smoke test of some 15 s: its figures prove nothing"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        default=Path(__file__).parent / "out",
        help="where the JSON goes (default: benchmarks/out)",
    )
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark named {', '.join(unknown)}; there is {known}")
    console = Console()
    for name in dict.fromkeys(options.names or BENCHMARKS):
        machine = conditions()  # before, since the load is the machine's and not ours
        with served() as port, open_progress(name) as progress:
            rows, rates = BENCHMARKS[name](port, quick=options.quick, progress=progress)
        console.print(table_of(rows))
        for line in verdicts_of(rows):
            console.print(line, highlight=False)
        path = write_json(options.out, name, machine, rows, rates)
        console.print(f"written to {path}", soft_wrap=True)


if __name__ == "__main__":
    main()
