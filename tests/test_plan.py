from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from resonance.errors import UserError
from resonance.params import Params, parse
from resonance.plan import KINDS, RunKey, Study

ROOT = Path(__file__).parents[1]
LEARNERS = {
    "gpt": {"network": "transformer"},
    "twin": {"network": "transformer", "marker": "none"},
    "fresh": {"network": {"rwkv7": {"width": 64}}, "init": "random"},
}
PYTHIA = {"hub": {"path": "some/model", "revision": "a" * 40}}


def study(**changes: Any) -> Study:
    values = {
        "pairs": ["a", "b"],
        "schedules": {"shuffled": "shuffled", "fixed": "fixed"},
        "seeds": [0, 7],
        "cycles": 8,
        "chunks": {"first": 2},
        "snapshots": {},
        "text": {"packages": ["numpy"]},
        "base": {},
        "learners": LEARNERS,
        "evaluation": {},
        "compute": {"device": "cpu"},
    }
    return Study(parse(values | changes))


def test_a_run_is_named_by_its_place() -> None:
    key = RunKey("gpt", "a", "shuffled", 7)
    assert str(key) == "gpt/a/shuffled/7"
    assert RunKey.parse(str(key)) == key


def test_runs_are_all_combinations_or_those_asked_for() -> None:
    whole = list(study().runs())
    assert len(whole) == len(set(whole)) == 3 * 2 * 2 * 2
    assert {run.learner for run in study().runs("gpt")} == {"gpt"}
    assert len(list(study().runs(pair="a", schedule="fixed"))) == 3 * 2


def test_a_learner_may_be_run_on_some_schedules_and_seeds_only() -> None:
    some = {**LEARNERS, "gpt": {"network": "transformer", "schedules": ["fixed"], "seeds": [7]}}
    whole = study(learners=some)
    assert [str(run) for run in whole.runs("gpt")] == ["gpt/a/fixed/7", "gpt/b/fixed/7"]
    assert not list(whole.runs("gpt", schedule="shuffled"))
    assert whole.run(RunKey("gpt", "a", "fixed", 7)) == study().run(RunKey("gpt", "a", "fixed", 7))
    with pytest.raises(UserError, match=r"learners.gpt.schedules: strange is not in"):
        study(learners={"gpt": {"network": "transformer", "schedules": ["strange"]}})


def test_an_order_may_have_a_seed_of_its_own() -> None:
    own = study(schedules={"own": {"shuffled": {"seed": 5}}, "run": "shuffled"})
    seeds = [own.run(RunKey("gpt", "a", name, 7)).schedule_seed for name in ("own", "run")]
    assert seeds == [5, 7]


def test_families_that_are_left_out_are_not_wanted() -> None:
    assert "topology" in study().families
    less = study(measures={"left_out": ["topology"]})
    assert "topology" not in less.families
    assert not any("topology" in file for file in less.wanted())


def test_runs_are_compared_by_pair_schedule_tokenizer_and_seed() -> None:
    whole = study(learners=LEARNERS | {"pythia": {"network": PYTHIA}, "one": {"network": "transformer", "seeds": [7]}})
    (own,) = set(whole.tokenizers()) - {"pair"}
    assert len(whole.comparisons()) == len(set(whole.comparisons())) == 2 * 2 * 2 * 2
    assert f"results/between/b/fixed/{own}/7.parquet" in whole.comparisons()
    assert set(whole.comparisons()) < whole.wanted()
    assert "results/tables/between.parquet" in whole.wanted()
    names = [str(run) for run in whole.compared("a", "fixed", "pair", 7)]
    others = [f"{learner}/a/fixed/0" for learner in LEARNERS]
    assert names == [*(f"{learner}/a/fixed/7" for learner in (*LEARNERS, "one")), *others]
    assert [str(run) for run in whole.compared("a", "fixed", own, 0)] == ["pythia/a/fixed/0", "pythia/a/fixed/7"]
    less = study(measures={"left_out": ["between"]})
    assert "between" not in less.tables
    assert not [file for file in less.wanted() if "/between" in file and "/figures/" not in file]


def test_the_other_seed_is_the_next_and_after_the_last_the_first() -> None:
    whole = study(seeds=[3, 0, 7])
    found = [whole.other_seed(RunKey("gpt", "a", "fixed", seed)) for seed in (3, 0, 7)]
    assert found == [RunKey("gpt", "a", "fixed", seed) for seed in (0, 7, 3)]
    assert study(seeds=[3]).other_seed(RunKey("gpt", "a", "fixed", 3)) is None


def test_a_learner_that_is_added_changes_no_run_of_another() -> None:
    """Only what compares runs hears of it."""
    before, after = study(), study(learners=LEARNERS | {"more": {"network": "transformer"}})
    kinds = ("states", "snapshots", "evaluations", "measures")
    kept = [file for file in before.wanted() if file.split("/")[1] in kinds]
    assert set(kept) <= after.wanted()
    assert before.families == after.families
    assert before.comparisons() == after.comparisons()
    assert len(after.compared("a", "fixed", "pair", 0)) == len(before.compared("a", "fixed", "pair", 0)) + 2


def test_steps_are_taken_where_they_are_asked_for() -> None:
    key = RunKey("gpt", "a", "fixed", 7)
    assert study().recorded("transfer", key) == ["results/transfer/gpt/a/fixed/7/steps.parquet"]
    assert study(evaluation={"transfer": False}).recorded("transfer", key) == []
    assert len(study().recorded("interventions", key)) == 3


def test_chunks_double_and_a_longer_study_keeps_them() -> None:
    short, long = study(), study(cycles=32)
    assert short.edges == [2, 4, 8]
    assert short.chunks == ["000000000002", "000000000004", "000000000008"]
    assert long.chunks[:3] == short.chunks
    assert short.before == {"000000000002": 0, "000000000004": 2, "000000000008": 4}
    assert set(map(str, short.wanted())) <= long.wanted()


def test_a_billion_cycles_are_few_jobs() -> None:
    assert len(study(cycles=10**9, chunks={"first": 64}).chunks) < 120


def test_a_job_is_not_told_the_length_of_the_study_or_any_name() -> None:
    """Else a longer study, or a learner with another name, would be trained again."""
    key = RunKey("gpt", "a", "shuffled", 0)
    assert study().run(key) == study(cycles=10**6, chunks={"first": 7}).run(key)
    renamed = study(learners={"other": LEARNERS["gpt"]}, schedules={"mixed": "shuffled"})
    assert renamed.run(RunKey("other", "b", "mixed", 0)) == study().run(key)


def test_learners_of_equal_networks_share_a_base() -> None:
    bases = {learner: study().base(RunKey(learner, "a", "fixed", 7)) for learner in LEARNERS}
    assert bases["gpt"] == bases["twin"]
    assert str(bases["gpt"]).startswith("data/derived/bases/a/transformer-")
    assert bases["fresh"] is None
    wide = study(learners={"gpt": {"network": {"transformer": {"width": 256}}}})
    assert wide.base(RunKey("gpt", "a", "fixed", 7)) != bases["gpt"]


def test_bases_may_be_trained_for_every_seed() -> None:
    each = study(base={"per_seed": True, "seed": 3})
    assert str(each.base(RunKey("gpt", "a", "fixed", 7))).endswith("/7.safetensors")
    assert [each.base_seed("7"), each.base_seed("shared")] == [7, 3]


def test_a_published_network_has_its_own_tokens_and_no_base() -> None:
    whole = study(learners=LEARNERS | {"pythia": {"network": PYTHIA}})
    key = RunKey("pythia", "a", "fixed", 0)
    assert whole.base(key) is None
    (own,) = set(whole.tokenizers()) - {"pair"}
    assert whole.tokens(key) == f"data/derived/tokens/a/{own}/tokens.parquet"
    assert f"/{own}/" in whole.schedule(key, "000000000002")
    assert len(whole.networks()) == 2
    assert {whole.tokens(key), "data/derived/tokens/a/pair/tokenizer.json"} <= whole.wanted()


def test_what_is_wanted_is_every_file_once() -> None:
    wanted = study().wanted()
    for kind, suffixes in KINDS.items():
        files = {file for file in wanted if file.startswith(f"results/{kind}/")}
        assert len(files) == 3 * 2 * 2 * 2 * 3 * len(suffixes)
    assert {"results/metrics/gpt.json", "results/curves/gpt.tsv", "results/report.html"} <= wanted
    assert {"results/figures/pair-a.svg", "results/figures/loss-b-fixed.png", "results/tables/loss.parquet"} <= wanted
    assert len([file for file in wanted if "/bases/" in file]) == 2 * 2


def test_figures_of_all_pairs_and_schedules() -> None:
    figures = study().figures()
    assert len(figures) == len(set(figures))
    assert "results/figures/pair-b" in figures
    assert "results/figures/loss-a-shuffled" in figures


@pytest.mark.parametrize(("device", "there", "expected"), [("cuda", False, True), ("cpu", True, False)])
def test_a_gpu_is_asked_for_where_one_will_be_used(device: str, there: bool, expected: bool) -> None:
    assert study(compute={"device": device}).on_gpu is expected


def test_the_code_behind_a_run_is_the_spine_and_the_members_that_it_names() -> None:
    assert study().run_modules("gpt") == [
        "resonance.training.chunk",
        "resonance.networks.transformer",
        "resonance.learning.scopes.all",
        "resonance.learning.objectives.lm",
    ]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one good pair, `a`."""
    shutil.copytree(ROOT / "data/pairs/spacing", tmp_path / "data/pairs/a")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(**changes: Any) -> None:
    study(**{"pairs": ["a"]} | changes).check()


def refused(**changes: Any) -> str:
    with pytest.raises(UserError) as caught:
        check(**changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_unknown_families_and_claims_are_named(here: Path) -> None:
    assert "'topolgy' is not a family of measures; did you mean 'topology'" in refused(
        measures={"left_out": ["topolgy"]}
    )
    assert "'recite' is not a claim; did you mean 'recites'" in refused(claims={"recite": {"learner": "gpt"}})


def test_a_good_study_passes(here: Path) -> None:
    check()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "meta.txt"),
        (b"", "meta.txt is empty"),
        (b"  \n \n", "meta.txt is empty"),
        (b"caf\xe9 au lait", "UTF-8"),
        (b"nothing\0here", "NUL"),
        (bytes(range(256)), "meta.txt"),
        ("same", "hold the same text"),
    ],
)
def test_a_text_that_cannot_be_trained_on_is_found_before_any_work(here: Path, content: Any, said: str) -> None:
    text = here / "data/pairs/a/meta.txt"
    if content is None:
        text.unlink()
    elif content == "same":
        shutil.copy(here / "data/pairs/a/article.txt", text)
    else:
        text.write_bytes(content)
    message = refused()
    assert said in message
    assert "data/pairs/a" in message


def test_a_pair_that_is_not_there_is_found_before_any_work(here: Path) -> None:
    assert "data/pairs/b is not a folder" in refused(pairs=["a", "b"])


def test_a_published_network_must_be_a_folder_or_pinned(here: Path) -> None:
    message = refused(learners={"it": {"network": {"hub": {"path": "some/model"}}}})
    assert "learners.it.network.hub.path: 'some/model' is not a folder here" in message
    check(learners={"it": {"network": PYTHIA}})
    (here / "some/model").mkdir(parents=True)
    check(learners={"it": {"network": {"hub": {"path": "some/model"}}}})


def test_two_figures_never_have_one_name(here: Path) -> None:
    shutil.copytree(here / "data/pairs/a", here / "data/pairs/a-b")
    message = refused(pairs=["a", "a-b"], schedules={"b-c": "fixed", "c": "shuffled"})
    assert "two figures would be called a-b-c" in message


def test_the_content_of_a_published_folder_counts(here: Path) -> None:
    settings = {"hub": {"path": "model"}}
    network = study(learners={"it": {"network": settings}}).params.learners["it"].network
    assert study().published(network) == ""
    (here / "model").mkdir()
    (here / "model/config.json").write_text("{}")
    before = study().published(network)
    (here / "model/config.json").write_text('{"a": 1}')
    assert study().published(network) not in ("", before)


def test_parameters_of_the_study_are_kept() -> None:
    assert isinstance(study().params, Params)
