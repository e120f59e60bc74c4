"""The figures of a run, put into a page of the documentation.

    python -m benchmarks.report_page [DIR] [PAGE]

The page says where: between ``<!-- measured: NAME -->`` and ``<!-- end -->``. What
stands there is replaced by the tables of ``DIR/NAME.json``, and its picture is laid
beside the page. Whoever wants to know *why* a figure is what it is writes that
outside the marks.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.report_table import figure_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROOT: Final = Path(__file__).parents[1]
_PLACE: Final = re.compile(r"(<!-- measured: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_MACHINE: Final = re.compile(r"(<!-- machine -->\n).*?(<!-- end -->)", re.DOTALL)
_PICTURES: Final = Path("images") / "performance"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def figures_table(run: dict[str, Any]) -> str:
    """Write the medians: a row for each peer, a column for each case."""
    rows = run["summary"]
    cases = list(dict.fromkeys(row["case"] for row in rows))
    cells = {(row["peer"], row["case"]): row for row in rows}
    lines = [_row([run["unit"], *cases]), "|---|" + "---:|" * len(cases)]
    for peer in dict.fromkeys(row["peer"] for row in rows):
        shown = [_cell(cells.get((peer, case)), run["baseline"]) for case in cases]
        name = f"**{peer}**" if "guard" in peer else peer
        lines.append(_row([name, *shown]))
    return "\n".join(lines)


def _cell(row: dict[str, Any] | None, baseline: str) -> str:
    if row is None:
        return ""
    figure = figure_of(row["median"])
    if row["ratio"] is None or row["peer"] == baseline:
        return figure
    return f"{figure} ({row['ratio']:.2f} x)"


def claims_table(run: dict[str, Any]) -> str:
    """Write what was claimed, and what became of it."""
    lines = [_row(("claim", "claimed", "reached", "")), "|---|---:|---:|---|"]
    bound = "<=" if run["lower_is_better"] else ">="
    for verdict in run["verdicts"]:
        claim, reached = verdict["claim"], verdict["reached"]
        against = claim["against"]
        unit = " x" if against else f" {run['unit']}"
        digits = (lambda value: f"{value:.2f}") if against else figure_of
        who = f"{claim['peer']}, {claim['case']}" + (f", against {against}" if against else "")
        word = verdict["word"] if verdict["is_clear"] else f"{verdict['word']}, within the noise"
        lines.append(
            _row(
                (
                    who,
                    f"{bound} {digits(claim['bound'])}{unit}",
                    "-" if reached is None else f"{digits(reached)}{unit}",
                    f"**{word}**" if verdict["word"] == "behind" else word,
                )
            )
        )
    return "\n".join(lines)


def section(run: dict[str, Any]) -> str:
    """Write all that a run told of one benchmark."""
    parts = [run["claim"], figures_table(run)]
    if run["verdicts"]:
        parts.append(claims_table(run))
    parts += [f"- {note}" for note in run["notes"]]
    parts += [f"- left out: {peer}, which needs {what}" for peer, what in run["skipped"].items()]
    name = run["benchmark"]
    parts.append(f"![{name}]({(_PICTURES / name).as_posix()}.png)")
    return "\n\n".join(parts)


def machine(runs: Iterable[dict[str, Any]]) -> str:
    """Tell what was measured where, and how busy the machine was."""
    known = list(runs)
    first, seconds = known[0], sum(run["seconds"] for run in known)
    loads = [run["load"][0] for run in known if run["load"]]
    minutes = f"{seconds / 60:.0f} minutes"
    versions = ", ".join(f"{name} {v}" for name, v in first["versions"].items() if v)
    busy = f"; load before each benchmark {min(loads):.1f} to {max(loads):.1f}" if loads else ""
    return (
        f"Measured on {first['time'][:10]}, in {minutes}, on {first['processor']}, "
        f"{first['cpus']} CPUs, {first['platform']}, Python {first['python']}{busy}. {versions}.\n"
    )


def fill(page: str, runs: dict[str, dict[str, Any]]) -> str:
    """Put the runs where the page has a place for them; others stay as they are."""

    def filled(found: re.Match[str]) -> str:
        run = runs.get(found[2])
        return found[0] if run is None else f"{found[1]}{section(run)}\n{found[4]}"

    page = _MACHINE.sub(lambda found: f"{found[1]}{machine(runs.values())}{found[2]}", page)
    return _PLACE.sub(filled, page)


def read_runs(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the JSON of a run, by benchmark.

    Raises:
        SystemExit: There is none, or it is of a smoke test.
    """
    runs = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    if not runs:
        sys.exit(f"no results in {folder}: run python -m benchmarks --out {folder}")
    quick = [name for name, run in runs.items() if run["quick"]]
    if quick:
        sys.exit(f"a smoke test proves nothing: {', '.join(quick)} ran with --quick")
    return runs


def main(argv: Sequence[str]) -> None:
    """Fill the page, and lay the pictures beside it."""
    folder = Path(argv[0]) if argv else Path(__file__).parent / "out"
    page = Path(argv[1]) if len(argv) > 1 else ROOT / "docs" / "performance.md"
    runs = read_runs(folder)
    page.write_text(fill(page.read_text(), runs))
    pictures = page.parent / _PICTURES
    pictures.mkdir(parents=True, exist_ok=True)
    for name in runs:
        if (folder / f"{name}.png").exists():
            shutil.copy(folder / f"{name}.png", pictures)
    sys.stdout.write(f"{page}: {', '.join(runs)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
