"""A dashboard for Grafana over the metrics of guards.

Written in Grafana's classic model, which all its versions since 10 import; a
data source and the guards to show are chosen on the dashboard.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from trio_wsguard.instrumentation.dashboard_panels import ROWS, Panel

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCHEMA_VERSION: Final = 42  # of Grafana 12; later ones migrate it, earlier ones read it as it is
_COLUMNS: Final = 24
_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "state-timeline": {
        "mergeValues": True,
        "showValue": "never",
        "rowHeight": 0.8,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
    },
    "stat": {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "background",
        "textMode": "value_and_name",
    },
    "heatmap": {
        "calculate": False,
        "color": {"mode": "scheme", "scheme": "Spectral", "steps": 64},
        "yAxis": {"unit": "s"},
        "cellGap": 1,
    },
}


def grafana_dashboard() -> str:
    """Write the dashboard as JSON, to be imported into Grafana."""
    dashboard = {
        "uid": "trio-wsguard",
        "title": "WebSocket guards",
        "description": "Guards of trio_wsguard. Made by trio-wsguard export grafana-dashboard.",
        "tags": ["trio-wsguard", "websocket"],
        "schemaVersion": _SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_datasource(), *map(_choice, ("job", "instance", "guard"))]},
        "annotations": {"list": []},
        "panels": list(_laid_out()),
    }
    return json.dumps(dashboard, indent=2) + "\n"


def _laid_out() -> Iterator[dict[str, Any]]:
    """Set the panels of each row from left to right, beginning anew where it is full."""
    number = y = 0
    for title, panels in ROWS.items():
        number += 1
        place = {"x": 0, "y": y, "w": _COLUMNS, "h": 1}
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "gridPos": place,
            "panels": [],
        }
        x, y, height = 0, y + 1, 0
        for panel in panels:
            if x + panel.width > _COLUMNS:
                x, y, height = 0, y + height, 0
            number += 1
            yield _draw(panel, number, x, y)
            x, height = x + panel.width, max(height, panel.height)
        y += height


def _draw(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "targets": list(_targets(panel)),
        "options": _OPTIONS[panel.kind],
        "fieldConfig": {"defaults": {"unit": panel.unit, **panel.field}, "overrides": []},
    }


def _targets(panel: Panel) -> Iterator[dict[str, Any]]:
    for name, (legend, expr) in zip("ABCDEFGH", panel.queries.items(), strict=False):
        target = {"refId": name, "datasource": _DATASOURCE, "expr": expr, "legendFormat": legend}
        yield target | {"format": "heatmap" if panel.kind == "heatmap" else "time_series"}


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource"} | {
        "query": "prometheus",
        "current": {},
        "hide": 0,
    }


def _choice(label: str) -> dict[str, Any]:
    """Let the viewer choose by a label; all at first."""
    query = f"label_values(wsguard_connection_state, {label})"
    return {
        "name": label,
        "label": label.capitalize(),
        "type": "query",
        "datasource": _DATASOURCE,
        "query": {"query": query, "refId": label},
        "definition": query,
        "refresh": 2,  # whenever the time range changes
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }
