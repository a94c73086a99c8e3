"""Steps at chunk edges: they are those of training, they leave nothing behind, and losses change as gradients say."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from conftest import tiny
from torch import Tensor

from resonance.errors import UserError
from resonance.learning.batch import Batch
from resonance.learning.learner import Learner
from resonance.params import DIRECTIONS, Run
from resonance.schedule.files import write_schedule
from resonance.snapshots.steps import HALVES, SCHEMA, Edge, nothing, step_states, turns, unset_buffers, whole
from resonance.text.tokens import read_tokens
from resonance.training.chunk import copied, train_chunk
from resonance.training.run import Run as Job
from resonance.training.state import Files, read_state
from resonance.training.step import Trainer

VOCABULARY = 60
NAMES = {"learner": "gpt", "pair": "tiny", "schedule": "shuffled", "seed": 0}
MDLM = {"mdlm": {"width": 32, "layers": 2, "heads": 2, "feedforward": 48, "steps": 4, "draws": 4}}
FEEDBACK = {"feedback": {"width": 16, "layers": 2, "heads": 2, "feedforward": 24, "block": 16}}
EDGES = (1, 2)


def job_of(name: str, tokens_file: Path, **changes: object) -> Job:
    settings = Run.model_validate({"learner": tiny(name, **changes).model_dump(), "order": "shuffled", "seed": 0})
    return Job(settings, tokens_file, None, NAMES)


def states_of(job: Job, folder: Path) -> list[Path]:
    """The states of a run of two cycles in two chunks."""
    previous, states = None, []
    for start, stop in pairwise((0, *EDGES)):
        schedule, files = folder / f"schedule-{stop}.parquet", Files.within(folder / str(stop))
        write_schedule(schedule, job.settings.order, 0, 1, start, stop)
        train_chunk(job, schedule, previous, files, folder / f"scratch-{stop}", start, stop)
        previous = files.state
        states.append(files.state)
    return states


def table_of(job: Job, states: list[Path], products: int, out: Path) -> pd.DataFrame:
    step_states(job, states, products, out)
    return pd.read_parquet(out)


def batches() -> dict[str, Batch]:
    draws = torch.Generator().manual_seed(0)
    return {each: Batch(torch.randint(VOCABULARY, (1, 30), generator=draws), 14, each, 0) for each in DIRECTIONS}


def edge_of(learner: Learner, cycles: int = 2, asked: dict[str, Batch] | None = None) -> Edge:
    """A learner that was trained for a while, at the end of it."""
    unset, trainer = unset_buffers(learner), Trainer(learner)
    asked = asked or batches()
    for cycle in range(1, cycles + 1):
        trainer.cycle(cycle, list(asked.values()))
    return Edge(trainer, cycles, asked, copied(trainer.saved()), unset)


def plain(name: str = "gpt", **changes: object) -> Learner:
    return Learner(tiny(name, **changes), VOCABULARY, 0, None)


# ---- the table ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["gpt", "loreft", "rwkv7", "mdlm"])
def stepped(request: Any, tokens_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    job = job_of("gpt", tokens_file, network=MDLM) if name == "mdlm" else job_of(name, tokens_file)
    states = states_of(job, folder)
    return name, job, states, folder, table_of(job, states, 2, folder / "steps.parquet")


def test_every_edge_has_every_row_once(stepped: Any) -> None:
    _, job, _, folder, table = stepped
    assert pq.read_schema(folder / "steps.parquet").remove_metadata().equals(SCHEMA)
    about = json.loads(pq.read_schema(folder / "steps.parquet").metadata[b"resonance"])
    assert {**NAMES, "kind": "transfer", "run": job.fingerprint}.items() <= about.items()
    halves = {f"{direction}:{half}" for direction in DIRECTIONS for half in HALVES}
    assert sorted(table["cycle"].unique()) == list(EDGES)
    assert not table.duplicated(["cycle", "quantity", "step", "direction"]).any()
    always = stepped[0] != "mdlm"  # where hardly a token is masked a gradient may be 0
    assert (table["value"].notna() | (table["quantity"] == "gradient_cosine")).all()
    for _, rows in table.groupby("cycle"):
        keys = {quantity: rows[rows["quantity"] == quantity] for quantity in rows["quantity"].unique()}
        assert set(keys["loss_before"]["direction"]) == set(DIRECTIONS)
        assert keys["loss_before"]["step"].isna().all()
        assert set(zip(keys["loss_after"]["step"], keys["loss_after"]["direction"], strict=True)) == {
            (step, direction) for step in (*DIRECTIONS, "none") for direction in DIRECTIONS
        }
        assert set(keys["half_before"]["direction"]) == halves
        assert set(zip(keys["half_after"]["step"], keys["half_after"]["direction"], strict=True)) == {
            (step, half) for half in halves for step in ("none", *(h for h in halves if h[:3] == half[:3]))
        }
        assert set(zip(keys["loss_after_cycle"]["step"], keys["loss_after_cycle"]["direction"], strict=True)) == {
            (" ".join(order), direction) for order in turns(DIRECTIONS) for direction in DIRECTIONS
        }
        assert len(keys["gradient_cosine"]) == 6
        assert keys["gradient_cosine"]["value"].between(-1 - 1e-9, 1 + 1e-9).all() or not always
        names = ("sharpness", "sharpness_residual", "sharpness_preconditioned", "sharpness_preconditioned_residual")
        assert {*names, "sharpness_limit"} <= keys.keys()
        assert keys["sharpness_limit"]["value"].item() == pytest.approx(
            38 / (0.01 if stepped[0] == "loreft" else 0.001)
        )


@torch.no_grad()
def test_losses_before_are_those_of_the_state(stepped: Any) -> None:
    _, job, states, _, table = stepped
    learner = job.learner()
    trainer = Trainer(learner)
    trainer.restore(read_state(states[1], job.fingerprint, EDGES[1])[0])
    rows = table[(table["cycle"] == EDGES[1]) & table["step"].isna()].set_index("direction")["value"]
    for direction in DIRECTIONS:
        nll_N = learner.answer(job.batches(learner.device)[direction, 0]).nll_N
        assert rows[direction] == pytest.approx(float(nll_N.mean()), rel=1e-6)
        first, second = (rows[f"{direction}:{half}"] for half in HALVES)
        n = len(nll_N)
        assert first == pytest.approx(float(nll_N[: n // 2].mean()), rel=1e-6)
        assert (n // 2) * first + (n - n // 2) * second == pytest.approx(n * rows[direction], rel=1e-6)


def test_an_edge_alone_gives_the_same_numbers(stepped: Any, tmp_path: Path) -> None:
    _, job, states, _, table = stepped
    alone = table_of(job, states[1:], 0, tmp_path / "alone.parquet")
    wanted = table[(table["cycle"] == EDGES[1]) & ~table["quantity"].str.startswith("sharpness")]
    pd.testing.assert_frame_equal(alone, wanted.reset_index(drop=True), check_categorical=False)


def test_who_trains_nothing_has_an_empty_table(tokens_file: Path, tmp_path: Path) -> None:
    job = job_of("reader", tokens_file)
    assert len(table_of(job, states_of(job, tmp_path), 3, tmp_path / "steps.parquet")) == 0
    assert pq.read_schema(tmp_path / "steps.parquet").remove_metadata().equals(SCHEMA)


def test_a_state_of_another_run_is_refused(tokens_file: Path, tmp_path: Path) -> None:
    states = states_of(job_of("gpt", tokens_file), tmp_path)
    with pytest.raises(UserError, match="parameters, texts or code changed since"):
        step_states(job_of("gpt", tokens_file, marker="none"), states, 0, tmp_path / "steps.parquet")


def test_heads_change_nothing(tokens_file: Path, tmp_path: Path) -> None:
    tables = []
    for name, heads in (("bare", {}), ("critic", {"critic": {"every": 2}})):
        job = job_of("gpt", tokens_file, heads=heads)
        tables.append(table_of(job, states_of(job, tmp_path / name), 2, tmp_path / f"{name}.parquet"))
    pd.testing.assert_frame_equal(*tables)


def test_without_second_derivatives_only_the_sharpness_is_missing(tokens_file: Path, tmp_path: Path) -> None:
    job = job_of("gpt", tokens_file, network=FEEDBACK)
    found = set(table_of(job, states_of(job, tmp_path)[:1], 2, tmp_path / "steps.parquet")["quantity"])
    assert found == {"loss_before", "loss_after", "half_before", "half_after", "loss_after_cycle", "gradient_cosine"}


# ---- nothing is left behind --------------------------------------------------------------------------------------

KEEPERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "momentum": {"optimizer": {"sgd": {"lr": 0.1, "momentum": 0.9}}},
    "cycle": {"update": "cycle"},
    "carry": {"network": {"rwkv7": {"width": 32, "layers": 2, "head_size": 16, "chunk": 16}}, "carry": True},
    "ema": {"objective": {"lm": 1.0, "ema": {}}},
    "born-again": {"objective": {"lm": 1.0, "born-again": {"every": 2}}},
    "ps-kd": {"objective": {"ps-kd": {}}},
    "mutual": {"objective": {"lm": 1.0, "mutual": {}}},
    "obd-sd": {"objective": {"lm": 1.0, "obd-sd": {"every": 2}}},
    "knn": {"objective": {"lm": 1.0, "knn": {"every": 3}}},
    "self-diffusion": {"network": MDLM, "objective": {"self-diffusion": {}}},
    "sdtt": {"network": MDLM, "objective": {"lm": 1.0, "sdtt": {"start": 2, "every": 4}}},
}


@pytest.mark.parametrize("name", KEEPERS)
def test_everything_is_there_again_byte_for_byte(name: str, tokens_file: Path) -> None:
    """Also what a direction that was never trained would bring with it."""
    settings, tokens = tiny("gpt", **KEEPERS[name]), read_tokens(tokens_file)
    learner = Learner(settings, tokens.vocabulary, 0, None, tokens=tokens)
    job = job_of("gpt", tokens_file, **KEEPERS[name])
    asked = {direction: job.batches(learner.device)[direction, 0] for direction in DIRECTIONS}
    unset, trainer = unset_buffers(learner), Trainer(learner)
    for cycle in (1, 2):
        trainer.cycle(cycle, [asked["1>1"], asked["1>2"]])
    before = {key: tensor.clone() for key, tensor in trainer.saved().items()}
    edge = Edge(trainer, 2, asked, before, unset)
    products = 2 * (name == "plain")
    rows = list(edge.findings(products))
    after = trainer.saved()
    assert before.keys() == after.keys()
    assert all(raw(before[key]) == raw(after[key]) for key in before)
    assert [parameter.grad for parameter in trainer.parameters if parameter.grad is not None] == []
    assert rows == list(edge.findings(products)), "so everything is found again"


def raw(tensor: Tensor) -> tuple[torch.dtype, torch.Size, bytes]:
    return tensor.dtype, tensor.shape, tensor.detach().contiguous().numpy().tobytes()


def test_what_was_not_there_yet_is_not_there_again() -> None:
    learner = plain()
    learner.scope.register_buffer("late", None)
    edge = edge_of(learner)
    assert "scope/late" in edge.unset
    learner.scope.late = torch.ones(3)
    edge.put_back()
    assert learner.scope.late is None
    kept = Edge(edge.trainer, 2, edge.batches, {**edge.tensors, "scope/late": torch.zeros(2)}, edge.unset)
    kept.put_back()
    assert learner.scope.late.tolist() == [0, 0]


# ---- the steps ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"update": "cycle"},
        {"optimizer": {"adamw": {"lr": 0.01, "warmup": 100, "clip": 0.01, "weight_decay": 0.1}}},
        {"objective": {"lm": 1.0, "ema": {"ramp": 1}}},
    ],
)
def test_a_step_is_the_one_that_training_takes_next(changes: dict[str, Any]) -> None:
    edge = edge_of(plain(**changes))
    twin = Trainer(plain(**changes))
    twin.restore(edge.tensors)
    twin.cycle(3, [edge.batches["2>1"]])
    edge.step("2>1")
    assert all(torch.equal(*pair) for pair in zip(edge.trainer.parameters, twin.parameters, strict=True))
    moved = [name for name, p in edge.trainer.trained.items() if not torch.equal(p, edge.tensors[name])]
    assert moved


def test_every_direction_stands_at_every_place_once() -> None:
    orders = list(turns(DIRECTIONS))
    assert all(sorted(each) == sorted(DIRECTIONS) for each in (*orders, *zip(*orders, strict=True)))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"objective": {"lm": 1.0, "ema": {"ramp": 1}}},
        {"network": {"rwkv7": {"width": 32, "layers": 2, "head_size": 16, "chunk": 16}}, "carry": True},
    ],
)
def test_steps_in_turn_are_the_cycle_that_training_runs_next(changes: dict[str, Any]) -> None:
    order = ("2>1", "1>1", "2>2", "1>2")
    edge, twin = edge_of(plain(**changes)), Trainer(plain(**changes))
    twin.restore(edge.tensors)
    twin.cycle(3, [edge.batches[direction] for direction in order])
    for slot, direction in enumerate(order):
        edge.step(direction, slot)
    after, wanted = edge.trainer.saved(), twin.saved()
    assert after.keys() == wanted.keys()
    assert all(raw(after[name]) == raw(wanted[name]) for name in after)
    own = edge.learner.carried
    edge.learner.carried = edge_of(plain(**changes)).learner.carried
    losses = edge.losses(DIRECTIONS)
    edge.learner.carried = own
    edge.put_back()
    first, last = edge.turn(order).items()
    assert last == (" ".join(order), losses)
    assert first == ("2>1", edge.after(lambda: edge.step("2>1"), DIRECTIONS))


def test_every_order_ends_elsewhere() -> None:
    rows = list(edge_of(plain()).findings(0))
    found = {row.step: row.value for row in rows if (row.quantity, row.direction) == ("loss_after_cycle", "2>2")}
    assert set(found) == {" ".join(order) for order in turns(DIRECTIONS)}
    assert len(set(found.values())) == 4


def test_where_a_cycle_is_one_step_it_has_no_moments() -> None:
    rows = list(edge_of(plain(update="cycle")).findings(0))
    assert "loss_after" in {row.quantity for row in rows}
    assert "loss_after_cycle" not in {row.quantity for row in rows}


def changes_of(edge: Edge, rate: float) -> tuple[dict[tuple[str, str], float], dict[tuple[str, str], float]]:
    """Of losses by step and direction, and what the gradients say: −rate · gᵢ · gⱼ."""
    found: dict[tuple[str | None, str | None, str], float] = {}
    for row in edge.findings(0):
        found[row.step, row.direction, row.quantity[-6:].strip("_")] = row.value if row.value is not None else 0.0
    nll = {name: edge.nll(name) for name in DIRECTIONS}
    parts = {name: nll[name].mean() for name in DIRECTIONS}
    for name in DIRECTIONS:
        middle = len(nll[name]) // 2
        parts |= {f"{name}:first": nll[name][:middle].mean(), f"{name}:second": nll[name][middle:].mean()}
    slopes = {
        name: torch.cat([g.flatten() for g in torch.autograd.grad(part, edge.trainer.parameters, retain_graph=True)])
        for name, part in parts.items()
    }
    wanted = {
        (i, j): -rate * float(slopes[i] @ slopes[j])
        for i in slopes
        for j in slopes
        if (":" in i) == (":" in j) and (":" not in i or i[:3] == j[:3])
    }
    return {(i, j): found[i, j, "after"] - found[None, j, "before"] for i, j in wanted}, wanted


def test_small_steps_of_gradient_descent_change_losses_as_gradients_say() -> None:
    """dL_j ≈ −rate · gᵢ · gⱼ, of directions and of halves; the rate is that of cycle 3 of a warm-up over 30."""
    changes, wanted = changes_of(edge_of(plain(optimizer={"sgd": {"lr": 1e-2, "warmup": 30}})), 1e-3)
    assert len(changes) == 16 + 16
    assert sum(abs(change) > 1e-5 for change in wanted.values()) >= 28, "what is compared is above rounding"
    for key, change in changes.items():
        assert change == pytest.approx(wanted[key], rel=0.01, abs=4e-6)


def test_without_a_gradient_momentum_goes_on_and_plain_descent_stands_still() -> None:
    for optimizer, stands in (
        ({"sgd": {"lr": 0.1}}, True),
        ({"sgd": {"lr": 0.1, "momentum": 0.9}}, False),
        ({"adamw": {"lr": 0.01}}, False),
        ({"adamw": {"lr": 0.01, "betas": [0.0, 0.9]}}, True),
    ):
        edge = edge_of(plain(optimizer=optimizer))
        before = whole(edge.losses(DIRECTIONS))
        idle = nothing(edge.gradient("1>2"))
        after = whole(edge.after(lambda idle=idle, edge=edge: edge.step_along(idle), DIRECTIONS))
        assert (after == before) == stands


def test_a_carried_state_is_that_of_the_edge() -> None:
    """What the step reads is carried on in training; here only the weights shall have changed."""
    network = {"rwkv7": {"width": 32, "layers": 2, "head_size": 16, "chunk": 16}}
    learner = plain(network=network, carry=True, optimizer={"sgd": {"lr": 1e-12}})
    with torch.no_grad():
        for parameter in learner.network.parameters():  # a fresh RWKV-7 does not heed its state yet
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(9))
    edge = edge_of(learner)
    before = edge.losses(DIRECTIONS)
    assert edge.after(lambda: edge.step("1>2"), DIRECTIONS) == pytest.approx(before, rel=1e-9)
    edge.step("1>2")
    assert edge.losses(DIRECTIONS) != pytest.approx(before, rel=1e-6), "a state that matters"


def test_losses_are_read_in_float32_also_where_training_is_in_bfloat16() -> None:
    edge = edge_of(plain())
    before = edge.losses(DIRECTIONS)
    edge.learner.precision = "bf16"
    assert edge.losses(DIRECTIONS) == before
    assert edge.learner.precision == "bf16"
