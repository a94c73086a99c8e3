"""Verdicts as a study would leave them, with all four kinds."""

from __future__ import annotations

from typing import Any

NASTY = '<b onclick="x">\'&amp;'
SUBJECTS = [f"gpt/spacing/shuffled/{seed}" for seed in range(10)]


def claim(number: str, name: str, title: str, verdict: str, **more: Any) -> dict[str, Any]:
    """One claim with all its fields."""
    return {
        "id": number,
        "name": name,
        "title": title,
        "verdict": verdict,
        "why": "",
        "endpoint": {},
        "effect": {},
        "control": {},
        "runs": {},
        "secondary": [],
        "figure": None,
        "would_change": "",
        "scope": "on this pair, for this recipe",
    } | more


def effect(value: float, low: float, high: float, n: int = 10, **more: Any) -> dict[str, Any]:
    """An effect over seeds."""
    return {"value": value, "low": low, "high": high, "level": 0.95, "n": n, "unit": "seed"} | more


VERDICTS: dict[str, Any] = {
    "study": {"params": "4f1d0c2ab97e5511", "runs": 310},
    "claims": [
        claim(
            "C1a",
            "recites",
            "A small network that is trained on two texts alone recites them and does not read its input.",
            "supported",
            why="At edited places it says the trained word in 97.2% of cases, and a blank input costs little.",
            endpoint={
                "text": "share of edited places at which the trained token is said, 1→1, at 10 × t99",
                "unit": "of places",
                "sesoi": 0.9,
                "direction": "above",
                "contrast": "the stored token against the edited one",
            },
            primary=True,
            effect=effect(
                0.972,
                0.951,
                0.993,
                p=0.00195,
                p_holm=0.00586,
                text="stored token at edited places",
                values=[0.94, 0.95, 0.96, 0.97, 0.97, 0.98, 0.98, 0.98, 0.99, 1.0],
            ),
            also=[effect(0.012, 0.004, 0.02, text="what a blank input adds", bound=0.05)],
            traps=["Blank inputs keep their first 16 tokens."],
            control={"text": "a planted reciter, through the whole pipeline", "outcome": "passed", "value": 1.0},
            runs={"subject": SUBJECTS, "control": ["planted-reciter/spacing/shuffled/0"]},
            secondary=[
                {
                    "text": "a blank input adds (nat/token)",
                    "value": 0.012,
                    "low": 0.004,
                    "high": 0.02,
                    "p": 0.04,
                    "q": 0.06,
                },
                {"text": "share at 100,000 parameters", "value": 0.91, "low": None, "high": None, "p": None, "q": None},
            ],
            figure="loss-spacing-shuffled",
            would_change="A share below 0.9 at 10 × t99, or a blank input that costs more than 0.05 nat/token.",
        ),
        claim(
            "C1b",
            "copies",
            "It copies what stands in its input.",
            "refuted",
            why="The edited word is followed in 1.1% of cases, while the planted copier follows it in 99.8%.",
            endpoint={
                "text": "share of edited places that are followed",
                "unit": "of places",
                "sesoi": 0.1,
                "direction": "above",
            },
            effect=effect(0.011, 0.002, 0.02, p=0.5),
            control={"text": "a planted copier", "outcome": "passed", "value": 0.998},
            runs={"subject": SUBJECTS, "control": []},
            primary=False,
            figure="probes",
            would_change="A follow share above 0.1.",
        ),
        claim(
            "C7",
            "translates",
            f"It translates names and numbers {NASTY} from one text into the other.",
            "not identifiable",
            why="One fixed pair has one answer to each anchor, so that reading and reciting give the same output.",
            endpoint={
                "text": "share of swapped anchors that are followed",
                "unit": "of anchors",
                "sesoi": 0.1,
                "direction": "above",
            },
            effect=effect(0.031, -0.012, 0.074),
            control={
                "text": "the same learner on 64 resampled versions of the pair",
                "outcome": "failed",
                "value": 0.42,
                "why": "It follows less than 0.8.",
            },
            runs={"subject": SUBJECTS, "control": ["versions/spacing/shuffled/0"]},
            would_change="A control that reaches 0.8.",
        ),
        claim(
            "C9",
            "interference",
            "A step on one direction harms another.",
            "refuted",
            why="Every step on one direction lowers the loss of the others.",
            endpoint={
                "text": "change of the other loss per change of its own",
                "unit": "ratio",
                "sesoi": 0.05,
                "direction": "above",
            },
            effect=effect(-0.31, -0.38, -0.24),
            control={"text": "two halves of one direction", "outcome": "passed", "value": -0.92},
        ),
        claim(
            "C12",
            "permutations",
            "The order of the four directions matters.",
            "undecided",
            why="The study has no schedules order-0 to order-5: add them with seeds of their own to params.yaml.",
            endpoint={
                "text": "share of variance of log t99",
                "unit": "of variance",
                "sesoi": 0.1,
                "direction": "above",
            },
            effect={"value": None, "low": None, "high": None, "level": 0.95, "n": 0, "unit": "seed"},
            control={"text": "a bitwise rerun", "outcome": "not run", "value": None},
        ),
    ],
}
