"""``trio-wsguard export``: files for Prometheus and Grafana, on stdout or into a file."""

from __future__ import annotations

import math
from typing import IO, Final

import click

from trio_wsguard._core.rates import RATE_WINDOW
from trio_wsguard.cli.options import CONTEXT
from trio_wsguard.instrumentation.dashboard import grafana_dashboard
from trio_wsguard.instrumentation.export import prometheus_rules

_EXAMPLES: Final = """\b
Examples:
  trio-wsguard export prometheus-rules --output /etc/prometheus/wsguard.yml
  trio-wsguard export grafana-dashboard --output wsguard.json
"""
_RULES_EXAMPLES: Final = """\b
Examples:
  trio-wsguard export prometheus-rules | promtool check rules /dev/stdin
  trio-wsguard export prometheus-rules --window 600 --output wsguard.yml

\b
In prometheus.yml:
  rule_files: [wsguard.yml]
  scrape_configs:
    - job_name: wsguard
      static_configs: [{targets: ["127.0.0.1:9464"]}]
"""
_DASHBOARD_EXAMPLES: Final = """\b
Examples:
  trio-wsguard export grafana-dashboard --output wsguard.json

\b
In Grafana: Dashboards, New, Import, and choose the file. Or name its folder in
a provisioning file of type "file".
"""

_OUTPUT: Final = click.option(
    "--output",
    "-o",
    type=click.File("w", encoding="utf-8", lazy=True),
    default="-",
    metavar="FILE",
    help="Write to this file, over what is there.  [default: stdout]",
)


def _check_window(_context: click.Context, _option: click.Parameter, value: float) -> float:
    # Not FloatRange: nan is within every range.
    if not math.isfinite(value) or value < 1:
        raise click.BadParameter(f"{value:g} must be a number of seconds from 1 on.")
    return value


@click.group(context_settings=CONTEXT, epilog=_EXAMPLES)
def export() -> None:
    """Write what Prometheus and Grafana need to watch over guards.

    The metrics themselves come from a running program: by `serve_metrics` or
    `GuardCollector` of trio_wsguard.instrumentation.prometheus, or from
    "trio-wsguard watch URL --metrics-port 9464".
    """


@export.command(
    name="prometheus-rules",
    context_settings=CONTEXT,
    epilog=_RULES_EXAMPLES,
    short_help="The documented alerts, for Prometheus.",
)
@click.option(
    "--window",
    type=float,
    default=RATE_WINDOW,
    show_default=True,
    callback=_check_window,
    metavar="SECONDS",
    help="How far back the rates look; several scrapes must fall into it.",
)
@_OUTPUT
def rules_command(window: float, output: IO[str]) -> None:
    """Write the documented alerts as a rules file for Prometheus 2.42 or later.

    Failure rate of attempts, missed beats, success rate, mean response time:
    with the library's own thresholds, levels and least numbers of samples.
    Rules of your own: trio_wsguard.instrumentation.export.prometheus_rules(rules).
    """
    output.write(prometheus_rules(window=window))


@export.command(
    name="grafana-dashboard",
    context_settings=CONTEXT,
    epilog=_DASHBOARD_EXAMPLES,
    short_help="All metrics on a page of Grafana.",
)
@_OUTPUT
def dashboard_command(output: IO[str]) -> None:
    """Write a dashboard for Grafana 10 or later, with a panel for every metric.

    States on a time line, score, response times, heartbeats, messages,
    silence, failures, anomalies and alerts; the data source, the job, the
    instance and the guards are chosen on the dashboard.
    """
    output.write(grafana_dashboard())
