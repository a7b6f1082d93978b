"""The page, CSV and LaTeX of a report: numbers recomputed from the runs' files, and the page in a browser."""

import csv
import json
import re
import shutil
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
import scipy.stats
from support.browser import dom, needs_browser
from support.run_folders import make_run, make_study

from cocoa.algos.iql import IQL
from cocoa.config.online import OnlineConfig
from cocoa.report.__main__ import main
from cocoa.report.contents import contents_of
from cocoa.report.page import provenance, rendering
from cocoa.report.scores import best
from cocoa.report.watch import INTERVAL, fingerprint
from cocoa.runs.metrics import read_metrics
from cocoa.runs.summary import read_summary, write_summary
from cocoa.statistics.bootstrap import Estimate

pytest.importorskip("jinja2")

HOSTILE = "</title><script>alert(1)</script>&\"'$x$"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Twelve runs of one seed each: an algorithm with and without COCOA, two datasets, three seeds."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    make_study(folder, ("iql",))
    return folder


@pytest.fixture(scope="module")
def out(study, tmp_path_factory):
    """The folder with the files of the study's report."""
    out = tmp_path_factory.mktemp("out")
    assert main([str(study), "--out", str(out)]) == 0
    return out


class Tables(HTMLParser):
    """The tables of a page: {caption: [{column: (text, value), ...}, ...]}."""

    def __init__(self, html):
        super().__init__()
        self.tables, self._text, self._value = {}, None, None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag == "table":
            self._columns, self._rows = [], []
        if tag == "tr":
            self._rows.append([])
        if tag in ("caption", "th", "td"):
            self._text, self._value = "", dict(attrs).get("data-value")

    def handle_data(self, data):
        if self._text is not None:
            self._text += data

    def handle_endtag(self, tag):
        if tag == "caption":
            self.caption = self._text
        if tag == "th" and len(self._rows) == 1:
            self._columns.append(self._text)
        elif tag in ("th", "td"):
            self._rows[-1].append((self._text, None if self._value is None else float(self._value)))
        if tag == "table":
            rows = [dict(zip(self._columns, row, strict=True)) for row in self._rows[1:]]
            self.tables[self.caption] = rows


def last_scores(study, dataset, method):
    """The score of each seed's last evaluation, from the files alone."""
    scores = []
    for path in study.glob(f"{dataset}/{method}/*/metrics.csv"):
        with path.open() as file:
            rows = [row for row in csv.DictReader(file) if row["metric"] == "evaluation/score"]
        scores.append(float(max(rows, key=lambda row: int(row["step"]))["value"]))
    assert len(scores) == 3
    return scores


def test_numbers_on_the_page_are_those_of_the_files(study, out):
    tables = Tables((out / "first-report.html").read_text()).tables
    rows = tables["IQM by dataset and algorithm"]
    assert [row["dataset"][0] for row in rows] == ["hopper-medium", "walker2d-medium"]
    for row in rows:
        plain, wrapped = (last_scores(study, row["dataset"][0], method) for method in ("iql", "iql+cocoa"))
        iqms = [scipy.stats.trim_mean(scores, 0.25) for scores in (plain, wrapped)]
        assert row["plain"][1] == pytest.approx(iqms[0])
        assert row["+COCOA"][1] == pytest.approx(iqms[1])
        assert row["difference"][1] == pytest.approx(iqms[1] - iqms[0])
        assert row["plain"][0].startswith(f"{iqms[0]:.1f} [")
    pooled = [*last_scores(study, "hopper-medium", "iql"), *last_scores(study, "walker2d-medium", "iql")]
    total = next(row for row in tables["Over datasets with scores"] if row["aggregate"][0] == "IQM")
    assert total["plain"][1] == pytest.approx(scipy.stats.trim_mean(pooled, 0.25))
    everywhere = tables["Scores (%) by dataset and method"][-1]
    assert everywhere["dataset"][0] == "all datasets"
    assert everywhere["iql"] == total["plain"]
    anchors = tables["Distances of states and anchors to the data"]
    assert [row["NN(s)"][0] for row in anchors[:5]] == ["1.00", "1.33", "1.67", "2.00", "2.33"]
    seconds = tables["Seconds of a run, in all and by stage"]
    assert {row["method"][0]: row["seconds"][1] for row in seconds} == {"iql": 131, "iql+cocoa": 249}


def test_csv_and_latex_hold_the_same_numbers(study, out):
    with (out / "first-scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    latex = (out / "first-scores.tex").read_text()
    for row in rows:
        scores = last_scores(study, row["dataset"], row["method"])
        iqm = scipy.stats.trim_mean(scores, 0.25)
        assert float(row["last_iqm"]) == pytest.approx(iqm)
        assert float(row["last_mean"]) == pytest.approx(np.mean(scores))
        assert float(row["last_iqm_low"]) <= iqm <= float(row["last_iqm_high"])
        assert f"{iqm:.1f} [{float(row['last_iqm_low']):.1f}, " in latex
    assert latex.count("&") == latex.count(r"\\") * 2
    for rule in ("toprule", "midrule", "bottomrule"):
        assert f"\\{rule}" in latex


def test_tuned_hyperparameters_have_their_price_and_a_chosen_comparison(tmp_path, capsys):
    runs = tmp_path / "tuned"
    for count in range(9):
        algo = IQL(expectile=0.5 + count / 20)
        make_run(runs, algo, False, "hopper-medium", (0, 1), 40.0 + count)
    pair = [f"iql algo.expectile={expectile}" for expectile in ("0.5", "0.9")]
    assert main([str(runs), "--out", str(tmp_path), "--compare", *pair, "--effect", "5"]) == 0
    html = (tmp_path / "tuned-report.html").read_text()
    assert f"<h2>{pair[1]} against {pair[0]}</h2>" in html
    assert "If the true difference is 5," in html
    tables = Tables(html).tables
    assert {row["policies"][0] for row in tables["Expected score by evaluated episodes"]} == {"18"}
    by_method = tables["Scores (%) by method and dataset"]
    assert [row["method"][0] for row in by_method] == [
        f"iql algo.expectile={0.5 + n / 20:.4g}" for n in range(9)
    ]
    values = [row["value"][0] for row in tables["Settings that differ"]]
    assert values == [f"{0.5 + n / 20:.4g}" for n in range(9)]


@pytest.mark.parametrize(
    ("estimates", "expected"),
    [
        ({"a": (5, 4, 6), "b": (7, 5.5, 8), "c": (4, 3, 5)}, {"a", "b"}),
        ({"a": (5, np.nan, np.nan), "b": (7, np.nan, np.nan)}, {"b"}),
        ({"a": (5, 4, 6), "b": (-np.inf, np.nan, np.nan)}, {"a"}),
        ({"a": (-np.inf, np.nan, np.nan), "b": (-np.inf, np.nan, np.nan)}, set()),
        ({"a": (5, 4, 6)}, set()),
    ],
)
def test_the_best_are_those_whose_interval_reaches_the_best_one(estimates, expected):
    assert best({method: Estimate(*numbers) for method, numbers in estimates.items()}) == expected


def test_the_page_needs_nothing_else_and_is_accessible(out):
    html = (out / "first-report.html").read_text()
    links = re.findall(r'(?:src|href|action|data)\s*=\s*"([^"]*)"', html)
    assert all(link.startswith("#") for link in links)
    assert set(re.findall(r'([\w:]+)="https?:', html)) <= {"xmlns", "xmlns:xlink"}
    assert not re.search(r"@import|url\(\s*['\"]?http", html)
    ids = re.findall(r'\sid="([^"]*)"', html)
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links} <= set(ids)
    assert html.count("<table") == html.count("<caption>") > 6
    figures = re.findall(r"<figure>.*?(<svg.*?</svg>)", html)
    assert len(figures) > 6
    assert all(re.search(r'role="img" aria-label="[^"]+"', figure) for figure in figures)
    assert max(map(len, figures)) < 20_000
    assert (
        "nan"
        not in re.sub(r"<script>.*?</script>|data-value=\"nan\"", "", html, flags=re.DOTALL).lower().split()
    )


def test_names_from_files_are_escaped(tmp_path, capsys):
    runs = tmp_path / "runs"
    folder = make_run(runs, "iql", False, "hopper-demo", (0, 1), 40.0)
    summary = read_summary(folder)
    versions = {"versions": {HOSTILE: HOSTILE}, "git_commit": HOSTILE, "seconds": {HOSTILE: 5.0}}
    write_summary(folder, summary | versions | {"algo": HOSTILE, "references": HOSTILE, "hardware": 5})
    values = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(
        values.replace("dataset: hopper-demo", f"dataset: {json.dumps(HOSTILE)}")
    )
    make_run(runs, "bc", False, "hopper-demo", (0, 1), 40.0, name="b<i>old")
    (runs / "study.json").write_text(
        json.dumps([dict(name=HOSTILE, dataset=HOSTILE, method=HOSTILE, updates=5, command="")])
    )
    assert main([str(runs), "--out", str(tmp_path)]) == 0
    html = (tmp_path / "runs-report.html").read_text()
    assert html.count("<script") == 1
    assert "alert(1)" in unescape(html)
    assert "<i>" not in html
    latex = (tmp_path / "runs-scores.tex").read_text()
    assert "\\&" in latex
    assert "$x$" not in latex


def test_runs_that_are_not_in_the_numbers_are_listed_with_the_reason(study, tmp_path):
    runs = shutil.copytree(study, tmp_path / "first")
    cut, failed, damaged, old, lost = sorted(runs.glob("*/iql/*"))[:5]
    write_summary(cut, read_summary(cut) | {"status": "running"})
    write_summary(failed, read_summary(failed) | {"status": "failed"})
    (runs / "logs").mkdir()
    (runs / "logs" / f"{failed.name}.log").write_text("starting\nRunError: the disk is full\n")
    (damaged / "metrics.csv").write_bytes(b"\x00\xff")
    (old / "config.yaml").write_text("algorithm: iql\n")
    (lost / "summary.json").write_text("{")
    planned = dict(dataset="hopper-medium", method="iql", updates=5000, command="algo=iql")
    plan = [planned | {"name": name} for name in (failed.name, "not-yet", "broken")]
    (runs / "logs" / "broken.log").write_text("ConfigError: no such field\n")
    (runs / "study.json").write_text(json.dumps(plan))
    assert main([str(runs), "--out", str(tmp_path)]) == 0
    rows = Tables((tmp_path / "first-report.html").read_text()).tables["Runs that are not in the numbers"]
    found = {
        row["run"][0]: [row[name][0] for name in ("state", "why it is not in the numbers")] for row in rows
    }
    assert len(found) == 7
    assert found[str(cut)][0] == "cut"
    assert found[str(failed)] == ["failed", "RunError: the disk is full"]
    assert found["broken"] == ["failed", "ConfigError: no such field"]
    assert found["not-yet"] == ["planned", "not started"]
    reasons = {damaged: "metrics.csv", old: "names no algorithm", lost: "summary.json cannot be read"}
    for folder, reason in reasons.items():
        assert found[str(folder)][0] == "left out"
        assert reason in found[str(folder)][1]


def test_final_evaluations_and_diverged_seeds_have_their_cells(tmp_path):
    runs = tmp_path / "runs"
    final = {"step": 5000, "episodes": 1000, "seeds": [0, 1, 2], "score": {"per_seed": [10.0, 20.0, 60.0]}}
    folder = make_run(runs, "iql", False, "hopper-demo", (0, 1, 2), 40.0)
    write_summary(folder, read_summary(folder) | {"final_evaluation": final})
    lost = make_run(runs, "iql", True, "hopper-demo", (0, 1, 2), 40.0)
    summary = read_summary(lost) | {"final_evaluation": {"seeds": 5}}
    summary["score"]["per_seed"] = [None, None, 40.0]
    write_summary(lost, summary)
    assert main([str(runs), "--out", str(tmp_path)]) == 0
    tables = Tables((tmp_path / "runs-report.html").read_text()).tables
    (row,) = tables["Final evaluation, by cocoa evaluate"]
    assert row["episodes each"][0] == "1,000"
    assert (row["IQM"][1], row["mean"][1]) == (30.0, 30.0)
    plain, wrapped = tables["Last evaluation, and mean of the last ten"]
    assert plain["diverged"][0] == "0"
    assert (wrapped["diverged"][0], wrapped["last: mean"][0]) == ("2", "diverged")


def test_estimates_without_an_environment_are_ranked_against_true_returns(study, tmp_path):
    runs = shutil.copytree(study, tmp_path / "first")
    true, fitted = [], []
    for number, path in enumerate(sorted(runs.glob("hopper-medium/*/*/summary.json"))):
        summary = read_summary(path.parent)
        write_summary(path.parent, summary | {"step": 5000})
        (mean,) = summary["return"]["per_seed"]
        true.append(mean)
        fitted.append((7 * number) % 5 + mean / 1000)
        values = {
            "step": 5000,
            "seeds": summary["seeds"],
            "dataset_sha256": "0",
            "fitted_to": {"episodes": "held_out"},
            "initial_states": {"episodes": "held_out"},
            "settings": {"updates": 100},
        }
        estimates = {
            "fqe": {"per_seed": [fitted[-1]]},
            "td_error": {"per_seed": [-mean]},
            "initial_value": None,
        }
        (path.parent / "selection.json").write_text(json.dumps(values | estimates))
    (next(runs.glob("walker2d-medium/*/*/")) / "selection.json").write_text("[1")
    assert main([str(runs), "--out", str(tmp_path)]) == 0
    fqe, error = Tables((tmp_path / "first-report.html").read_text()).tables["Ranks of policies by estimates"]
    assert (fqe["estimate"][0], error["estimate"][0]) == ("FQE", "TD error")
    assert fqe["policies"][1] == 6
    assert fqe["Spearman"][1] == pytest.approx(scipy.stats.spearmanr(fitted, true).statistic)
    assert fqe["regret at 1"][1] == pytest.approx(max(true) - true[int(np.argmax(fitted))])
    assert (error["Spearman"][1], error["regret at 1"][1], error["best 3 found (%)"][1]) == (1, 0, 100)


def test_without_the_extra_there_is_no_page_but_all_else(study, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("cocoa.extras.EXTRAS", {"report": ("no_such_module",)})
    monkeypatch.setattr(rendering, "_environment", rendering._environment.__wrapped__)
    assert main([str(study), "--out", str(tmp_path)]) == 0
    assert 'needs the extra "report"' in capsys.readouterr().err
    assert {path.suffix for path in tmp_path.iterdir()} == {".csv", ".tex", ".png"}
    assert main([str(study), "--out", str(tmp_path), "--watch"]) == 2
    assert 'needs the extra "report"' in capsys.readouterr().err


def test_a_watched_page_is_written_again_when_a_run_has_gone_on(study, tmp_path, monkeypatch):
    runs = shutil.copytree(study, tmp_path / "first")
    pages = []

    def sleep(_):
        """Stand in for the time between two looks: a run goes on in the first."""
        pages.append((tmp_path / "first-report.html").read_text())
        if len(pages) == 1:
            make_run(runs, "bc", False, "hopper-medium", (0,), 20.0)
        if len(pages) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    assert main([str(runs), "--out", str(tmp_path), "--watch"]) == 0
    assert f'http-equiv="refresh" content="{INTERVAL}"' in pages[0]
    assert ">bc</" not in pages[0]
    assert ">bc</" in pages[1]
    assert pages[2] == pages[1]
    last = (tmp_path / "first-report.html").read_text()
    assert ">bc</" in last
    assert "refresh" not in last


def test_a_study_without_a_finished_run_can_be_watched(study, tmp_path):
    runs = tmp_path / "first"
    folder = runs / "hopper-medium" / "iql" / "one"
    shutil.copytree(next(study.glob("*/iql/*")), folder)
    before = fingerprint([runs])
    write_summary(folder, read_summary(folder) | {"status": "running"})
    assert fingerprint([runs]) != before
    contents = contents_of([runs])
    assert not contents.groups
    assert [run.state for run in contents.others] == ["cut"]


@needs_browser
def test_tables_are_sorted_and_nothing_is_wider_than_a_phone(out, tmp_path):
    page = tmp_path / "page.html"
    html = (out / "first-report.html").read_text()
    page.write_text(html)
    tables = len(re.findall(r'<table class="sortable"', html))
    assert dom(page).count('class="copy"') == tables  # the policy of the page lets its own script run
    click = """
      const table = Array.from(document.querySelectorAll("table")).find(
        (table) => table.caption.textContent.startsWith("Last evaluation"));
      const header = Array.from(table.tHead.rows[0].cells).find((cell) => cell.textContent === "last: mean");
      const column = header.cellIndex;
      const rows = table.tBodies[0].rows;
      const values = () => Array.from(rows, (row) => parseFloat(row.cells[column].dataset.value));
      header.firstChild.click();
      const result = { up: values(), first: header.getAttribute("aria-sort"), text: tableText(table) };
      header.firstChild.click();
      result.down = values();
      result.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
      document.body.innerHTML = "";
      document.body.append(JSON.stringify(result));
    """
    without_policy = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
    page.write_text(without_policy.replace("</body>", f"<script>{click}</script></body>"))
    result = json.loads(unescape(re.search(r"<body>(\{.*\})\s*</body>", dom(page, 400), re.DOTALL)[1]))
    assert result["up"] == sorted(result["up"])
    assert len(result["up"]) == 4
    assert result["first"] == "ascending"
    assert result["down"] == sorted(result["up"], reverse=True)
    assert result["overflow"] <= 0
    assert result["text"].splitlines()[0].split("\t")[:2] == ["dataset", "method"]


@needs_browser
def test_a_hostile_name_runs_no_script(tmp_path):
    runs = tmp_path / "runs"
    make_run(runs, "iql", False, "<img src=x onerror=document.title=1>", (0, 1), 40.0)
    assert main([str(runs), "--out", str(tmp_path)]) == 0
    assert "<title>runs</title>" in dom(tmp_path / "runs-report.html")


def test_equal_devices_are_counted_and_named_once():
    def shown(*devices):
        return provenance._facts({"hardware": {"devices": devices and list(devices)}})["devices"]

    assert shown("cpu: cpu", "cpu: cpu") == "2 x cpu"
    assert shown("gpu: NVIDIA H100") == "gpu: NVIDIA H100"


def test_what_runs_gained_online_has_its_table_and_curve(tmp_path, capsys):
    runs, seeds = tmp_path / "runs", (0, 1, 2)
    make_run(runs, "iql", False, "hopper-demo", seeds, 40.0, name="offline")
    stage = OnlineConfig(steps=5000)
    folder = make_run(runs, "sac", False, "hopper-demo", seeds, 80.0, evaluations=4, online=stage)
    steps, values = read_metrics(folder / "metrics.csv").values("evaluation/score")
    assert steps.tolist() == [2500, 5000, 7500, 10000]
    assert main([str(runs), "--out", str(tmp_path)]) == 0
    text = (tmp_path / "runs-report.html").read_text()
    (row,) = Tables(text).tables["Before the online stage, after it, and its mean"]
    means = values[:, 2:].mean(axis=1)
    expected = {"before": values[:, 1], "after": values[:, 3], "mean": means, "regret": 1 - means / 100}
    for name, per_seed in expected.items():
        assert row[name][1] == pytest.approx(scipy.stats.trim_mean(per_seed, 0.25))
    assert (row["method"][0], row["environment steps"][0]) == ("sac", "5,000")
    assert "environment steps are counted" in text
    printed = capsys.readouterr().out
    numbers = f"| {row['before'][0]} | {row['after'][0]} | {row['mean'][0]} | {row['regret'][0]} |"
    assert f"| hopper-demo | sac | 5,000 {numbers}" in printed
    with (tmp_path / "runs-scores.csv").open() as file:
        offline, online = csv.DictReader(file)
    assert {offline[f"online_{name}"] for name in ("steps", "before_iqm", "mean_iqm", "regret_iqm")} == {""}
    assert online["online_steps"] == "5000"
    for name in ("before", "mean", "regret"):
        assert float(online[f"online_{name}_iqm"]) == row[name][1]
