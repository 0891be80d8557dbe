"""Check a method or an attack on a network, noise and numbers of your own.

    step     one training step of a method: adversarial batch, loss, gradients, batch-norm statistics, passes
    loss     a method's loss, or one of its terms, on given logits and features
    attack   an evaluation attack on a given network

`python -m bench.testing FILE.json` runs a file of golden cases through them (docs/methods.md describes the schema).
Nothing here changes what it is given: networks are copied, global generators are left alone.
"""

from bench.testing.evaluate import AttackResult, LossResult, StepResult, attack, loss, step
from bench.testing.forms import FormNoise, closed_form

__all__ = ["AttackResult", "FormNoise", "LossResult", "StepResult", "attack", "closed_form", "loss", "step"]
