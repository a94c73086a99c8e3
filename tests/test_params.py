from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from ruamel.yaml import YAML

from resonance import params
from resonance.errors import UserError
from resonance.params import Block, Learner, Member, Params, Run, canonical, load, nearest, parse
from resonance.reference import markdown

ROOT = Path(__file__).parents[1]
STUDY: dict[str, Any] = {
    "pairs": ["spacing"],
    "schedules": {"shuffled": "shuffled"},
    "seeds": [0],
    "cycles": 4,
    "chunks": {},
    "snapshots": {},
    "text": {"packages": ["numpy"]},
    "base": {},
    "learners": {"gpt": {"network": "transformer"}},
    "evaluation": {},
    "compute": {},
}


def study(**changes: Any) -> Params:
    return parse(STUDY | changes)


def learner(**changes: Any) -> Learner:
    return study(learners={"it": {"network": "transformer"} | changes}).learners["it"]


def fault(**changes: Any) -> str:
    with pytest.raises(UserError) as caught:
        study(**changes)
    message = str(caught.value)
    assert "\n" not in message
    assert "pydantic" not in message
    return message


def fault_of_learner(**changes: Any) -> str:
    return fault(learners={"it": {"network": "transformer"} | changes})


@pytest.mark.parametrize("path", ["params.yaml", *(f"studies/{file.name}" for file in (ROOT / "studies").glob("*"))])
def test_the_studies_of_this_project_parse(path: str) -> None:
    assert load(ROOT / path).learners


def test_canonical_json_gives_the_same_parameters_back() -> None:
    for values in (study(), load(ROOT / "params.yaml")):
        assert Params.model_validate_json(canonical(values)) == values
        assert canonical(Params.model_validate_json(canonical(values))) == canonical(values)


def test_canonical_json_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical({"b": 1, "a": {"d": 0.1, "c": "é"}}) == '{"a":{"c":"é","d":0.1},"b":1}'


def test_equal_settings_are_equal_however_they_are_written() -> None:
    short = learner(network="rwkv7", objective={"lm": 0.5})
    long = learner(network={"rwkv7": {"width": 128}}, objective=[{"lm": {"weight": 0.5}}], heads={})
    assert short == long == learner(network={"tag": "rwkv7"}, objective={"lm": {"weight": 0.5}}, heads=[])


def test_parameters_never_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        study().cycles = 5  # type: ignore[misc]


@pytest.mark.parametrize("missing", STUDY)
def test_every_block_must_be_there(missing: str) -> None:
    """DVC stops at a parameter that the file does not have, so none may be left out."""
    with pytest.raises(UserError, match=f"^params.yaml: {missing}: is missing"):
        parse({key: value for key, value in STUDY.items() if key != missing})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cycels": 1}, "cycels is not a known key; did you mean 'cycles'?"),
        ({"base": {"token": 1}}, "base.token is not a known key; did you mean 'tokens'?"),
        ({"compute": {"device": "gpu"}}, "compute.device: input should be 'auto', 'cpu' or 'cuda' (found: 'gpu')"),
        ({"compute": {"threads": 0}}, "compute.threads: input should be greater than or equal to 1 (found: 0)"),
        ({"cycles": 0}, "cycles: input should be greater than or equal to 1 (found: 0)"),
        ({"cycles": 2.5}, "cycles: input should be a valid integer, got a number with a fractional part (found: 2.5)"),
        ({"cycles": "many"}, "(found: 'many')"),
        ({"cycles": True}, "cycles: true and false are not allowed here (found: True)"),
        ({"cycles": 10**12}, "cycles: input should be less than 1000000000000"),
        ({"cycles": 10**9, "chunks": {"longest": 10}}, "more than 10000 jobs per run; make chunks.longest longer"),
        ({"chunks": {"autosave": float("nan")}}, "chunks.autosave: input should be a finite number"),
        ({"snapshots": None}, "snapshots: write {key: value}, or {} for the defaults (found: None)"),
        ({"pairs": "spacing"}, "pairs: write a list: [first, second] (found: 'spacing')"),
        ({"pairs": []}, "pairs: at least one is needed (found: [])"),
        ({"pairs": ["../secret"]}, "pairs: string should match pattern"),
        ({"pairs": ["a", "b", "a"]}, "pairs: a stands there twice"),
        ({"seeds": [1, 1]}, "seeds: 1 stands there twice"),
        ({"seeds": [-1]}, "seeds: input should be greater than or equal to 0 (found: -1)"),
        ({"learners": {}}, "learners: at least one is needed"),
        ({"learners": {"a/b": {"network": "rwkv7"}}}, "learners.a/b: string should match pattern"),
        ({"schedules": {"it": "shufled"}}, "schedules.it: 'shufled' is not known; did you mean 'shuffled'?"),
        ({"schedules": {"it": "blocked"}}, "schedules.it.blocked.length: is missing"),
        ({"schedules": {"it": {"fixed": {"order": "1>2 1>2"}}}}, "must hold each of 1>2 2>1 1>1 2>2 once"),
        ({"schedules": {"it": {"weighted": {"weights": {"1>2": 0}}}}}, "at least one weight must be above 0"),
        ({"schedules": {"it": {"weighted": {"weights": {"1>3": 1}}}}}, "weights.1>3: input should be '1>2', "),
        ({"evaluation": {"prefixes": [-1]}}, "evaluation.prefixes: input should be greater than or equal to 0"),
        ({"text": {"packages": []}}, "text.packages: at least one is needed"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_sentence_that_names_its_key(changes: dict[str, Any], said: str) -> None:
    assert said in fault(**changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optimzer": {}}, "learners.it.optimzer is not a known key; did you mean 'optimizer'?"),
        ({"network": "rwkv8"}, "learners.it.network: 'rwkv8' is not known; did you mean 'rwkv7'?"),
        ({"network": {"rwkv7": {"widht": 8}}}, "network.rwkv7.widht is not a known key; did you mean 'width'?"),
        ({"network": {"rwkv7": 3}}, "write its settings as {key: value}, not 3"),
        ({"network": {"rwkv7": {}, "transformer": {}}}, "name exactly one of transformer, rwkv7"),
        ({"network": None}, "name exactly one of transformer, rwkv7"),
        ({"network": "hub"}, "learners.it.network.hub.path: is missing"),
        ({"objective": "lm"}, "write {name: settings} with names from lm"),
        ({"objective": {"lmm": 1}}, "'lmm' is not known; did you mean 'lm'?"),
        ({"objective": {"lm": -1}}, "objective.lm.weight: input should be greater than or equal to 0 (found: -1)"),
        ({"objective": {"lm": True}}, "write its settings as {key: value}, not True"),
        ({"objective": ["lm", "lm"]}, "each may stand there once"),
        ({"objective": {}}, "name a term with a weight above 0, or set train: nothing"),
        ({"objective": {"lm": 0}}, "name a term with a weight above 0, or set train: nothing"),
        ({"heads": {"qwxyz": {}}}, "'qwxyz' is not known"),
        ({"train": {"layers": {"layers": [1, 4]}}}, "train.layers.layers: the network has layers 0 to 3, not 4"),
        ({"train": {"loreft": {"layers": [9]}}}, "train.loreft.layers: the network has layers 0 to 3, not 9"),
        ({"train": {"layers": {"layers": [-1]}}}, "train.layers.layers: input should be greater than or equal to 0"),
        ({"train": {"loreft": {"positions": "f0"}}}, "train.loreft.positions: string should match pattern"),
        ({"optimizer": {"adamw": {"lr": 0}}}, "optimizer.adamw.lr: input should be greater than 0 (found: 0)"),
        ({"optimizer": {"adamw": {"betas": [0.9]}}}, "optimizer.adamw.betas"),
        ({"marker": "both"}, "marker: input should be 'relation', 'target' or 'none' (found: 'both')"),
    ],
)  # fmt: skip
def test_a_wrong_learner_is_one_sentence_that_names_its_key(changes: dict[str, Any], said: str) -> None:
    assert said in fault_of_learner(**changes)


def test_several_faults_are_told_together() -> None:
    message = fault(cycles=-1, seeds=[-2], compute={"threads": 0})
    assert message.count("params.yaml: ") == 3


def test_only_readers_need_no_objective() -> None:
    assert learner(train="nothing", objective={}).objective == ()


MEMBERS = [member for member in Member.__subclasses__() if member.__module__ == "resonance.params"]


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.__name__)
def test_every_member_is_found_by_its_tag(member: type[Member]) -> None:
    """Each class of settings stands in the union of its axis, and parses from its tag and needed settings alone."""
    samples = {int: 1, float: 1.0, str: "x"}
    needed = {
        name: samples.get(field.annotation, {"layers": [0], "weights": {"1>2": 1}}.get(name))  # type: ignore[call-overload]
        for name, field in member.model_fields.items()
        if field.is_required() and name != "tag"
    }
    tag = member.model_fields["tag"].default
    axes = (params.Network, params.Scope, params.Objectives, params.Heads, params.Order, params.Optimizer)
    found = []
    for axis in axes:
        try:
            value = TypeAdapter(axis).validate_python({tag: needed})
        except ValueError:
            continue
        found += [type(one) for one in (value if isinstance(value, tuple) else [value])]
    assert member in found


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "params.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def yaml(**changes: Any) -> str:
    return json.dumps(STUDY | changes)


@pytest.mark.parametrize(("number", "value"), [("1e-3", 1e-3), ("1e-05", 1e-5), ("1E-2", 1e-2), ("2", 2.0)])
def test_numbers_are_read_as_dvc_reads_and_writes_them(tmp_path: Path, number: str, value: float) -> None:
    """YAML 1.1 takes 1e-3 for text; `dvc exp run -S` writes 1e-05."""
    path = written(tmp_path, yaml(base={"lr": 12345}).replace("12345", number))
    assert load(path).base.lr == value
    assert YAML(typ="safe", pure=True).load(path.read_text())["base"]["lr"] == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "params.yaml: the file: write {key: value}"),
        (b"- a", "params.yaml: the file: write {key: value}"),
        (b"cycles: 1\ncycles: 2\n", 'found duplicate key "cycles"'),
        (b"a: [1\n", "line 2"),
        (b"a:\t- b\n\tc: d", "line 1"),
        (b"caf\xe9: 1", "can't decode byte 0xe9"),
        (b"a: \0", "unacceptable character"),
    ],
)
def test_a_file_that_is_no_mapping_is_one_sentence(tmp_path: Path, text: bytes, said: str) -> None:
    with pytest.raises(UserError) as caught:
        load(written(tmp_path, text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"git checkout -- .*params.yaml. or copy a file from studies/"):
        load(tmp_path / "params.yaml")


def test_the_nearest_name_or_all_of_a_few() -> None:
    assert nearest("lyers", ["layers", "width"]) == "; did you mean 'layers'?"
    assert nearest("q", ["layers", "width"]) == "; allowed: layers, width"
    assert nearest("q", []) == ""
    assert nearest("q", [f"key{number}" for number in range(12)]) == ""


def test_a_run_is_known_by_what_its_numbers_depend_on() -> None:
    run = Run(learner=learner(), order=study().schedules["shuffled"], seed=0)  # type: ignore[arg-type]
    same = run.model_copy(update={"autosave": 1.0, "per_doubling": 4})
    elsewhere = run.model_copy(update={"compute": run.compute.model_copy(update={"device": "cuda"})})
    assert run.identity() == same.identity() == elsewhere.identity()
    for changes in ({"seed": 1}, {"compute": run.compute.model_copy(update={"threads": 2})}):
        assert run.model_copy(update=changes).identity() != run.identity()


BLOCKS = [block for block in (*Block.__subclasses__(), *MEMBERS) if block is not Member and block is not Run]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)
def test_every_key_says_what_it_means(block: type[Block]) -> None:
    assert block.__doc__
    assert [name for name, field in block.model_fields.items() if name != "tag" and not field.description] == []


def test_the_page_of_parameters_is_what_the_models_say() -> None:
    page = (ROOT / "docs/params.md").read_text(encoding="utf-8").splitlines()
    stale = list(difflib.unified_diff(page, markdown().splitlines(), "docs/params.md", "the models", lineterm=""))
    assert not stale, "run `python -m resonance reference --out docs/params.md`:\n" + "\n".join(stale)
