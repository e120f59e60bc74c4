"""``--record FILE``, and ``trio-wsguard report FILE`` that makes a page of it."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from trio_wsguard.cli.options import CONTEXT
from trio_wsguard.cli.record import RecordOptions
from trio_wsguard.cli.recording import Recording, RecordingError, read_recording
from trio_wsguard.cli.report_page import render_page
from trio_wsguard.cli.report_png import draw_png

if TYPE_CHECKING:
    from collections.abc import Callable

_EXAMPLES: Final = """\b
Examples:
  trio-wsguard demo --record run.jsonl
  trio-wsguard report run.jsonl            writes run.html
  trio-wsguard report run.jsonl -o out.html --png out.png
"""
_FILE: Final = click.Path(dir_okay=False, path_type=Path)


def recording(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command the options that record; it takes them as ``record``."""

    @click.option(
        "--record",
        "path",
        type=_FILE,
        metavar="FILE",
        help="Write events, and the figures once a second, as JSON lines for 'report';"
        " about 90 MB a day. A file that is there is refused.",
    )
    @click.option(
        "--force", "is_forced", is_flag=True, help="Let --record replace a file that is there."
    )
    @functools.wraps(command)
    def with_record(*, path: Path | None, is_forced: bool, **rest: Any) -> int:
        if is_forced and path is None:
            raise click.UsageError("--force goes with --record")
        return command(record=RecordOptions(path=path, is_forced=is_forced), **rest)

    return with_record


@click.command(
    context_settings=CONTEXT,
    epilog=_EXAMPLES,
)
@click.argument("file", type=_FILE)
@click.option(
    "-o", "--output", type=_FILE, metavar="OUT", help="The page.  [default: FILE with .html]"
)
@click.option("--png", type=_FILE, metavar="OUT", help="Draw a picture, too; needs matplotlib.")
def report(file: Path, output: Path | None, png: Path | None) -> int:
    """Make an HTML page of what --record wrote to FILE.

    The page loads nothing: it can be kept, mailed and read without a network.
    It is written anew each time, also while the recording goes on.
    """
    if png is not None:
        check_png(png)
    output = file.with_suffix(".html") if output is None else output
    if output.absolute() == file.absolute():
        raise click.UsageError(f"{str(output)!r} is the recording itself; name a page with -o")
    found = _read(file)
    for note in found.notes:
        click.echo(f"{file}: {note}", err=True)
    _write(output, render_page(found))
    click.echo(f"wrote {output}")
    if png is not None:
        _draw(png, found)
        click.echo(f"wrote {png}")
    return 0


def _read(file: Path) -> Recording:
    try:
        return read_recording(file)
    except RecordingError as exc:
        raise click.ClickException(str(exc)) from None
    except OSError as exc:
        raise click.ClickException(f"cannot read {file}: {exc.strerror}") from None


def _write(output: Path, page: str) -> None:
    try:
        output.write_text(page, encoding="utf-8", newline="\n")
    except OSError as exc:
        raise click.ClickException(f"cannot write {output}: {exc.strerror}") from None


def check_png(png: Path) -> None:
    """Refuse before the work what would fail after it."""
    if importlib.util.find_spec("matplotlib") is None:
        raise click.ClickException("--png needs matplotlib: pip install 'trio-wsguard[bench]'")
    if png.suffix.lower() != ".png":
        raise click.UsageError(f"--png {str(png)!r}: must end with .png")


def _draw(png: Path, found: Recording) -> None:
    try:
        draw_png(png, found)
    except OSError as exc:
        raise click.ClickException(f"cannot write {png}: {exc.strerror}") from None
