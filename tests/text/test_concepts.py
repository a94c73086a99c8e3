"""What two texts name, and what joins it: found from tokens, whatever the tokenizer."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import ClassVar

import networkx as nx
import numpy as np
import pytest
import tokenizers
from numpy.testing import assert_allclose
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from resonance.text.concepts import DAMPING, ConceptGraph, Finder, concept_graph
from resonance.text.facts import facts
from resonance.text.pair import Pair, read_pair
from resonance.text.tokenizer import MARKERS, Encoded, PairTokenizer, Tokenizer, train_tokenizer
from resonance.text.tokens import Tokens, as_tokens, tokenize
from resonance.text.words import fold, spelled, words_of

PAIRS = Path(__file__).resolve().parents[2] / "data" / "pairs"
SHIPPED = ("forgetting", "spacing", "spacing-ru")


def tokens_of(pair: Pair, tokenizer: Tokenizer | None = None) -> Tokens:
    table = tokenize(pair, tokenizer or PairTokenizer(train_tokenizer(pair, [], 600)), 100_000)
    return as_tokens(table, facts(table))


def of(article: str, meta: str) -> ConceptGraph:
    return concept_graph(tokens_of(Pair("made", {"1": article, "2": meta})))


@cache
def shipped(name: str) -> tuple[Tokens, ConceptGraph]:
    tokens = tokens_of(read_pair(PAIRS / name))
    return tokens, concept_graph(tokens)


def described(graph: ConceptGraph) -> list[object]:
    """All that the texts decide, and no token ids."""
    edges = sorted((*ends, more["kind"], more["weight"]) for *ends, more in graph.graph.edges(data=True))
    return [graph.names, graph.texts, edges]


def edge(graph: ConceptGraph, one: str, other: str) -> dict[str, object] | None:
    return graph.graph.get_edge_data(graph.names.index(one), graph.names.index(other))


class Foreign:
    """A tokenizer that is not byte-level, behind the interface of all."""

    markers: ClassVar[dict[str, list[int]]] = {name: [0] for name in MARKERS}
    sha256 = ""
    unknown = "<unk>"

    def __init__(self, kind: str, texts: Iterable[str]) -> None:
        if kind == "wordpiece":
            self.unknown = "[UNK]"
            self.tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token=self.unknown))
            self.tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
            self.tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
            trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=[self.unknown], show_progress=False)
        else:
            fallback = [f"<0x{byte:02X}>" for byte in range(256)]
            self.tokenizer = tokenizers.Tokenizer(models.BPE(byte_fallback=True, unk_token=self.unknown))
            self.tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
            self.tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
            trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=[self.unknown, *fallback], show_progress=False)
            # letters that were never seen are written as bytes
            texts = ["".join(letter for letter in text if letter not in "kвl") for text in texts]
        self.tokenizer.train_from_iterator(texts, trainer)
        self.vocabulary = self.tokenizer.get_vocab_size()

    def encode(self, text: str) -> Encoded:
        found = self.tokenizer.encode(text, add_special_tokens=False)
        return Encoded(found.ids, found.offsets, found.tokens)

    def encode_many(self, texts: list[str]) -> list[list[int]]:
        return [self.encode(text).ids for text in texts]

    def decode(self, ids: Iterable[int]) -> str:
        return self.tokenizer.decode(list(ids))


class Characters(Foreign):
    """One token per byte or per character, written as slow tokenizers do: a letter per byte."""

    vocabulary = 2**21

    def __init__(self, bytewise: bool) -> None:
        self.bytewise = bytewise

    def encode(self, text: str) -> Encoded:
        units = [list(letter.encode()) if self.bytewise else [ord(letter)] for letter in text]
        places = [(place, place + 1) for place, unit in enumerate(units) for _ in unit]
        ids = [number for unit in units for number in unit]
        return Encoded(ids, places, [chr(number) for number in ids])


# ---- words -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_the_text_comes_back_from_its_tokens(name: str) -> None:
    tokens, _ = shipped(name)
    pair = read_pair(PAIRS / name)
    for text, string in (pair.texts | pair.probes).items():
        found, spans = spelled(tokens, text)
        assert found == string
        assert spans == [tuple(span) for span in tokens.offsets(text).tolist()]


def test_what_looks_like_an_escape_is_text() -> None:
    text = r"The byte \xd0 and <0xD0> are text, Жук 👩‍👩."
    tokens = tokens_of(Pair("p", {"1": text, "2": "x"}), PairTokenizer(train_tokenizer(Pair("p", {"1": "x"}), [], 265)))
    assert spelled(tokens, "1")[0] == text


@pytest.mark.parametrize("kind", ["wordpiece", "fallback", "bytes", "characters"])
@pytest.mark.parametrize("name", ["spacing", "spacing-ru"])
def test_other_tokenizers_give_the_same_words_and_concepts(name: str, kind: str) -> None:
    pair = read_pair(PAIRS / name)
    foreign = Characters(kind == "bytes") if kind in ("bytes", "characters") else Foreign(kind, pair.texts.values())
    tokens = tokens_of(pair, foreign)
    found = concept_graph(tokens)
    assert spelled(tokens, "1")[0].split() == pair.texts["1"].split()
    assert described(found) == described(shipped(name)[1])
    for side in ("1", "2"):
        assert found.found(tokens.ids(side)) == counts(found, side)


def test_an_unknown_word_is_no_concept() -> None:
    pair = Pair("p", {"1": "it is the memory of the Ω and of the Ω", "2": "it is the Ω of the memory"})
    graph = concept_graph(tokens_of(pair, Foreign("wordpiece", ["it is the memory of and"])))
    assert graph.names == ("memory",)


@pytest.mark.parametrize(
    "forms",
    [
        "study studies studied studying",
        "interval intervals",
        "spaced spacing spaces",
        "test tests tested testing",
        "box boxes",
        "process processes",
        "plan planned planning",
        "интервал интервала интервалами интервалов",
        "пауза паузы паузу паузами",
        "промежуток промежутка промежутки промежутками",
        "распределённого распределенные распределёнными",
        "исследование исследования исследованиях",
    ],
)
def test_forms_of_a_word_meet(forms: str) -> None:
    first, *others = forms.split()
    frame = "Это было не {}, а то, что я и сам не мог." if first[0] > "z" else "It was not the {} that we had."
    words = words_of(tokens_of(Pair("p", {"1": " ".join(map(frame.format, forms.split())), "2": frame.format(first)})))
    keys = {word.key for side in words.values() for word in side.words if fold(word.surface) in fold(forms).split()}
    assert len(keys) == 1
    assert others


@pytest.mark.parametrize("words", ["speed sped", "bus bush", "this his", "thing thin", "рок рос", "дом дым"])
def test_different_words_stay_apart(words: str) -> None:
    frame = "Это было не {}, а то, что я и сам не мог." if words[0] > "z" else "It was not the {} that we had."
    found = words_of(tokens_of(Pair("p", {"1": " ".join(map(frame.format, words.split())), "2": "the"})))
    assert len({word.key for word in found["1"].words if word.surface in words.split()}) == 2


def test_phrases_end_at_signs_function_words_and_numbers() -> None:
    texts = {
        "1": "Cold self-baked tea, warm\nmilk and 12 red cups.\n\nHot tea",
        "2": "It is what it is, and that is all.",
    }
    words = words_of(tokens_of(Pair("p", texts)))
    runs: dict[int, list[str]] = {}
    for word in words["1"].words:
        if word.content:
            runs.setdefault(word.run, []).append(word.surface)
    assert list(runs.values()) == [
        ["Cold", "self", "baked", "tea"],
        ["warm", "milk"],
        ["12"],
        ["red", "cups"],
        ["Hot", "tea"],
    ]


def test_sentences() -> None:
    text = "H. Ebbinghaus read 38.5 lists, e.g. of words. Was it so? It was! (It was.) Then\n\nmore"
    words = words_of(tokens_of(Pair("p", {"1": text, "2": "the"})))["1"].words
    starts = [word.surface for place, word in enumerate(words) if word.sentence != words[max(place - 1, 0)].sentence]
    assert starts == ["Was", "It", "It", "Then", "more"]


def test_a_language_without_a_list_loses_its_short_and_its_frequent_words() -> None:
    article = "Die Pausen zwischen den Wiederholungen helfen dem Gedächtnis. " + "Wenn es werden muss, werden wir. " * 8
    graph = of(article, "Das Gedächtnis braucht Pausen, und die Wiederholungen brauchen Zeit zwischen den Pausen.")
    assert {"Pausen", "Wiederholungen", "Gedächtnis", "zwischen"} <= set(graph.names)
    assert {"die", "den", "es", "wenn", "werden", "wir"}.isdisjoint(map(str.lower, graph.names))


def test_a_script_without_blanks_has_its_tokens_for_words() -> None:
    texts = {"1": "间隔学习比集中学习更有效。记忆很快下降。", "2": "综述讨论间隔学习的效果,记忆在下降。"}
    graph = concept_graph(tokens_of(Pair("p", texts), Characters(False)))
    assert {"间隔学习", "学习", "记忆", "下降"} == set(graph.names)
    assert (
        graph.found([ord(letter) for letter in "学习记忆与间隔学习"])
        == {
            graph.names.index("间隔学习"): 1,
            graph.names.index("学习"): 1,
            graph.names.index("记忆"): 1,
        }
        | {}
    )


# ---- concepts ----------------------------------------------------------------------------------------------------


def counts(graph: ConceptGraph, side: str) -> dict[int, int]:
    return {concept: texts[side] for concept, texts in enumerate(graph.texts) if side in texts}


def first(graph: ConceptGraph, count: int) -> list[str]:
    return [graph.names[concept] for concept in np.argsort(-graph.rank({}), kind="stable")[:count]]


def test_what_a_reader_would_name() -> None:
    assert first(shipped("spacing")[1], 12) == [
        *("study", "intervals", "sessions", "days", "spaced", "review"),
        *("massed", "weeks", "distributed", "experiment", "retrieval", "Bjork"),
    ]
    assert {"learning", "study", "recall", "sleep", "time", "tests"} <= set(first(shipped("forgetting")[1], 8))
    russian = {"занятий", "интервалом", "исследования", "промежутке", "распределённых повторений", "неделю"}
    assert russian <= set(first(shipped("spacing-ru")[1], 8))


@pytest.mark.parametrize("name", SHIPPED)
def test_every_anchor_of_a_pair_is_a_concept(name: str) -> None:
    """People listed the names and numbers that stand in both texts; the rules find all of them."""
    tokens, graph = shipped(name)
    found = {concept.lower(): texts for concept, texts in zip(graph.names, graph.texts, strict=True)}
    assert tokens.anchors
    for anchor in tokens.anchors:
        assert set(found[anchor.lower()]) == {"1", "2"}


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_found_in_a_text_is_what_was_counted(name: str) -> None:
    tokens, graph = shipped(name)
    for side in ("1", "2"):
        assert graph.found(tokens.ids(side)) == counts(graph, side)
    assert all(sum(texts.values()) >= 1 for texts in graph.texts)
    assert len(set(graph.names)) == len(graph.names)
    assert min(weight for *_, weight in graph.graph.edges(data="weight")) > 0


def test_a_concept_recurs_or_is_a_name() -> None:
    graph = of("Memory needs sleep. In Iowa the farmers slept.", "The memory of a horse is long.")
    assert graph.names == ("memory", "Iowa")
    assert graph.texts == ({"1": 1, "2": 1}, {"1": 1})


def test_concepts_are_numbered_as_the_texts_name_them() -> None:
    graph = of("Tea and milk. Bread with tea.", "Milk is for bread; salt is for salt.")
    assert graph.names == ("tea", "milk", "bread", "salt")
    assert graph.texts[3] == {"2": 2}


def test_a_full_name_is_a_form_of_the_last_name() -> None:
    graph = of("It was Hermann Ebbinghaus who slept, and then Ada Maria Byron.", "So said Ebbinghaus.")
    assert graph.names == ("Ebbinghaus", "Ada Maria Byron")
    assert graph.texts == ({"1": 1, "2": 1}, {"1": 1})
    assert len(graph.pieces[0]) == 2


def test_a_capital_at_the_start_of_a_sentence_makes_no_name() -> None:
    assert of("Horses sleep. Cows do not.", "Bread is baked.").names == ()


def test_a_phrase_takes_its_words_away_where_it_stands() -> None:
    graph = of("The power curve and the curve of the power curve.", "The power of it.")
    assert graph.names == ("power curve", "curve", "power")
    assert graph.texts == ({"1": 2}, {"1": 1}, {"2": 1})
    within = edge(graph, "power curve", "curve")
    assert within is not None
    assert within["kind"] == "part-of"  # `the curve of the power curve` is told, and stronger
    assert edge(graph, "power curve", "power") == {"weight": 1.0, "kind": "within"}


def test_no_concept_is_found_inside_a_word() -> None:
    pair = Pair("p", {"1": "We rest, and rest 12 days in 120 days.", "2": "The restaurant (rest) was 120 or 12."})
    tokens = tokens_of(pair, PairTokenizer(train_tokenizer(Pair("p", {"1": "x"}), [" rest aurant"] * 9, 290)))
    graph = concept_graph(tokens)
    assert graph.names == ("rest", "12", "days", "120")
    assert graph.texts == ({"1": 2, "2": 1}, {"1": 1, "2": 1}, {"1": 2}, {"1": 1, "2": 1})
    assert len(graph.pieces[0]) == 2  # with a blank before it, and after a bracket


def test_the_longest_is_found_first_and_once() -> None:
    finder = Finder((((1,),), ((1, 2), (5,)), ((2, 3),)), (frozenset({1}), frozenset({9})))
    assert [tuple(place) for place in finder.places([1, 2, 3, 1, 1, 9, 5, 2, 3, 2])] == [
        (0, 2, 1),
        (3, 4, 0),
        (6, 7, 1),
        (7, 9, 2),
    ]
    assert list(finder.places(np.array([], dtype=np.int64))) == []


# ---- edges -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sentence", "kind"),
    [
        ("The melon is a fruit.", "is-a"),
        ("The melon was one of the fruit we had.", "is-a"),
        ("The melon, a kind of sweet fruit, is here.", "is-a"),
        ("We had fruit such as melon.", "is-a"),
        ("We had melon and other fruit.", "is-a"),
        ("It is part of the melon, this part of the fruit.", "near"),
        ("The melon is part of the fruit.", "part-of"),
        ("It was the melon of the fruit.", "part-of"),
        ("It was the melon's fruit.", "part-of"),
        ("It was the melon’s fruit.", "part-of"),
        ("It is the melon (fruit) of us.", "alias"),
        ("The melon, also called a fruit, was here.", "alias"),
        ("The melon is not a fruit.", "near"),
        ("It was the melon. The fruit was here.", None),
        ("Дыня — это не то, что фрукт, и я это знаю.", "near"),
        ("Дыня — это сладкий фрукт, и я это знаю.", "is-a"),
        ("Дыня является фруктом, и я это знаю.", "is-a"),
        ("Это был фрукт, такой как дыня, и я это знаю.", "is-a"),
        ("Это фрукт из дыни, и я это знаю.", "part-of"),
        ("Дыня, то есть фрукт, была у нас.", "alias"),
    ],
)
def test_what_the_words_between_two_concepts_tell(sentence: str, kind: str | None) -> None:
    russian = sentence[-3] > "z"
    graph = of(sentence, "Дыня была у нас. Фрукт был у нас." if russian else "The melon was. The fruit was.")
    assert len(graph.names) == 2
    found = graph.graph.get_edge_data(0, 1)
    assert (found and found["kind"]) == kind


def test_a_list_goes_on() -> None:
    graph = of("We had fruits such as melons, ripe plums and pears, or bread.", "Fruit. Melon. Plum. Pear. Bread.")
    kinds = {name: edge(graph, "fruit", name) for name in ("melon", "plum", "pear", "bread")}
    assert [found and found["kind"] for found in kinds.values()] == ["is-a", "is-a", "is-a", "is-a"]
    graph = of("We had fruits such as melons; plums were away.", "Fruit. Melon. Plum.")
    assert edge(graph, "fruit", "plum") == {"kind": "near", "weight": 1 / 4}


@pytest.mark.parametrize(
    ("sentence", "kind"),
    [
        ("So said Ada (1885), as we had.", "year"),
        ("It was so (Ada, 1885).", "year"),
        ("So Ada proposed in 1885.", "year"),
        ("So Ada slept, in 1885.", "near"),
        ("It was Ada, 1885 of them.", "near"),
    ],
)
def test_a_name_and_its_year(sentence: str, kind: str) -> None:
    found = edge(of(sentence, "It was Ada. It was 1885."), "Ada", "1885")
    assert found
    assert found["kind"] == kind


def test_a_number_has_no_year() -> None:
    found = edge(of("Of the 12 in 1885 it was said.", "It was 12. It was 1885."), "12", "1885")
    assert found == {"kind": "near", "weight": 1 / 8}


def test_nearness_is_one_over_the_distance_and_half_for_a_number() -> None:
    graph = of("The tea with milk and 12 cups.", "Tea. Milk and the tea. Cups. It was 12.")
    assert edge(graph, "tea", "milk") == {"kind": "near", "weight": 1 / 2 + 1 / 3}
    assert edge(graph, "tea", "cups") == {"kind": "near", "weight": 1 / 5}
    assert edge(graph, "12", "cups") == {"kind": "near", "weight": 1 / 2}
    assert edge(graph, "12", "milk") == {"kind": "near", "weight": 1 / 4}


def test_what_is_far_is_not_near() -> None:
    graph = of(f"The tea {'of it ' * 15} and milk.", "Tea. Milk.")
    assert graph.names == ("tea", "milk")
    assert not graph.graph.edges


# ---- reading -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [{}, {0: 1.0}, {3: 2.0, 7: 0.5, 9: 0.0}])
def test_rank_is_the_stationary_share_of_a_walk_that_starts_again(seeds: dict[int, float]) -> None:
    """r = (1 - d) s + d W r, solved at once; W has columns with sum 1."""
    _, graph = shipped("spacing")
    weights = nx.to_numpy_array(graph.graph, nodelist=range(len(graph.names)))
    start = np.zeros(len(weights))
    for concept, weight in (seeds or dict.fromkeys(range(len(weights)), 1.0)).items():
        start[concept] = weight
    start /= start.sum()
    sums = weights.sum(axis=0)
    # from a concept without edges one starts again
    walk = np.where(sums > 0, weights / np.where(sums > 0, sums, 1), start[:, None])
    exact = np.linalg.solve(np.eye(len(weights)) - DAMPING * walk, (1 - DAMPING) * start)
    found = graph.rank(seeds)
    assert found.dtype == np.float64
    assert_allclose(found, exact, atol=1e-10)
    assert_allclose(found.sum(), 1, atol=1e-10)


def test_seeds_of_weight_zero_are_none() -> None:
    _, graph = shipped("spacing")
    np.testing.assert_array_equal(graph.rank({2: 0.0}), graph.rank({}))
    assert graph.rank({2: 3.0}).argmax() == 2


@pytest.mark.parametrize("seeds", [{99_999: 1.0}, {-1: 1.0}, {0: -1.0}, {0: float("nan")}, {0: float("inf")}])
def test_a_seed_that_is_none_is_refused(seeds: dict[int, float]) -> None:
    with pytest.raises(ValueError, match="is not a weight of one of 56 concepts"):
        shipped("spacing")[1].rank(seeds)


def test_a_pair_in_which_nothing_recurs() -> None:
    graph = of("a", "b")
    assert (graph.names, graph.pieces, graph.texts) == ((), (), ())
    assert graph.rank({}).shape == (0,)
    assert graph.found([1, 2, 3]) == {}


DIGEST = """
import sys
sys.path.insert(0, {tests!r})
from text.test_concepts import digest
print(digest())
"""


def digest() -> str:
    tokens, graph = shipped("spacing")
    edges = [(*ends, more) for *ends, more in graph.graph.edges(data=True)]
    everything = [graph.names, graph.pieces, graph.texts, edges, graph.rank({}).tolist(), graph.found(tokens.ids("2"))]
    return hashlib.sha256(json.dumps(everything).encode()).hexdigest()


def test_the_order_of_hashes_does_not_matter() -> None:
    code = DIGEST.format(tests=str(Path(__file__).parents[1]))
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": "1", "PYTHONPATH": str(PAIRS.parents[1] / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == digest()
