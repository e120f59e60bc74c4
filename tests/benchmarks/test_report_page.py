"""Figures of a run in a page of the documentation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.__main__ import find_benchmarks
from benchmarks.framework import Context, Sample
from benchmarks.report import conclude, conditions, write_json
from benchmarks.report_page import ROOT, fill, main, read_runs, section

if TYPE_CHECKING:
    from pathlib import Path

ECHO = "<!-- measured: echo -->\n<!-- end -->\n"
PAGE = f"before\n<!-- measured: receive -->\nold\n<!-- end -->\n{ECHO}"


def measured(folder: Path, *, quick: bool = False) -> dict[str, Any]:
    """Write the JSON of a run of `receive` and read it back."""
    benchmark = find_benchmarks()["receive"]
    samples = [
        Sample(peer=peer, case="64 B", round=turn, value=value)
        for turn in range(3)
        for peer, value in (("trio-websocket", 1000.0), ("fast-guard", 3000.0), ("guard", 500.0))
    ]
    context = Context(benchmark, quick=quick)
    context.notes.append("a note")
    result = conclude(benchmark, context, samples)
    write_json(folder / "receive.json", conditions(), 1.0, result)
    run: dict[str, Any] = json.loads((folder / "receive.json").read_text())
    return run


def test_a_section_has_figures_claims_notes_and_the_picture(tmp_path: Path) -> None:
    """A row for each peer with its ratio, a row for each claim with what became of it."""
    text = section(measured(tmp_path))
    assert "| messages/s | 64 B |" in text
    assert "| trio-websocket | 1,000 |" in text
    assert "| **fast-guard** | 3,000 (3.00 x) |" in text
    assert "| fast-guard, 64 B, against trio-websocket | >= 2.30 x | 3.00 x | kept |" in text
    assert "| guard, 64 B, against trio-websocket | >= 0.90 x | 0.50 x | **behind** |" in text
    assert "- a note" in text
    assert "![receive](images/performance/receive.png)" in text


def test_only_what_was_measured_is_replaced(tmp_path: Path) -> None:
    """Places of other benchmarks, and all text around them, stay; twice is as once."""
    runs = {"receive": measured(tmp_path)}
    once = fill(PAGE, runs)
    assert "old" not in once
    assert once.startswith("before\n<!-- measured: receive -->\n")
    assert once.endswith(ECHO)
    assert fill(once, runs) == once


def test_the_page_and_its_pictures_are_written(tmp_path: Path) -> None:
    """The picture lies beside the page, where the page looks for it."""
    measured(tmp_path)
    (tmp_path / "receive.png").write_bytes(b"picture")
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    page.write_text(PAGE)
    main([str(tmp_path), str(page)])
    assert "3.00 x" in page.read_text()
    assert (page.parent / "images/performance/receive.png").read_bytes() == b"picture"


def test_smoke_tests_are_no_figures(tmp_path: Path) -> None:
    """A quick run, or none, is refused."""
    with pytest.raises(SystemExit, match="no results"):
        read_runs(tmp_path)
    measured(tmp_path, quick=True)
    with pytest.raises(SystemExit, match="proves nothing"):
        read_runs(tmp_path)


def test_the_documentation_has_a_place_for_each_benchmark() -> None:
    """docs/performance.md shows every benchmark there is."""
    page = (ROOT / "docs" / "performance.md").read_text()
    assert {name for name in find_benchmarks() if f"<!-- measured: {name} -->" not in page} == set()
