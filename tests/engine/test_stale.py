"""A cell made from other data or code than there is now is named, and neither continued nor mixed nor lost."""

import dataclasses
import importlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.cli import group
from bench.config import CellSpec, Recipe
from bench.engine.cell import run_cell
from bench.engine.grid import Axes, expand
from bench.engine.life.settings import Settings
from bench.engine.plan import plan
from bench.registry import registry
from bench.store import query
from bench.store.folders import new_cell, read_cell, read_record
from bench.store.parts.record import understood
from bench.store.provenance import identity
from bench.store.provenance.inputs import changed_code, fresh
from bench.store.provenance.named import named_files
from bench.store.results import Results

AXES = Axes(
    methods=("ce",),
    datasets=("archive:set.npz",),
    irs=("natural",),
    epochs=1,
    attacks=("clean",),
    models=("small-cnn",),
)


def archive(path, turned=False):
    """Nine images a class of two classes; `turned` exchanges the test labels."""
    labels = np.repeat(np.arange(2), 9)
    images = np.random.default_rng(0).integers(0, 255, (18, 8, 8, 1)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path, train_images=images, train_labels=labels, test_images=images, test_labels=1 - labels if turned else labels
    )


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    archive(tmp_path / "set.npz")
    return tmp_path


def task(**changes):
    return expand(dataclasses.replace(AXES, **changes), changes.pop("data_root", None))[0]


def run(cell, root="out", **settings):
    events = []
    run_cell(cell, Settings(results=root, **settings), events.append)
    return events[-1]


def done(cell, root, **settings):
    assert (event := run(cell, root, **settings))["event"] == "done", event


def stale(cell, root, data_root=None):
    """Why the cell is stale; asserts that whoever runs it leaves it as it is."""
    works = plan([cell], root, data_root)
    why = works[0].stale if works else ""
    before = (root / cell.spec.id / "cell.json").read_bytes()
    if why:
        event = run(cell, root, data_root=data_root)
        assert (event["event"], event["message"]) == ("failed", why)
    assert (root / cell.spec.id / "cell.json").read_bytes() == before
    return why


# ------------------------------------------------------------------------------------------------------------ data


def test_a_rewritten_archive_makes_its_cell_stale_and_retraining_keeps_what_was_there(here):
    root, cell = here / "out", task()
    done(cell, root)
    old = (root / cell.spec.id / "per_class.csv").read_bytes()
    assert plan([cell], root) == []
    archive(here / "set.npz")  # the same content in a new file
    assert stale(cell, root) == ""
    archive(here / "set.npz", turned=True)
    assert "its images are others now" in stale(cell, root)
    done(cell, root, retrain=True)
    assert plan([cell], root) == []
    assert (root / "stale" / cell.spec.id / "per_class.csv").read_bytes() == old
    assert (root / cell.spec.id / "per_class.csv").read_bytes() != old
    assert [folder.name for folder in query.folders(root)] == [cell.spec.id]


def test_a_relative_path_from_another_folder_and_another_data_root_are_other_data(here, monkeypatch):
    root, cell = here / "out", task()
    done(cell, root)
    archive(here / "b" / "set.npz", turned=True)
    with monkeypatch.context() as patch:
        patch.chdir(here / "b")
        assert "its images are others now" in stale(cell, root)
    (here / "set.npz").unlink()
    assert "its images are others now" in stale(cell, root, here / "b")
    archive(here / "c" / "set.npz")
    assert stale(cell, root, here / "c") == ""


def test_a_rewritten_selection_file_makes_its_cell_stale(here):
    root, cell = here / "out", task(selection="file:chosen.txt")
    (here / "chosen.txt").write_text("0 1 2 3 9 10 11 12\n")
    done(cell, root)
    (here / "chosen.txt").write_text("0 1 2 4 9 10 11 12\n")
    assert "its images are others now" in stale(cell, root)


def test_images_gone_from_a_folder_make_its_cell_stale(here):
    for c in "ab":
        (here / "set" / c).mkdir(parents=True)
        for i in range(10):
            Image.fromarray(np.full((8, 8), 20 * i + ord(c) % 2, np.uint8)).save(here / "set" / c / f"{i}.png")
    root, cell = here / "out", task(datasets=("folder:set",))
    done(cell, root)
    (here / "set" / "b" / "3.png").unlink()
    assert "its images are others now" in stale(cell, root)
    shutil.rmtree(here / "set" / "b")
    assert "its images are others now" in stale(cell, root) or "cannot be read any more" in stale(cell, root)


def test_an_interrupted_cell_does_not_go_on_with_other_data(here):
    root, cell = here / "out", task(methods=("ce[lr=1e30]",), epochs=3)
    assert run(cell, root)["event"] == "failed"  # in its training
    archive(here / "set.npz", turned=True)
    assert "its images are others now" in stale(cell, root)


def test_a_cell_of_a_version_that_kept_no_marks_is_not_called_stale(here):
    root, cell = here / "out", task()
    done(cell, root)
    path = root / cell.spec.id / "cell.json"
    plain = json.loads(path.read_text())
    del plain["inputs"], plain["seal"]
    for facts in plain["evaluations"].values():
        del facts["code"]
    path.write_text(json.dumps(plain))
    archive(here / "set.npz", turned=True)
    assert stale(cell, root) == ""
    record = read_record(root / cell.spec.id)
    assert changed_code(record) == ""
    assert fresh([record]) == ([record], [])


def test_a_cell_that_says_nothing_of_evaluations_goes_on(here):
    root, cell = here / "out", task()
    path = root / cell.spec.id / "cell.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({n: v for n, v in new_cell(cell.spec).items() if n not in ("evaluations", "stages")}))
    done(cell, root)
    assert {*read_record(path.parent).evaluations} == {e.key for e in cell.want.evaluations}


def test_an_evaluated_network_is_stale_on_other_data(here, capsys):
    (here / "mynet.py").write_text(
        "import torch\n\n\ndef net(num_classes):\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, num_classes))\n"
    )
    words = ["evaluate", "mynet:net", "--datasets", "archive:set.npz", "--irs", "natural", "--attacks", "clean",
             "--results", "out"]  # fmt: skip
    group.main(args=words, standalone_mode=False)
    archive(here / "set.npz", turned=True)
    with pytest.raises(Exception, match="is stale: its images are others now"):
        group.main(args=words, standalone_mode=False)
    group.main(args=[*words, "--retrain"], standalone_mode=False)
    assert len(list((here / "out" / "stale").iterdir())) == 1
    sys.modules.pop("mynet")


NET = """import torch


def net(num_classes):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, num_classes))
"""


def test_an_evaluated_network_is_stale_when_the_code_of_its_factory_or_what_it_names_changes(here, capsys):
    words = ["evaluate", "mynet:net", "--datasets", "archive:set.npz", "--irs", "natural", "--attacks", "clean",
             "--results", "out"]  # fmt: skip

    def evaluate(text, table):
        (here / "mynet.py").write_text(text)
        (here / "table.json").write_text(table)
        sys.modules.pop("mynet", None)
        importlib.invalidate_caches()
        identity.code.cache_clear()
        group.main(args=words, standalone_mode=False)

    named = NET.replace("import torch\n", "import torch\n\nTABLE = 'table.json'\n")
    evaluate(named, "{}")
    assert read_cell(next(iter(query.folders(here / "out"))))["inputs"]["model"]
    evaluate(named.replace("\n\n\ndef", "  # the table\n\n\ndef"), "{}")
    for text, table in ((named, "{1}"), (named.replace("torch.nn.Flatten()", "torch.nn.Flatten(1)"), "{}")):
        with pytest.raises(Exception, match="the code of its network 'mynet:net' has changed"):
            evaluate(text, table)
    sys.modules.pop("mynet")


# ------------------------------------------------------------------------------------------------------------ code

PLUGIN = '''"""A method."""
from bench.api import Method, register
from torch.nn import functional as F

import myhelper


@register("methods")
class Mine(Method):
    """Weighted cross-entropy."""

    name = "mine"
    paper = licence = formula = cost = "none"

    def phase(self, context):
        return "natural"

    def perturb(self, model, x, y, context):
        return x

    def passes(self, recipe):
        return 1.0, 1.0

    def loss(self, model, x, x_adv, y, context):
        return myhelper.WEIGHT * F.cross_entropy(model(x), y), {}
'''


@pytest.fixture
def plugin(here, monkeypatch):
    """Writes the plug-in and what it imports, and makes this process see it as a new one would."""
    monkeypatch.syspath_prepend(here)
    methods = registry("methods")

    def write(text, helper):
        methods.discard("mine")
        for name, content in (("myplugin", text), ("myhelper", helper)):
            (here / f"{name}.py").write_text(content)
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        identity.code.cache_clear()
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        methods.add("mine", importlib.import_module("myplugin").Mine)

    yield write
    methods.discard("mine")
    identity.code.cache_clear()
    for name in ("myplugin", "myhelper"):
        sys.modules.pop(name, None)


def test_other_code_makes_cells_stale_and_comments_do_not(here, plugin):
    root = here / "out"
    plugin(PLUGIN, "WEIGHT = 1.0\n")
    first = task(methods=("mine",))
    done(first, root)
    plugin(PLUGIN.replace('"""A method."""', '"""Another\n\ndocstring."""  # and a comment'), "WEIGHT = 1.0  # one\n")
    assert stale(first, root) == ""
    plugin(PLUGIN, "WEIGHT = 2.0\n")  # what it imports of its own
    assert "the code of its method 'mine' has changed" in stale(first, root)
    assert "the code of its method 'mine' has changed" in changed_code(read_record(root / first.spec.id))


TRICK = """'''A trick.'''
from bench.api import Enhancer, register


@register("enhancers")
class Trick(Enhancer):
    name = "trick"
    paper = licence = formula = "none"
    strength = 1
"""


def test_other_code_of_an_enhancer_makes_cells_stale(here, monkeypatch):
    monkeypatch.syspath_prepend(here)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    enhancers, root = registry("enhancers"), here / "out"

    def write(text):
        enhancers.discard("trick")
        (here / "mytrick.py").write_text(text)
        sys.modules.pop("mytrick", None)
        importlib.invalidate_caches()
        identity.code.cache_clear()
        enhancers.add("trick", importlib.import_module("mytrick").Trick)

    try:
        write(TRICK)
        enhanced, plain = task(methods=("ce+trick",)), task()
        for cell in (enhanced, plain):
            done(cell, root)
        assert read_cell(root / enhanced.spec.id)["inputs"]["enhancer trick"]
        write(TRICK.replace("strength = 1", "strength = 2"))
        assert "the code of its enhancer 'trick' has changed" in stale(enhanced, root)
        assert stale(plain, root) == ""
        path = root / enhanced.spec.id / "cell.json"
        path.write_text(path.read_text().replace('"at": "20', '"at": "19'))  # long ago: times are whole seconds
        newer = task(methods=("ce+trick",), seeds=(1,))
        done(newer, root)
        kept, (sentence,) = fresh([read_record(root / cell.spec.id) for cell in (enhanced, plain, newer)])
        assert [cell.id for cell in kept] == [plain.spec.id, newer.spec.id]
        assert "its enhancer 'trick' had other code" in sentence
    finally:
        enhancers.discard("trick")
        identity.code.cache_clear()
        sys.modules.pop("mytrick", None)


def test_seeds_of_two_codes_are_never_averaged(here, plugin):
    root = here / "out"
    plugin(PLUGIN, "WEIGHT = 1.0\n")
    old, new = task(methods=("mine",)), task(methods=("mine",), seeds=(1,))
    other = task()
    done(old, root)
    done(other, root)
    plugin(PLUGIN, "WEIGHT = 2.0\n")
    path = root / old.spec.id / "cell.json"
    path.write_text(path.read_text().replace('"at": "20', '"at": "19'))  # a minute ago, for one
    done(new, root)
    loaded = Results(root)
    assert set(loaded.rows["cell"]) == {new.spec.id, other.spec.id}
    assert [cell.id for cell in Results(root).cells] == sorted([new.spec.id, other.spec.id])
    (sentence,) = loaded.problems
    assert sentence.startswith(
        f"{old.spec.id} is stale: its method 'mine' had other code than in the newer {new.spec.id}"
    )


def cell(name, at, seed=0, share=0.0, **marks):
    spec = CellSpec("m", "d", None, "n", seed, recipe=Recipe(validation=share))
    return understood(new_cell(spec) | {"id": name, "history": [{"at": at}], **marks})


def saw(data_hash):
    return {"source": "d", "data_hash": data_hash, "class_names": [], "train_counts": [], "test_counts": {}}


def test_only_the_evaluations_of_an_attack_that_changed_are_left_out():
    facts = {"name": "fgsm", "code": "1"}
    old = cell("a", "1", evaluations={"x/clean": {"name": "clean", "code": "9"}, "x/fgsm": facts})
    new = cell("b", "2", evaluations={"x/fgsm": facts | {"code": "2"}})
    kept, (sentence,) = fresh([old, new])
    assert [list(c.evaluations) for c in kept] == [["x/clean"], ["x/fgsm"]]
    assert "attack 'fgsm' had other code than in the newer b" in sentence


def test_cells_that_saw_other_images_are_left_out_whatever_their_method():
    old = cell("a", "1", inputs={"data": "1"}, data=saw("1"))
    new = cell("b", "2", inputs={"data": "2"}, data=saw("2"))
    assert fresh([old, new])[0] == [new]
    assert fresh([new, cell("c", "3", inputs={"data": "7"}, data=saw("2"))])[1] == []


def test_what_is_held_out_is_part_of_the_choice_of_images():
    """Beside cells of all images, and of other seeds, each of which holds others out; of one seed they must agree."""

    def held(name, share, seed, mark):
        return cell(name, name, seed, share, inputs={"data": "1"}, data=saw(mark))

    sound = [held("a", 0, 0, "1"), held("b", 0, 1, "1"), held("c", 0.1, 0, "2"), held("d", 0.1, 1, "3")]
    assert fresh(sound) == (sound, [])
    assert "c is stale: it saw other images" in fresh([*sound, held("e", 0.1, 0, "4")])[1][0]


def test_every_shipped_plug_in_has_a_mark_of_its_own_code_and_of_what_it_shares():
    for kind in ("methods", "attacks", "models", "datasets"):
        assert all(identity.code(kind, name) for name in registry(kind).names())
    names = set(own("attacks", "fgsm")) | set(own("datasets", "archive"))
    assert {"fgsm.py", "archive.py", "_npz.py", "_files.py"} <= names
    assert not {"api.py", "config.py"} & names


def own(kind, name):
    origin = registry(kind).origin(name)
    return [path.name for path in identity._closure(origin.module, Path(origin.file)).values()]


def test_data_files_that_a_package_names_are_part_of_its_code(tmp_path):
    files = {
        "pack/__init__.py": "",
        "pack/sub/mine.py": "A, B, C = 'weights.bin', f'{0}.json', 'tables'\n",
        "pack/weights.bin": "1",
        "pack/sub/0.json": "1",
        "pack/tables/deep/a.csv": "1",
        "pack/README.md": "1",
        "pack/sub/__init__.py": "",
        "other.json": "1",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    package = {"pack.sub.mine": tmp_path / "pack" / "sub" / "mine.py"}
    assert [path for path, _ in named_files(package)] == ["sub/0.json", "tables/deep/a.csv", "weights.bin"]
    before = dict(named_files(package))
    (tmp_path / "pack" / "tables" / "deep" / "a.csv").write_text("2")
    after = dict(named_files(package))
    assert {name for name in before if before[name] != after[name]} == {"tables/deep/a.csv"}
    (tmp_path / "loose.py").write_text("A, B = 'other.json', 'pack'\n")  # beside whatever its author works on
    assert [path for path, _ in named_files({"loose": tmp_path / "loose.py"})] == ["other.json"]


def test_a_network_of_an_installed_library_is_known_by_its_version(monkeypatch):
    monkeypatch.setattr(identity, "_closure", lambda *_: pytest.fail("read file by file"))
    identity.code.cache_clear()
    before = identity.code("models", "torch.nn:Sequential")
    assert before
    assert identity.code("models", "numpy.linalg:norm") not in ("", before)
    monkeypatch.setattr(identity, "version", lambda _: "0.0.1")
    identity.code.cache_clear()
    assert identity.code("models", "torch.nn:Sequential") not in ("", before)
    identity.code.cache_clear()


def test_no_data_file_is_part_of_a_shipped_plug_in():
    """Marks in stores of this project depend on source alone."""
    kinds = ("methods", "models", "datasets", "attacks", "enhancers")
    origins = [origin for kind in kinds for origin in registry(kind).origins.values()]
    assert len(origins) > 40
    shipped = {o.module: Path(o.file) for o in origins if o.module.startswith("bench.")}
    assert list(named_files(shipped)) == []
