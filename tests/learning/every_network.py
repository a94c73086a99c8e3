"""The settings of one small network of each kind, for parts that must work with all of them."""

NETWORKS = {
    "transformer": {"transformer": {"width": 32, "layers": 2, "heads": 2, "feedforward": 48}},
    "rwkv7": {"rwkv7": {"width": 32, "layers": 2, "head_size": 16, "chunk": 16}},
    "gla": {"gla": {"width": 32, "layers": 2, "heads": 2, "feedforward": 48, "gate_rank": 4}},
    "mdlm": {"mdlm": {"width": 32, "layers": 2, "heads": 2, "feedforward": 48}},
    "feedback": {"feedback": {"width": 32, "layers": 2, "heads": 2, "feedforward": 48}},
    "memory": {"memory": {"width": 32, "layers": 3, "heads": 2, "feedforward": 48, "memories": [1]}},
}
