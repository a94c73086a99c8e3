"""The tokenizer of a published model, behind the same interface; transformers is imported only when one is loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from resonance import params
from resonance.errors import UserError
from resonance.text.tokenizer import Encoded, readable

PLAIN = {
    "[BOS]": "\n",
    "[EOS]": "\n\n[end]\n",
    "[SEP]": "\n\n[and]\n\n",
    "[SAME]": "\n\n[same]\n\n",
    "[OTHER]": "\n\n[other]\n\n",
    "[TO1]": "\n\n[first]\n\n",
    "[TO2]": "\n\n[second]\n\n",
}
"""Markers as plain text: a published model gets no new embeddings."""

BLANKS = (" _", "_", " .", ".", "\n", " ")
"""What may stand for the empty word: the first that is one token."""


def hub_tokenizer(settings: params.Hub) -> HubTokenizer:
    """Load the tokenizer of a folder or of a pinned revision on the hub, or raise a UserError."""
    if settings.revision is None and not Path(settings.path).is_dir():
        raise UserError(
            f"network.hub.path {settings.path!r} is not a folder here; for a repository on the hub set "
            "network.hub.revision to a commit, so that its tokenizer cannot change."
        )
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            settings.path, revision=settings.revision, trust_remote_code=settings.trust_remote_code
        )
    except (OSError, ValueError, ImportError) as error:
        reason = " ".join(str(error).split()).split(". ")[0]
        raise UserError(
            f"The tokenizer of network.hub.path {settings.path!r} cannot be loaded ({reason}); "
            "give a folder with tokenizer.json, or a repository and a network connection."
        ) from None
    return HubTokenizer(tokenizer, settings.path)


class HubTokenizer:
    """A tokenizer of transformers, fast or slow; markers are plain text, except for the start and end it knows itself.

    tokenizer: what AutoTokenizer gives.
    path: what the user called it, for messages.
    """

    def __init__(self, tokenizer: Any, path: str) -> None:
        self.tokenizer = tokenizer
        self.path = path
        description = _description(tokenizer)
        self.sha256 = hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()
        self.bytewise = "ByteLevel" in json.dumps(description.get("decoder"))
        self.vocabulary = len(tokenizer)
        self.markers = {name: self._ids(text) for name, text in PLAIN.items()}
        for name, own in (("[BOS]", tokenizer.bos_token_id), ("[EOS]", tokenizer.eos_token_id)):
            if own is not None:
                self.markers[name] = [own]
        if empty := [name for name, ids in self.markers.items() if not ids]:
            raise UserError(
                f"The tokenizer of {path!r} has no token for {empty[0]}, which is {PLAIN[empty[0]]!r} in its texts (it "
                "drops white space, perhaps); choose a model whose tokenizer keeps every character."
            )
        self.markers["[BLANK]"] = self._blank()
        if self.markers["[SAME]"] == self.markers["[OTHER]"] or self.markers["[TO1]"] == self.markers["[TO2]"]:
            raise UserError(
                f"The tokenizer of {path!r} does not tell the markers apart (an unknown word for each of them?); "
                "choose a model whose tokenizer covers any text."
            )

    def encode(self, text: str) -> Encoded:
        """Tokens of a text; special tokens that are written in it stay plain text."""
        if not self.tokenizer.is_fast:
            ids = self._ids(text)
            return Encoded(ids, self._offsets(ids, text), self._pieces(ids))
        encoding = self.tokenizer(
            text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True
        )
        ids = list(encoding["input_ids"])
        return Encoded(ids, [(start, stop) for start, stop in encoding["offset_mapping"]], self._pieces(ids))

    def encode_many(self, texts: list[str]) -> list[list[int]]:
        """Token ids of many texts."""
        return [self._ids(text) for text in texts]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids."""
        numbers = [int(number) for number in ids]
        return str(self.tokenizer.decode(numbers, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])

    def _blank(self) -> list[int]:
        for text in BLANKS:
            ids = self._ids(text)
            if len(ids) == 1:
                return ids
        return self._ids(BLANKS[0])[-1:]

    def _pieces(self, ids: list[int]) -> list[str]:
        pieces = self.tokenizer.convert_ids_to_tokens(ids)
        return [readable(piece) for piece in pieces] if self.bytewise else list(pieces)

    def _offsets(self, ids: list[int], text: str) -> list[tuple[int, int]]:
        """Character offsets for a tokenizer that has none: how far the text is after each token.

        A token that ends inside a character is given that character.
        """
        if self.decode(ids) != text:
            raise UserError(
                f"The tokenizer of {self.path!r} does not give a text back as it was, so its tokens have no place in "
                "it; choose a model with a fast tokenizer (tokenizer.json)."
            )
        ends = [0]
        for count in range(1, len(ids) + 1):
            done = self.decode(ids[:count])
            while not text.startswith(done):
                done = done[:-1]
            ends.append(max(len(done), ends[-1]))
        return [(start, max(stop, start + 1)) for start, stop in pairwise(ends)]


def _description(tokenizer: Any) -> dict[str, Any]:
    """What defines a tokenizer: the JSON of a fast one, class and vocabulary of a slow one."""
    if tokenizer.is_fast:
        return dict(json.loads(tokenizer.backend_tokenizer.to_str()))
    return {"class": type(tokenizer).__name__, "vocab": tokenizer.get_vocab()}
