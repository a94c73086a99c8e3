"""A LoReFT learner for use without this project: its base as transformers reads it, its edits as pyreft reads them.

pyreft 0.1.0 loads through pyvene 0.1.8, which builds every intervention anew and tells it no precision: its W and b are
then bfloat16, the saved numbers are rounded into them, and the first pass of a float32 base stops with "mat1 and mat2
must have the same dtype". The files written here ask, in the place where torch looks for that, to take their tensors as
they are instead of copying them, so that what pyreft loads is exact and runs.
"""

from __future__ import annotations

import contextlib
import io
from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from resonance import params
from resonance.errors import UserError
from resonance.learning.learner import Learner
from resonance.learning.scopes.loreft import Loreft
from resonance.networks.causal_lm import CausalLM
from resonance.storage import write_text

with contextlib.redirect_stdout(io.StringIO()):  # pyvene greets
    from pyreft import LoreftIntervention, ReftConfig, get_reft_model, parse_positions
    from pyvene.models.intervenable_modelcard import type_to_dimension_mapping

README = """\
# LoReFT edits of a frozen language model

What layers {layers} leave is edited, with rank {rank}, at positions {positions}. In this folder:

    import pyreft
    import torch
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained("base")
    reft = pyreft.ReftModel.load("reft", base)

    tokens = torch.tensor([[...]])  # one sequence of token ids
    prompt = ...  # how many of them are the prompt
{places}
    _, output = reft({{"input_ids": tokens}}, unit_locations={{"sources->base": (None, [[place] for place in places])}})
    output.logits  # [1, tokens, vocabulary]
"""

ALL = """\
    places = [list(range(tokens.shape[1]))] * {edits}"""

ENDS = """\
    first = list(range(min({first}, prompt // 2)))
    last = list(range(prompt - min({last}, prompt // 2), prompt))
    places = {places}"""


def export_loreft(learner: Learner, folder: Path) -> None:
    """Write `base/` (transformers), `reft/` (pyreft.ReftModel.load) and a README.md that shows how to run them.

    Interventions stand in pyreft's order: all layers of the first positions, then all layers of the last ones.

    Raises UserError for a learner that is not a LoReFT one, and for a network that pyvene does not know.
    """
    scope, network = learner.scope, learner.network
    if not isinstance(scope, Loreft):
        raise UserError(f"only a learner with train: loreft can be exported, not train: {learner.settings.train.tag}.")
    if not isinstance(network, CausalLM) or type(network.model) not in type_to_dimension_mapping:
        known = sorted(model.__name__ for model in type_to_dimension_mapping if model.__name__.endswith("ForCausalLM"))
        model = type(getattr(network, "model", network)).__name__
        raise UserError(f"pyreft cannot read edits of {model}: pyvene knows, of this kind, {', '.join(known)}.")
    save_edits(scope, network.model, folder / "reft")
    network.model.save_pretrained(folder / "base")
    write_text(folder / "README.md", readme(scope.settings))


def readme(settings: params.Loreft) -> str:
    """How to run what was exported, without this project."""
    count = len(settings.layers)
    if settings.positions == "all":
        places = ALL.format(edits=count)
    else:
        first, last = parse_positions(settings.positions)
        groups = [name for name, tokens in (("first", first), ("last", last)) if tokens]
        listed = (
            f"[{' + '.join(groups)}] * {count}" if settings.tied else " + ".join(f"[{g}] * {count}" for g in groups)
        )
        places = ENDS.format(first=first, last=last, places=listed)
    layers = ", ".join(map(str, settings.layers))
    return README.format(layers=layers, rank=settings.rank, positions=settings.positions, places=places)


def save_edits(scope: Loreft, model: PreTrainedModel, folder: Path) -> None:
    """Write the edits through pyreft, then each file once more, with tensors that are taken as they are."""
    settings = scope.settings
    edits = [
        {
            "layer": layer,
            "component": "block_output",
            "low_rank_dimension": settings.rank,
            "intervention": scope.edits[f"{layer}-{group}"],
        }
        for group in (["tied"] if settings.tied else scope.groups)
        for layer in settings.layers
    ]
    reft = get_reft_model(model, ReftConfig(representations=edits), set_device=False)
    with contextlib.redirect_stdout(io.StringIO()):
        reft.save(str(folder))
    for key, edit in reft.interventions.items():
        torch.save(taken_as_they_are(edit, model.dtype), folder / f"intkey_{key}.bin")


def taken_as_they_are(edit: LoreftIntervention, dtype: torch.dtype) -> OrderedDict[str, Tensor]:
    """pyreft's names and tensors, W and b in the precision of the base, which pyreft's own forward pass needs."""
    state = OrderedDict(
        (name, tensor.detach().cpu().to(tensor.dtype if name == "rotate_layer" else dtype))
        for name, tensor in edit.state_dict().items()
    )
    state._metadata = {"": {"assign_to_params_buffers": True}}  # type: ignore[attr-defined]
    return state
