"""The page on resuming tells the truth: its examples run as written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest

from tests.pages import ROOT, Act, acts, assert_runs

if TYPE_CHECKING:
    from pathlib import Path

PAGE: Final = (ROOT / "docs" / "resuming.md").read_text()


@pytest.mark.parametrize("act", acts(PAGE), ids=lambda act: act.command)
def test_the_examples_run_as_written(act: Act, tmp_path: Path) -> None:
    """Each example prints what the page shows."""
    assert_runs(act, tmp_path)


def test_the_links_lead_somewhere() -> None:
    """Every link to a heading or a file of ours has it."""
    headings = {
        heading.lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    }
    for target in re.findall(r"\]\(((?!https?:)[^)]+)\)", PAGE):
        path, _, anchor = target.partition("#")
        assert (ROOT / "docs" / path).exists() if path else anchor in headings, target
