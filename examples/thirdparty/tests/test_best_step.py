"""The attack `best-step` keeps the contract of bench: the checks that the project's own plug-ins pass."""

import pytest

from bench.testing.contract import Check, checks, find


@pytest.mark.parametrize("check", checks(find("thirdparty.best_step:BestStep")), ids=str)
def test_it_keeps_the_contract(check: Check) -> None:
    """A broken check is one sentence."""
    check()
