"""Counts of an evaluation: one order, from rows and from bits, and nothing impossible."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bench.errors import StoreError
from bench.store.counts import Counts, complaint, of_rows

NAMES, TRAIN = ("rare", "common", "twin", "twin"), (5, 90, 40, 40)
LABEL = np.repeat(np.arange(4), (2, 6, 4, 4))
RIGHT = np.array([1, 0] + [1] * 5 + [0] + [1, 1, 1, 0] + [0, 0, 0, 1])


def rows(cell="a", attack="clean", order=(0, 1, 2, 3)):
    n, k = np.bincount(LABEL), np.bincount(LABEL[RIGHT == 1])
    return pd.DataFrame(
        [
            {
                "cell": cell,
                "test_split": "balanced",
                "attack": attack,
                "class_index": i,
                "class_name": NAMES[i],
                "train_count": TRAIN[i],
                "n": n[i],
                "correct": k[i],
            }
            for i in order
        ]
    )


def test_bits_and_rows_give_the_same_counts_from_the_most_frequent_class_on():
    bits = Counts.from_bits(LABEL, RIGHT, NAMES, TRAIN)
    assert bits.names == ("common", "twin", "twin", "rare")
    assert bits.index.tolist() == [1, 2, 3, 0]  # classes of one name stay two
    assert (bits.n.tolist(), bits.correct.tolist()) == ([6, 4, 4, 2], [5, 3, 1, 1])
    for order in ((0, 1, 2, 3), (3, 1, 0, 2)):
        ((first, read),) = of_rows(rows(order=order))
        assert first == 0
        assert read.by_class() == bits.by_class()
        assert read.index.tolist() == bits.index.tolist()
    assert bits.only(3).by_class() == {0: ("rare", 2, 1)}


def test_evaluations_come_in_the_order_in_which_they_first_appear():
    frame = pd.concat([rows("b"), rows("a", "aa"), rows("a")], ignore_index=True)
    assert [first for first, _ in of_rows(frame)] == [0, 4, 8]
    mixed = frame.sample(frac=1, random_state=1)
    assert len([*of_rows(mixed)]) == 3
    assert [*of_rows(frame.iloc[:0])] == []


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("correct", 7, "class 1 has 7 of 6"),
        ("correct", -1, "-1 of 6"),
        ("n", 2**41, "of 2199023255552"),
        ("class_index", 0, "class 0 is there twice"),
        ("class_index", -2, "class -2"),
        ("train_count", -1, "class 1"),
    ],
)
def test_what_cannot_be_is_said_with_its_place(column, value, words):
    frame = rows()
    frame.loc[1, column] = value
    assert words in complaint(frame)
    with pytest.raises(StoreError, match="cell a, balanced test split, attack clean"):
        next(of_rows(frame))


def test_a_row_without_counts_is_named():
    frame = rows().astype({"correct": "Int64"})
    frame.loc[2, "correct"] = pd.NA
    assert "lacks its class or its counts" in complaint(frame)
    assert complaint(rows()) == ""
