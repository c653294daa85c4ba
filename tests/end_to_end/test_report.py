"""bin/report on finished runs: one page that says what the results say, or one clear refusal."""

import json
import re
import shutil
from html.parser import HTMLParser

import pytest
from command_case import TINY, call, read_json, refused

from fsrf_jax import sealed
from fsrf_jax.reporting.card import card_document
from fsrf_jax.reporting.markdown import to_markdown

FILES = ("report.html", "report.md", "card.md", "table.md", "table.tex")


class Tables(HTMLParser):
    """Every table's cells by caption, and every element with its attributes."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.elements, self.open, self.cell = {}, [], [], None
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "meta":
            return
        self.open.append(tag)
        if tag == "table":
            self.rows = []
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td", "caption"):
            self.cell = ""

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "caption":
            self.caption = self.cell
        elif tag in ("th", "td"):
            self.rows[-1].append(self.cell)
        elif tag == "table":
            self.tables[self.caption] = self.rows

    def handle_data(self, data):
        if self.cell is not None:
            self.cell += data


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory):
    """A copy of the finished run, with probes and recovery, and its report."""
    folder = shutil.copytree(trained.folder, tmp_path_factory.mktemp("report") / "run_1")
    assert call("evaluate", folder, "--probes", "--recovery").status == 0
    done = call("report", folder)
    assert (done.status, done.err) == (0, "")
    assert {line.rpartition("/")[2] for line in done.out.splitlines()} == set(FILES)
    return folder


def page_of(folder):
    return Tables((folder / "report.html").read_text("utf-8"))


def figure(value, digits=1, times=100):
    return "-" if value is None else f"{round(times * value, digits) + 0.0:.{digits}f}"


def test_the_condition_table_has_the_numbers_of_the_results(run):
    results = read_json(run / "results.json")
    header, *rows = page_of(run).tables["Protocol corrkd, test split: run_1"]
    average = results["average"]
    entries = [*results["conditions"], average, average["all_conditions"]]
    assert len(rows) == len(entries) == 19
    for (name, *cells), entry in zip(rows, entries, strict=True):
        found, m = dict(zip(header[1:], cells, strict=True)), entry["metrics"]
        assert name.split(" (")[0] == entry.get("name", name)
        low, high = entry["bootstrap"]["acc2_non0"]
        assert found["Acc2"] == figure(m["acc2_non0"])
        assert found["Acc2 95 %"] == f"{figure(low)} .. {figure(high)}"
        assert found["F1"] == figure(m["f1_non0"])
        assert found["MAE"] == figure(m["mae"], 3, 1)
        assert found["Corr"] == figure(m["corr"], 3, 1)
        assert found["Acc7"] == figure(m["acc7"])
        assert found["floor"] == figure(entry["floor"]["acc2_non0"])
        assert found["Bayes"] == figure(entry["bayes"]["acc2_non0"])


def test_the_page_needs_no_network_and_speaks_without_pictures(run):
    text = (run / "report.html").read_text("utf-8")
    page = Tables(text)
    assert not re.search(r"https?:|//\w|url\(|@import", text)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "img", "iframe", "object"}
    pictures = [attributes for tag, attributes in page.elements if tag == "svg"]
    assert len(pictures) > 30
    assert all(picture.get("aria-label") and picture["role"] == "img" for picture in pictures)
    assert "nan" not in re.sub(r"[a-z]nan|nan[a-z]", "", text)


def test_every_chapter_is_there(run):
    text = (run / "report.md").read_text("utf-8")
    assert re.findall(r"^## (.*)", text, re.M) == [
        "Scores",
        "Table for a paper",
        "Certainty, collapse, recovery, calibration",
        "Predicted against true",
        "Learning curves",
        "Codes",
        "Settings",
        "Data",
        "Masks",
        "Runs and environment",
    ]
    digest = read_json(run / "results.json")["masks_digest"]
    assert f"Digest (SHA-256) of all masks: {digest}" in text
    assert "drawn anew for this report and have this digest" in text
    assert "no pictures of the codes" not in text
    assert "run_1: test split, every frame observed: Variance shares" in text
    assert "run_1: test split: Recovery of codes" in text
    assert "|training.epochs|30|2|" in text


def test_the_same_folder_gives_the_same_bytes(run, tmp_path):
    assert call("report", run, "--output", tmp_path / "again").status == 0
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (run / name).read_bytes()


def test_the_card_is_made_from_the_results_file_alone(run, tmp_path):
    results = read_json(run / "results.json")
    text = to_markdown(card_document(results), foldable=True)
    assert (run / "card.md").read_text("utf-8") == text
    assert str(run.parent) not in json.dumps(results["run"])
    environment = read_json(run / "environment.json")
    assert results["run"]["trained_by"]["commit"] == environment["commit"]
    splits = {name: split["samples"] for name, split in results["run"]["splits"].items()}
    assert splits == {"train": 40, "valid": 16, "test": 24}


def test_the_recipe_of_the_card_gives_the_run_again(run, tmp_path):
    text = (run / "card.md").read_text("utf-8")
    recipe = re.search("<details>.*?```\n(.*?)\n```", text, re.S)[1]
    (tmp_path / "recipe.yaml").write_text(recipe)
    again = ("--config", tmp_path / "recipe.yaml", "--output.progress", "false")
    done = call("train", *again, "--output.directory", tmp_path / "again")
    assert done.status == 0, done.err
    assert (tmp_path / "again" / "results.json").read_bytes() == (run / "results.json").read_bytes()


def test_who_has_a_card(run, tmp_path):
    """A run, and results of its network elsewhere; not several, and nothing without a network."""
    valid = tmp_path / "valid.json"
    assert call("evaluate", run, "--output", valid, "--evaluation.split", "valid").status == 0
    assert call("report", valid, "--output", tmp_path / "of_valid.html").status == 0
    text = (tmp_path / "of_valid.card.md").read_text("utf-8")
    assert "Evaluated on the validation split, by which the epoch was chosen" in text
    copy = shutil.copytree(run, tmp_path / "copy")
    scored = tmp_path / "scored.json"
    argv = ("--predictions", run / "predictions.csv", "--output", scored)
    assert call("evaluate", copy, *argv).status == 0
    assert "run" not in read_json(scored)
    ablation = tmp_path / "ablation"
    shutil.copytree(run, ablation / "members" / "full" / "seed-0")
    for name, runs in (("two", (run, copy)), ("scored", (scored,)), ("ablation", (ablation,))):
        done = call("report", *runs, "--output", tmp_path / name)
        assert (done.status, done.err) == (0, "")
        assert sorted(path.name for path in (tmp_path / name).iterdir() if path.is_file()) == [
            *("report.html", "report.md", "table.md", "table.tex")
        ]


def test_the_table_alone(run, tmp_path):
    done = call("report", run, "--table", "--output", tmp_path / "mine.html")
    assert done.status == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.table.md", "mine.table.tex"]
    assert "|method|{l}|{a}|{v}|{l,a}|{l,v}|{a,v}|Avg|{l,a,v}|" in done.out
    results = read_json(run / "results.json")
    latex = (tmp_path / "mine.table.tex").read_text()
    row = next(line for line in latex.splitlines() if line.startswith(r"run\_1 & "))
    average = figure(results["average"]["metrics"]["f1_non0"])
    assert row.split(" & ")[7].split()[0] == average


def test_two_runs_are_compared_even_without_checkpoints(run, tmp_path):
    copies = [shutil.copytree(run, tmp_path / name) for name in ("a", "b")]
    for copy in copies:
        shutil.rmtree(copy / "checkpoints")
    done = call("report", *copies, "--output", tmp_path / "both.html")
    assert (done.status, done.err) == (0, "")
    page = Tables((tmp_path / "both.html").read_text("utf-8"))
    found = {row[0]: row for row in page.tables["Acc2, average: differences to a"]}
    assert found["b"][2:8] == ["+0.0", "-", "-", "+0.0 .. +0.0", "1.000", "unknown"]
    text = (tmp_path / "both.md").read_text("utf-8")
    assert "b: no pictures of the codes: there is no checkpoint." in text
    assert (tmp_path / "both.table.tex").exists()


def test_a_run_whose_data_have_changed_keeps_its_scores(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    config = copy / "config.yaml"
    _, text = config.read_text().split("\n", 1)  # without its digest, as by hand
    config.write_text(text.replace("label_scale: 1.4", "label_scale: 1.5"))
    assert call("report", copy).status == 0
    text = (copy / "report.md").read_text("utf-8")
    assert "No summary of the data: those that the config names are no longer the same" in text
    assert "run: no pictures of the codes: they need the data" in text
    assert "|**average**|" in text


def test_results_of_another_program_have_a_column(run, tmp_path):
    for name in ("results.json", "predictions.npz"):
        other = "peer.json" if name == "results.json" else "peer.predictions.npz"
        shutil.copy(run / name, tmp_path / other)
    results = read_json(tmp_path / "peer.json") | {"training_seed": None}
    (tmp_path / "peer.json").write_text(json.dumps(results))
    done = call("report", run, tmp_path / "peer.json", "--table", "--output", tmp_path)
    assert done.status == 0
    assert "|peer|" in done.out
    assert "peer: predictions of another program" in done.out


def test_an_ablation_stands_for_its_members(run, tmp_path):
    folder = tmp_path / "ablation"
    for variant, seed in (("less", 0), ("full", 0), ("full", 1), ("full", 2)):
        place = folder / "members" / variant / f"seed-{seed}"
        shutil.copytree(run, place)
        results = read_json(place / "results.json") | {"training_seed": seed}
        (place / "results.json").write_text(json.dumps(results))
    (folder / "members" / "full" / "seed-2" / "results.json").unlink()
    (folder / "ablation.json").write_text(json.dumps({"variants": {"full": {}, "less": {}}}))
    done = call("report", folder, "--table")
    assert done.status == 0
    rows = [line.split("|")[1] for line in done.out.splitlines() if line.startswith("|")]
    floors = ["best constant", "length", "ridge", "ridge per condition"]
    assert rows == ["method", "---", "full", "less", *floors, "missing"]
    assert "full: training seeds 0, 1; less: training seed 0" in done.out
    assert "Left out, because it is not finished: full, seed-2." in done.out
    (folder / "ablation.json").write_text("{}")
    refused(call("report", folder), 2, "ablation.json: is damaged", "bin/ablate again")
    (folder / "ablation.json").unlink()
    for place in folder.glob("members/*/*/results.json"):
        place.unlink()
    refused(call("report", folder), 2, "no member is finished")


@pytest.mark.parametrize("folds", [False, True])
def test_a_ranking_keeps_its_order_and_so_its_reference(folds, run, tmp_path):
    folder = tmp_path / "ranking" / "fold-1" if folds else tmp_path / "ranking"
    for method in ("fsrf", "task_only", "corrkd"):
        shutil.copytree(run, folder / "members" / method / "seed-0")
    scores = {name: {} for name in ("task_only", "fsrf", "corrkd", "ridge")}
    sealed.write(tmp_path / "ranking" / "ranking.json", {"scores": scores})
    done = call("report", folder, "--table")
    assert done.status == 0
    rows = [line.split("|")[1] for line in done.out.splitlines() if line.startswith("|")]
    assert rows[2:5] == ["task_only", "fsrf", "corrkd"]
    (tmp_path / "ranking" / "ranking.json").write_text("{}")
    refused(call("report", folder), 2, "ranking.json: is damaged", "bin/rank again")


def test_bad_input_writes_nothing(run, tmp_path):
    unfinished = shutil.copytree(run, tmp_path / "unfinished")
    (unfinished / "results.json").unlink()
    older = shutil.copytree(run, tmp_path / "older")
    results = read_json(older / "results.json")
    del results["tasks"], results["resamples"]
    (older / "results.json").write_text(json.dumps(results))
    other = shutil.copytree(run, tmp_path / "other")
    results = read_json(other / "results.json") | {"masks_digest": "f" * 64}
    (other / "results.json").write_text(json.dumps(results))
    output = ("--output", tmp_path / "out")
    refused(call("report", tmp_path, *output), 2, "found no config.yaml and no members/")
    refused(call("report", tmp_path / "none", *output), 2, "none: not found")
    refused(call("report", unfinished, *output), 2, "found no results.json", "not finished")
    refused(call("report", older, *output), 2, "KeyError: 'resamples, tasks'", "evaluate the run")
    refused(call("report", run, other, *output), 2, "masks_digest is 'fff", "cannot be compared")
    refused(call("report", run, "--output", tmp_path / "x.pdf"), 2, "--output", "NAME.html")
    refused(call("report", run, "--tabel"), 2, "--tabel", "the nearest is --table")
    refused(call("report"), 2, "RUN")
    assert not (tmp_path / "out").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["older", "other", "unfinished"]


def test_methods_with_other_options_are_reported_together(trained, tmp_path):
    """Each on its own page, and beside the default method."""
    argv = ("train", *TINY, "--method.name", "late_fusion", "--output.directory", tmp_path / "late")
    assert call(*argv).status == 0
    for runs in ((tmp_path / "late",), (trained.folder, tmp_path / "late")):
        done = call("report", *runs, "--output", tmp_path / "page")
        assert (done.status, done.err) == (0, "")
        text = (tmp_path / "page" / "report.md").read_text()
        row = next(line for line in text.splitlines() if line.startswith("|method.name|"))
        assert row.split("|")[2:-1] == ["fsrf", "fsrf", "late_fusion"][-len(runs) - 1 :]
