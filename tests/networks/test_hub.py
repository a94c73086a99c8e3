from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import recurrent_families
import tokenizers
import torch
from conftest import ARTICLE, META
from families import DEPTH, FAMILIES, VOCABULARY, WIDTH, small
from pydantic import ValidationError
from recurrent_families import RECURRENT
from safetensors.torch import load_file, save_file
from tokenizers import decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import AutoModelForCausalLM, BambaConfig, BertConfig, PreTrainedTokenizerFast, T5Config

from resonance import params
from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.networks.causal_lm import CausalLM
from resonance.networks.hub import Hub
from resonance.networks.tensors import named
from resonance.storage import write_table
from resonance.text.facts import facts
from resonance.text.hub import hub_tokenizer
from resonance.text.pair import Pair
from resonance.text.tokens import tokenize
from resonance.training.run import Run
from resonance.training.step import Trainer

LOREFT = {"loreft": {"layers": [1, 2], "rank": 2, "positions": "f2+l2"}}
COMMIT = "0" * 40


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder with config.json and model.safetensors, made once for each family."""
    root = tmp_path_factory.mktemp("hub")

    def folder(family: str) -> Path:
        if not (root / family).exists():
            small(family).save_pretrained(root / family)
        return root / family

    return folder


@pytest.fixture
def own_copy(published: Callable[[str], Path], tmp_path: Path) -> Path:
    """One that a test may damage."""
    return Path(shutil.copytree(published("llama"), tmp_path / "llama"))


def tokens(length: int = 11) -> Tensor:
    return torch.randint(2, VOCABULARY, (1, length), generator=torch.Generator().manual_seed(0))


def fresh(folder: Path, seed: int) -> dict[str, Tensor]:
    return named(Hub(params.Hub(path=str(folder)), generator=torch.Generator().manual_seed(seed)))


@torch.no_grad()
def test_the_published_weights_are_loaded(published, family):
    network = Hub(params.Hub(path=str(published(family))), vocabulary=5)
    model = small(family)
    assert (network.depth, network.width, network.vocabulary) == (DEPTH, WIDTH, VOCABULARY)
    assert all(torch.equal(own, network.model.get_parameter(name)) for name, own in model.named_parameters())
    output = network(tokens())
    assert torch.equal(output.logits_BTV, model(input_ids=tokens()).logits)
    assert [tuple(hidden.shape) for hidden in output.hidden] == [(1, 11, WIDTH)] * (DEPTH + 1)


def test_random_weights_differ_from_the_published_and_depend_on_the_seed(published, family):
    folder = published(family)
    torch.manual_seed(1)
    first = fresh(folder, 0)
    torch.manual_seed(2)
    second, other = fresh(folder, 0), fresh(folder, 1)
    own = named(Hub(params.Hub(path=str(folder))))
    assert first.keys() == second.keys() == own.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    matrices = [name for name, tensor in first.items() if tensor.ndim > 1 and name.endswith(".weight")]
    assert len(matrices) >= DEPTH * 4
    assert not any(torch.equal(first[name], other[name]) or torch.equal(first[name], own[name]) for name in matrices)


def test_random_weights_follow_the_rule_of_the_model(published):
    """Mamba's decay rates and skip are set, not drawn."""
    drawn = fresh(published("mamba"), 0)
    for layer in range(DEPTH):
        mixer = f"model.backbone.layers.{layer}.mixer"
        assert torch.equal(drawn[f"{mixer}.A_log"][0], torch.arange(1.0, 9).log())
        assert torch.equal(drawn[f"{mixer}.D"], torch.ones(2 * WIDTH))


@pytest.mark.parametrize("seed", [None, 0])
def test_the_global_generator_is_left_alone(published, family, seed):
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    network = Hub(params.Hub(path=str(published(family))), generator=generator)
    network(tokens())
    assert torch.equal(torch.rand(3), expected)


def test_loreft_learns_on_any_of_them(published, family):
    learner = Learner(loreft(published(family)), 5, seed=0, base=None)
    before = {name: tensor.clone() for name, tensor in named(learner.network).items()}
    trainer = Trainer(learner)
    example = Batch(tokens(30), 12, "1>2", 0)
    losses = []
    for cycle in range(1, 31):
        names, values = trainer.cycle(cycle, [example])
        losses.append(float(values[0, names.index("loss")]))
    assert losses[-1] < 0.98 * losses[0]
    assert all(torch.equal(tensor, before[name]) for name, tensor in named(learner.network).items())
    edited, plain = learner.read(example, whole=True), learner.network(example.tokens_BT)
    assert torch.equal(edited.hidden[1], plain.hidden[1])
    changed_T = (edited.hidden[2] != plain.hidden[2]).any(-1)[0]
    assert changed_T.nonzero().flatten().tolist() == [0, 1, 10, 11]
    written_BT = learner.network.generate(example.tokens_BT[:, :12], 4, edit=learner.scope.edit(12))
    assert written_BT[0, 0] == edited.logits_BTV[0, 11].argmax()


def loreft(folder: Path, **more: object) -> params.Learner:
    return params.Learner.model_validate(
        {"network": {"hub": {"path": str(folder), **more}}, "train": LOREFT, "optimizer": {"adamw": {"lr": 0.02}}}
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("device_map", [None, "cpu", "auto"])
def test_precision_and_placement_are_those_asked_for(published, dtype, device_map):
    """The edits stay in float32; what the frozen model reads and leaves is in its own precision."""
    if device_map == "auto" and torch.cuda.is_available():
        pytest.skip("the model would go to the GPU, the example would not")
    learner = Learner(loreft(published("llama"), dtype=dtype, device_map=device_map), 5, seed=0, base=None)
    example = Batch(tokens(20), 12, "1>2", 0)
    names, values = Trainer(learner).cycle(1, [example])
    assert values[0, names.index("grad_norm")] > 0
    assert {parameter.dtype for parameter in learner.network.parameters()} == {getattr(torch, dtype)}
    assert {parameter.dtype for parameter in learner.scope.parameters()} == {torch.float32}
    assert learner.read(example).logits_BTV.dtype == getattr(torch, dtype)
    random = Hub(params.Hub(path=str(published("llama")), dtype=dtype), generator=torch.Generator().manual_seed(0))
    assert {parameter.dtype for parameter in random.parameters()} == {getattr(torch, dtype)}


@torch.no_grad()
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("device_map", [None, "auto"])
@pytest.mark.parametrize("seed", [None, 0])
def test_what_is_recurrent_is_found_when_it_is_loaded(published, family, dtype, device_map, seed):
    if device_map == "auto" and torch.cuda.is_available():
        pytest.skip("the model would go to the GPU, the tokens would not")
    settings = params.Hub(path=str(published(family)), dtype=dtype, device_map=device_map)
    network = Hub(settings, generator=None if seed is None else torch.Generator().manual_seed(seed))
    assert network.recurrent == (family == "mamba")
    state = network(tokens()).state
    assert (state is None) == (family != "mamba")
    if state is not None:
        assert network(tokens(), state).state.keys() == network.empty_state(1).keys() == state.keys()


def slots() -> list[Batch]:
    """The four directions of a cycle."""
    draws = torch.Generator().manual_seed(0)
    examples = [(14, 6, "1>2"), (12, 7, "2>1"), (13, 6, "1>1"), (15, 7, "2>2")]
    return [
        Batch(torch.randint(2, VOCABULARY, (1, length), generator=draws), prompt, direction, 0)
        for length, prompt, direction in examples
    ]


@pytest.mark.parametrize("name", RECURRENT)
def test_frozen_reading_is_one_long_reading(tmp_path, name):
    """System 5: no weight changes, the state is carried over directions and cycles, and back from a saved run."""
    recurrent_families.small(name).save_pretrained(tmp_path)
    settings = params.Learner.model_validate({"network": {"hub": {"path": str(tmp_path)}}, "train": "nothing"})
    learner, batches = Learner(settings, 5, seed=0, base=None), slots()
    trainer = Trainer(learner)
    losses: list[float] = []
    for cycle in (1, 2):
        names, values = trainer.cycle(cycle, batches)
        losses += values[:, names.index("loss")].tolist()
        if cycle == 1:
            again = Learner(settings, 5, seed=0, base=None)
            trainer, saved = Trainer(again), trainer.saved()
            trainer.restore(saved)
    assert values[0, names.index("state_change")] > 0

    long_BT = torch.cat([batch.tokens_BT for batch in batches] * 2, dim=1)
    with torch.no_grad():
        log_p_TV = Hub(settings.network)(long_BT).logits_BTV[0].log_softmax(-1)
    start, expected = 0, []
    for batch in batches * 2:
        stop = start + batch.tokens_BT.shape[1]
        targets = range(start + batch.prompt, stop)
        expected.append(-float(sum(log_p_TV[t - 1, long_BT[0, t]] for t in targets)) / len(targets))
        start = stop
    assert losses == pytest.approx(expected, rel=1e-5)
    assert losses[4:] != pytest.approx(losses[:4], rel=1e-3)


@pytest.mark.parametrize("name", RECURRENT)
def test_edits_learn_from_a_carried_state(tmp_path, name):
    """The gradient passes through what transformers would write over."""
    recurrent_families.small(name).save_pretrained(tmp_path)
    settings = loreft(tmp_path).model_copy(update={"carry": True})
    trainer = Trainer(Learner(settings, 5, seed=0, base=None))
    for cycle in (1, 2):
        names, values = trainer.cycle(cycle, slots())
        assert values[:, names.index("update_norm")].min() > 0
    assert torch.isfinite(values[:, names.index("loss")]).all()


def test_a_placed_model_is_not_moved(published):
    placed = Hub(params.Hub(path=str(published("llama")), device_map="cpu"))
    assert placed.to("meta") is placed
    assert {parameter.device.type for parameter in placed.parameters()} == {"cpu"}
    free = Hub(params.Hub(path=str(published("llama"))))
    assert {parameter.device.type for parameter in free.to("meta").parameters()} == {"meta"}


@torch.no_grad()
def test_a_model_that_is_spread_over_places_is_tapped_too(published, tmp_path):
    """Two of its layers lie on the disk and are fetched by hooks of accelerate's, which stay inside the taps."""
    places = {"embed_tokens": "cpu", "layers.0": "cpu", "layers.1": "disk", "layers.2": "disk", "norm": "cpu"}
    device_map = {"lm_head": "cpu", "model.rotary_emb": "cpu", **{f"model.{name}": at for name, at in places.items()}}
    model = AutoModelForCausalLM.from_pretrained(published("llama"), device_map=device_map, offload_folder=tmp_path)
    spread, whole = CausalLM(model), CausalLM(small("llama"))
    assert "meta" in {parameter.device.type for parameter in spread.parameters()}

    def edit(layer: int, hidden_BTD: Tensor) -> Tensor:
        return hidden_BTD + layer

    expected = whole(tokens(), edit=edit)
    for output in (spread(tokens(), edit=edit), spread(tokens(), edit=edit, below=spread.below(tokens(), 1))):
        assert torch.equal(output.logits_BTV, expected.logits_BTV)
        assert torch.equal(output.hidden[2], expected.hidden[2])
    assert torch.equal(spread.generate(tokens(), 3, edit=edit), whole.generate(tokens(), 3, edit=edit))


def test_a_run_meets_it_with_its_own_tokenizer(published, tmp_path):
    """From a folder as it lies on a disk to one trained cycle of all four directions."""
    folder = Path(shutil.copytree(published("gpt-neox"), tmp_path / "model"))
    save_tokenizer(folder)
    tokenizer = hub_tokenizer(params.Hub(path=str(folder)))
    table = tokenize(Pair("tiny", {"1": ARTICLE, "2": META}, {}, [], [], {}, []), tokenizer, 512)
    write_table(tmp_path / "tokens.parquet", table, facts(table))
    settings = params.Run.model_validate({"learner": loreft(folder).model_dump(), "order": "shuffled", "seed": 0})
    run = Run(settings, tmp_path / "tokens.parquet", None)
    learner = run.learner()
    names, values = Trainer(learner).cycle(1, list(run.batches(learner.device).values()))
    assert values.shape[0] == 4
    assert torch.isfinite(values[:, names.index("loss")]).all()
    assert values[:, names.index("update_norm")].min() > 0


def save_tokenizer(folder: Path) -> None:
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<s>", "</s>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator([ARTICLE, META], trainer)
    ends = {"bos_token": "<s>", "eos_token": "</s>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **ends).save_pretrained(folder)


def refused(folder: Path | str, match: str, **settings: object) -> None:
    with pytest.raises(UserError, match=match) as error:
        Hub(params.Hub(path=str(folder), **settings))
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)


def test_pickled_weights_are_refused(own_copy):
    """Nothing is unpickled: a pickle may run any code."""
    weights = load_file(own_copy / "model.safetensors")
    (own_copy / "model.safetensors").unlink()
    torch.save(weights, own_copy / "pytorch_model.bin")
    refused(
        own_copy, r"no file named model\.safetensors found .* give a folder with config\.json and model\.safetensors"
    )


def test_a_folder_without_a_model_is_refused(tmp_path):
    refused(tmp_path, r"cannot be loaded .* give a folder with config\.json")


def test_weights_that_are_not_all_there_are_refused(own_copy):
    weights = load_file(own_copy / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, own_copy / "model.safetensors", metadata={"format": "pt"})
    refused(own_copy, r"lack, or hold in another size, model\.layers\.1\.mlp\.up_proj\.weight\)")


def test_weights_of_another_size_are_refused(own_copy):
    config = json.loads((own_copy / "config.json").read_text())
    (own_copy / "config.json").write_text(json.dumps(config | {"intermediate_size": 64}))
    refused(own_copy, r"lack, or hold in another size, model\.layers\.0\.mlp\.down_proj\.weight, ")


@pytest.mark.parametrize("kept", [0, 8, 1000])
def test_damaged_weights_are_refused(own_copy, kept):
    weights = own_copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    refused(own_copy, "cannot be loaded")


def test_a_model_that_is_no_causal_one_is_refused(tmp_path):
    T5Config(num_layers=1, d_model=8).save_pretrained(tmp_path)
    save_file({"shared.weight": torch.zeros(1)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    refused(tmp_path, "Unrecognized configuration class")


def test_a_model_that_cannot_remember_is_refused(tmp_path):
    """transformers asks the cache of a hybrid without any attention how long it is."""
    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    heads = {"num_key_value_heads": 2, "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8}
    config = BambaConfig(**sizes, **heads, attn_layer_indices=[], bos_token_id=0, eos_token_id=1, pad_token_id=None)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    refused(tmp_path, "cannot be loaded .*can only be called on Attention layers")


@pytest.mark.parametrize("seed", [None, 0])
def test_a_model_that_looks_ahead_is_refused(tmp_path, seed):
    """transformers takes a BERT for a causal model, with a line in the log, and lets each token see all others."""
    sizes = {"vocab_size": VOCABULARY, "hidden_size": WIDTH, "num_hidden_layers": DEPTH, "num_attention_heads": 4}
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    for is_decoder in (True, False):
        config = BertConfig(**sizes, intermediate_size=48, is_decoder=is_decoder)
        AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
        settings = params.Hub(path=str(tmp_path))
        if is_decoder:
            assert Hub(settings, generator=generator).depth == DEPTH
        else:
            with pytest.raises(UserError, match="in BertLMHeadModel a token sees later ones, so it is not a causal"):
                Hub(settings, generator=generator)


def test_a_name_on_the_hub_needs_a_commit():
    refused("someone/model", r"is not a folder here; .* set network\.hub\.revision to a commit")


@pytest.mark.parametrize("revision", ["main", "v1.0", "abc123", COMMIT[1:], COMMIT + "0", "A" * 40, COMMIT + "\n", ""])
def test_a_revision_is_a_commit(revision):
    """Before any job begins."""
    with pytest.raises(ValidationError, match="give a commit"):
        params.Hub(path="someone/model", revision=revision)
    assert params.Hub(path="someone/model", revision=COMMIT).revision == COMMIT


def test_without_a_network_the_error_is_one_sentence(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    refused("someone/model-that-is-not-cached", "or a repository and a network connection", revision=COMMIT)


CODE = """
import pathlib
import transformers

pathlib.Path({marker!r}).touch()


class OddConfig(transformers.LlamaConfig):
    model_type = "odd"


class OddForCausalLM(transformers.LlamaForCausalLM):
    config_class = OddConfig
"""


@pytest.fixture
def with_code(own_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that brings Python code, which leaves a file named `ran` when it is run."""
    (own_copy / "odd.py").write_text(CODE.format(marker=str(tmp_path / "ran")))
    config = json.loads((own_copy / "config.json").read_text())
    config |= {
        "model_type": "odd",
        "auto_map": {"AutoConfig": "odd.OddConfig", "AutoModelForCausalLM": "odd.OddForCausalLM"},
    }
    (own_copy / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    return own_copy


def test_code_of_a_model_is_not_run_unasked(with_code, tmp_path):
    refused(with_code, r"comes with Python code of its own: read it, then set network\.hub\.trust_remote_code: true")
    with pytest.raises(UserError, match="comes with Python code"):
        fresh(with_code, 0)
    assert not (tmp_path / "ran").exists()


@torch.no_grad()
def test_code_of_a_model_is_run_where_it_is_trusted(with_code, tmp_path):
    """Fresh weights first: once loaded, the class is known and no one asks again."""
    trusted = params.Hub(path=str(with_code), trust_remote_code=True)
    for generator in (torch.Generator().manual_seed(0), None):
        network = Hub(trusted, generator=generator)
        assert type(network.model).__name__ == "OddForCausalLM"
    assert (tmp_path / "ran").exists()
    assert torch.equal(network(tokens()).logits_BTV, small("llama")(tokens()).logits)
