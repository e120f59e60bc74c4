"""``trio-wsguard conformance``: prove the library's parts, or the user's.

What it imports of the test kit needs the extra ``testing``, and is imported
only when the command runs.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import click
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from trio_wsguard.cli import lines
from trio_wsguard.cli.view import Screen, open_screen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_wsguard.testing.conformance import Arm, Parts, Property, Report, Row

_STYLES: Final = {"passed": "green", "failed": "bold red", "skipped": "dim"}
_NEEDED: Final = ("hypothesis", "pytest", "pytest_trio", "trustme")
_MAX_LINE: Final = 1000  # characters of a line about a violation


@attrs.frozen(kw_only=True)
class ConformanceOptions:
    """What ``conformance`` was asked for; see its ``--help``."""

    transport: str | None = None
    backoff: str | None = None
    heartbeat: str | None = None
    profile: str = "quick"
    seed: int | None = None
    arm: str = "all"
    names: tuple[str, ...] = ()
    is_list: bool = False


def run_conformance(options: ConformanceOptions) -> int:
    """Try the properties and show how they fared.

    Returns:
        The exit code: 0 if all hold, 1 if one does not.

    Raises:
        click.UsageError: An option names nothing that there is, or an extra is missing.
    """
    try:
        import trio_wsguard.testing.conformance as conformance
    except ModuleNotFoundError as exc:
        missing = (exc.name or "").partition(".")[0]
        if missing not in _NEEDED:
            raise
        hint = "pip install 'trio-wsguard[testing]'"
        raise click.UsageError(f"the conformance suite needs {missing}: {hint}") from None
    parts = _parts(options)
    pairs = _plan(options, parts)
    if options.is_list:
        _list(pairs)
        return 0
    screen = open_screen()
    with _progress(screen, len(pairs)) as progress:
        try:
            report = conformance.run_properties(
                list(dict(pairs)),
                parts,
                arms={arm for _, arm in pairs},
                profile=options.profile,
                seed=options.seed,
                progress=progress,
            )
        except BrokenPipeError:
            return 1
    _show(screen, report)
    return 0 if report.is_passed else 1


def _parts(options: ConformanceOptions) -> Parts:
    from trio_wsguard.testing.conformance.parts import PartError, named_parts

    names = {name: getattr(options, name) for name in ("backoff", "heartbeat", "transport")}
    try:
        return named_parts(names, str(Path.cwd()))
    except PartError as exc:
        raise click.UsageError(f"--{exc.option} {exc.value}: {exc.problem}") from exc


def _plan(options: ConformanceOptions, parts: Parts) -> tuple[tuple[Property, Arm], ...]:
    from trio_wsguard.testing.conformance import Arm, all_properties, named_properties, plan
    from trio_wsguard.testing.conformance.catalogue import UnknownPropertyError

    try:
        properties = (
            named_properties(options.names) if options.names else all_properties(*parts.subjects)
        )
    except UnknownPropertyError as exc:
        raise click.UsageError(f"--property: {exc}; --list shows them all") from exc
    pairs = plan(properties, Arm if options.arm == "all" else [Arm(options.arm)])
    if not pairs:
        raise click.UsageError(f"--arm {options.arm}: none of these properties can be tried there")
    return pairs


def _list(pairs: tuple[tuple[Property, Arm], ...]) -> None:
    screen = open_screen()
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("subject", "property", "states"):
        table.add_column(column, no_wrap=column != "states")
    for one in dict(pairs):
        table.add_row(one.subject, one.name, Text(one.statement))
    screen.table(table)


@contextmanager
def _progress(screen: Screen, total: int) -> Iterator[Any]:
    """Show what is being tried: by a bar on a terminal, else a line for each property."""
    console = Console(highlight=False, emoji=False, markup=False)
    if not sys.stdout.isatty() or console.is_dumb_terminal:
        yield _Lines(screen, total)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total)

        def tell(prop: Property, arm: Arm, row: Row | None) -> None:
            bar.update(task, description=f"{prop.subject}: {prop.name} ({arm.value})")
            if row is not None:
                bar.advance(task)

        yield tell


class _Lines:
    """A line for each property that was tried."""

    def __init__(self, screen: Screen, total: int) -> None:
        self._screen = screen
        self._total = total
        self._done = 0

    def __call__(self, prop: Property, arm: Arm, row: Row | None) -> None:
        if row is None:
            return
        self._done += 1
        width = len(str(self._total))
        name = f"{prop.subject}: {prop.name} ({arm.value})"
        line = f"{self._done:{width}}/{self._total}  {row.outcome:7}  {name}"
        self._screen.write(f"{line}: {row.reason}" if row.reason else line)
        if self._screen.write_error is not None:
            raise self._screen.write_error


def _show(screen: Screen, report: Report) -> None:
    from trio_wsguard.testing.conformance.report import COLUMNS, is_number

    table = Table(box=box.SIMPLE_HEAD, show_footer=True)
    for column, total in zip(COLUMNS, report.total(), strict=True):
        justify: Any = "right" if is_number(column) else "left"
        table.add_column(column, Text(total), justify=justify, no_wrap=column != "property")
    for row in report.rows:
        *cells, outcome = row.cells()
        table.add_row(*map(Text, cells), Text(outcome, _STYLES[row.outcome]))
    screen.table(table)
    for violation in report.violations:
        shown = [lines.printable(line, _MAX_LINE) for line in str(violation).splitlines()]
        screen.write("\n" + "\n".join(shown))
