"""Tuning: a search over a method's settings on held-out training images, every trial an ordinary cell.

space     where it looks: what the settings declare, or what follows from their defaults
adviser   which settings come next, and which trial is hopeless (Optuna, imported here alone)
trial     one trial: a cell that is trained with a validation part and evaluated on nothing else
"""
