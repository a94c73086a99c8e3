"""The words of a text that is known by its tokens: where they stand, what they come down to, which of them name things.

No model of a language is used: letters and marks by Unicode, two lists of function words, and a few endings.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Literal, NamedTuple

from resonance.text.tokens import Tokens

Script = Literal["latin", "cyrillic", "unspaced", "other"]

ENGLISH = """
a an the this that these those such same other others another each every either neither both all any some no none not
nor one ones first second two three four five six seven eight nine ten hundred hundreds thousand half third i me my
mine we us our ours you your yours he him his she her hers it its they them their theirs myself himself herself itself
themselves who whom whose which what whatever when whenever where wherever why how whether if unless because since as
while whereas though although than then so and or but yet however therefore thus hence indeed is am are was were be
been being isn aren wasn weren do does did doing done don doesn didn has have had having hasn haven hadn can cannot
could couldn may might must shall should shouldn will would wouldn won ll re ve of in on at by for from to into onto
out off up down over under above below between among amid against about around across along through throughout during
before after until till within without upon toward towards beyond behind beside besides near with via per except
despite like unlike very too quite rather almost nearly just only even also still already again ever never always
often sometimes usually mostly mainly perhaps maybe possibly probably once twice here there now soon later ago away
apart together else instead much many more most few fewer fewest little less least several enough own well good better
best bad worse worst kind kinds form forms type types sort sorts part parts example examples case cases make makes
made making get gets got give gives gave given giving take takes took taken taking put puts set sets go goes went gone
going come comes came coming bring brings brought find finds found finding show shows showed shown showing say says
said saying see sees saw seen tell tells told know knows knew known think thinks thought seem seems seemed become
becomes became let lets keep keeps kept held hold holds use uses used using need needs needed report reports reported
reporting suggest suggests suggested propose proposes proposed describe describes described call calls called calling
named termed look looks looked add adds added leave leaves left versus vs etc eg ie something anything everything
nothing someone anyone everyone nobody thing things way ways whole single new old long longer longest short shorter
shortest large larger largest small smaller smallest big great greater greatest high higher highest low lower lowest
last next former latter different hardly slightly back
"""
RUSSIAN = """
и а но да или либо ни не нет же ли бы б ведь вот вон лишь только уже еще даже почти очень слишком весьма чуть чтобы
что как так когда если хотя пока раз ибо потому поэтому оттого зато однако также тоже причем притом нежели чем где
куда откуда там тут здесь сюда туда тогда теперь сейчас потом затем снова опять всегда никогда часто редко иногда
обычно нередко возможно может могут мог могла могли можно нужно надо следует должен должна должно должны я меня мне
мной мы нас нам нами ты тебя тебе вы вас вам вами он его ему им него нему нем она ее ей ею нее ней оно они их ими них
ним ними себя себе собой свой своя свое свои своего своей своих своим своими мой моя мое мои наш наша наше наши ваш
сам сама само сами самого самой самом самому самые самый самым самыми самую этот эта это эти этого этой этом этому
этих этим этими эту тот та то те того той том тому тех тем теми ту такой такая такое такие такого таких таким такими
столько сколько какой какая какое какие какого каких который которая которое которые которого которой котором которому
которых которым которыми которую кто кого кому кем чего чему чей весь вся все всего всей всех всем всеми всю каждый
каждая каждое каждые каждого каждой каждом любой иной иные другой другая другое другие других другим другими один одна
одно одни одного одной одном одному одних одним два две двух двум три трех трое четыре четырех пять шесть семь восемь
девять десять сто сотни сотен тысяч более менее больше меньше много мало несколько примерно около лучше хуже быть был
была было были будет будут есть стал стала стало стали является являются оказался оказалась оказалось оказались в во
на с со из изо к ко у о об обо от ото до за по под подо над при про для без безо через перед передо между среди вдоль
после против ради кроме вместо вокруг возле мимо сквозь вид вида виды видов род рода разновидность тип типа типы форма
формы часть части пример примеры случай случаи например дал дала дало дали дает говорят говорит знает знать знают
называемый называемая называемое называемые очередь подряд бывает друг году года
"""
FUNCTION_WORDS: dict[Script, frozenset[str]] = {
    "latin": frozenset(ENGLISH.split()),
    "cyrillic": frozenset(RUSSIAN.split()),
}
"""Words that name nothing by themselves: pronouns, prepositions, small numbers, auxiliaries, and verbs as empty as
those. The words by which relations are told (`kind of`, `part of`) are among them, so that no concept begins there."""

KNOWN_SHARE = 0.2
"""A text whose words are function words less often than that is in another language; in prose it is a third or more."""

SHORT: dict[Script, int] = {"latin": 3, "cyrillic": 3, "other": 2}
"""Letters of words that are taken for function words in a language without a list."""

STEM = 3
"""Letters that no ending may take away."""

CASES = """
иями иях ьями ьях ами ями ах ях ов ев ей ий ие ия ию ием ии ье ья ью ом ем ам ям а я о е ы и у ю ь й
ого его ому ему ыми ими ых их ый ой ая яя ое ее ые ую юю ым им
"""
ENDINGS = sorted(CASES.split(), key=len, reverse=True)
"""Endings of Russian nouns and adjectives in all cases, the longest first."""

UNSPACED = (
    *((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3005, 0x3007), (0x3040, 0x30FF), (0x3400, 0x4DBF)),
    *((0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF)),
)
"""Thai, Lao, Burmese, Khmer, kana and Han: letters that are written without blanks between words."""

WORD = re.compile(r"d+(?:[.,]d+)*%?(?![wd])|[wd]+|u+")
"""A number, a word, or letters of a script without blanks, in a text's classes (`classes`)."""

SENTENCE_END = re.compile(r"[.!?…۔।؟]\W*\s|[。！？]")
JOINT = re.compile(r"[ \t\r]*\n?[ \t\r]*|[-‐‑]")
"""What may stand between two words of one phrase: blanks, a line's end or a hyphen."""


@dataclass(frozen=True)
class Word:
    """A word of one text.

    start, stop: characters in `Words.string`. surface: as it stands there. key: what its forms have in common.
    content: it is no function word. number: it is a number. name: it has a capital, here and inside a sentence.
    run: number of the phrase, a run of content words with nothing but blanks and hyphens between them.
    sentence: number of the sentence.
    """

    start: int
    stop: int
    surface: str
    key: str
    content: bool
    number: bool
    name: bool
    run: int
    sentence: int


@dataclass(frozen=True)
class Words:
    """One text: its characters, those of every token (start, stop), and its words in order."""

    string: str
    spans: list[tuple[int, int]]
    words: list[Word]


class _Found(NamedTuple):
    """A word before it is known what it is."""

    start: int
    stop: int
    script: Script | None
    sentence: int
    apart: bool
    opening: bool


def words_of(tokens: Tokens) -> dict[str, Words]:
    """The words of texts '1' and '2'. What is a function word or a name is decided on both together."""
    texts = {side: spelled(tokens, side) for side in ("1", "2")}
    found = {side: list(_found(*text)) for side, text in texts.items()}
    surfaces = [(texts[side][0][word.start : word.stop], word) for side in texts for word in found[side]]
    function_words, known = _function_words([(surface, word.script) for surface, word in surfaces])
    names = {
        fold(surface)
        for surface, word in surfaces
        if word.script and not word.opening and surface[0].isupper() and fold(surface) not in function_words
    }
    return {
        side: Words(string, spans, list(_words(string, found[side], function_words, known, names)))
        for side, (string, spans) in texts.items()
    }


def spelled(tokens: Tokens, text: str) -> tuple[str, list[tuple[int, int]]]:
    """The characters of a text, and which of them are each token's: (start, stop), those of parts of one character too.

    Put together from the pieces of any tokenizer; the offsets tell how many characters a piece stands for, and with it
    how it is written. White space that no token covers comes out as one blank, an unknown word as U+FFFD.
    """
    offsets, pieces = tokens.offsets(text).tolist(), tokens.pieces(text).tolist()
    joined: list[str] = []
    spans: list[tuple[int, int]] = []
    length = reached = place = 0
    while place < len(pieces):
        first, (start, stop) = place, offsets[place]
        place += 1
        while place < len(pieces) and offsets[place][0] < stop:
            stop = max(stop, offsets[place][1])
            place += 1
        if start > reached:
            joined.append(" ")
            length += 1
        part = _characters("".join(pieces[first:place]), stop - start)
        joined.append(part)
        if len(part) == stop - start:
            spans += [(length + begin - start, length + end - start) for begin, end in offsets[first:place]]
        else:
            spans += [(length, length + len(part))] * (place - first)
        length += len(part)
        reached = stop
    return "".join(joined), spans


def _characters(piece: str, count: int) -> str:
    r"""What a piece says, given the number of its characters: ▁ is a blank, ## no character, \xd0 and <0xD0> a byte."""
    if piece in ("[UNK]", "<unk>"):
        return "\ufffd" * count
    plain = piece.replace("▁", " ")
    if len(plain) == count:
        return plain
    readings = [_unescaped(plain), plain.removeprefix("##"), plain.lstrip()]
    if all(ord(letter) < 256 for letter in piece):
        readings.append(piece.encode("latin-1").decode(errors="replace"))
    return next((reading for reading in readings if len(reading) == count), readings[0])


def _unescaped(text: str) -> str:
    r"""Bytes that are written as \xd0 or <0xD0>, put together to characters."""
    return re.sub(
        r"(?:\\x[0-9a-f]{2})+|(?:<0x[0-9A-F]{2}>)+",
        lambda found: bytes.fromhex("".join(re.findall("(?<=x)..", found[0]))).decode(errors="replace"),
        text,
    )


def borders(tokens: Tokens) -> tuple[frozenset[int], frozenset[int]]:
    """Ids of tokens that always end with a letter or digit, and of those that always begin with one, in any text.

    Where one of each meet, a word goes on. Scripts without blanks have no such tokens.
    """
    ends: dict[int, bool] = {}
    begins: dict[int, bool] = {}
    for text in tokens.texts:
        string, spans = spelled(tokens, text)
        kinds = classes(string)
        for place, (number, (start, stop)) in enumerate(zip(tokens.ids(text).tolist(), spans, strict=True)):
            ends[number] = ends.get(number, True) and kinds[stop - 1] in "wd"
            if place:
                # a blank that no token covers stands before this one
                apart = spans[place - 1][1] < start
                begins[number] = begins.get(number, True) and not apart and kinds[start] in "wd"
    return frozenset(number for number in ends if ends[number]), frozenset(filter(begins.get, begins))


def classes(string: str) -> str:
    """For each character its class: w a letter, u one of a script without blanks, d a digit; others are themselves."""
    return "".join(map(_class, string))


@cache
def _class(letter: str) -> str:
    kind = unicodedata.category(letter)[0]
    if kind == "N":
        return "d"
    if kind not in "LM":
        return letter
    return "u" if any(first <= ord(letter) <= last for first, last in UNSPACED) else "w"


def _found(string: str, spans: Sequence[tuple[int, int]]) -> Iterator[_Found]:
    """Every word's place, with what its surroundings say of it."""
    before, sentence = 0, 0
    previous = ""
    for start, stop in _places(string, spans):
        gap = string[before:start]
        initial = gap.strip() == "." and len(previous) == 1 and previous.isupper()
        ends = bool(SENTENCE_END.search(gap)) and not string[start].islower() and not initial
        ends = ends or "\n\n" in gap.replace(" ", "")
        sentence += ends
        yield _Found(start, stop, _script(string[start:stop]), sentence, not JOINT.fullmatch(gap), ends or not before)
        before, previous = stop, string[start:stop]


def _places(string: str, spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """(start, stop) of every word; in a script without blanks the tokens stand for words."""
    kinds = classes(string)
    edges = sorted({edge for span in spans for edge in span})
    place = 0
    for match in WORD.finditer(kinds):
        start, stop = match.span()
        if kinds[start] != "u":
            yield start, stop
            continue
        while edges[place] <= start:
            place += 1
        inner = place
        while edges[inner] < stop:
            inner += 1
        yield from pairwise([start, *edges[place:inner], stop])


def _script(surface: str) -> Script | None:
    """By the first letter; None for a number."""
    letter = next((letter for letter in surface if unicodedata.category(letter)[0] == "L"), None)
    if letter is None:
        return None
    if _class(letter) == "u":
        return "unspaced"
    name = unicodedata.name(letter, "")
    return "latin" if name.startswith("LATIN") else "cyrillic" if name.startswith("CYRILLIC") else "other"


def _function_words(surfaces: Sequence[tuple[str, Script | None]]) -> tuple[frozenset[str], frozenset[Script]]:
    """The function words of the pair in small letters, and the scripts whose list fits.

    Where no list fits, they are told by their length and their frequency: at most as many letters as SHORT says, or
    more than four times and a share of the words above a 400th per letter. Scripts without blanks are left as they are.
    """
    chosen: set[str] = set()
    known: set[Script] = set()
    ordered = sorted(((script, fold(surface)) for surface, script in surfaces if script), key=itemgetter(0))
    for script, group in groupby(ordered, key=itemgetter(0)):
        counts = Counter(surface for _, surface in group)
        listed = FUNCTION_WORDS.get(script, frozenset())
        if sum(counts[word] for word in listed) >= KNOWN_SHARE * counts.total():
            chosen |= listed
            known.add(script)
        elif script != "unspaced":
            short, least = SHORT[script], counts.total() / 400
            chosen |= {
                word for word, count in counts.items() if len(word) <= short or count > max(4, len(word) * least)
            }
    return frozenset(chosen), frozenset(known)


def _words(
    string: str, found: Sequence[_Found], function_words: frozenset[str], known: frozenset[Script], names: set[str]
) -> Iterator[Word]:
    run = 0
    for start, stop, script, sentence, apart, _ in found:
        surface = string[start:stop]
        small = fold(surface)
        letter = len(surface) == 1 and script in SHORT
        content = not letter and small not in function_words
        # a number says how many or when, and is a phrase of its own
        alone = not content or script is None
        run += apart or alone
        key = _stem(small, script) if script in known else small
        name = surface[0].isupper() and small in names
        yield Word(start, stop, surface, key, content, script is None, name, run, sentence)
        run += alone


def fold(surface: str) -> str:
    """Small letters, and е for ё, which many texts do not tell apart."""
    return surface.lower().replace("ё", "е")


def _stem(word: str, script: Script | None) -> str:
    """A word without its ending, so that its forms meet; what is left need not be a word."""
    return _english(word) if script == "latin" else _russian(word)


def _english(word: str) -> str:
    """Without the plural, -ed, -ing and a last -e: studies → study, spacing → spac, spaced → spac."""
    if len(word) > STEM + 1 and word.endswith("ies"):
        word = f"{word[:-3]}y"
    elif len(word) > STEM + 2 and word.endswith(("sses", "xes", "ches", "shes")):
        word = word[:-2]
    elif len(word) > STEM and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    if len(word) > STEM + 2 and word.endswith("ied"):
        word = f"{word[:-3]}y"
    for ending in ("ed", "ing"):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) >= STEM and re.search("[aeiouy]", rest) and not word.endswith("eed"):
            word = rest[:-1] if re.search(r"([bdgmnprt])\1$", rest) else rest
            break
    return word[:-1] if len(word) > STEM and word.endswith("e") else word


def _russian(word: str) -> str:
    """Without the longest ending of a noun or an adjective that leaves three letters: интервалами → интервал.

    A vowel that comes and goes before a last к is left out: промежуток, промежутки → промежутк.
    """
    ending = next((ending for ending in ENDINGS if word.endswith(ending) and len(word) - len(ending) >= STEM), "")
    return re.sub("(?<=[^аеиоуыэюя])[ое]к$", "к", word.removesuffix(ending))
