"""The verdicts as a page that is understood without the code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from resonance.claims.effect import Effect
from resonance.claims.verdict import Verdict, number
from resonance.params import Params

INTRODUCTION = """\
Each claim has one endpoint, one contrast and a smallest effect of interest, declared before the runs. *Supported*: the
95 % interval lies beyond that effect. *Refuted*: the 90 % interval lies short of it, and a positive control shows that
it would have been seen. *Not identifiable*: this design cannot tell. *Undecided*: everything else. A claim that the
numbers refute is as good a result as one that they support."""


def page(verdicts: Sequence[Verdict], study: Params) -> str:
    """Markdown: a table first, then each claim."""
    pairs = ", ".join(study.pairs)
    about = f"{counted(study.cycles, 'cycle')}, {counted(len(study.seeds), 'seed')}, pairs: {pairs}."
    lines = [
        "# Verdicts",
        "",
        INTRODUCTION,
        "",
        about,
        "",
        "| | claim | verdict | effect | units |",
        "|---|---|---|---|---|",
    ]
    for each in verdicts:
        found = each.ruling.criteria[0] if each.ruling.criteria else None
        effect = f"{interval(found.effect)} {found.unit}" if found else "–"
        units = counted(found.effect.n, each.unit) if found else "–"
        lines.append(f"| {each.claim.id} | {each.claim.title} | **{each.verdict}**{mark(each)} | {effect} | {units} |")
    lines += [
        "",
        "° exploratory: one of many questions, corrected by Benjamini and Hochberg; the others are primary, by Holm.",
    ]
    for each in verdicts:
        lines += ["", *section(each)]
    return "\n".join(lines) + "\n"


def mark(verdict: Verdict) -> str:
    """What tells exploratory claims from primary ones."""
    return "" if verdict.claim.primary else "°"


def section(verdict: Verdict) -> Iterator[str]:
    """One claim."""
    claim, ruling = verdict.claim, verdict.ruling
    yield f"## {claim.id} {claim.name}: {verdict.verdict}{mark(verdict)}"
    yield ""
    yield f"> {claim.title}."
    yield ""
    yield verdict.why
    yield ""
    yield f"- *What was measured:* {claim.endpoint}."
    yield f"- *What was compared:* {claim.contrast}."
    for each in ruling.criteria:
        due = f"must lie {each.direction} {number(each.bound)}"
        yield f"- *{each.text}:* {interval(each.effect)} {each.unit}; {due}; {counted(each.effect.n, verdict.unit)}."
    if ruling.criteria:
        name = "Holm over the primary claims" if claim.primary else "Benjamini and Hochberg over the exploratory ones"
        tests = f"sign flips p = {number(ruling.p)}, Student p = {number(ruling.p_t)}"
        yield f"- *Tests:* {tests}; {name}: {number(verdict.adjusted)}."
    control = ruling.control
    value = f" ({number(control.value)})" if control.value is not None else ""
    said = f": {control.why}" if control.why else ""
    yield f"- *Positive control:* {control.text or claim.control}. **{control.outcome}**{value}{said}"
    for side, what in (("subject", "Runs"), ("control", "Compared with")):
        if verdict.runs[side]:
            yield f"- *{what}:* {runs(verdict.runs[side])}."
    yield f"- *Speaks of:* {verdict.scope}. *Figure:* {claim.figure}."
    yield f"- *What would change the mind:* {claim.would_change}."
    if ruling.secondary:
        yield ""
        yield "| further numbers, exploratory | mean and 95 % interval | q |"
        yield "|---|---|---|"
    for line, q in zip(ruling.secondary, verdict.q, strict=True):
        found = interval(line.effect) if line.effect else "–"
        yield f"| {line.text} | {found} | {number(q) if q is not None else '–'} |"


def counted(number: int, what: str) -> str:
    """`1 seed`, `7 seeds`."""
    return f"{number} {what}{'s' * (number != 1)}"


def interval(effect: Effect) -> str:
    """`0.97 [0.95, 0.99]`; of one unit the number alone."""
    bounds = f" [{number(effect.low)}, {number(effect.high)}]" if effect.n > 1 else ""
    return number(effect.value) + bounds


def runs(names: Sequence[str]) -> str:
    """Runs that differ in the seed alone are joined: `gpt/spacing/shuffled/0, 1, 2`."""
    seeds: dict[str, list[str]] = {}
    for name in names:
        run, _, seed = name.rpartition("/")
        seeds.setdefault(run, []).append(seed)
    return "; ".join(f"{run}/{', '.join(own)}" for run, own in seeds.items())
