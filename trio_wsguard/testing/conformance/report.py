"""What was tried, and how it went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trio_wsguard.testing.conformance.property import Subject
    from trio_wsguard.testing.conformance.violation import PropertyViolatedError

Outcome = Literal["passed", "failed", "skipped"]

COLUMNS: Final = (
    "property",
    "arm",
    "examples",
    "faults",
    "virtual hours",
    "wall seconds",
    "result",
)
_LEFT: Final = ("property", "arm", "result")  # the others are numbers


@attrs.frozen(kw_only=True)
class Row:
    """How one property fared on one arm.

    Attributes:
        property: Its name.
        subject: What it is a property of.
        arm: Where it was tried.
        outcome: ``"skipped"`` if it says nothing about the parts under test.
        examples: How many were tried, those of shrinking included.
        faults: How many were injected.
        virtual_hours: How much time was simulated.
        wall_seconds: How long it took.
        reason: Why it was skipped.
        violation: Why it failed; not kept by `as_dict`.
    """

    property: str
    subject: Subject
    arm: str
    outcome: Outcome
    examples: int = 0
    faults: int = 0
    virtual_hours: float = 0.0
    wall_seconds: float = 0.0
    reason: str = ""
    violation: PropertyViolatedError | None = attrs.field(default=None, eq=False, repr=False)

    def cells(self) -> tuple[str, ...]:
        """Put it into words, one for each of `COLUMNS`."""
        return (
            f"{self.subject}: {self.property}",
            self.arm,
            f"{self.examples:,}",
            f"{self.faults:,}",
            f"{self.virtual_hours:,.1f}",
            f"{self.wall_seconds:.1f}",
            self.outcome.upper() if self.outcome == "failed" else self.outcome,
        )

    def as_dict(self) -> dict[str, Any]:
        """Give its plain figures, as they pass between processes."""
        return attrs.asdict(self, filter=lambda attribute, _: attribute.name != "violation")


@attrs.frozen
class Report:
    """How all properties fared.

    Attributes:
        rows: One for each property and arm.
    """

    rows: tuple[Row, ...]

    @classmethod
    def from_dicts(cls, rows: Iterable[Mapping[str, Any]]) -> Report:
        """Build a report from what `Row.as_dict` gave."""
        return cls(tuple(Row(**row) for row in rows))

    @property
    def is_passed(self) -> bool:
        """Whether something was tried, and nothing failed."""
        outcomes = {row.outcome for row in self.rows}
        return "passed" in outcomes and "failed" not in outcomes

    @property
    def violations(self) -> tuple[PropertyViolatedError, ...]:
        """What failed."""
        return tuple(row.violation for row in self.rows if row.violation is not None)

    def total(self) -> tuple[str, ...]:
        """Sum it up, one cell for each of `COLUMNS`."""
        rows = self.rows
        failed = sum(row.outcome == "failed" for row in rows)
        return (
            "1 property" if len(rows) == 1 else f"{len(rows)} properties",
            "",
            f"{sum(row.examples for row in rows):,}",
            f"{sum(row.faults for row in rows):,}",
            f"{sum(row.virtual_hours for row in rows):,.1f}",
            f"{sum(row.wall_seconds for row in rows):.1f}",
            f"{failed} FAILED" if failed else "passed" if self.is_passed else "nothing tried",
        )

    def __str__(self) -> str:
        lines = [COLUMNS, *(row.cells() for row in self.rows), self.total()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        rule = tuple("-" * width for width in widths)
        lines[1:1] = [rule]
        lines[-1:-1] = [rule]
        return "\n".join(_aligned(line, widths) for line in lines)


def is_number(column: str) -> bool:
    """Tell whether a column of the table holds numbers."""
    return column not in _LEFT


def _aligned(cells: tuple[str, ...], widths: list[int]) -> str:
    padded = [
        cell.rjust(width) if is_number(column) else cell.ljust(width)
        for column, cell, width in zip(COLUMNS, cells, widths, strict=True)
    ]
    return "  ".join(padded).rstrip()
