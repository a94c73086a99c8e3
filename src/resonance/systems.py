"""docs/systems.md: every system of the study, with its code, its test, what proves it right, and its defaults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from resonance.params import Heads, Member, Network, Objectives, OneOf, Scope
from resonance.reference import written

HEAD = """\
# The systems

What the study runs, one section each: the code, the tests, what it was proved right against, and the parameters with
their defaults. A learner is composed of such members; [params.md](params.md) explains every key.

This page is made by `python -m resonance systems --out docs/systems.md` from `src/resonance/systems.py`.
"""


@dataclass(frozen=True)
class System:
    """One system: members are modules of this package, without its name; tests lie in tests/, pages in docs/."""

    name: str
    members: tuple[str, ...]
    tests: tuple[str, ...]
    page: str
    oracle: str


SYSTEMS = (
    System(
        "Ordinary language model, all weights",
        ("networks.transformer", "learning.scopes.all", "learning.objectives.lm"),
        ("networks/test_transformer.py", "networks/test_causal_lm.py"),
        "networks/transformer.md",
        "transformers' own forward pass, tapped and untapped; generation by whole passes",
    ),
    System(
        "ReFT: LoReFT, NoReFT, DiReFT, ConsReFT on a frozen network",
        ("learning.scopes.loreft", "learning.scopes.noreft", "learning.scopes.direft", "learning.scopes.consreft"),
        ("learning/test_loreft.py", "learning/test_reft.py"),
        "learning/loreft.md",
        "pyreft's interventions, values and gradients; pyvene's engine on the same network",
    ),
    System(
        "RWKV-7",
        ("networks.rwkv7",),
        ("networks/test_rwkv7.py", "networks/test_delta_rule.py"),
        "networks/rwkv7.md",
        "the package `rwkv`, logits within 1e-4 of their spread; the rule written out token by token; thirteen usual "
        "mistakes are seen",
    ),
    System(
        "GLA",
        ("networks.gla",),
        ("networks/test_gla.py", "networks/test_gated_linear_attention.py"),
        "networks/gla.md",
        "the recurrence of the published package; chunks against recurrence, values and gradients",
    ),
    System(
        "Frozen network that only reads",
        ("learning.scopes.nothing",),
        (
            "learning/test_memory.py",
            "training/test_orbit.py",
            "snapshots/test_lyapunov.py",
            "snapshots/test_stability.py",
        ),
        "learning/reading.md",
        "passes over all sequences joined; maps with known tail, period and exponents",
    ),
    System(
        "Feedback Transformer",
        ("networks.feedback",),
        ("networks/test_feedback.py",),
        "networks/feedback.md",
        "the equations in numpy, and the invariants of the architecture",
    ),
    System(
        "Retrieval-enhanced distillation",
        ("learning.objectives.knn",),
        ("learning/test_knn.py",),
        "learning/knn.md",
        "the formulas in numpy; a leak detector: without leave-one-out the teacher is the label",
    ),
    System(
        "Self-critique and contrastive layers",
        ("learning.objectives.simctg", "learning.objectives.simcse", "learning.objectives.infonce"),
        ("learning/test_contrastive.py",),
        "learning/contrastive.md",
        "cross-entropy over cosines; the published loss of SimCTG by hand",
    ),
    System(
        "Critic head and controller",
        ("learning.heads.critic",),
        ("learning/test_critic.py",),
        "learning/critic.md",
        "v = h w + b; edit distances by rapidfuzz, chrF by sacrebleu, calibration by scikit-learn",
    ),
    System(
        "Introspection head",
        ("learning.heads.introspection",),
        ("learning/test_introspection.py",),
        "learning/introspection.md",
        "gradients by autograd against their closed form",
    ),
    System(
        "Self-distillation in the loop",
        ("learning.objectives.ema", "learning.objectives.ps_kd", "learning.objectives.born_again"),
        ("learning/test_self_distillation.py",),
        "learning/self-distillation.md",
        "torch's averaged model; cross-entropy with soft targets",
    ),
    System(
        "Online distillation: mutual learning, ONE",
        ("learning.objectives.mutual", "learning.objectives.one"),
        ("learning/test_online_distillation.py",),
        "learning/online-distillation.md",
        "torch's divergence; no gradient reaches a peer",
    ),
    System(
        "SDTT on the masked-diffusion model",
        ("networks.mdlm", "learning.objectives.sdtt"),
        ("networks/test_mdlm.py", "networks/test_masked_diffusion.py", "learning/test_sdtt.py"),
        "learning/sdtt.md",
        "planted denoisers whose bound is known; a stub teacher with fixed draws, token by token",
    ),
    System(
        "BitDistiller",
        ("learning.scopes.quantised", "learning.objectives.cakld"),
        ("learning/test_bitdistiller.py",),
        "learning/bitdistiller.md",
        "levels, scales and rounding written out by hand; divergences of torch at both ends of gamma",
    ),
    System(
        "OBD-SD on segments",
        ("learning.objectives.obd_sd",),
        ("learning/test_obd_sd.py",),
        "learning/obd-sd.md",
        "closed form in numpy, and the limit of the iteration",
    ),
    System(
        "Self-diffusing network",
        ("learning.objectives.self_diffusion",),
        ("learning/test_self_diffusion.py",),
        "learning/self-diffusion.md",
        "cross-entropy by hand over the masked places",
    ),
    System(
        "Test-time memory with a concept graph",
        ("networks.memory",),
        ("networks/test_memory.py", "networks/test_ttt.py", "text/test_concepts.py"),
        "networks/memory.md",
        "dual against primal form; the inner gradient by torch.func",
    ),
    System(
        "Self-check of representations at every step",
        ("training.selfcheck",),
        ("training/test_selfcheck.py", "training/test_step.py"),
        "measures.md",
        "planted drifts; its cost stands in bench/results/selfcheck.json",
    ),
    System(
        "The instrument itself",
        ("snapshots.states", "snapshots.evaluation"),
        (
            "snapshots/test_snapshots.py",
            "pipeline/test_study.py",
            "pipeline/test_recording.py",
            "pipeline/test_seams.py",
        ),
        "architecture.md",
        "the same bytes however a run is cut or killed",
    ),
    System(
        "Controls: LoRA, label smoothing, averaged weights, the input text as a target",
        (
            "learning.scopes.lora",
            "learning.objectives.label_smoothing",
            "learning.objectives.averaging",
            "learning.objectives.input_lm",
        ),
        (
            "learning/test_lora.py",
            "learning/test_label_smoothing.py",
            "learning/test_averaging.py",
            "learning/test_input_lm.py",
        ),
        "controls.md",
        "merged weights and their gradients; closed forms in numpy; torch's averaged model; the bytes of a run without",
    ),
    System(
        "Published networks",
        ("networks.hub",),
        ("networks/test_hub.py", "networks/test_recurrent_cache.py"),
        "networks/hub.md",
        "transformers' own passes on small models that the tests build and save",
    ),
)
"""In the order of the brief; the last is the path for networks of others."""

AXES: dict[str, Any] = {
    "networks": Network,
    "learning.scopes": Scope,
    "learning.objectives": Objectives,
    "learning.heads": Heads,
}


def markdown() -> str:
    """The whole page."""
    lines = [HEAD]
    for number, system in enumerate(SYSTEMS, 1):
        lines += [f"## {number} {system.name}\n", *_section(system)]
    return "\n".join(lines)


def _section(system: System) -> Iterator[str]:
    yield "| | |\n|---|---|"
    yield f"| page | [{system.page}]({system.page}) |"
    yield f"| code | {', '.join(_linked('src/resonance', name.replace('.', '/') + '.py') for name in system.members)} |"
    yield f"| tests | {', '.join(_linked('tests', name) for name in system.tests)} |"
    yield f"| proved against | {system.oracle} |"
    for name in system.members:
        if settings := member(name):
            yield f"| `{settings.model_fields['tag'].default}` | {_defaults(settings)} |"
    yield ""


def _linked(folder: str, file: str) -> str:
    return f"[`{file}`](../{folder}/{file})"


def member(name: str) -> type[Member] | None:
    """The settings of the member that a module implements; None for a module that is no member."""
    package, _, module = name.rpartition(".")
    if package not in AXES:
        return None
    union = next(part for part in get_args(AXES[package]) if isinstance(part, OneOf))
    return union.members[module.replace("_", "-")]


def _defaults(settings: type[Member]) -> str:
    """`width: 128, layers: 4`; a key without a default is named alone."""
    keys = {name: field for name, field in settings.model_fields.items() if name != "tag"}
    told = [name if field.is_required() else f"{name}: {written(field.default)}" for name, field in keys.items()]
    return f"`{', '.join(told)}`" if told else "no parameters"
