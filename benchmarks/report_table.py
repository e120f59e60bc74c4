"""Results for the terminal: a table, the verdicts, and what was left out."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from benchmarks.framework import is_ours

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.framework import Benchmark
    from benchmarks.report import Result, Verdict


def figure_of(value: float) -> str:
    """Write a value with three digits that count, or all before the point."""
    magnitude = abs(value)
    if magnitude >= 100 or value == 0:
        return f"{value:,.0f}"
    return (
        f"{value:.1f}" if magnitude >= 10 else f"{value:.2f}" if magnitude >= 1 else f"{value:.3g}"
    )


def table_of(result: Result) -> Table:
    """Lay the figures out, a section for each case."""
    benchmark = result.benchmark
    aim = "less" if benchmark.lower_is_better else "more"
    table = Table(
        title=f"{benchmark.name}: {benchmark.unit}, medians; {aim} is better",
        caption=f"ratio: to {benchmark.baseline} in the same round, median",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("case", max_width=30)
    table.add_column("peer", no_wrap=True)
    for heading in ("median", "quartiles", "ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    shown = None
    for row, after in zip(result.rows, [*result.rows[1:], None], strict=True):
        table.add_row(
            row.case if row.case != shown else "",
            Text(row.peer, style="bold" if is_ours(row.peer) else ""),
            figure_of(row.median),
            "-".join(figure_of(figure) for figure in row.quartiles),
            "" if row.ratio is None else f"{row.ratio:.2f}",
            end_section=after is None or after.case != row.case,
        )
        shown = row.case
    return table


def line_of(verdict: Verdict, benchmark: Benchmark) -> str:
    """Tell in a line what became of a claim."""
    claim = verdict.claim
    bound = "at most" if benchmark.lower_is_better else "at least"
    if claim.against is None:
        unit, wanted = f" {benchmark.unit}", f"{bound} {figure_of(claim.bound)}"
        reached = None if verdict.reached is None else figure_of(verdict.reached)
    else:
        unit, wanted = f" x {claim.against}", f"{bound} {claim.bound:.2f}"
        reached = None if verdict.reached is None else f"{verdict.reached:.2f}"
    if reached is None:
        what = f"{claim.peer} at {claim.case}: no figure, claimed is {wanted}{unit}"
    else:
        what = f"{claim.peer} at {claim.case}: {reached}{unit}, claimed is {wanted}"
    doubt = "" if verdict.is_clear else " (within the noise: the rounds disagree)"
    return f"{verdict.word}: {what}{doubt}"


def show(result: Result, console: Console) -> None:
    """Print a result.

    Args:
        result: What to print.
        console: Where.
    """
    styles = {"kept": "green", "behind": "bold red"}
    console.print(table_of(result))
    for verdict in result.verdicts:
        line = Text(line_of(verdict, result.benchmark))
        line.stylize(styles.get(verdict.word, "dim"), 0, len(verdict.word))
        console.print(line, soft_wrap=True)
    for note in result.notes:
        console.print(Text(f"note: {note}"), soft_wrap=True)
    for peer, needed in result.skipped.items():
        console.print(Text(f"skipped: {peer} needs {needed}: pip install {needed}"), soft_wrap=True)
    if result.is_quick:
        console.print(Text("quick: a smoke test; its figures prove nothing"), style="dim")


@contextlib.contextmanager
def open_progress(name: str) -> Iterator[Callable[[float, str], None]]:
    """Show how far a benchmark is: a bar on a terminal, else a line now and then.

    Args:
        name: Of the benchmark.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        due = 0

        def tell(share: float, what: str) -> None:
            nonlocal due
            if share * 4 >= due:
                sys.stderr.write(f"{name}: {share:4.0%} {what}\n")
                due = int(share * 4) + 1

        yield tell
        return
    columns = (
        TextColumn(f"[bold]{name}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda share, what: bar.update(task, completed=share, description=what)
