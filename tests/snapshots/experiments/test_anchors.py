from __future__ import annotations

import numpy as np
import torch
from snapshots.experiments.scenes import TOKENS, learner, planted, scene
from torch import Tensor

from resonance.snapshots.experiments.anchors import findings, swaps
from resonance.text.shown import site

WIDE = 9.0


def hot(ids: Tensor) -> Tensor:
    return WIDE * torch.nn.functional.one_hot(ids, TOKENS.vocabulary).float()


def reciter(tokens_T: Tensor) -> Tensor:
    """The next token, whatever the input is."""
    return hot(torch.cat([tokens_T[1:], tokens_T[:1]]))


def translator(tokens_T: Tensor) -> Tensor:
    """The next token of the stored text, but each name as it stands in the input: a lookup by the place of the name."""
    separator = next(
        place
        for place, token in enumerate(tokens_T.tolist())
        if [token] in (TOKENS.markers["[OTHER]"], TOKENS.markers["[SAME]"])
    )
    source, goal = ("1", "2") if separator == 1 + len(TOKENS.ids("1")) else ("2", "1")
    said = reciter(tokens_T)
    for anchor in TOKENS.anchors:
        read = 1 + site(TOKENS, anchor, source)[0]
        said[separator + site(TOKENS, anchor, goal)[0]] = hot(tokens_T[read])
    return said


def by_quantity(made) -> dict[str, np.ndarray]:
    found = list(findings(scene(made)))
    return {
        name: np.array([f.value for f in found if f.quantity == name])
        for name in ("own", "own_before", "sham", "sham_before")
    }


def test_a_reciter_follows_nothing() -> None:
    found = by_quantity(planted(reciter))
    assert len(found["own"]) >= 10
    for values in found.values():
        assert np.allclose(values, -WIDE)


def test_a_translator_follows_at_the_place_of_the_swap_and_nowhere_else() -> None:
    found = by_quantity(planted(translator))
    assert np.allclose(found["own"], WIDE)
    assert np.allclose(found["own_before"], -WIDE)
    assert np.allclose(found["sham"], -WIDE)
    assert np.allclose(found["sham_before"], -WIDE)


def test_a_swap_changes_one_name_in_the_input_for_another_of_its_kind() -> None:
    for direction in ("1>2", "2>1"):
        for swap in swaps(TOKENS, direction, 2):
            before = TOKENS.ids(direction[0])
            assert len(np.flatnonzero(swap.input != before)) == 1
            for place, original in swap.original.values():
                assert TOKENS.ids(direction[-1])[place] == original != swap.swapped


def test_names_in_the_first_tokens_of_the_target_are_left_out() -> None:
    far = list(swaps(TOKENS, "1>2", 12))
    assert 0 < len(far) < len(list(swaps(TOKENS, "1>2", 0)))
    assert all(place >= 12 for swap in far for place, _ in swap.original.values())


def test_nothing_of_networks_that_fill_masks() -> None:
    mdlm = {"mdlm": {"width": 32, "layers": 2, "heads": 2, "feedforward": 48, "steps": 2, "draws": 2}}
    assert not list(findings(scene(learner(network=mdlm))))
