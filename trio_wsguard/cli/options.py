"""What several commands have in common."""

from __future__ import annotations

from typing import Final

import click

CONTEXT: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def _read_headers(
    _context: click.Context, _option: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    # The value may be a secret, and so is whatever stands where it should: never shown.
    headers: dict[str, str] = {}
    for value in values:
        name, colon, rest = value.partition(":")
        if not colon or not name.strip():
            raise click.BadParameter("write it as 'Name: value'.")
        if name.strip().lower() in map(str.lower, headers):
            raise click.BadParameter(f"{name.strip()} was given twice.")
        headers[name.strip()] = rest.strip()
    return headers


HEADERS: Final = click.option(
    "--header",
    "-H",
    "headers",
    multiple=True,
    callback=_read_headers,
    metavar="'NAME: VALUE'",
    help="A header of the handshake; may be given several times.",
)
INSECURE: Final = click.option("--insecure", is_flag=True, help="Accept any certificate.")
