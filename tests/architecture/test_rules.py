"""Habits that would break determinism, devices or readability, found in the source itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

#: the longest file that can still be one idea
MAX_LINES = 340

#: functions of torch that draw from its global generator unless a generator is handed to them
TORCH_DRAWS = {"bernoulli", "multinomial", "normal", "poisson", "rand", "randint", "randn", "randperm"}
#: methods of a tensor that do
TENSOR_DRAWS = {"bernoulli_", "cauchy_", "exponential_", "geometric_", "log_normal_", "normal_", "random_", "uniform_"}
#: functions that seed or replace a global generator's state
SEEDERS = {"manual_seed", "manual_seed_all", "set_rng_state", "set_rng_state_all", "setstate", "set_state", "fork_rng"}
#: what of numpy.random makes private generators
PRIVATE = {"BitGenerator", "Generator", "PCG64", "RandomState", "SeedSequence", "default_rng"}


def dotted(node: ast.AST) -> str:
    """`torch.nn.init.normal_` for the attribute chain, an empty text for anything else."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join(reversed([*parts, node.id])) if isinstance(node, ast.Name) else ""


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str, str]]:
    """(call, dotted name of what is called, its last part) of every call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            last = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield node, dotted(node.func), last


def global_draws(tree: ast.AST) -> Iterator[int]:
    """Lines that seed or draw from a global generator of torch, NumPy or `random`."""
    for call, name, last in calls(tree):
        private = any(keyword.arg == "generator" for keyword in call.keywords)
        of_torch = name.startswith("torch.") and (last in TORCH_DRAWS or (last.endswith("_like") and "rand" in last))
        in_place = isinstance(call.func, ast.Attribute) and last in TENSOR_DRAWS and ".init." not in name
        of_numpy = re.match(r"(np|numpy)\.random\.", name) is not None and last not in PRIVATE
        of_python = name.startswith("random.") and last != "Random"
        seeds = last in SEEDERS and (name.startswith(("torch.", "random.", "np.", "numpy.")))
        if ((of_torch or in_place) and not private) or of_numpy or of_python or seeds:
            yield call.lineno


def test_the_finder_of_global_draws_finds_them():
    wrong = [
        "torch.manual_seed(0)", "torch.cuda.manual_seed_all(0)", "torch.random.fork_rng()", "torch.randn(3)",
        "torch.rand_like(x)", "x.uniform_(-1, 1)", "np.random.seed(0)", "numpy.random.rand(3)", "random.random()",
        "np.random.get_state()", "torch.default_generator.manual_seed(0)",
    ]  # fmt: skip
    right = [
        "torch.randn(3, generator=g)",
        "x.uniform_(-1, 1, generator=g)",
        "np.random.Generator(np.random.PCG64(1))",
        "generator.manual_seed(0)",
        "random.Random(0)",
        "rng.normal(size=3)",
    ]
    assert [code for code in wrong if not list(global_draws(ast.parse(code)))] == []
    assert [code for code in right if list(global_draws(ast.parse(code)))] == []


def test_only_the_seeding_module_touches_global_generators(modules):
    wrong = [f"{m.path}:{line}" for m in modules.values() if m.name != "bench.seeding" for line in global_draws(m.tree)]
    assert not wrong


def test_nobody_moves_a_tensor_to_a_gpu_by_name(modules):
    wrong = [
        f"{m.path}:{call.lineno}"
        for m in modules.values()
        for call, _, last in calls(m.tree)
        if last == "cuda" and isinstance(call.func, ast.Attribute)
    ]
    assert not wrong


def test_only_the_command_line_prints(modules):
    """`python -m bench.testing` is a command line too."""
    mouths = ("bench.cli", "bench.testing.__main__")
    wrong = [
        f"{m.path}:{call.lineno}: {name}"
        for m in modules.values()
        if not m.name.startswith(mouths)
        for call, name, _ in calls(m.tree)
        if name
        in {"print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write", "pprint", "pprint.pprint"}
    ]
    assert not wrong


def test_every_file_is_short_enough_to_be_one_idea(modules):
    long = {str(m.path): m.lines for m in modules.values() if m.lines > MAX_LINES}
    assert not long


def long_literals(node: ast.stmt) -> bool:
    """Whether a statement holds a table: a literal or a call of at least five parts, which one a line would tear."""
    parts = [
        node.args if isinstance(node, ast.Call) else node.keys if isinstance(node, ast.Dict) else node.elts
        for node in ast.walk(node)
        if isinstance(node, (ast.Call, ast.Dict, ast.List, ast.Set, ast.Tuple))
    ]
    return max(map(len, parts), default=0) >= 5


def test_only_tables_of_data_and_command_lines_are_laid_out_by_hand(project):
    wrong = []
    for folder in ("baselines", "bench", "benchmarks", "examples", "methods", "reports", "tests"):
        for path in sorted((project / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            at = {i for i, line in enumerate(text.splitlines(), 1) if re.search(r"# fmt: (skip|off)\s*$", line)}
            if at:
                kept = {n.end_lineno for n in ast.walk(ast.parse(text)) if isinstance(n, ast.stmt) and long_literals(n)}
                wrong += [f"{path}:{line}" for line in sorted(at - kept)]
    assert not wrong


def test_every_module_says_what_it_is(modules):
    assert [str(m.path) for m in modules.values() if not ast.get_docstring(m.tree)] == []


def names_compared(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """(text, line) of every text that something is compared with, matched against or dispatched on."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides: list[ast.AST] = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            sides = [node.value]
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("startswith", "get")
        ):
            sides = list(node.args)
        else:
            continue
        for side in sides:
            for inner in [side, *(side.elts if isinstance(side, (ast.Tuple, ast.List, ast.Set)) else [])]:
                if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                    yield inner.value, node.lineno  # type: ignore[attr-defined]


def test_the_core_chooses_nothing_by_the_name_of_a_plugin(modules):
    """Behaviour belongs to the plug-in's class. `clean` is the protocol's own word: every attack starts from it.

    What a number means may be said by name (a flag is about AutoAttack, a table about the paper's rows); how it is made
    may not.
    """
    plugins = {
        m.name.rpartition(".")[2].replace("_", "-") for m in modules.values() if m.is_plugin and "._" not in m.name
    }
    core = ("bench.engine", "bench.store", "bench.api", "bench.config", "bench.registry", "bench.seeding")
    wrong = [
        f"{m.path}:{line}: '{text}'"
        for m in modules.values()
        if m.name.startswith(core) and m.name != "bench.store.flags"
        for text, line in names_compared(m.tree)
        if text in plugins - {"clean"}
    ]
    assert not wrong
