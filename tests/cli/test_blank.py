"""An option that is given an empty text was given: it is refused, and never taken for one that was left out."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from bench.cli import group, main
from bench.cli.options.common import Text

VERBS = ("run", "estimate", "evaluate", "tune")
#: what each cannot do without
NEEDED = {"evaluate": ["net.pt"], "tune": ["at", "--dataset", "digitslt"], "report": ["--paper"]}


def options(verb: str, kind: object) -> list[str]:
    """The options of a verb whose values are of this kind."""
    command = group.get_command(click.Context(group), verb)
    assert command is not None
    one = [p for p in command.params if isinstance(p, click.Option) and not p.multiple]
    return [p.opts[0] for p in one if kind in (p.type, type(p.type))]


@pytest.mark.parametrize("verb", VERBS)
def test_every_text_of_these_verbs_is_asked_to_say_something(verb: str) -> None:
    assert options(verb, click.STRING) == []


@pytest.mark.parametrize("blank", ["", "  "])
@pytest.mark.parametrize(("verb", "option"), [(v, o) for v in (*VERBS, "report") for o in options(v, Text)])
def test_a_blank_value_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verb: str,
    option: str,
    blank: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main([verb, *NEEDED.get(verb, []), option, blank])
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"bench: {option} '{blank}' names nothing; give a value, or leave it out.\n"
    assert not list(tmp_path.iterdir())
