"""All claims, one after another: judged, corrected for each other, written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from math import isnan
from pathlib import Path
from typing import Any, Protocol, cast

import pandas as pd

from resonance import params as settings
from resonance.claims import NAMES
from resonance.claims.claim import Claim
from resonance.claims.evidence import Evidence, Missing, Unidentifiable
from resonance.claims.page import page
from resonance.claims.statistics import benjamini_hochberg, holm
from resonance.claims.verdict import Ruling, Secondary, Verdict, decide
from resonance.errors import UserError
from resonance.params import Params
from resonance.provenance import fingerprint
from resonance.storage import write_json, write_text


class Case(Protocol):
    """What the module of a claim offers."""

    CLAIM: Claim

    def judge(self, evidence: Evidence) -> Ruling:
        """The test; Missing and Unidentifiable say why there is none."""


def load_claim(name: str) -> Case:
    """The module of a claim; an unknown name is a UserError."""
    if name not in NAMES:
        raise UserError(f"params.yaml: claims.{name} is not a claim; allowed: {', '.join(NAMES)}.")
    return cast("Case", import_module(f"resonance.claims.{name}"))


def judge_claims(
    params: dict[str, Any], tables: Mapping[str, pd.DataFrame], out_json: str | Path, out_markdown: str | Path
) -> None:
    """Judge every claim and write the verdicts for machines and for people; equal inputs give equal bytes.

    Args:
        params: all that params.yaml says.
        tables: per family the measures of all runs.

    Raises:
        UserError: params.yaml names a claim, or a role, that is not there.
    """
    study = settings.parse(params)
    verdicts = judge_all(study, tables)
    runs = sorted({run for verdict in verdicts for side in verdict.runs.values() for run in side})
    about = {"fingerprint": identity(study), "pairs": list(study.pairs), "cycles": study.cycles, "runs": runs}
    record = {"study": about, "claims": [verdict.record() for verdict in verdicts]}
    write_json(out_json, record)
    write_text(out_markdown, page(verdicts, study))


def identity(study: Params) -> str:
    """What stands for a study, wherever it was run and however often it was saved."""
    told = study.model_dump(mode="json")
    del told["compute"]["device"], told["chunks"]["autosave"]
    return fingerprint(told)


def judge_all(study: Params, tables: Mapping[str, pd.DataFrame], names: Sequence[str] = NAMES) -> list[Verdict]:
    """The verdicts of these claims, in their order.

    Primary claims are corrected by Holm over all primary ones, judged or not, with the exact sign-flip p. The others
    are exploratory and corrected by Benjamini and Hochberg over those of them that were tested, with Student's p, so
    that q says the same as their interval; secondary numbers likewise, as a family of their own.
    """
    check_roles(study)
    cases = {name: load_claim(name) for name in names}
    rulings = {name: ruling(case, Evidence(study, tables, case.CLAIM)) for name, case in cases.items()}
    primary = [name for name in names if cases[name].CLAIM.primary]
    explored = [name for name in names if name not in primary and rulings[name].criteria]
    adjusted = dict.fromkeys(names, 1.0)
    adjusted |= dict(zip(primary, holm([rulings[name].p for name in primary]), strict=True))
    adjusted |= dict(zip(explored, benjamini_hochberg([rulings[name].p_t for name in explored]), strict=True))
    chances = {id(line): line.chance for each in rulings.values() for line in each.secondary if line.chance is not None}
    q = dict(zip(chances, benjamini_hochberg([*chances.values()]), strict=True))
    found = []
    for name, case in cases.items():
        evidence, own = Evidence(study, tables, case.CLAIM), rulings[name]
        word, why = decide(own, adjusted[name], case.CLAIM.primary)
        sides = {"subject": [], "control": []}  # type: dict[str, list[str]]
        for role, each in case.CLAIM.roles.items():
            sides[each.side] += evidence.runs(role)
        known = [q.get(id(line)) for line in own.secondary]
        found.append(
            Verdict(
                case.CLAIM, word, why, own, adjusted[name], own.unit or evidence.unit, sides, known, scope(evidence)
            )
        )
    return found


def ruling(case: Case, evidence: Evidence) -> Ruling:
    """What the judge of a claim finds; where he cannot judge, the reason. Other pairs are told beside it."""
    try:
        found = case.judge(evidence)
    except Unidentifiable as reason:
        return Ruling(barrier=str(reason))
    except Missing as reason:
        return Ruling(lacking=str(reason))
    if unknown := [each.text for each in found.criteria if isnan(each.effect.value)]:
        return Ruling(lacking=f"Not a number: {unknown[0]}.")
    others = [pair for pair in evidence.study.pairs if pair not in evidence.pairs]
    lines = [line for pair in others for line in on_pair(case, evidence, pair)]
    return replace(found, secondary=(*found.secondary, *lines))


def on_pair(case: Case, evidence: Evidence, pair: str) -> list[Secondary]:
    """The declared effect on another pair of few, where a counterexample may stand."""
    try:
        found = case.judge(Evidence(evidence.study, evidence.tables, evidence.claim, pair))
    except (Missing, Unidentifiable):
        return []
    return [Secondary(f"{each.text}, on the pair {pair}", each.effect) for each in found.criteria]


def check_roles(study: Params) -> None:
    """`claims:` in params.yaml may name claims and their roles, and the schedule that a claim is judged on."""
    for name, roles in study.claims.items():
        allowed = [*load_claim(name).CLAIM.roles, "schedule"]
        if strange := [role for role in roles if role not in allowed]:
            key = f"claims.{name}.{strange[0]}"
            raise UserError(f"params.yaml: {key} is not a role of this claim; allowed: {', '.join(allowed)}.")


def scope(evidence: Evidence) -> str:
    """Of what a verdict speaks."""
    if evidence.unit == "pair":
        return f"for pairs like these {len(evidence.pairs)}, for this recipe"
    study = evidence.study
    base = ", from one base that all seeds share" if not study.base.per_seed else ""
    return f"on the pair {evidence.pairs[0]}, for this recipe{base}"
