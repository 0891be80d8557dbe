"""The long-tail law and the choice of images, against golden counts and the official builder's positions."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import longtail
from bench.errors import DataError, UsageError

GOLDEN = json.loads((Path(__file__).parent / "datasets" / "longtail.json").read_text())
N_MAX = {"cifar10": {"train": 5000, "test": 1000}, "cifar100": {"train": 500, "test": 100}}


@pytest.mark.parametrize("case", GOLDEN["counts"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_counts_are_the_golden_ones(case, split):
    name, _, ir = case.partition("_ir")
    wanted = GOLDEN["counts"][case][split]
    assert longtail.counts(N_MAX[name][split], float(ir), len(wanted)) == wanted


def test_counts_of_the_paper_literally():
    assert longtail.counts(5000, 50, 10) == [5000, 3237, 2096, 1357, 878, 568, 368, 238, 154, 100]
    assert sum(longtail.counts(500, 100, 100)) == 10847


@given(st.integers(2, 60), st.floats(1.01, 1000), st.integers(1000, 9000))
def test_the_law_falls_from_head_to_tail(classes, ir, n_max):
    law = longtail.counts(n_max, ir, classes)
    assert law == sorted(law, reverse=True)
    assert law[0] == n_max
    assert law[-1] in (int(n_max / ir), int(n_max / ir - 1e-9), int(n_max / ir + 1e-9))


@pytest.mark.parametrize("ir", [1, 0.5, -3, 0, float("nan"), float("inf"), "10", True, None])
def test_ratios_that_are_none(ir):
    with pytest.raises(UsageError, match=r"imbalance ratio .* above 1"):
        longtail.counts(100, ir, 10)


def test_empty_classes():
    with pytest.raises(UsageError, match="at most 50"):
        longtail.counts(50, 100, 10)
    with pytest.raises(UsageError, match="at most 48"):  # int(49 * (1 / 49)) is 0
        longtail.counts(49, 49, 10)
    for n_max in range(2, 200):
        with pytest.raises(UsageError) as refused:
            longtail.counts(n_max, 1000, 10)
        advised = int(str(refused.value).rpartition("at most ")[2].rstrip("."))
        assert advised >= n_max - 1
        assert advised == 1 or longtail.counts(n_max, advised, 10)[-1] == 1
    for n_max in (0, 1):
        with pytest.raises(UsageError, match="allows no ratio above 1; use --irs natural"):
            longtail.counts(n_max, 10, 10)
    assert longtail.counts(50, 100, 10, at_least=1)[-1] == 1
    with pytest.raises(UsageError, match="at least 2"):
        longtail.counts(50, 10, 1)


@pytest.mark.parametrize("case", GOLDEN["selection_seed0"]["sets"])
def test_official_builder_keeps_the_golden_positions(case):
    golden = GOLDEN["selection_seed0"]["sets"][case]
    classes, per_class = len(golden), golden[0]["count"]
    # class c at c, c + C, ...: position p within class c is index p * C + c
    labels = np.tile(np.arange(classes), per_class)
    members = longtail.ordered_members(labels, classes, "official-builder", "train")
    for c, (order, wanted) in enumerate(zip(members, golden, strict=True)):
        positions = (order[: wanted["count"]] - c) // classes
        assert positions[:5].tolist() == wanted["first5"]
        assert int(positions.sum()) == wanted["sum"]


def test_builder_leaves_the_global_generator_alone():
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    longtail.ordered_members(np.arange(20) % 2, 2, "official-builder", "train")
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002


LABELS = np.random.default_rng(0).integers(0, 7, 700)


def test_robustlt_draws_every_class_from_one_generator():
    """Its rule written again: whole classes are shuffled one after the other, whatever is kept of them."""
    labels = np.arange(60) % 3
    members = longtail.ordered_members(labels, 3, "robustlt:102", "train")
    generator = np.random.Generator(np.random.PCG64(102))
    for c in range(3):
        expected = [i for i in range(60) if labels[i] == c]
        generator.shuffle(expected)
        assert members[c].tolist() == expected
    other = longtail.ordered_members(labels, 3, "robustlt:103", "train")
    assert other[0].tolist() != members[0].tolist()
    full = longtail.ordered_members(labels, 3, "robustlt:102", "test")
    assert [m.tolist() for m in full] == [m.tolist() for m in longtail.ordered_members(labels, 3, "seeded", "test")]


@pytest.mark.parametrize("text", ["robustlt", "robustlt:", "robustlt:x", "robustlt:-1", f"robustlt:{'9' * 5000}"])
def test_robustlt_needs_its_seed(text):
    with pytest.raises(UsageError, match="write robustlt:SEED"):
        longtail.check_selection(text)


@pytest.mark.parametrize("selection", ["seeded", "seeded:3", "official-builder", "robustlt:102"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_class_is_a_permutation_of_its_members(selection, split):
    members = longtail.ordered_members(LABELS, 7, selection, split)
    for c, order in enumerate(members):
        assert np.array_equal(np.sort(order), np.flatnonzero(c == LABELS))
    again = longtail.ordered_members(LABELS, 7, selection, split)
    assert all(np.array_equal(a, b) for a, b in zip(members, again, strict=True))


def test_seeds_and_splits_have_streams_of_their_own():
    orders = [
        longtail.ordered_members(LABELS, 7, selection, split)[0].tolist()
        for selection, split in [("seeded", "train"), ("seeded:1", "train"), ("seeded", "test")]
    ]
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert orders[0] == longtail.ordered_members(LABELS, 7, "seeded:0", "train")[0].tolist()


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=20), st.integers(1, 6000))
def test_limit_scales_all_classes_down_together(per_class, limit):
    got = longtail.limited(per_class, limit)
    assert max(got) == min(limit, max(per_class))
    assert min(got) >= 1
    order = np.argsort(per_class, kind="stable")
    assert np.all(np.diff(np.array(got)[order]) >= 0)
    assert longtail.limited(per_class, None) == per_class


def test_class_orders():
    assert longtail.class_ranks("natural", 4) == [0, 1, 2, 3]
    assert longtail.class_ranks("reversed", 4) == [3, 2, 1, 0]
    shuffled = longtail.class_ranks("seed:5", 30)
    assert sorted(shuffled) == list(range(30))
    assert shuffled != list(range(30))
    assert shuffled == longtail.class_ranks("seed:5", 30) != longtail.class_ranks("seed:6", 30)


@pytest.mark.parametrize("order", ["", "random", "seed:", "seed:x", "natural:1", "seed:-1", f"seed:{'9' * 5000}"])
def test_unknown_class_order(order):
    with pytest.raises(UsageError, match="natural, reversed or seed:N"):
        longtail.class_ranks(order, 3)


def test_unknown_selection():
    with pytest.raises(UsageError, match="Did you mean 'seeded'"):
        longtail.ordered_members(LABELS, 7, "seedde", "train")
    for seed in ("x", "-1", str(2**63), "9" * 5000):
        with pytest.raises(UsageError, match=f"whole number up to {2**63 - 1}"):
            longtail.ordered_members(LABELS, 7, f"seeded:{seed}", "train")


def test_the_largest_seed_is_one_and_zeros_before_it_mean_nothing():
    for seed in (str(2**63 - 1), "0" * 5000 + "7"):
        assert sorted(longtail.class_ranks(f"seed:{seed}", 30)) == list(range(30))
    for kind in ("seeded", "robustlt"):
        orders = [longtail.ordered_members(LABELS, 7, f"{kind}:{zeros}7", "train") for zeros in ("", "0" * 5000)]
        assert all(np.array_equal(a, b) for a, b in zip(*orders, strict=True))


CHOSEN = np.array([5, 1, 9, 30, 22])


def write(path: Path) -> Path:
    {
        ".npz": lambda: np.savez(path, train_index=CHOSEN, test_index=np.array([3, 4])),
        ".npy": lambda: np.save(path, CHOSEN),
        ".txt": lambda: path.write_text("5\n1\n9 30\n22"),
        ".csv": lambda: path.write_text(
            "split,index,label\n" + "".join(f"train,{i},0\n" for i in CHOSEN) + "long-tailed,3,1\nlong-tailed,4,1\n"
        ),
    }[path.suffix]()
    return path


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".txt", ".csv"])
def test_index_files(tmp_path, suffix):
    path = write(tmp_path / f"chosen{suffix}")
    members = longtail.ordered_members(np.arange(40) % 2, 2, f"file:{path}", "train")
    assert [m.tolist() for m in members] == [[30, 22], [5, 1, 9]]
    test = longtail.ordered_members(np.arange(40) % 2, 2, f"file:{path}", "test")
    assert sum(len(m) for m in test) == (2 if suffix in (".npz", ".csv") else 40)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.npy", None, "does not exist"),
        ("a.json", "[]", "cannot be read; use one of"),
        ("a.txt", "1 2 x", "cannot be read"),
        ("a.txt", "1 2 400", "index 400 is outside the train split of 40"),
        ("a.txt", "1 2 2", "stands twice"),
        ("a.csv", "a,b\n1,2", "cannot be read"),
        ("a.csv", "split,index\n", "no training indices"),
        ("a.npz", "not a zip", "cannot be read"),
        ("a.npz", "", "cannot be read"),
        ("a.txt", "9" * 25, "cannot be read"),
        ("a.txt", "3 -1", "index -1 is outside the train split of 40"),
        ("a.csv", "split,index\ntrain,3\nval,4\n", "the row 'val,4' has not one of train, long-tailed"),
        ("a.csv", "split,index\ntrain,3\ntrain\n", "the row 'train' has not one of"),
        ("a.csv", "split,index,index\ntrain,3,4\n", "columns `split` and `index`, each once"),
    ],
)
def test_bad_index_files(tmp_path, name, content, says):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=says):
        longtail.ordered_members(np.arange(40) % 2, 2, f"file:{path}", "train")


def test_members_of_other_kinds_and_other_archives_are_no_indices(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("train_index", b"x")
    np.save(tmp_path / "b.npy", np.arange(3))
    (tmp_path / "b.npy").rename(tmp_path / "b.npz")
    for name, says in (("a.npz", "no training indices"), ("b.npz", "it is one array")):
        with pytest.raises(DataError, match=says):
            longtail.read_indices(tmp_path / name, "train")


@pytest.mark.parametrize(("field", "value", "says"), [(8, 9, "compression"), (6, 1, "encrypted")])
def test_an_archive_that_cannot_be_unpacked_is_one_sentence(tmp_path, field, value, says):
    path = write(tmp_path / "chosen.npz")
    content = bytearray(path.read_bytes())
    for mark, at in ((b"PK\3\4", field), (b"PK\1\2", field + 2)):  # each member's header, and its line in the list
        for start in [i for i in range(len(content)) if content[i : i + 4] == mark]:
            content[start + at] = value
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"index file .*chosen\.npz cannot be read \(.*{says}.*`bench data export`"):
        longtail.read_indices(path, "train")


def test_float_indices_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([1.0, 2.0]))
    with pytest.raises(DataError, match="list of integers"):
        longtail.read_indices(tmp_path / "a.npy", "train")


def test_digest_sees_values_shapes_and_types():
    a = np.arange(6)
    different = [a, a.reshape(2, 3), a.astype(np.int32), a + 1]
    assert len({longtail.digest(x) for x in different}) == 4
    assert longtail.digest(a) == longtail.digest(np.arange(12)[::2] // 2)
    assert len(longtail.digest(a, a)) == 16


def quoted(row):
    return ",".join(f'"{cell}"' for cell in row.split(","))


@pytest.mark.parametrize(
    "change",
    [
        lambda t: "\ufeff" + t,
        lambda t: t.replace(",", ";"),
        lambda t: t.replace(",", "\t"),
        lambda t: t.replace("\n", "\r\n"),
        lambda t: "\n".join(quoted(row) for row in t.split()),
        lambda t: t + "\n\n",
        lambda t: "\ufeff" + t.replace(",", ";").replace("\n", "\r\n"),
    ],
)
def test_an_index_file_is_read_as_other_programs_save_it(tmp_path, change):
    text = "class,split,index\n0,train,3\n1,train,1\n0,long-tailed,2\n0,balanced,7\n"
    (tmp_path / "chosen.csv").write_bytes(change(text).encode())
    assert longtail.read_indices(tmp_path / "chosen.csv", "train").tolist() == [3, 1]
    assert longtail.read_indices(tmp_path / "chosen.csv", "test").tolist() == [2]


@pytest.mark.parametrize("text", ["3 1 2", "\ufeff3\n1\n2\n", "3,1,2", '"3";"1";"2"'])
def test_a_list_of_indices_is_read_whatever_stands_between_them(tmp_path, text):
    (tmp_path / "chosen.txt").write_text(text, encoding="utf-8")
    assert longtail.read_indices(tmp_path / "chosen.txt", "train").tolist() == [3, 1, 2]
