from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from resonance.errors import UserError
from resonance.params import Hub
from resonance.text.facts import facts
from resonance.text.hub import HubTokenizer, hub_tokenizer
from resonance.text.pair import Pair
from resonance.text.tokenizer import MARKERS, Tokenizer
from resonance.text.tokens import as_tokens, tokenize

TEXT = "Some words, Жук 👩‍👩, and </s> as text."
OWN = {"bos_token": "<s>", "eos_token": "</s>"}
UNKNOWN = {"unk_token": "?"}


def save_fast(folder: Path, special: dict[str, str]) -> Path:
    """A small byte-level tokenizer as a model's folder holds it."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=270,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<s>", "</s>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(["some words and other words _ end"] * 3, trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    return folder


def test_a_folder_with_start_and_end_of_its_own(tmp_path: Path) -> None:
    loaded: Tokenizer = hub_tokenizer(Hub(path=str(save_fast(tmp_path, OWN))))
    assert loaded.markers.keys() == set(MARKERS)
    assert (loaded.markers["[BOS]"], loaded.markers["[EOS]"]) == ([0], [1])
    assert len(loaded.markers["[BLANK]"]) == 1
    assert loaded.decode(loaded.markers["[SAME]"]) == "\n\n[same]\n\n"
    assert loaded.decode(loaded.markers["[OTHER]"]) == "\n\n[other]\n\n"
    encoded = loaded.encode(TEXT)
    assert 1 not in encoded.ids  # the </s> in the text is text
    assert loaded.decode(encoded.ids) == TEXT
    assert loaded.encode_many([TEXT]) == [encoded.ids]
    assert encoded.pieces[0] == TEXT[slice(*encoded.offsets[0])]
    assert loaded.vocabulary == 270


def test_without_them_the_markers_are_plain_text(tmp_path: Path) -> None:
    loaded = hub_tokenizer(Hub(path=str(save_fast(tmp_path, {}))))
    assert loaded.decode(loaded.markers["[BOS]"]) == "\n"
    assert loaded.decode(loaded.markers["[EOS]"]) == "\n\n[end]\n"


def test_a_pair_is_tokenised_with_it(tmp_path: Path, pair: Pair) -> None:
    loaded = hub_tokenizer(Hub(path=str(save_fast(tmp_path, OWN))))
    table = tokenize(pair, loaded, 1024)
    tokens = as_tokens(table, facts(table))
    assert tokens.vocabulary == loaded.vocabulary
    assert loaded.decode(tokens.ids("1")) == pair.texts["1"]
    assert tokens.markers == loaded.markers
    assert tokens.tokenizer == loaded.sha256


def test_a_slow_tokenizer_gets_offsets_from_decoding(tmp_path: Path) -> None:
    from transformers import ByT5Tokenizer

    ByT5Tokenizer().save_pretrained(tmp_path)
    loaded = hub_tokenizer(Hub(path=str(tmp_path)))
    assert not loaded.tokenizer.is_fast
    assert loaded.encode("aЖ👩 b").offsets == [(0, 1), (1, 2), (1, 2), *[(2, 3)] * 4, (3, 4), (4, 5)]
    assert loaded.decode(loaded.encode(TEXT).ids) == TEXT


def test_a_slow_tokenizer_that_loses_text_is_refused() -> None:
    from transformers import ByT5Tokenizer

    class Lossy(ByT5Tokenizer):
        def _tokenize(self, text: str, **kwargs: Any) -> list[str]:
            return list(super()._tokenize(text.lower()))

    with pytest.raises(UserError, match="does not give a text back as it was"):
        HubTokenizer(Lossy(), "lossy").encode("Text")


def test_a_tokenizer_that_cannot_tell_markers_apart_is_refused(tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    words = tokenizers.Tokenizer(models.WordLevel({"?": 0, "word": 1}, **UNKNOWN))
    PreTrainedTokenizerFast(tokenizer_object=words, **UNKNOWN).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="does not tell the markers apart"):
        hub_tokenizer(Hub(path=str(tmp_path)))


def test_a_name_on_the_hub_needs_a_revision() -> None:
    with pytest.raises(UserError, match=r"'someone/model' is not a folder here; .* network\.hub\.revision"):
        hub_tokenizer(Hub(path="someone/model"))


def test_without_a_network_the_error_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="a network connection") as error:
        hub_tokenizer(Hub(path="someone/model-that-is-not-cached", revision="0" * 40))
    assert "\n" not in str(error.value)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be loaded .* give a folder with tokenizer\.json"):
        hub_tokenizer(Hub(path=str(tmp_path)))
