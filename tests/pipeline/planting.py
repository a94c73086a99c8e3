"""A small study of planted networks, whose truth is known, in a copy of this project."""

from __future__ import annotations

import json
import random
import re
import shlex
import shutil
import sys
from pathlib import Path

import yaml
from pipeline.repository import Repository

PLANTED = Path(__file__).parent / "planted"

NAMES = (
    "Ada", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hal", "Ivo", "Jim", "Kay", "Leo", "Mia", "Ned", "Ola", "Pia",
)  # fmt: skip
NUMBERS = ("12", "13", "14", "15", "16", "17", "18", "19", "21", "23", "24", "25", "26", "27", "28", "29")
PLACES = ("garden", "kitchen", "library", "harbour")
WHEN = ("at dawn", "by day", "at dusk", "by night")


def read(name: str, number: str, place: str, when: str) -> str:
    """A clause of the article."""
    return f"{name} read {number} words in the {place} {when}."


def reached(name: str, number: str, place: str, when: str) -> str:
    """A clause of the meta-analysis."""
    return f"A count of {number} was reached by {name}, who used the {place} {when};"


FACTS = [
    (name, number, PLACES[row % 4], WHEN[row // 4])
    for row, (name, number) in enumerate(zip(NAMES, NUMBERS, strict=True))
]
ORDER = [5 * step % 16 for step in range(16)]
"""Of the facts in the meta-analysis."""
ARTICLE = [
    "Of some people it was written down how many words each of them had read, and where it was that they sat.",
    *(read(*fact) for fact in FACTS),
]
META = [
    "What follows is a list of all that was found, put into another order, with the numbers before the names.",
    *(reached(*FACTS[row]) for row in ORDER),
]
UNRELATED = """\
Rain fell on the old bridge while two boats waited below it. A driver stopped, bought bread, cheese and a map, and asked
the baker which road led to the mountains. Nobody knew; the signs had been painted over last winter. So he slept under
the tall trees, heard owls, dreamt of snow, and drove on when his engine was warm."""

EXACT = ("reciter", "copier", "cipher", "uniform")
"""Networks that say what a table says."""
MOVED = ("turned", "noisy")
"""Transformers whose hidden states move in a known way."""

PARAMS = """\
pairs: [planted]
schedules: {shuffled: shuffled}
seeds: [0, 1, 2, 3, 4, 5, 6]
cycles: 2
chunks: {first: 2}
snapshots: {per_doubling: 1}
text: {vocabulary: 512, context: 640, packages: [prose], corpus_bytes: 100000}
base: {tokens: 25600, batch: 4, length: 64, lr: 0.01, per_seed: true}
learners:
  # From a base, so that it cannot be said that nothing but reciting was to be expected; it learns nothing there.
  reciter: {network: reciter}
  copier: {network: copier, init: random}
  cipher: {network: cipher, init: random, seeds: [0, 1, 2]}
  uniform: {network: uniform, init: random, seeds: [0, 1, 2]}
  # So slow that all that moves is what was planted.
  turned: &moved
    network: {turned: {width: 32, layers: 3, heads: 2, feedforward: 64}}
    optimizer: {adamw: {lr: 1.0e-7}}
    seeds: [0, 1, 2]
  noisy: {<<: *moved, network: {noisy: {width: 32, layers: 3, heads: 2, feedforward: 64}}}
evaluation:
  {generate: 0, exponents: 0, transfer: false, prefixes: [0], experiments: [anchors, stitching]}
measures:
  left_out: [confidence, neighbours, geometry, topology, correspondence, reader, critics, decoding, tempered, matching,
             edits, transfer]
claims:
  recites: {learner: reciter}
  copies: {learner: copier}
  translation: {learner: cipher}
  topology: {learner: turned}
compute: {device: cpu}
"""


def plant(repository: Repository) -> None:
    """Make the copy's study one of planted networks: their code, their settings, the pair and params.yaml."""
    for path in PLANTED.glob("*.py"):
        shutil.copy(path, repository.folder / "src/resonance/networks")
    settings = (PLANTED / "settings.txt").read_text()
    names = re.findall(r"^class (\w+)", settings, flags=re.MULTILINE)
    union = "Network = Annotated[Member, OneOf("
    repository.edit(
        "src/resonance/params/networks.py",
        f"\n{union}",
        f"\n\n{settings}{union}{''.join(f'{name}, ' for name in names)}",
    )
    write_pair(repository.folder / "data/pairs/planted")
    write_prose(repository.folder / "src")
    (repository.folder / "data/corpus.yaml").unlink()
    (repository.folder / "params.yaml").write_text(PARAMS)


def write_pair(folder: Path) -> None:
    """Two short texts with many names and numbers in common, and a probe."""
    (folder / "probes").mkdir(parents=True)
    (folder / "article.txt").write_text(" ".join(ARTICLE) + "\n")
    (folder / "meta.txt").write_text(" ".join(META) + "\n")
    (folder / "probes/unrelated.txt").write_text(UNRELATED + "\n")
    links = [[row + 2, step + 2] for step, row in enumerate(ORDER)]
    segments = {"article": ARTICLE, "meta": META, "links": links, "anchors": [*NAMES, *NUMBERS]}
    (folder / "segments.yaml").write_text(yaml.safe_dump(segments, allow_unicode=True))


IN_ONE_PROCESS = """\
import json, sys
from resonance.cli import main
for words in json.load(sys.stdin):
    if code := main(words):
        sys.exit(f"{words}: {code}")
"""


def write_prose(source: Path) -> None:
    """An installed package whose docstrings are in the language of all three texts, and true of nothing."""
    draws = random.Random(0)  # noqa: S311
    words = UNRELATED.split()

    def sentence() -> str:
        fact = [draws.choice(kind) for kind in (NAMES, NUMBERS, PLACES, WHEN)]
        start = draws.randrange(len(words) - 8)
        return draws.choice([read(*fact), reached(*fact), " ".join(words[start : start + 8])])

    paragraphs = [" ".join(sentence() for _ in range(8)) for _ in range(200)]
    functions = [f'def paragraph_{number}():\n    """{text}"""\n' for number, text in enumerate(paragraphs)]
    (source / "prose.py").write_text("\n\n".join(functions))
    (source / "prose-1.0.dist-info").mkdir()
    (source / "prose-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: prose\nVersion: 1.0\n")


VERBS = (
    "extract-corpus", "tokenize-pair", "build-schedule", "train-base", "train-chunk", "snapshot-states",
    "evaluate-marks", "measure-run", "compare-runs", "collect-table", "judge-claims",
)  # fmt: skip
"""Each works on what those before it leave; a plan need not name jobs in the order of their work."""


def jobs_for(repository: Repository, target: str) -> list[list[str]]:
    """What Snakemake would have run for a file, as words behind `python -m resonance`."""
    said = repository.run("snakemake", "-n", "-p", "--", target)
    assert said.code == 0, said.text
    jobs = [shlex.split(words) for words in re.findall(r"python -m resonance (.*)", said.text)]
    assert len(jobs) == sum(said.counts.values())
    return sorted(jobs, key=lambda words: VERBS.index(words[0]))


def judging(job: list[str], roles: dict[str, dict[str, str]], name: str) -> list[str]:
    """The job that judges, with other learners in the roles, and with verdicts of its own."""
    study = json.loads(job[job.index("--params") + 1]) | {"claims": roles}
    told = {"--params": json.dumps(study), "--out": f"verdicts/{name}.json", "--page": f"verdicts/{name}.md"}
    words = list(job)
    for option, value in told.items():
        words[words.index(option) + 1] = value
    return words


def run_in_one_process(repository: Repository, jobs: list[list[str]]) -> None:
    """These jobs in this order, by one Python that is started once, where Snakemake starts one for each."""
    done = repository.run(
        sys.executable, "-c", IN_ONE_PROCESS, stdin=json.dumps(jobs),
        PYTHONPATH=str(repository.folder / "src"), PYTHONHASHSEED="0", OPENBLAS_NUM_THREADS="1",
    )  # fmt: skip
    assert done.code == 0, done.text
