"""The findings about the paper's numbers, recomputed from the stored data."""

import itertools
from collections import Counter

import pytest

from bench.judge.reference import paper_claims, paper_tables
from bench.judge.verdict import STANDINGS

from . import forensics

COUNTS = {"dog": 278, "frog": 215, "horse": 166, "ship": 129, "truck": 100}
TOTALS = {10: 4084, 20: 3401, 50: 2795, 100: 2478}
MARKED = {1: ["attack"], 2: ["class_name", "attack"], 3: ["attack"], 4: ["attack"], 5: ["ir", "attack"],
          6: ["attack"], 7: ["ir", "attack"], 11: ["model", "attack"]}  # fmt: skip


@pytest.fixture
def tables():
    return paper_tables()


@pytest.fixture
def claims():
    """The 60 statements of prose, captions and formulas, all columns text."""
    return paper_claims()


def select(tables, **keys):
    for column, value in keys.items():
        tables = tables[tables[column] == value]
    return tables


def value(tables, **keys):
    found = select(tables, **keys)
    assert len(found) == 1, keys
    return found["value"].item()


# ------------------------------------------------------------------------------------------------ completeness


def test_number_of_values_and_marks_of_each_table(tables):
    assert tables["table"].value_counts().sort_index().to_dict() == {
        1: 66,
        2: 110,
        3: 30,
        4: 8,
        5: 40,
        6: 50,
        7: 40,
        8: 40,
        9: 25,
        10: 15,
        11: 16,
    }
    marks = tables.groupby(["table", "emphasis"]).size().to_dict()
    bold = {table: count for (table, mark), count in marks.items() if mark == "bold"}
    assert bold == {1: 6, 2: 11, 3: 6, 4: 1, 5: 20, 6: 5, 7: 20, 11: 8}
    assert {t: n for (t, mark), n in marks.items() if mark == "underline"} == {2: 11, 3: 6}


def test_every_number_is_identified_once(tables):
    assert not tables.duplicated([*forensics.ROW, "attack"]).any()
    measured = tables.drop_duplicates(
        ["dataset", "ir", "model", "method", "metric_kind", "class_name", "attack", "measured_variant", "value"]
    )
    repeats = len(tables) - len(measured)
    # T5 repeats 10 of T1, T7 repeats 6 of T6, T4's best is T1's, T10's 1/255 row is T9's 10-step row (5)
    assert repeats == 22
    assert len(tables) - repeats == 418


def test_values_are_percentages_as_printed(tables):
    assert tables["value"].str.fullmatch(r"\d{1,2}(\.\d{1,2})?").all()
    assert tables["number"].between(0, 1).all()
    assert value(tables, table=1, method="at", attack="clean") == "69.00"  # as printed, with its zeros
    assert value(tables, table=4, variable="alpha=0.1;beta=0.1;gamma=0.05") == "34.7"


def test_claims_are_sixty_and_one_has_no_number(claims):
    assert len(claims) == 60
    assert claims["id"].is_unique
    assert claims.loc[claims["value"] == "", "id"].tolist() == ["time_memory_halved"]
    assert set(claims["standing"]) <= {"target", *STANDINGS}
    assert (claims["reason"] != "").all()
    never = set(claims.loc[claims["standing"] == "never", "id"])
    assert {"workload_saving", "eta", "size_aa_to", "mem_delta"} <= never


# ---------------------------------------------------------------------------------------------------- standing


def test_standing_of_every_number(tables):
    assert tables["standing"].value_counts().to_dict() == {"report": 230, "target": 207, "never": 3}
    never = tables[tables["standing"] == "never"]
    assert set(zip(never["table"], never["method"], never["attack"], never["value"], strict=True)) == {
        (10, "taet", "aa", "37.74"),
        (3, "trades", "cw", "31.18"),
        (7, "taet", "cw", "39.2"),
    }
    assert (tables.loc[tables["standing"] != "target", "reason"] != "").all()
    assert (tables.loc[tables["attack"] == "cw", "standing"] != "target").all()
    for table in (3, 4, 8, 9, 10):
        assert (select(tables, table=table)["standing"] != "target").all()
    for table in (1, 5):
        others = select(tables, table=table)
        others = others[others["attack"] != "cw"]
        wrong = others[others["standing"] != "target"]
        assert list(zip(wrong["method"], wrong["attack"], strict=True)) == ([("gairat", "aa")] if table == 1 else [])
    for table in (6, 7):
        assert set(select(tables, table=table, standing="target")["method"]) == {"at-bsl"}
    assert set(select(tables, table=11, standing="target")["model"]) == {"resnet50"}
    assert "aa" not in set(select(tables, table=11, standing="target")["attack"])


def test_no_target_of_table_2_is_impossible(tables):
    table2 = select(tables, table=2)
    impossible = [
        forensics.attainable(v, COUNTS[c]) is None for v, c in zip(table2["value"], table2["class_name"], strict=True)
    ]
    assert not (table2[impossible]["standing"] == "target").any()
    sound = table2[[not i for i in impossible]]
    assert set(sound.loc[sound["standing"] != "target", "method"]) == {"robal"}


# ------------------------------------------------------------------------------------------- the grid of k / n


def test_table_2_is_measured_on_the_long_tailed_test_set(tables):
    table2 = select(tables, table=2)
    fits = {
        (m, c, a): forensics.attainable(v, COUNTS[c])
        for m, c, a, v in zip(table2["method"], table2["class_name"], table2["attack"], table2["value"], strict=True)
    }
    assert len(fits) == 110
    assert Counter(fit.how for fit in fits.values() if fit) == {"exact": 59, "cut": 33, "rounded": 4, "short": 2}
    assert {key for key, fit in fits.items() if fit is None} == {
        *itertools.product(["robal"], ["dog", "frog", "horse", "ship"], ["clean"]),
        *itertools.product(["robal"], ["frog", "horse", "ship"], ["pgd-20"]),
        ("trades", "frog", "pgd-20"),
        ("mart", "ship", "clean"),
        ("he", "dog", "clean"),
        ("taet", "frog", "pgd-20"),
        ("taet", "ship", "pgd-20"),
    }
    # some counts of the grid as the audit lists them
    assert fits["at-bsl", "dog", "clean"] == (163, "exact")
    assert fits["taet", "ship", "clean"] == (104, "short")
    assert fits["adt", "ship", "clean"] == (73, "rounded")
    assert fits["gairat", "horse", "pgd-20"] == (37, "cut")


def test_the_grid_would_notice_a_wrong_digit(tables):
    """On a balanced test set, or with one digit changed, the fit breaks: the finding is not vacuous."""
    assert forensics.attainable("58.63", 278) == (163, "exact")
    assert forensics.attainable("58.65", 278) is None
    table2 = select(tables, table=2)
    shifted = [
        forensics.attainable(v, COUNTS[c] + 1) for v, c in zip(table2["value"], table2["class_name"], strict=True)
    ]
    assert sum(fit is not None for fit in shifted) < 60


def test_standard_accuracies_of_table_6_and_7(tables):
    def fitting(frame, how):
        fits = [
            forensics.attainable(v if "." in v else v + ".00", TOTALS[int(ir)])
            for v, ir in zip(frame["value"], frame["ir"], strict=True)
        ]
        return sum(fit is not None and fit.how in how for fit in fits)

    table6, table7 = select(tables, table=6), select(tables, table=7)
    assert fitting(table6, ("exact", "cut", "rounded")) == 43
    assert fitting(table6, ("exact", "rounded")) == 23
    assert fitting(table6, ("exact", "cut")) == 42
    assert fitting(select(table7, method="at-bsl"), ("exact", "cut", "rounded")) == 20
    assert fitting(select(table7, method="taet"), ("exact", "cut", "rounded")) == 17
    impossible = [
        v
        for v in select(table6, method="taet")["value"]
        if (forensics.attainable(v, 4084) or (0, "short"))[1] == "short"
    ]
    assert impossible == ["76.31", "40.8", "39.24"]
    assert forensics.attainable("76.31", 4084) is None
    below, above = 100 * 3116 / 4084, 100 * 3117 / 4084
    assert (round(below, 3), round(above, 3)) == (76.298, 76.322)


# -------------------------------------------------------------------------------------------------- the order


def test_order_violations(tables):
    found = {
        (key[0], key[3], key[4], key[7], strong, weak): points
        for key, strong, weak, points in forensics.order_violations(tables)
    }
    assert found == {
        (1, "resnet18", "trades", "", "aa", "pgd-100"): 0.04,
        (1, "resnet18", "reat", "", "aa", "pgd-100"): 0.17,
        (1, "resnet18", "gairat", "", "aa", "pgd-100"): 0.78,
        (3, "resnet18", "trades", "", "cw", "clean"): 12.29,
        (10, "resnet18", "taet", "train_step_size=3/255", "aa", "pgd-20"): 1.54,
        (11, "vit-b-16", "taet", "", "pgd-20", "fgsm"): 0.11,
    }


def test_an_order_violation_is_noticed(tables):
    tables.loc[(tables["table"] == 5) & (tables["attack"] == "fgsm"), "number"] = 0.99
    assert len(forensics.order_violations(tables)) > 6


def test_cw_is_no_bound_among_linf_attacks(tables):
    above_fgsm, below_aa, between = 0, 0, 0
    for _, row in tables.groupby(list(forensics.ROW), sort=False):
        v = dict(zip(row["attack"], row["number"], strict=True))
        if {"cw", "aa", "fgsm"} <= set(v):
            above_fgsm += v["cw"] > v["fgsm"]
            below_aa += v["cw"] < v["aa"]
            between += v["aa"] <= v["cw"] <= v["fgsm"]
    assert (above_fgsm, below_aa, between) == (31, 21, 6)


# ------------------------------------------------------------------------------------ tables against each other


def test_table_6_against_table_7(tables):
    def row(table, method):
        chosen = select(tables, table=table, method=method, ir=10.0)
        return chosen.set_index("attack")["number"] * 100

    assert (row(6, "at-bsl") == row(7, "at-bsl")).all()
    difference = (row(7, "taet") - row(6, "taet")).round(2).to_dict()
    assert difference == {"clean": 0.0, "fgsm": -0.73, "pgd-20": -2.63, "cw": -8.6, "aa": -2.14}


def test_repeated_numbers_agree(tables):
    for method, attack in itertools.product(("at-bsl", "taet"), ("clean", "fgsm", "pgd-20", "cw", "aa")):
        keys = {"method": method, "attack": attack, "ir": 10.0}
        assert value(tables, table=5, **keys) == value(tables, table=1, **keys)
    for attack in ("clean", "fgsm", "pgd-20", "cw", "aa"):
        assert value(tables, table=9, variable="train_steps=10", attack=attack) == value(
            tables, table=10, variable="train_step_size=1/255", attack=attack
        )
    assert value(tables, table=4, variable="alpha=0.1;beta=0.1;gamma=0.1") == value(
        tables, table=1, method="taet", attack="pgd-20"
    )


def test_the_constant_predictor_of_table_11(tables):
    assert select(tables, table=11, model="vit-b-16", method="at-bsl")["value"].tolist() == ["10.00"] * 4


# ------------------------------------------------------------------------------------------------------- marks


def wrong_marks(tables):
    found = []
    for table, columns in MARKED.items():
        for _, column in select(tables, table=table).groupby(columns, sort=False):
            for i, printed, by_rule in forensics.mark_errors(column, underlines=table in (2, 3)):
                cell = column.iloc[i]
                found.append((table, cell["ir"], cell["method"], cell["attack"], printed, by_rule))
    return found


def test_bold_and_underlined_cells(tables):
    assert sorted(wrong_marks(tables)) == [
        (6, 10.0, "adt", "fgsm", "", "bold"),  # ties with HE, which alone is bold
        (7, 100.0, "at-bsl", "aa", "", "bold"),
        (7, 100.0, "taet", "aa", "bold", ""),  # bold on the loser
    ]
    assert (tables.loc[tables["table"].isin([8, 9, 10]), "emphasis"] == "").all()


def test_a_wrong_mark_is_noticed(tables):
    tables.loc[0, "emphasis"] = "bold"
    assert (1, 10.0, "at-bsl", "clean", "bold", "") in wrong_marks(tables)


def test_taet_loses_seven_of_twenty_cells_of_table_7(tables):
    table7 = select(tables, table=7).pivot(index=["ir", "attack"], columns="method", values="number")
    lost = table7[table7["taet"] < table7["at-bsl"]].index.tolist()
    assert sorted(lost) == [(10.0, "clean"), (20.0, "clean"), (50.0, "clean"), (50.0, "fgsm"),
                            (100.0, "aa"), (100.0, "clean"), (100.0, "fgsm")]  # fmt: skip


def test_the_saving_of_two_stages_counts_one_factor_twice(claims):
    adversarial = 1 + 10 * 0.619
    printed = (40 / adversarial + 60 * adversarial) / (100 * adversarial)
    claims = claims.set_index("id")["value"]
    assert round(printed, 3) == float(claims["eta"])
    assert (40 + 60 * adversarial) / (100 * adversarial) == pytest.approx(0.6556, abs=1e-4)
