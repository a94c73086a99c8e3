"""From two texts on disk to tokens: pairs, tokenizers, windows, prompts, counterfactual inputs, and the corpus."""
