import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score

from bench.errors import StoreError, UsageError
from bench.judge.metrics import KEYS, METRICS, check_metric, metric, recalls, summarise, weights
from bench.store.schema import PER_CLASS

counts = st.lists(st.tuples(st.integers(0, 30), st.floats(0, 1)), min_size=2, max_size=12)


def frame(lines):
    """per_class rows from (cell, attack, [(train, n, correct), ...])."""
    rows = []
    for cell, attack, classes in lines:
        for c, (train, n, correct) in enumerate(classes):
            rows.append(
                {
                    "cell": cell,
                    "test_split": "long-tailed",
                    "attack": attack,
                    "class_index": c,
                    "class_name": f"class {c}",
                    "train_count": train,
                    "n": n,
                    "correct": correct,
                }
            )
    table = pd.DataFrame(rows)
    for name, kind in PER_CLASS.items():
        if name not in table:
            table[name] = "same" if kind == "string" else 1
    return table[list(PER_CLASS)].astype(PER_CLASS)


@given(counts)
@settings(max_examples=60, deadline=None)
def test_equal_to_scikit_learn(drawn):
    n = np.array([size for size, _ in drawn])
    k = np.array([int(size * share) for size, share in drawn])
    if n.sum() == 0:
        return
    truth = np.repeat(np.arange(len(n)), n)
    # a wrong answer names a class that does not exist, so that it is nobody's
    answer = np.concatenate(
        [[c] * right + [-1] * (size - right) for c, (size, right) in enumerate(zip(n, k, strict=True))]
    )
    present = np.flatnonzero(n)
    per = recall_score(truth, answer, labels=present, average=None, zero_division=0.0)
    assert recalls(n, k)[present] == pytest.approx(per)
    assert np.isnan(recalls(n, k)[n == 0]).all()
    assert float(metric("standard", n, k)) == pytest.approx(accuracy_score(truth, answer))
    assert float(metric("balanced", n, k)) == pytest.approx(per.mean())
    assert float(metric("worst-class", n, k)) == pytest.approx(per.min())
    tail = [c for c in present if c >= len(n) - len(n) // 2]
    if tail:
        assert float(metric("tail", n, k)) == pytest.approx(np.mean([k[c] / n[c] for c in tail]))


def test_balanced_accuracy_of_a_confusion_like_scikit_learn():
    truth = np.repeat([0, 1, 2], [7, 5, 2])
    answer = np.array([0, 0, 1, 2, 0, 0, 1, 1, 1, 0, 2, 1, 2, 0])
    n = np.bincount(truth)
    k = np.bincount(truth[truth == answer], minlength=3)
    assert float(metric("balanced", n, k)) == pytest.approx(balanced_accuracy_score(truth, answer))


@pytest.mark.parametrize("classes", [2, 7, 10, 43, 100])
def test_known_answers(classes):
    n = np.arange(classes, 0, -1) + 3
    constant = np.where(np.arange(classes) == 0, n, 0)
    assert float(metric("balanced", n, constant)) == 1 / classes  # exactly
    assert float(metric("standard", n, constant)) == n[0] / n.sum()
    assert float(metric("worst-class", n, constant)) == 0
    for name in METRICS:
        assert float(metric(name, n, n)) == 1  # memorised
        assert float(metric(name, n, 0 * n)) == 0


@given(counts)
@settings(max_examples=40, deadline=None)
def test_weights_sum_to_one_and_give_the_metric(drawn):
    n = np.array([size for size, _ in drawn])
    k = np.array([int(size * share) for size, share in drawn])
    for name in ("balanced", "standard", "head", "tail"):
        w = weights(name, n)
        if np.isnan(w).any():
            assert np.isnan(metric(name, n, k))
            continue
        assert w.sum() == pytest.approx(1)
        assert not w[n == 0].any()
        assert float(metric(name, n, k)) == pytest.approx((w * np.nan_to_num(recalls(n, k))).sum())


def test_on_a_balanced_test_set_balanced_and_standard_coincide():
    n, k = np.full(10, 40), np.arange(10) * 3
    assert float(metric("balanced", n, k)) == pytest.approx(float(metric("standard", n, k)))


def test_tail_is_the_last_half_rounded_down():
    n, k = np.full(7, 10), np.array([10, 10, 10, 10, 1, 2, 3])
    assert float(metric("tail", n, k)) == pytest.approx(0.2)
    assert float(metric("head", n, k)) == 1


def test_a_prior_is_the_standard_accuracy_of_test_images_so_distributed():
    n, recall = np.array([1000, 100, 10]), np.array([0.6, 0.5, 0.3])
    balanced = np.full(3, 1000)
    assert np.isclose(metric("prior-100", balanced, 1000 * recall), metric("standard", n, n * recall))
    assert np.isclose(metric("prior-100", balanced, 1000 * recall), metric("prior-100", n, n * recall))
    assert np.allclose(weights("prior-100", balanced), n / n.sum())
    assert np.allclose(weights("prior-100", [1, 0, 1]), [100 / 101, 0, 1 / 101])  # a class that is not tested
    assert np.isclose(metric("prior-1.000001", balanced, 1000 * recall), recall.mean(), atol=1e-5)


@pytest.mark.parametrize("name", ["prior-", "prior-x", "prior-1", "prior-nan", "prior-inf", "tails", ""])
def test_a_metric_that_there_is_not_is_refused_in_one_sentence(name):
    with pytest.raises(UsageError, match=r"--metric|imbalance ratio"):
        check_metric(name)


def test_summarise_orders_classes_by_training_frequency():
    # the rarest class of the training set is class 0
    rows = frame([("a", "clean", [(5, 10, 1), (50, 10, 9), (500, 10, 8), (20, 10, 2)])])
    line = summarise(rows).iloc[0]
    assert line["tail"] == pytest.approx((0.1 + 0.2) / 2)
    assert line["head"] == pytest.approx((0.9 + 0.8) / 2)
    assert (line["worst-class"], line["worst_class"], line["classes"]) == (0.1, "class 0", 4)
    assert (line["n"], line["correct"]) == (40, 20)


def test_summarise_keeps_the_order_of_evaluations_and_mixes_class_numbers():
    rows = frame(
        [
            ("b", "clean", [(9, 4, 4), (3, 2, 1)]),
            ("a", "aa", [(9, 4, 1), (5, 2, 1), (3, 2, 0)]),
            ("b", "aa", [(9, 4, 2), (3, 2, 0)]),
        ]
    )
    shuffled = pd.concat([rows.iloc[[0]], rows.iloc[[3, 2, 6, 5, 4, 1]]], ignore_index=True)
    table = summarise(shuffled)
    assert list(zip(table["cell"], table["attack"], strict=True)) == [("b", "clean"), ("a", "aa"), ("b", "aa")]
    assert table["balanced"].tolist() == pytest.approx([0.75, 0.25, 0.25])
    keys = [key for key in KEYS if key in rows]
    assert list(table.columns) == [*keys, "classes", "n", "correct", *METRICS, "worst_class"]


def test_ties_for_the_worst_class_name_the_rarest():
    assert summarise(frame([("a", "aa", [(9, 4, 0), (5, 4, 3), (3, 4, 0)])])).iloc[0]["worst_class"] == "class 2"


def test_empty_rows_give_an_empty_summary():
    assert summarise(frame([("a", "aa", [(1, 1, 1)])]).iloc[:0]).empty


def test_impossible_counts_are_refused_by_name():
    with pytest.raises(StoreError, match=r"cell a, long-tailed test split, attack aa: class 1 has 5 of 4 images"):
        summarise(frame([("a", "aa", [(9, 4, 4), (3, 4, 5)])]))
    rows = frame([("a", "aa", [(9, 4, 4), (3, 4, 2)])])
    with pytest.raises(StoreError, match=r"class 0 is there twice"):
        summarise(pd.concat([rows, rows.iloc[[0]]]))


def test_work_does_not_loop_over_cells(monkeypatch):
    """Every metric is computed once for all evaluations with the same number of classes."""
    from bench.judge import metrics

    calls = []
    plain = metrics.metric
    monkeypatch.setattr(metrics, "metric", lambda name, n, k: calls.append(name) or plain(name, n, k))
    rows = pd.concat([frame([(f"cell {i}", "aa", [(9, 4, i % 4), (3, 2, 1)])]) for i in range(50)])
    assert len(summarise(rows)) == 50
    assert sorted(calls) == sorted(METRICS)
