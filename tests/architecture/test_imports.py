"""Data flows one way: who may import whom."""

from __future__ import annotations

import graphlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

#: package -> what it may import of the project besides itself; plug-ins have a rule of their own.
#: The base knows nothing above it; the store knows no engine; the judge and the reports read only the store.
BASE = {
    "bench.errors",
    "bench.config",
    "bench.fields",
    "bench.variants",
    "bench.registry",
    "bench.seeding",
    "bench.longtail",
    "bench.versions",
    "bench.contract",
    "bench.recipe",
    "bench.api",
    "bench.plugins",
    "bench.visible",
    "bench.paths",
    "bench.audit",
    "bench.sizes",
}
MAY_IMPORT = {
    "bench.contract": BASE - {"bench.api", "bench.plugins"},
    "bench.recipe": {"bench.errors", "bench.fields", "bench.variants"},
    "bench.audit": {"bench.seeding"},
    "bench.store": BASE,
    "bench.judge": BASE | {"bench.store"},
    "bench.reports": BASE | {"bench.store", "bench.judge", "bench.results"},
    "bench.presets": BASE | {"bench.engine"},
    "bench.engine": BASE | {"bench.store"},
    "bench.board": BASE | {"bench.store", "bench.judge"},
    "bench.hub": BASE | {"bench.engine", "bench.store", "bench.judge"},
    "bench.scaffold": BASE | {"bench.store"},
    "bench.tune": BASE | {"bench.engine", "bench.store"},
    "bench.testing": BASE | {"bench.engine", "bench.store", "bench.reports"},
    "bench.cli": BASE
    | {"bench.engine", "bench.presets", "bench.store", "bench.judge", "bench.reports", "bench.results"}
    | {"bench.board", "bench.hub", "bench.scaffold", "bench.tune"},
    "bench.results": set(),
}

#: The rooms of the engine in the order in which data passes them. Each imports only what stands before it, those of
#: one line know nothing of each other; `cell` drives the rest, and nobody else knows how cells are placed or priced.
ROOMS = (
    {"host"},
    {"images", "nets"},
    {"gradients", "verdicts", "resume"},
    {"optimizer", "best", "settled"},
    {"learner"},
    {"step"},
    {"train", "suite"},
    {"grid", "life"},
    {"plan"},
    {"cell"},
    {"executors", "price"},
)


def layer(name: str) -> str:
    """The layer of a module: its package below bench, or the module itself for those directly in bench."""
    return ".".join(name.split(".")[:2])


def test_there_is_no_cycle(graph):
    packages_aside = {m: {n for n in edges if not m.startswith(n + ".")} for m, edges in graph.items()}
    order = list(graphlib.TopologicalSorter(packages_aside).static_order())
    assert order.index("bench.errors") < order.index("bench.api") < order.index("bench.engine.cell")


def test_every_layer_imports_only_what_lies_below_it(graph):
    wrong = []
    for name, edges in graph.items():
        own = layer(name)
        for other in edges:
            if own in MAY_IMPORT and layer(other) != own and layer(other) not in MAY_IMPORT[own] | {"bench"}:
                wrong.append(f"{name} imports {other}")
    assert not wrong


def test_every_layer_has_a_rule(modules):
    packages = {layer(m.name) for m in modules.values() if m.path.name == "__init__.py" and not m.is_plugin}
    plugins = {m.package for m in modules.values() if m.is_plugin}
    assert packages - plugins - {"bench"} == set(MAY_IMPORT)


def room(name: str) -> str:
    """The room of a module of the engine: its folder, or the file itself where it lies at the top."""
    return name.removeprefix("bench.engine.").split(".")[0]


def test_a_room_of_the_engine_imports_only_the_rooms_before_it(graph):
    place = {name: rank for rank, names in enumerate(ROOMS) for name in names}
    edges = [(a, b) for a, reached in graph.items() for b in reached if {a, b} <= engine(graph) and room(a) != room(b)]
    assert {room(name) for name in engine(graph)} == place.keys()
    assert [f"{a} imports {b}" for a, b in edges if place[room(b)] >= place[room(a)]] == []


def engine(graph) -> set[str]:
    """Modules of the engine."""
    return {name for name in graph if name.startswith("bench.engine.")}


def test_no_folder_is_too_full_to_know_ones_room(modules):
    """Folders of one file a thing (plug-ins, tables, figures, verbs) grow with what they list; the others may not."""
    plugins = {m.package for m in modules.values() if m.is_plugin}
    lists = {*plugins, "bench.cli", "bench.reports.tables", "bench.reports.figures"}
    full = Counter(m.package for m in modules.values() if m.package not in lists and m.path.name != "__init__.py")
    assert {package: n for package, n in full.items() if n > 15} == {}


def test_a_plugin_imports_only_the_contract(modules):
    wrong = []
    for module in modules.values():
        if not module.is_plugin:
            continue
        for name, line in module.imports():
            private = name.startswith(f"{module.package}._")
            if name.split(".")[0] == "bench" and not private and not name.startswith("bench.api."):
                wrong.append(f"{module.path}:{line}: {name}")
    assert not wrong


def test_the_core_imports_no_plugin(modules):
    plugins = {m.name for m in modules.values() if m.is_plugin}
    wrong = [
        f"{module.path}:{line}: {name}"
        for module in modules.values()
        if not module.is_plugin
        for name, line in module.imports()
        if name in plugins or name.rpartition(".")[0] in plugins
    ]
    assert not wrong


def test_the_core_imports_nothing_through_the_names_of_the_checkout(modules):
    """`import methods.taet` works by accident in the checkout and would register a method twice."""
    bare = {"baselines", "methods", "reports", "results", "tests"}
    wrong = [f"{m.path}:{line}: {n}" for m in modules.values() for n, line in m.imports() if n.split(".")[0] in bare]
    assert not wrong


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a verb in a fresh interpreter and say on the last line of stderr whether torch was imported."""
    code = (
        "import sys\n"
        "from bench.cli import main\n"
        "try:\n"
        f"    main({list(arguments)!r})\n"
        "finally:\n"
        "    print('torch' in sys.modules, file=sys.stderr)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False, env=os.environ, timeout=120
    )


VERBS = [
    ["--help"],
    ["--version"],
    ["run", "--help"],
    ["ls"],
    *(["ls", kind] for kind in ("methods", "datasets", "models", "attacks", "tables", "figures", "presets")),
    ["report", "--help"],
    ["check", "--help"],
]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_verbs_that_only_read_start_without_torch(verb, tmp_path):
    done = run(*verb, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert done.stderr.strip().splitlines()[-1] == "False"


@pytest.mark.parametrize("module", ["bench.api", "bench.config", "bench.registry", "bench.store.query"])
def test_the_contract_and_the_store_import_without_torch(module, tmp_path):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False, timeout=120).returncode == 0
