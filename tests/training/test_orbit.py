"""A proven orbit: found where it is, jumped over to the same result, and never where it is not proven."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from itertools import count

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from conftest import tiny
from torch import Tensor

import resonance.training.chunk as chunk_module
import resonance.training.log as log_module
import resonance.training.orbit as orbit_module
from resonance.errors import UserError
from resonance.networks.network import Below, Edit, Network, Output, State
from resonance.networks.tensors import read_tensors
from resonance.params import Learner
from resonance.schedule.files import Schedule, write_schedule
from resonance.storage import read_made_by
from resonance.training.chunk import Chunk, train_chunk
from resonance.training.orbit import Orbit, Search, digest, spelled
from resonance.training.run import Run as Job
from resonance.training.state import Files
from resonance.training.step import Trainer

FIXED = {"fixed": {"order": "1>2 2>1 1>1 2>2"}}
TRANSFORMER = {"transformer": {"width": 16, "layers": 1, "heads": 2, "feedforward": 16}}
RWKV7 = {"rwkv7": {"width": 16, "layers": 2, "head_size": 8, "chunk": 16}}
CONTEXT = {"nothing": {"memory": "context", "window": 300}}


def reader(network: object = RWKV7, train: object = "nothing", **changes: object) -> Learner:
    return Learner.model_validate({"network": network, "train": train, "objective": {}, "init": "random", **changes})


class Planted(Network):
    """Each sequence takes the state x to x² + its tokens' sum, modulo `modulus`; what is measured depends on x."""

    recurrent = True

    def __init__(self, vocabulary: int, modulus: int) -> None:
        super().__init__()
        self.depth, self.width, self.vocabulary, self.modulus = 1, 4, vocabulary, modulus

    def forward(
        self, tokens_BT: Tensor, state: State | None = None, edit: Edit | None = None, below: Below | None = None
    ) -> Output:
        """See `Network.forward`."""
        x_B = tokens_BT.new_zeros(len(tokens_BT)) if state is None else state["x"]
        hidden_BTD = torch.sin((tokens_BT + x_B[:, None])[..., None] / torch.arange(1, 5))
        logits_BTV = hidden_BTD.sum(-1, keepdim=True) * torch.linspace(-1, 1, self.vocabulary)
        return Output((hidden_BTD, 2 * hidden_BTD), logits_BTV, {"x": (x_B**2 + tokens_BT.sum(1)) % self.modulus})


@pytest.fixture
def plant(monkeypatch) -> Callable[[int], None]:
    """Let all learners have the planted network, of the given modulus."""
    build = Job.learner

    def planted(modulus: int) -> None:
        def learner(job: Job):
            made = build(job)
            made.network = Planted(job.tokens.vocabulary, modulus)
            return made

        monkeypatch.setattr(Job, "learner", learner)

    return planted


@pytest.fixture
def coarse(monkeypatch) -> None:
    """Dense to cycle 16, then 4 bins per doubling, so that a jump may begin in a bin."""
    monkeypatch.setattr(log_module, "DENSE", 16)
    monkeypatch.setattr(log_module, "PER_DOUBLING", 4)


@pytest.fixture
def computed(monkeypatch) -> list[int]:
    """The cycles that were computed."""
    cycles: list[int] = []
    compute = Trainer.cycle

    def cycle(self, number, batches):
        cycles.append(number)
        return compute(self, number, batches)

    monkeypatch.setattr(Trainer, "cycle", cycle)
    return cycles


def by_hand(job: Job, order: str, modulus: int) -> tuple[int, int]:
    """(cycle at which the orbit is entered, period) of the planted map, from (x, place in the order) alone."""
    sums = {direction: int(batch.tokens_BT.sum()) for (direction, _), batch in job.batches(torch.device("cpu")).items()}
    word = ["1>2", "2>1", "1>1", "2>2"]
    x, seen = None, {(None, 0): 0}
    for cycle in count(1):
        turn = (cycle - 1) % 4 if order == "rotating" else 0
        for direction in word[turn:] + word[:turn]:
            x = ((x or 0) ** 2 + sums[direction]) % modulus
        place = (x, cycle % 4 if order == "rotating" else 0)
        if place in seen:
            return seen[place], cycle - seen[place]
        seen[place] = cycle
    raise AssertionError


def said(files: Files) -> dict[str, int] | None:
    """What the seal says of the orbit; the log says the same."""
    found = json.loads(files.state.with_suffix(".json").read_text()).get("orbit")
    assert read_made_by(files.log).get("orbit") == found
    return found


PLANTED = [(1009, "fixed"), (1009, "rotating"), (97, "rotating"), (64, "fixed"), (3001, "rotating")]
"""Tails of 1 to 22 cycles and periods of 1 to 48; entered at cycles that are no multiples of the order's period."""
ORDERS = {"fixed": FIXED, "rotating": "rotating", "one-direction": "one-direction"}


@pytest.mark.parametrize(("modulus", "order"), PLANTED)
def test_what_is_found_is_what_is_counted_by_hand(train, plant, modulus, order):
    plant(modulus)
    entered, period = by_hand(train(reader(), [1], "first", order=ORDERS[order]).job, order, modulus)
    before, at = (train(reader(), [entered + period - gap], str(gap), order=ORDERS[order]) for gap in (1, 0))
    assert said(before.files[0]) == {"none_within": entered + period - 1}
    assert said(at.files[0]) == {"entered": entered, "period": period}


def assert_same(jumped, computed) -> None:
    """Marks, the final state and dense rows bit for bit, what bins hold but for the last bits of their means."""
    assert jumped.marks == computed.marks
    states = [read_tensors(run.files[-1].state)[0] for run in (jumped, computed)]
    for name in states[1]:
        if name.split("/")[0] in ("carried", "first"):
            assert torch.equal(states[0][name].flatten().view(torch.uint8), states[1][name].flatten().view(torch.uint8))
    rows, expected = jumped.rows.to_pandas(), computed.rows.to_pandas()
    means = [name.removesuffix("_last") for name in rows if name.endswith("_last")]
    exact = [name for name in rows if name not in means]
    pd.testing.assert_frame_equal(rows[exact], expected[exact], check_exact=True)
    dense = expected["cycle"] <= log_module.DENSE
    pd.testing.assert_frame_equal(rows[dense], expected[dense], check_exact=True)
    pd.testing.assert_frame_equal(rows[means], expected[means], rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("learner", "order", "cycles"),
    [
        ("planted", "fixed", 300),
        ("planted", "rotating", 300),
        ("planted", "one-direction", 300),
        (reader(RWKV7), "fixed", 40),
        (reader(RWKV7), "rotating", 40),
        (reader(TRANSFORMER, CONTEXT), "rotating", 30),
        (reader(TRANSFORMER), "rotating", 40),
    ],
    ids=["planted", "planted, rotating", "planted, one direction", "rwkv7", "rwkv7, rotating", "context", "none"],
)
def test_the_jump_gives_what_computing_gives(train, plant, coarse, computed, monkeypatch, learner, order, cycles):
    if learner == "planted":
        plant(1009)
        learner = reader()
    jumped = train(learner, [cycles], "jumped", order=ORDERS[order], per_doubling=8)
    found = said(jumped.files[0])
    assert len(computed) == found["entered"] + 2 * found["period"] < cycles / 2
    computed.clear()
    monkeypatch.setattr(orbit_module, "MOST_BYTES", 0)
    whole = train(learner, [cycles], "computed", order=ORDERS[order], per_doubling=8)
    assert len(computed) == cycles
    assert said(whole.files[0]) == found
    assert_same(jumped, whole)


@pytest.mark.parametrize(("modulus", "order"), [(1009, "fixed"), (97, "rotating")])
def test_any_edges_give_the_same_bytes(train, plant, coarse, modulus, order):
    """At every cycle to the end of the kept period, then in bins that are jumped over."""
    plant(modulus)
    whole = train(reader(), [260], "whole", order=ORDERS[order], per_doubling=8)
    found = said(whole.files[0])
    kept = found["entered"] + 2 * found["period"]
    assert kept < 64
    assert kept % log_module.bin_width(kept), "the jump begins in a bin"
    for name, edges in {"many": [*range(1, kept + 3), 66, 67, 128, 129, 250, 260], "few": [129, 131, 260]}.items():
        parts = train(reader(), edges, name, order=ORDERS[order], per_doubling=8)
        assert parts.state == whole.state, name
        assert parts.rows.equals(whole.rows), name
        assert parts.marks == whole.marks, name
        assert said(parts.files[-1]) == found


@pytest.mark.parametrize(
    "learner", [reader(RWKV7), reader(TRANSFORMER, CONTEXT), reader(TRANSFORMER)], ids=["rwkv7", "context", "none"]
)
def test_any_edges_give_the_same_bytes_with_real_networks(train, learner):
    whole = train(learner, [24], "whole", order="rotating")
    assert "period" in said(whole.files[0])
    parts = train(learner, [1, 4, 5, 7, 8, 11, 14, 24], "parts", order="rotating")
    assert parts.state == whole.state
    assert parts.rows.equals(whole.rows)
    assert parts.marks == whole.marks


class Killed(BaseException):
    """Not an Exception: nothing that tidies up may catch it."""


def test_kills_change_nothing(train, plant, coarse, tmp_path, tokens_file, monkeypatch):
    """Killed once in every cycle that is computed, after the jump, and before each file that is written behind it."""
    plant(1009)
    whole = train(reader(), [260], "whole", order=FIXED, autosave=1e-9)
    found = said(whole.files[0])
    doomed: set[object] = {*range(1, found["entered"] + 2 * found["period"] + 1), "jump", "log", "state"}
    out = Files.within(tmp_path / "killed" / "out")

    def kill_before(owner: object, name: str, key: Callable[..., object]) -> None:
        real = getattr(owner, name)

        def once(*arguments):
            if key(*arguments) in doomed:
                doomed.remove(key(*arguments))
                raise Killed
            return real(*arguments)

        monkeypatch.setattr(owner, name, once)

    kill_before(Trainer, "cycle", lambda _trainer, cycle, _batches: cycle)
    kill_before(Chunk, "jump", lambda *_: "jump")
    kill_before(chunk_module, "write_log", lambda path, *_: path == out.log and "log")
    kill_before(chunk_module, "write_state", lambda path, *_: path == out.state and "state")
    job, schedule = Job(whole.job.settings, tokens_file, None), tmp_path / "whole" / "schedule-260.parquet"
    kills = 0
    while not out.state.exists():
        try:
            train_chunk(job, schedule, None, out, tmp_path / "killed" / "scratch", 0, 260)
        except Killed:
            kills += 1
    assert not doomed
    assert kills == found["entered"] + 2 * found["period"] + 3
    for name in ("state", "log", "marks"):
        assert getattr(out, name).read_bytes() == getattr(whole.files[0], name).read_bytes()


@pytest.mark.parametrize("order", ORDERS)
def test_what_carries_nothing_is_the_same_in_every_cycle(train, computed, order):
    """The empty state of cycle 0 comes again as soon as the order does."""
    run = train(reader(TRANSFORMER), [50], order=ORDERS[order])
    period = 4 if order == "rotating" else 1
    assert said(run.files[0]) == {"entered": 0, "period": period}
    assert computed == list(range(1, 2 * period + 1))
    assert "1/carried/x" not in run.marks
    losses = run.rows.to_pandas().groupby("direction", observed=True)["loss"]
    assert (losses.nunique() == 1).all()


def test_ten_million_cycles_take_no_longer_than_their_schedule(train, tmp_path, tokens_file, monkeypatch):
    """The real schedule is written and checked, and none of its rows are read behind the orbit."""
    stop = 10**7
    first = train(reader(TRANSFORMER), [10], "first", order=FIXED)
    schedule, out = tmp_path / "schedule.parquet", Files.within(tmp_path / "out")
    write_schedule(schedule, first.job.settings.order, 0, 1, 10, stop)
    monkeypatch.setattr(Schedule, "parts", lambda *_: pytest.fail("the schedule was read"))
    began = time.process_time()
    train_chunk(first.job, schedule, first.files[0].state, out, tmp_path / "scratch", 10, stop)
    assert time.process_time() - began < 5
    table = pq.read_table(out.log).to_pandas()
    last = table[table["cycle"] == stop // 2**23 * 2**23 + 2**14 * ((stop - 2**23) // 2**14)]
    assert last["visits"].tolist() == [2**14] * 4
    assert (last["loss"] == last["loss_last"]).all()
    assert (table["loss_min"] == table["loss_max"]).all()
    marks = read_tensors(out.marks)[1]["cycles"]
    assert marks == [2**k for k in range(4, 24)]


def test_a_period_that_takes_too_much_room_is_reported_and_computed(train, plant, computed, monkeypatch):
    plant(1009)
    first = train(reader(), [60], "first", order=FIXED)
    found = said(first.files[0])
    computed.clear()
    monkeypatch.setattr(orbit_module, "MOST_BYTES", 100)
    run = train(reader(), [20, 60], "second", order=FIXED)
    assert computed == list(range(1, 61))
    assert said(run.files[-1]) == found
    assert run.marks == first.marks


def test_none_is_an_answer(train):
    run = train(reader(), [1, 2], order=FIXED)
    assert [said(files) for files in run.files] == [{"none_within": 1}, {"none_within": 2}]


@pytest.mark.parametrize(
    ("learner", "order"),
    [(reader(), "shuffled"), (reader(), "same-only"), (tiny("gpt"), FIXED), (tiny("rwkv7", carry=True), FIXED)],
    ids=["shuffled", "same-only", "trained", "trained, carried"],
)
def test_other_learners_and_orders_say_nothing(train, learner, order):
    run = train(learner, [6], order=order)
    assert said(run.files[0]) is None
    assert not any(name.startswith("orbit/") for name in read_tensors(run.files[0].state)[0])


def test_only_what_nothing_else_enters_is_autonomous(train):
    assert Trainer(train(reader(objective={"lm": 1.0}), [1], order=FIXED).job.learner()).autonomous
    for change in ("causal", "heads", "objective", "trained"):
        learner = train(reader(objective={"lm": 1.0}), [1], change, order=FIXED).job.learner()
        if change == "causal":
            learner.network.causal = False
        elif change == "heads":
            learner.heads = {"head": learner.scope}
        elif change == "objective":
            learner.objectives["lm"].autonomous = False
        else:
            learner.network_parameters = dict(learner.network.named_parameters())
        assert not Trainer(learner).autonomous, change


def test_a_device_that_does_not_repeat_itself_is_found_out(train, plant, monkeypatch):
    plant(1009)
    found = said(train(reader(), [60], "steady", order=FIXED).files[0])
    compute = Trainer.cycle

    def cycle(self, number, batches):
        result = compute(self, number, batches)
        if number == found["entered"] + found["period"] + 2:
            self.learner.carried = {"x": self.learner.carried["x"] + 1}
        return result

    monkeypatch.setattr(Trainer, "cycle", cycle)
    with pytest.raises(UserError, match=r"not after as many more.*set compute\.device: cpu"):
        train(reader(), [60], "unsteady", order=FIXED)


def states(tail: int, period: int, cycle: int) -> dict[str, Tensor]:
    """A sequence of states of changing shapes that recurs."""
    number = cycle if cycle < tail else tail + (cycle - tail) % period
    return {"1/0": torch.arange(number % 5 + number // 5 * 5), "s": torch.tensor(float(number), dtype=torch.bfloat16)}


def met(search: Search, start: int, stop: int, tail: int, period: int) -> Search:
    """A search that has met the cycles start + 1 ... stop."""
    for cycle in range(start + 1, stop + 1):
        row = np.full((4, 1), float(cycle if cycle < tail else tail + (cycle - tail) % period))
        search.look(cycle, states(tail, period, cycle), ("1>2", "2>1", "1>1", "2>2"), ["loss"], row)
    return search


@pytest.mark.parametrize("places", [1, 4])
@pytest.mark.parametrize("cut", range(1, 80, 3))
def test_a_search_goes_on_from_what_it_saved(places, cut):
    whole = met(Search(places), 0, 80, 30, 12)
    saved = met(Search(places), 0, cut, 30, 12).saved()
    parts = met(Search(places, saved), cut, 80, 30, 12)
    assert parts.saved().keys() == whole.saved().keys()
    assert all(torch.equal(tensor, whole.saved()[name]) for name, tensor in parts.saved().items())
    assert isinstance(parts.orbit, Orbit)
    assert (parts.orbit.entered, parts.orbit.period) == (30, 12)
    assert np.array_equal(parts.repeated.rows, whole.repeated.rows)
    assert spelled(parts.orbit.state(10**9)) == spelled(states(30, 12, 10**9))


@pytest.mark.parametrize("tail", [5, 16, 17, 100, 250])
@pytest.mark.parametrize("period", [1, 3, 12])
def test_late_orbits_have_the_right_period_and_are_entered_a_little_late_at_most(monkeypatch, tail, period):
    """Every cycle is remembered up to 16, then 8 per doubling."""
    monkeypatch.setattr(orbit_module, "REMEMBERED", 16)
    search = met(Search(1), 0, 600, tail, period)
    assert search.orbit.period == period
    step = 1 if tail <= 16 else 2 ** ((tail - 1).bit_length() - 4)
    assert search.orbit.entered == -(-tail // step) * step
    remembered = met(Search(1), 0, 256, 1000, 1).saved()["orbit/cycles"].tolist()
    assert remembered == [*range(17), *range(18, 33, 2), *range(36, 65, 4), *range(72, 129, 8), *range(144, 257, 16)]


def test_states_are_equal_where_all_their_bytes_are():
    one = torch.ones(2, 3)
    different = [
        {}, {"a": one}, {"b": one}, {"a": one, "b": one}, {"a": one.T}, {"a": one.double()}, {"a": one.int()},
        {"a": one.flatten()}, {"a": torch.zeros(1)}, {"a": -torch.zeros(1)}, {"a": torch.tensor(0.0)},
        {"a": torch.zeros(0)}, {"a": torch.zeros(0, 2)}, {"a": one.bfloat16()}, {"a": torch.full((1,), torch.nan)},
    ]  # fmt: skip
    assert len({spelled(state) for state in different}) == len({digest(state, 0) for state in different}) == 15
    assert digest({"a": one}, 0) != digest({"a": one}, 1), "the place in the order counts"
    assert spelled({"b": one, "a": one}) == spelled({"a": one.clone(), "b": one.T.contiguous().T})
