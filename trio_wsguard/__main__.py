"""``python -m trio_wsguard``: the command line."""

from trio_wsguard.cli import main

main()
