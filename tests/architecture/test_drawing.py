"""The drawing in docs/architecture.md shows places that exist, and no arrow that the code may not have."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from .test_imports import ROOMS


@pytest.fixture(scope="module")
def drawings(project) -> list[str]:
    """The Mermaid blocks of the page."""
    return re.findall(r"```mermaid\n(.*?)```", (project / "docs/architecture.md").read_text(encoding="utf-8"), re.S)


def test_every_place_in_it_exists(project, drawings):
    places = [place for drawing in drawings for place in re.findall(r'\w+\["([\w/.]+)"\]', drawing)]
    assert len(places) > 30
    assert [p for p in places if not (project / "bench" / p).exists() and not (project / p).exists()] == []


def test_every_room_of_the_engine_is_in_it(project, drawings):
    rooms = {name for names in ROOMS for name in names if (project / "bench/engine" / name).is_dir()}
    assert {r for r in rooms if f'"engine/{r}"' not in drawings[0]} == set()


def test_no_arrow_of_the_engine_runs_up(drawings):
    """In the first drawing an arrow is an import: the room it starts in comes after the one it ends in."""
    rank = {name: i for i, names in enumerate(ROOMS) for name in names}
    place = {key: name.removesuffix(".py") for key, name in re.findall(r'(\w+)\["engine/([\w.]+)"\]', drawings[0])}
    plain = re.sub(r'\["[^"]*"\]', "", drawings[0])
    arrows = []
    for line in plain.splitlines():
        steps = [re.split(r"\s*&\s*", step.strip()) for step in line.split("-->")] if "-->" in line else []
        arrows += [(a, b) for left, right in pairwise(steps) for a in left for b in right]
    inside = [(place[a], place[b]) for a, b in arrows if a in place and b in place]
    assert len(inside) >= 8
    flow = {("grid", "plan"), ("plan", "executors"), ("plan", "price")}  # the order of a command, not imports
    assert [(a, b) for a, b in inside if rank[a] <= rank[b] and (a, b) not in flow] == []
