"""The page on monitoring has the metrics as they are."""

from __future__ import annotations

from pathlib import Path

from trio_wsguard.instrumentation.export import markdown_table

PAGE = Path(__file__).parents[2] / "docs" / "monitoring.md"


def test_the_page_has_the_table_of_metrics() -> None:
    """The table is what `markdown_table` writes: each metric with its meaning and advice."""
    assert markdown_table() in PAGE.read_text(encoding="utf-8")
