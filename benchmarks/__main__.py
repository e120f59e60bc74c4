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
from typing import TYPE_CHECKING, Any

import attrs
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks import receive

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("receive",)
_PACKAGES = ("trio-wsguard", "trio", "trio-websocket", "wsproto", "attrs")


@contextlib.contextmanager
def served() -> Iterator[int]:
    """Run the server in a process of its own, and tell its port."""
    command = [sys.executable, "-m", "benchmarks.server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 - our own
        try:
            if server.stdout is None:
                raise RuntimeError("the server has no output")
            yield int(server.stdout.readline())
        finally:
            server.kill()


def conditions() -> dict[str, Any]:
    """Tell what was measured where."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def table_of(rows: list[receive.Row]) -> Table:
    """Lay the figures out."""
    table = Table(title="receive: messages a second, medians of rounds that take turns")
    table.add_column("size", justify="right")
    table.add_column("peer")
    for heading in ("median", "lowest", "highest", "against bare", "claimed"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for row in rows:
        is_last = row.peer == receive.BATCHES
        table.add_row(
            f"{row.size:,} B" if row.peer == receive.BARE else "",
            row.peer,
            *(f"{figure:,.0f}" for figure in (row.median, row.lowest, row.highest)),
            f"{row.ratio:.2f} x",
            "" if row.claim is None else f"{row.claim:.1f} x",
            "" if row.claim is None else "kept" if row.is_kept else "behind",
            end_section=is_last,
        )
    return table


def write_json(folder: Path, rates: list[receive.Rate], rows: list[receive.Row]) -> Path:
    """Write everything that was measured."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "receive.json"
    summary = [attrs.asdict(row) | {"is_kept": row.is_kept} for row in rows]
    samples = [attrs.asdict(rate) for rate in rates]
    path.write_text(json.dumps({**conditions(), "summary": summary, "samples": samples}, indent=1))
    return path


def main() -> None:
    """Parse the command line and run what it names."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure trio_wsguard beside its peers, in turn in one run.",
        epilog="A claim that is not kept is shown as 'behind' and stays in the JSON.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(NAMES)}; or all")
    parser.add_argument("--quick", action="store_true", help="a smoke test of some ten seconds")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/out"), help="folder for JSON")
    options = parser.parse_args()
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(
            f"no benchmark named {', '.join(sorted(unknown))}; there is {', '.join(NAMES)}"
        )
    console = Console()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with served() as port, bar:
        task = bar.add_task("receive", total=1.0)
        rates = receive.run(
            port,
            quick=options.quick,
            progress=lambda share, what: bar.update(task, completed=share, description=what),
        )
    rows = receive.summarise(rates)
    console.print(table_of(rows))
    console.print(f"written to {write_json(options.out, rates, rows)}")


if __name__ == "__main__":
    main()
