"""The figures of a guard at the end, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from trio_wsguard.cli import lines

if TYPE_CHECKING:
    import trio_wsguard as wsguard


def figures_table(snapshot: wsguard.Snapshot, last_failure: wsguard.Failure | None) -> Table:
    """Sum a guard up."""
    times = snapshot.response_time
    table = Table(box=box.SIMPLE_HEAD, show_header=False, title=Text("Summary", "bold"))
    table.title_justify = "left"
    for label, value in [
        ("endpoint", lines.printable(snapshot.name, 100)),
        ("uptime", f"{snapshot.uptime_ratio:.2%}"),
        ("reconnects", f"{snapshot.reconnects} ({snapshot.attempts} attempts in all)"),
        ("losses", str(snapshot.losses)),
        ("messages", f"{snapshot.messages_received:,} ({snapshot.bytes_received:,} bytes)"),
        ("response time", f"p50 {lines.seconds(times.p50)}, p95 {lines.seconds(times.p95)}"),
        ("last failure", "none" if last_failure is None else lines.printable(str(last_failure))),
    ]:
        table.add_row(Text(label, "dim"), Text(value))
    return table
