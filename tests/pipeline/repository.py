"""A copy of this project in a folder of its own, in which the real Snakemake and the real DVC are run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "data", "dvc.yaml", "profiles", "src", "workflow", ".dvc", ".dvcignore", ".gitattributes")
"""What the study is made of; results, tests and pages are not."""

PARAMS = """\
pairs: [spacing]
schedules: {shuffled: shuffled}
seeds: [0]
cycles: 4
chunks: {first: 2}
snapshots: {per_doubling: 1}
text: {vocabulary: 1024, context: 512, packages: [networkx], corpus_bytes: 60000}
base: {tokens: 4096, batch: 2, length: 32}
learners:
  gpt: {network: {transformer: {width: 32, layers: 2, heads: 2, feedforward: 48}}}
  reader:
    network: {rwkv7: {width: 32, layers: 2, head_size: 16}}
    train: nothing
    objective: {}
    marker: relation
    optimizer: {adamw: {lr: 0.001}}
evaluation: {generate: 8, exponents: 1, exponent_cycles: 1}
measures: {left_out: [topology]}
claims: {}
compute: {device: cpu}
"""
"""A study of two learners, two chunks and two windows, as small as a whole one can be."""

STARTED = re.compile(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", re.MULTILINE)
OUTPUT = re.compile(r"^    output: (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Said:
    """What a program answered: its exit code and all that it wrote."""

    code: int
    text: str

    @property
    def jobs(self) -> dict[str, list[str]]:
        """Outputs by rule, of every job that Snakemake started or, with -n, would start; `all` and its like aside."""
        jobs: dict[str, list[str]] = {}
        for rule, lines in STARTED.findall(self.text):
            if output := OUTPUT.search(lines):
                jobs.setdefault(rule, []).append(output[1])
        return jobs

    @property
    def counts(self) -> Counter[str]:
        """Number of jobs by rule."""
        return Counter({rule: len(outputs) for rule, outputs in self.jobs.items()})

    @property
    def nothing(self) -> bool:
        """Whether Snakemake found that all is there and up to date."""
        return self.code == 0 and "Nothing to be done" in self.text


class Repository:
    """A folder with the study in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        home = folder.parent / "home"
        home.mkdir(exist_ok=True)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(CLEARED)}
        self.environment = {
            **inherited,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            **{f"GIT_{role}_{what}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
            **{f"DVC_{what}_DIR": str(home) for what in ("SITE_CACHE", "GLOBAL_CONFIG", "SYSTEM_CONFIG")},
            "HF_HUB_OFFLINE": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }

    @classmethod
    def of_this_project(cls, folder: Path) -> Repository:
        """The files that git knows or would know, with a small study to run."""
        known = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "--", *PARTS, ":!data/derived"],
            cwd=ROOT, text=True, capture_output=True, check=True,
        ).stdout.splitlines()  # fmt: skip
        for name in known:
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        shutil.copy2(ROOT / ".gitignore", folder)
        (folder / "params.yaml").write_text(PARAMS)
        return cls(folder)

    def copy(self, folder: Path) -> Repository:
        """The same folder, to be changed at will."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Repository(folder)

    def run(self, *command: str, stdin: str = "", **environment: str) -> Said:
        """Run a program in the folder."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment | environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            input=stdin,
        )
        return Said(done.returncode, done.stdout)

    def snakemake(self, *arguments: str) -> Said:
        """`snakemake`, as a user calls it."""
        return self.run("snakemake", *arguments)

    def would(self, *targets: str) -> Said:
        """`snakemake -n`: what would run."""
        return self.run("snakemake", "-n", "--", *targets)

    def dvc(self, *arguments: str) -> Said:
        """`dvc`, which must succeed."""
        said = self.run("dvc", *arguments)
        assert said.code == 0, said.text
        return said

    def git(self, *arguments: str) -> str:
        """`git`, which must succeed."""
        said = self.run("git", *arguments)
        assert said.code == 0, said.text
        return said.text

    def python(self, *arguments: str, stdin: str = "") -> Said:
        """`python`, with the code of this folder, as a job calls it."""
        source = str(self.folder / "src")
        return self.run(sys.executable, *arguments, stdin=stdin, PYTHONPATH=source, PYTHONHASHSEED="0")

    def resonance(self, *arguments: str) -> Said:
        """A verb of the command line."""
        return self.python("-m", "resonance", *arguments)

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace text that stands once in a file."""
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{name} holds {old!r} {text.count(old)} times"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def read(self, name: str) -> bytes:
        """The bytes of a file."""
        return (self.folder / name).read_bytes()

    def files(self, *tops: str) -> dict[str, bytes]:
        """All files below some folders, with their bytes."""
        found: Iterable[Path] = (path for top in tops for path in sorted((self.folder / top).rglob("*")))
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in found if path.is_file()}


@dataclass(frozen=True)
class Made:
    """The study as it was run and recorded, and what was said on the way. Not to be changed."""

    repository: Repository
    run: Said
    recorded: Said


CLEARED = ("DVC_", "GIT_", "SNAKEMAKE_", "PYTHON")
"""Variables of the caller that would change what the programs do."""
