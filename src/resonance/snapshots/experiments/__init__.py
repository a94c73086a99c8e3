"""Experiments on a learner at a mark: something is changed by hand, and what follows is looked at.

An experiment is one module of this package with `findings(scene)`; its name stands in `interventions.EXPERIMENTS`.
"""
