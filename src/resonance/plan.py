"""Which files a study consists of. The Snakefile, the tests and `resonance plan` use this one definition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise, product, starmap
from pathlib import Path

from resonance.claims import NAMES as CLAIMS
from resonance.errors import UserError
from resonance.figures.captions import PER_PAIR, PER_RUNS, PER_STUDY
from resonance.measures import BETWEEN, FAMILIES
from resonance.members import module_name, modules
from resonance.params import Hub, Member, Params, Run, nearest
from resonance.provenance import fingerprint, folder
from resonance.report.explored import explored
from resonance.schedule.chunks import edges, name
from resonance.text.pair import read_pair

PAIRS = "data/pairs"
DERIVED = "data/derived"
RESULTS = "results"


@dataclass(frozen=True)
class RunKey:
    """What names a run, and its place under results/<kind>/."""

    learner: str
    pair: str
    schedule: str
    seed: int

    def __str__(self) -> str:
        return f"{self.learner}/{self.pair}/{self.schedule}/{self.seed}"

    @classmethod
    def parse(cls, text: str) -> RunKey:
        """The inverse of `str`."""
        learner, pair, schedule, seed = text.split("/")
        return cls(learner, pair, schedule, int(seed))


@dataclass(frozen=True)
class Study:
    """A study, spread out into runs, chunks and files."""

    params: Params

    @cached_property
    def edges(self) -> list[int]:
        """The cycles at which chunks end."""
        return edges(self.params.cycles, self.params.chunks.first, self.params.chunks.longest)

    @cached_property
    def chunks(self) -> list[str]:
        """The names of the chunks, ascending: a chain of jobs is then planned without deep recursion."""
        return [name(edge) for edge in self.edges]

    @cached_property
    def before(self) -> dict[str, int]:
        """For each chunk, the cycle at which it starts."""
        return {name(stop): start for start, stop in pairwise([0, *self.edges])}

    def runs(
        self, learner: str | None = None, pair: str | None = None, schedule: str | None = None
    ) -> Iterator[RunKey]:
        """All runs, or those of one learner, pair or schedule."""
        for each in [learner] if learner else self.params.learners:
            own = self.params.learners[each]
            pairs = [pair] if pair else self.params.pairs
            schedules = [
                name
                for name in self.params.schedules
                if name in (own.schedules or self.params.schedules) and schedule in (None, name)
            ]
            yield from starmap(RunKey, product([each], pairs, schedules, own.seeds or self.params.seeds))

    def run(self, key: RunKey) -> Run:
        """What a training job is told."""
        learner = self.params.learners[key.learner]
        return Run(
            learner=learner.model_copy(update={"schedules": (), "seeds": ()}),
            order=self.params.schedules[key.schedule],
            seed=key.seed,
            per_doubling=self.params.snapshots.per_doubling,
            autosave=self.params.chunks.autosave,
            compute=self.params.compute,
        )

    def tokenizers(self) -> dict[str, Hub | None]:
        """Tokenizers by name: the pair's own, and that of each published network."""
        return {"pair": None} | {
            tokenizer_name(learner.network): learner.network
            for learner in self.params.learners.values()
            if isinstance(learner.network, Hub)
        }

    def tokens(self, key: RunKey) -> str:
        """The tokens that a run reads."""
        return tokens_file(key.pair, tokenizer_name(self.params.learners[key.learner].network))

    def base(self, key: RunKey) -> str | None:
        """The base that a run starts from; None: fresh or published weights."""
        learner = self.params.learners[key.learner]
        if learner.init == "random" or learner.network.published:
            return None
        seed = key.seed if self.params.base.per_seed else "shared"
        return f"{DERIVED}/bases/{key.pair}/{network_name(learner.network)}/{seed}.safetensors"

    def base_seed(self, name: str) -> int:
        """The seed that a base is trained with: `shared`, or a seed of the study."""
        return self.params.base.seed if name == "shared" else int(name)

    def networks(self) -> dict[str, Member]:
        """Networks that have a base, by name."""
        networks = [learner.network for learner in self.params.learners.values() if not learner.network.published]
        return {network_name(network): network for network in networks}

    def schedule(self, key: RunKey, chunk: str) -> str:
        """The schedule of one chunk of a run; it depends on the tokenizer where texts are windowed."""
        tokenizer = tokenizer_name(self.params.learners[key.learner].network)
        return f"{DERIVED}/schedules/{key.pair}/{tokenizer}/{key.schedule}/{key.seed}/{chunk}.parquet"

    @cached_property
    def families(self) -> list[str]:
        """The families of measures that are computed run by run."""
        return [family for family in FAMILIES if family not in self.params.measures.left_out]

    @cached_property
    def tables(self) -> list[str]:
        """All families that are computed, those between runs among them: each has a table."""
        return [*self.families, *(family for family in BETWEEN if family not in self.params.measures.left_out)]

    def tokenizer(self, key: RunKey) -> str:
        """The name of the tokenizer whose tokens a run reads."""
        return tokenizer_name(self.params.learners[key.learner].network)

    def comparisons(self) -> list[str]:
        """The files of what is measured between runs: one per pair, schedule, tokenizer and seed."""
        places = (f"{run.pair}/{run.schedule}/{self.tokenizer(run)}/{run.seed}" for run in self.runs())
        return [f"{RESULTS}/between/{place}.parquet" for place in dict.fromkeys(places)]

    def compared(self, pair: str, schedule: str, tokenizer: str, seed: int) -> list[RunKey]:
        """The runs of one comparison: all of the seed whose tokens are the same, and each one's other seed."""
        runs = [run for run in self.runs(pair=pair, schedule=schedule) if self.tokenizer(run) == tokenizer]
        own = [run for run in runs if run.seed == seed]
        return own + [other for run in own if (other := self.other_seed(run)) is not None]

    def other_seed(self, key: RunKey) -> RunKey | None:
        """The same learner with its next seed, after the last the first; None where it has one only."""
        seeds = self.params.learners[key.learner].seeds or self.params.seeds
        following = seeds[(seeds.index(key.seed) + 1) % len(seeds)]
        return None if following == key.seed else replace(key, seed=following)

    @cached_property
    def on_gpu(self) -> bool:
        """Whether jobs will use a GPU: asked for, or left open and one is here."""
        device = self.params.compute.device
        return device == "cuda" or (device == "auto" and any(Path("/dev").glob("nvidia[0-9]*")))

    def run_modules(self, learner: str) -> list[str]:
        """The code behind a learner's runs: what trains, and the members that it names."""
        return ["resonance.training.chunk", *modules(self.params.learners[learner])]

    def base_modules(self, network: Member) -> list[str]:
        """The code behind a base."""
        return ["resonance.training.base", module_name("resonance.networks", network)]

    def published(self, network: Member) -> str:
        """What stands for the content of a published network that lies in a folder; empty for all others."""
        return folder(network.path) if isinstance(network, Hub) and Path(network.path).is_dir() else ""

    def check(self) -> None:
        """Find, before any work, what would stop it later: texts that cannot be read, networks that are not there."""
        for pair in self.params.pairs:
            read_pair(Path(PAIRS, pair))
        known = (*FAMILIES, *BETWEEN)
        if strange := [family for family in self.params.measures.left_out if family not in known]:
            raise UserError(
                f"params.yaml: measures.left_out: {strange[0]!r} is not a family of measures"
                f"{nearest(strange[0], known)}."
            )
        if unknown := [claim for claim in self.params.claims if claim not in CLAIMS]:
            raise UserError(f"params.yaml: claims: {unknown[0]!r} is not a claim{nearest(unknown[0], CLAIMS)}.")
        figures = [f"{pair}-{schedule}" for pair in self.params.pairs for schedule in self.params.schedules]
        if twice := {name for name in figures if figures.count(name) > 1}:
            raise UserError(
                f"params.yaml: pairs and schedules: two figures would be called {min(twice)}; rename a pair or a "
                "schedule so that pair and schedule, joined by '-', are different for each."
            )
        for learner_name, learner in self.params.learners.items():
            network = learner.network
            if isinstance(network, Hub) and network.revision is None and not Path(network.path).is_dir():
                raise UserError(
                    f"params.yaml: learners.{learner_name}.network.hub.path: {network.path!r} is not a folder here; "
                    "name one, or for a repository on the hub set revision to a commit: its weights cannot change then."
                )

    def files(self, kind: str, suffix: str, key: RunKey) -> list[str]:
        """The files of one kind of a run, one per chunk."""
        return [f"{RESULTS}/{kind}/{key}/{chunk}.{suffix}" for chunk in self.chunks]

    def transfer(self, key: RunKey) -> list[str]:
        """The file of what steps of a run did to its directions, where it is asked for."""
        return [f"{RESULTS}/transfer/{key}/steps.parquet"] if self.params.evaluation.transfer else []

    def recorded(self, kind: str, key: RunKey) -> list[str]:
        """All files of one kind of a run that measures read."""
        return self.transfer(key) if kind == "transfer" else self.files(kind, "parquet", key)

    def figures(self) -> list[str]:
        """Every figure, without its suffix."""
        runs = product(PER_RUNS, self.params.pairs, self.params.schedules)
        names = ["-".join(parts) for parts in (PER_STUDY, *product(PER_PAIR, self.params.pairs), *runs)]
        return [f"{RESULTS}/figures/{name}" for name in names]

    def wanted(self) -> set[str]:
        """Every file under results/ and data/derived/ that the parameters call for."""
        files = {f"{DERIVED}/corpus.parquet", f"{RESULTS}/report.html"}
        files |= {f"{RESULTS}/verdicts.{suffix}" for suffix in ("json", "md")}
        files |= {f"{RESULTS}/tables/{family}.parquet" for family in self.tables}
        files |= set(self.comparisons()) if "between" in self.tables else set()
        files |= {f"{figure}.{suffix}" for figure in self.figures() for suffix in ("svg", "png")}
        for pair in self.params.pairs:
            files |= {tokens_file(pair, tokenizer) for tokenizer in self.tokenizers()}
            files.add(str(Path(tokens_file(pair, "pair")).with_name("tokenizer.json")))
        for key in self.runs():
            for chunk in self.chunks:
                files.add(self.schedule(key, chunk))
            if base := self.base(key):
                files |= {base, str(Path(base).with_suffix(".json"))}
            for kind, suffixes in KINDS.items():
                files |= {file for suffix in suffixes for file in self.files(kind, suffix, key)}
            files |= {f"{RESULTS}/measures/{key}/{family}.parquet" for family in self.families}
            files |= set(self.transfer(key))
        files |= {f"{RESULTS}/explorer/{key}.json" for key in explored(self.runs())}
        for learner in self.params.learners:
            files |= {f"{RESULTS}/metrics/{learner}.json", f"{RESULTS}/curves/{learner}.tsv"}
        return files


KINDS = {
    "states": ("safetensors", "json"),
    "logs": ("parquet",),
    "marks": ("safetensors",),
    "snapshots": ("parquet",),
    "evaluations": ("parquet",),
    "generations": ("parquet",),
    "stability": ("parquet",),
    "critiques": ("parquet",),
    "interventions": ("parquet",),
}
"""What every chunk of every run leaves, by kind, with the suffixes of its files."""


def tokenizer_name(network: Member) -> str:
    """`pair`, or for a published network a name that stands for where it comes from."""
    if not isinstance(network, Hub):
        return "pair"
    return f"hub-{fingerprint([network.path, network.revision])[:8]}"


def network_name(network: Member) -> str:
    """The tag and what stands for the settings: networks of equal settings share a base."""
    return f"{network.tag}-{fingerprint(network)[:8]}"


def tokens_file(pair: str, tokenizer: str) -> str:
    """Where the tokens of a pair lie."""
    return f"{DERIVED}/tokens/{pair}/{tokenizer}/tokens.parquet"
