"""Files of golden cases: read, run and compared case by case."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.errors import BenchError, UsageError, did_you_mean
from bench.testing.compare import Outcome, difference, pairs
from bench.testing.kinds import KINDS
from bench.testing.words import METHODS, OTHERS, UnsupportedError


def run_case(case: Mapping[str, Any], forms: Mapping[str, Any], tolerance: float = 1e-5) -> Outcome:
    """Evaluate one case and compare each of its figures."""
    head = str(case.get("id")), str(case.get("method")), str(case.get("kind"))
    try:
        if case["kind"] not in KINDS:
            raise UnsupportedError(f"kind {case['kind']!r}; known: {', '.join(KINDS)}")
        if case["kind"] not in ("attack_only", "schedule") and case["method"] not in METHODS.keys() | OTHERS:
            raise UnsupportedError(f"method {case['method']!r}. {did_you_mean(str(case['method']), METHODS)}")
        got = KINDS[case["kind"]](case, forms)
        relative = float(case.get("tolerance_relative", tolerance))
        if not relative > 0:
            raise UnsupportedError(f"tolerance_relative={relative:g}; give a number above 0")
        if not case["expected"]:
            raise UnsupportedError("`expected` states no figure")
        misses, worst = [], 0.0
        for path, want, have in pairs(case["expected"], got):
            error = difference(path, want, have, relative)
            worst = max(worst, error)
            if error > relative:
                misses.append(f"{path}: expected {want!r}, got {have!r}")
        return Outcome(*head, tuple(misses), worst)
    except (UnsupportedError, BenchError) as error:
        return Outcome(*head, unsupported=str(error))
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError, AttributeError) as error:
        return Outcome(*head, unsupported=f"the case cannot be read or run ({type(error).__name__}: {error})")


def read(path: Path) -> dict[str, Any]:
    """A file of golden cases. Raises UsageError in one sentence when it is none."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}; give a file of golden cases.") from error
    except ValueError as error:
        raise UsageError(f"{path} is not JSON ({error}); give a file of golden cases.") from error
    if not isinstance(body, dict) or not isinstance(body.get("cases"), list) or not body["cases"]:
        raise UsageError(f"{path} holds no list `cases`; give a file of the golden schema.")
    if body.get("schema") != 1:
        raise UsageError(f"{path} has schema {body.get('schema')!r}; this program reads schema 1.")
    bad = [i for i, c in enumerate(body["cases"]) if not isinstance(c, dict) or {"id", "kind", "expected"} - c.keys()]
    if bad:
        raise UsageError(f"{path}: case number {bad[0]} lacks id, kind or expected; complete it or take it out.")
    return body


def run_file(path: Path) -> list[Outcome]:
    """All cases of a file, in order. Raises UsageError on a bad file."""
    body = read(path)
    forms = body.get("tiny_net", {}).get("params", {})
    return [run_case(case, forms, float(body.get("tolerance_relative", 1e-5))) for case in body["cases"]]
