"""The dashboard for Grafana."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest

import trio_wsguard as wsguard
from trio_wsguard.instrumentation.dashboard import grafana_dashboard
from trio_wsguard.instrumentation.metrics import METRICS

from .guarded import needs_promtool, promtool
from .test_export import metrics_in

if TYPE_CHECKING:
    from pathlib import Path

BOARD: dict[str, Any] = json.loads(grafana_dashboard())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
EXPRS = [target["expr"] for panel in PANELS for target in panel["targets"]]


def filled_in(expr: str) -> str:
    """Put values for Grafana's variables, as Grafana does."""
    text = expr.replace("$__rate_interval", "1m")
    return re.sub(r"\$(job|instance|guard)", ".*", text)


def test_every_metric_is_shown_and_no_other() -> None:
    """Each metric has a panel, and no panel asks for what no guard tells."""
    assert set().union(*map(metrics_in, EXPRS)) == {metric.name for metric in METRICS}


def test_panels_have_an_id_of_their_own() -> None:
    """Ids are unique, and so are the queries' within a panel."""
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in PANELS:
        names = [target["refId"] for target in panel["targets"]]
        assert len(set(names)) == len(names) > 0


def test_panels_lie_side_by_side() -> None:
    """No panel covers another, or leaves the grid; the rows' titles lie above their panels."""
    places = [panel["gridPos"] for panel in BOARD["panels"]]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


def test_panels_explain_themselves() -> None:
    """Each panel has a title of its own and a description."""
    titles = [panel["title"] for panel in PANELS]
    assert len(set(titles)) == len(titles)
    assert all(panel["description"] for panel in PANELS)


def test_the_data_source_is_the_viewers_choice() -> None:
    """Nothing is bound to one Grafana: every query goes to the chosen data source."""
    names = [variable["name"] for variable in BOARD["templating"]["list"]]
    assert names == ["datasource", "job", "instance", "guard"]
    for panel in PANELS:
        for part in (panel, *panel["targets"]):
            assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert all('guard=~"$guard"' in expr for expr in EXPRS)


@needs_promtool
def test_prometheus_understands_every_query(tmp_path: Path) -> None:
    """Each query is PromQL once Grafana's variables are filled in."""
    rules = [{"record": f"panel:{n}", "expr": filled_in(e)} for n, e in enumerate(EXPRS)]
    path = tmp_path / "rules.json"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    assert f"SUCCESS: {len(EXPRS)} rules found" in promtool("check", "rules", str(path))


@needs_promtool
@pytest.mark.parametrize("state", wsguard.ConnectionState)
def test_the_timeline_names_the_state(tmp_path: Path, state: wsguard.ConnectionState) -> None:
    """The number that a state becomes is shown as that state's name."""
    (panel,) = (panel for panel in PANELS if panel["title"] == "State")
    names = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    (number,) = (int(key) for key, shown in names.items() if shown["text"] == state.name)
    where = 'job="j",instance="i",guard="g"'
    series = [
        {
            "series": f'wsguard_connection_state{{{where},state="{one.value}"}}',
            "values": str(int(one is state)),
        }
        for one in wsguard.ConnectionState
    ]
    sample = {"labels": f"{{{where}}}", "value": number}
    case = {"expr": filled_in(panel["targets"][0]["expr"]), "exp_samples": [sample]}
    test = {"input_series": series, "promql_expr_test": [{**case, "eval_time": "0s"}]}
    path = tmp_path / "test.json"
    path.write_text(json.dumps({"tests": [test]}), encoding="utf-8")
    promtool("test", "rules", str(path))
