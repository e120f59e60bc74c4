"""The command line: ``trio-wsguard demo``, ``watch``, ``export``, ``conformance``, ``bench``.

This file imports nothing of the extra ``cli``, so that it can say what is
missing.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

_NEEDED = ("click", "rich")


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code.

    Args:
        argv: The arguments; ``None`` for those of the process.
    """
    try:
        from trio_wsguard.cli.commands import run
    except ModuleNotFoundError as exc:
        missing = (exc.name or "").partition(".")[0]
        if missing not in _NEEDED:
            raise
        sys.stderr.write(
            f"trio-wsguard: the command line needs {missing}: pip install 'trio-wsguard[cli]'\n"
        )
        sys.exit(2)
    except KeyboardInterrupt:  # while importing; later, `run` deals with it
        sys.exit(130)
    sys.exit(run(argv))
