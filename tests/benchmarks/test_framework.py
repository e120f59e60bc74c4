"""Alternation, summaries, verdicts and reports: from samples that are known beforehand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import __main__ as program
from benchmarks import framework, report, report_plot, report_table, throughput
from benchmarks.framework import Benchmark, Claim, Context, Sample, order_of_turn, take_turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

pytest.importorskip("rich")

FIGURES = {
    # By peer: one figure a round. The third round was noisy for all alike.
    "floor": (1000.0, 1000.0, 500.0),
    "bare": (100.0, 110.0, 50.0),
    "guard": (200.0, 220.0, 100.0),
    "slow-guard": (50.0, 55.0, 25.0),
}


def samples_of(figures: Mapping[str, tuple[float, ...]] = FIGURES) -> list[Sample]:
    return [
        Sample(peer=peer, case="64 B", round=turn, value=value)
        for peer, values in figures.items()
        for turn, value in enumerate(values)
    ]


def benchmark_of(*claims: Claim, lower_is_better: bool = False, **others: Any) -> Benchmark:
    settings: dict[str, Any] = {
        "name": "sample",
        "claim": "It is known beforehand.",
        "unit": "messages/s",
        "peers": tuple(FIGURES),
        "baseline": "bare",
        "floor": "floor",
        "run": lambda _context: iter(samples_of()),
    }
    return Benchmark(claims=claims, lower_is_better=lower_is_better, **{**settings, **others})


def result_of(benchmark: Benchmark, context: Context | None = None) -> report.Result:
    context = context or Context(benchmark)
    return report.conclude(benchmark, context, list(benchmark.run(context)))


def words_of(benchmark: Benchmark, context: Context | None = None) -> list[str]:
    return [verdict.word for verdict in result_of(benchmark, context).verdicts]


# --- taking turns ---------------------------------------------------------------


def test_each_round_begins_with_another_peer() -> None:
    """Nobody is always first, and everybody is measured once a round."""
    orders = [order_of_turn("abc", turn) for turn in range(4)]
    assert orders == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]


def test_peers_take_turns() -> None:
    """Within a case peers alternate, and progress grows from nothing on."""
    told: list[float] = []
    context = Context(
        benchmark_of(peers=("a", "b")), progress=lambda share, _text: told.append(share)
    )
    samples = list(take_turns(context, (1, 2), 2, lambda peer, case: {f"{case}": ord(peer) * 1.0}))
    seen = [(s.case, s.round, s.peer) for s in samples]
    assert seen == [
        ("1", 0, "a"),
        ("1", 0, "b"),
        ("1", 1, "b"),
        ("1", 1, "a"),
        ("2", 0, "a"),
        ("2", 0, "b"),
        ("2", 1, "b"),
        ("2", 1, "a"),
    ]
    assert told == [0, 1 / 8, 2 / 8, 3 / 8, 4 / 8, 5 / 8, 6 / 8, 7 / 8]


def test_peer_that_fails_is_reported_and_others_go_on() -> None:
    """A peer that raises gives no sample and loses its claims, without ending the run."""
    benchmark = benchmark_of(Claim(peer="guard", case="64 B", bound=0.1, against="bare"))
    context = Context(benchmark, peers=frozenset({"bare", "guard"}))

    def measure(peer: str, _case: str) -> dict[str, float]:
        if peer == "guard":
            raise TimeoutError("it hung")
        return {"64 B": 1.0}

    samples = list(take_turns(context, ("64 B",), 2, measure))
    assert {sample.peer for sample in samples} == {"bare"}
    assert context.notes == ["failed: guard, 64 B: TimeoutError: it hung"] * 2
    assert report.conclude(benchmark, context, samples).verdicts[0].word == "behind"


def test_peers_that_are_not_installed_are_skipped() -> None:
    """They are named, with what they need; the rest is measured."""
    benchmark = benchmark_of(requires={"guard": "no_such_distribution", "bare": "attrs"})
    context = Context(benchmark, peers=frozenset({"bare", "guard"}))
    assert context.wanted == ("bare",)
    assert context.skipped == {"guard": "no_such_distribution"}


# --- summaries ------------------------------------------------------------------


def test_ratio_is_within_a_round() -> None:
    """Noise that a round's peers share cancels out, in the ratio and in its range."""
    rows = {row.peer: row for row in result_of(benchmark_of()).rows}
    assert rows["guard"].median == 200
    assert rows["guard"].quartiles == (150, 210)
    assert (rows["guard"].ratio, rows["guard"].ratio_range) == (2, (2, 2))
    assert rows["bare"].ratio == 1
    assert list(rows) == list(FIGURES)


def test_without_a_baseline_there_is_no_ratio() -> None:
    """Figures are shown all the same."""
    rows = report.summarise(benchmark_of(), samples_of({"guard": (3.0,)}))
    assert [(row.median, row.quartiles, row.ratio) for row in rows] == [(3, (3, 3), None)]


@pytest.mark.parametrize(
    ("lower_is_better", "bound", "against", "word"),
    [
        (False, 2.0, "bare", "kept"),
        (False, 2.01, "bare", "behind"),
        (True, 2.0, "bare", "kept"),
        (True, 1.99, "bare", "behind"),
        (False, 200.0, None, "kept"),
        (False, 201.0, None, "behind"),
        (True, 200.0, None, "kept"),
        (True, 199.0, None, "behind"),
        (False, 4.0, "slow-guard", "kept"),
        (True, 3.9, "slow-guard", "behind"),
        (False, 0.1, "absent", "not measured"),
    ],
)
def test_verdict(lower_is_better: bool, bound: float, against: str | None, word: str) -> None:
    """A claim can be lost both ways round, against any peer or in the unit itself."""
    claim = Claim(peer="guard", case="64 B", bound=bound, against=against)
    assert words_of(benchmark_of(claim, lower_is_better=lower_is_better)) == [word]


def test_verdict_within_the_noise() -> None:
    """Where the quartiles disagree, the verdict says so."""
    claim = Claim(peer="guard", case="64 B", bound=180.0)
    (verdict,) = result_of(benchmark_of(claim)).verdicts
    assert (verdict.word, verdict.is_clear) == ("kept", False)
    assert report_table.line_of(verdict, benchmark_of()) == (
        "kept: guard at 64 B: 200 messages/s, claimed is at least 180 "
        "(within the noise: the rounds disagree)"
    )


# --- reports --------------------------------------------------------------------


def test_json(tmp_path: Path) -> None:
    """The file holds the claim, the machine, the versions, every sample and every verdict."""
    claim = Claim(peer="slow-guard", case="64 B", bound=1.0, against="bare")
    path = tmp_path / "new" / "sample.json"
    report.write_json(path, report.conditions(), 1.25, result_of(benchmark_of(claim)))
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["verdicts"] == [
        {
            "claim": {"peer": "slow-guard", "case": "64 B", "bound": 1.0, "against": "bare"},
            "reached": 0.5,
            "word": "behind",
            "is_clear": True,
        }
    ]
    assert len(content["samples"]) == 12
    assert content["samples"][0] == {"peer": "floor", "case": "64 B", "round": 0, "value": 1000.0}
    assert content["summary"][2]["ratio"] == 2
    assert {"processor", "cpus", "load", "python", "platform", "time"} <= set(content)
    assert content["versions"]["trio"]
    assert (content["unit"], content["baseline"], content["quick"]) == ("messages/s", "bare", False)


def test_picture(tmp_path: Path) -> None:
    """A PNG is drawn, whatever the spread of the figures."""
    pytest.importorskip("matplotlib")
    for name, floor in (("near", 300.0), ("far", 1e9)):
        figures = {**FIGURES, "floor": (floor,), "guard": (0.0, 1e5)}
        benchmark = benchmark_of(run=lambda _context, figures=figures: samples_of(figures))
        path = tmp_path / f"{name}.png"
        report_plot.plot(path, result_of(benchmark), report.conditions())
        assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.01234, "0.0123"),
        (1.234, "1.23"),
        (12.34, "12.3"),
        (123.4, "123"),
        (1e6, "1,000,000"),
    ],
)
def test_figures_are_short(value: float, text: str) -> None:
    """Three digits that count."""
    assert report_table.figure_of(value) == text


# --- the command line -----------------------------------------------------------


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Callable[[Benchmark], None]:
    """Make one benchmark the only one that there is."""

    def make(benchmark: Benchmark) -> None:
        monkeypatch.setattr(program, "find_benchmarks", lambda: {benchmark.name: benchmark})

    return make


def test_program(
    known: Callable[[Benchmark], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints the table and the verdicts, and writes the files; to be behind is no error."""
    claims = (
        Claim(peer="guard", case="64 B", bound=2.0, against="bare"),
        Claim(peer="slow-guard", case="64 B", bound=1.0, against="bare"),
    )
    known(benchmark_of(*claims, requires={"floor": "no_such_distribution"}))
    assert program.main(["sample", "--quick", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "kept: guard at 64 B: 2.00 x bare, claimed is at least 2.00" in out
    assert "behind: slow-guard at 64 B: 0.50 x bare, claimed is at least 1.00" in out
    assert "skipped: floor needs no_such_distribution: pip install no_such_distribution" in out
    assert "claims: 1 kept, 1 behind" in out
    assert (tmp_path / "sample.json").exists()


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["nonsense"], "no benchmark named nonsense; there is sample"),
        (
            ["--peers", "guard,nobody"],
            "no peer named nobody; there is floor, bare, guard, slow-guard",
        ),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
    ],
)
def test_program_refuses_unknown_names(
    known: Callable[[Benchmark], None],
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
    complaint: str,
) -> None:
    """The error is one line that tells what there is."""
    known(benchmark_of())
    with pytest.raises(SystemExit) as caught:
        program.main(argv)
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"python -m benchmarks: {complaint}\n"


def test_list(known: Callable[[Benchmark], None], capsys: pytest.CaptureFixture[str]) -> None:
    """It shows claims and peers, and measures nothing."""

    def run(_context: Context) -> Iterator[Sample]:
        raise AssertionError("measured")

    known(benchmark_of(run=run, requires={"guard": "no_such_distribution"}))
    assert program.main(["--list"]) == 0
    out = capsys.readouterr().out
    assert "It is known beforehand." in out
    assert "guard (not installed)" in out


def test_names_and_claims_agree() -> None:
    """Every claim is about a peer of its benchmark, and so is every baseline and floor."""
    benchmarks = program.find_benchmarks()
    assert {"receive", "send", "echo", "cpu"} <= set(benchmarks)
    for benchmark in benchmarks.values():
        named = {claim.peer for claim in benchmark.claims}
        named |= {claim.against for claim in benchmark.claims if claim.against is not None}
        named |= {benchmark.baseline, *([benchmark.floor] if benchmark.floor else [])}
        assert named <= set(benchmark.peers), benchmark.name


# --- for real -------------------------------------------------------------------


def test_receive_for_real() -> None:
    """A guard and a raw socket receive from the server; the raw socket is faster."""
    with framework.serve() as server:
        rates = {
            peer: throughput.receive(server, peer, 64, warm_up=0.0, seconds=0.02).rate
            for peer in ("raw", "trio-websocket", "guard")
        }
        sent = throughput.send(server, "guard", 1024, warm_up=0.0, seconds=0.02)
    assert rates["raw"] > rates["guard"] > 100
    assert sent.messages >= 2048


def test_server_obeys() -> None:
    """It counts, resets, closes, and comes back on the same port; nonsense is an error."""
    with framework.serve() as server:
        assert server.order("count") == "0"
        assert server.order("down") == "ok"
        assert server.order("up") == "ok"
        assert server.order("reset") == "ok"
        with pytest.raises(ValueError, match="no such command"):
            server.order("nonsense")
        assert throughput.receive(server, "raw", 16, warm_up=0.0, seconds=0.01).messages


def test_server_tells_who_was_slowed() -> None:
    """Where the server was busy all the time, it may be what was measured: that is said."""
    shares = {("a", "64 B"): 0.2, ("b", "64 B"): 0.95}
    (line,) = throughput.business_of_server(shares)
    assert line.endswith("95% of a CPU, for b at 64 B; it may have been the limit of b at 64 B")
