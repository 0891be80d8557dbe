"""A third party's plug-ins (`examples/thirdparty`), installed from their own package, are like ours: listed, trained,
checked, reported."""

from __future__ import annotations

import json

import pytest

METHOD = "label-smoothing"
PLUGINS = (METHOD, "rare-first", "gratings", "best-step", "two-convs", "tails")


@pytest.fixture(scope="module")
def results(bench, tmp_path_factory):
    """A results folder with one tiny cell of the third party's method."""
    folder = tmp_path_factory.mktemp("plugin-results")
    bench(
        "run", "--methods", f"{METHOD}[smoothing=0.2]+rare-first", "--datasets", "gratings", "--irs", "10",
        "--seeds", "0", "--models", "two-convs", "--attacks", "clean,fgsm,best-step", "--epochs", "1",
        "--limit", "20", "--jobs", "0", "--device", "cpu", "--results", str(folder),
    )  # fmt: skip
    return folder


def test_the_installed_package_is_the_one_that_runs(bench, site):
    listed = json.loads(bench("ls", "methods", "--json"))
    assert {entry["name"] for entry in listed} > {METHOD, "taet", "at"}
    assert all(entry["origin"].startswith(str(site)) for entry in listed)


def test_it_is_listed_with_its_first_line(bench):
    line = next(line for line in bench("ls", "methods").splitlines() if line.startswith(METHOD))
    assert "adversarial training on smoothed labels" in line


def test_it_trains_and_its_settings_are_stored(results):
    (folder,) = [path.parent for path in results.glob("*/cell.json")]
    cell = json.loads((folder / "cell.json").read_text(encoding="utf-8"))
    assert cell["status"] == "done"
    assert cell["spec"]["method"] == METHOD
    assert ["smoothing", 0.2] in cell["spec"]["hparams"]
    assert [name for name, _ in cell["spec"]["enhancers"]] == ["rare-first"]


def test_everything_in_it_keeps_the_contract(bench):
    out = bench("contract", *PLUGINS, module="bench.testing")
    assert "BROKEN" not in out
    assert f"holds   {METHOD} resumes after any epoch" in out
    assert {line.split()[1] for line in out.splitlines() if line.startswith("holds")} == {*PLUGINS}


def test_a_class_of_it_is_checked_like_its_name(bench):
    by_name, by_class = (
        bench("contract", text, module="bench.testing") for text in ("gratings", "thirdparty.gratings:Gratings")
    )
    assert by_name == by_class


def test_its_numbers_reach_the_report(bench, results, tmp_path):
    bench("report", "--results", str(results), "--format", "csv,html", "--output", str(tmp_path), "--figures", "none")
    pages = "".join(path.read_text(encoding="utf-8") for path in tmp_path.rglob("*") if path.is_file())
    assert METHOD in pages
    assert "Tails 1" in pages


def test_a_bad_setting_of_it_is_one_clear_sentence(bench, tmp_path):
    bench(
        "run", "--methods", f"{METHOD}[smoothing=2]", "--datasets", "digitslt", "--irs", "10",
        "--results", str(tmp_path / "results"), status=2,
    )  # fmt: skip
    assert not (tmp_path / "results").exists()
