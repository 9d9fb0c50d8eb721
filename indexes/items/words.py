"""words.py: text -> folded words, so that titles and queries meet on equal terms."""

import re
import unicodedata

import numpy as np
import numpy.typing as npt
import xxhash

WordHashes = npt.NDArray[np.uint32]

# A run of letters and digits, or one CJK character: Chinese and Japanese write no spaces.
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+"
)
# "WF-1000XM4" is also searched as "wf1000xm4". Begun only where a run begins and never given back:
# a long run without any dash would otherwise cost the square of its length.
_COMPOUND = re.compile(r"(?<![^\W_])[^\W_]++(?:[-./_][^\W_]++)+")
# Compatibility forms of these are letters, which would grow onto the name before them.
_MARKS = str.maketrans({"\u2122": " ", "\u2120": " "})  # trade mark, service mark
# Sizes and amounts look like model numbers and are not.
_MEASURE = re.compile(
    r"\d+(?:x\d+)*(?:gb|tb|mb|kb|mah|wh|mm|cm|m|km|in|inch|ft|ml|cl|l|oz|lb|lbs|kg|g|mg|w|kw|v|a|hz|khz|mhz|ghz"
    r"|p|k|mp|dpi|rpm|pc|pcs|pack|px|btu|fps|bit|th|st|nd|rd|s|x)?"
)

_LETTERS = 4  # at most, of what stands before a space within a model number
_UNTYPED = 3  # letters of a model number that may be missing at its end


def fold(text: str) -> str:
    """One form for letters that people type differently: width, case, accents, spaces."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.translate(_MARKS).casefold())
    # "\u2121" only becomes letters, in capitals, by decomposing
    folded = unicodedata.normalize("NFKD", decomposed.casefold())
    return "".join(letter for letter in folded if not unicodedata.combining(letter))


def stem(word: str) -> str:
    """The English plural taken off; enough for "shoes" to meet "shoe", harmless elsewhere."""
    if len(word) > 3 and word[-1] == "s" and word[-2] not in "sui" and word.isalpha():
        return word[:-1]
    return word


def words(text: str) -> list[str]:
    """Folded, stemmed words in order, with repeats."""
    return [stem(word) for word in _WORD.findall(fold(text))]


def is_model_number(word: str) -> bool:
    """Digits with letters, or many digits, and not a size: "dv71211ea", "006r90321", "778555"."""
    if word.isalpha():
        return False
    digits = sum(letter.isdigit() for letter in word)
    if digits == len(word):
        return digits >= 5
    return len(word) >= 4 and digits >= 2 and not _MEASURE.fullmatch(word)


def model_numbers(text: str) -> set[str]:
    """Words of a title that name one model, joined forms included: "lp746f" of "LP 746F"."""
    return set(model_words(text, sizes=False))


def model_words(text: str, *, sizes: bool = True) -> dict[str, frozenset[int]]:
    """Model numbers of the text, each with the places of the words, parted by spaces, it is of.

    sizes: whether what looks like a size may end one: "ZP 127M", but of a title "EU 42", too.
    """
    numbers: dict[str, frozenset[int]] = {}
    before, beside = "", -1  # the run before, and its word
    for place, part in enumerate(fold(text).split()):
        for run in _WORD.findall(part):
            if is_model_number(run):
                numbers.setdefault(run, frozenset({place}))
            if beside < place and _may_begin(before) and _may_end(run, sizes):
                numbers.setdefault(before + run, frozenset({beside, place}))
            before, beside = run, place
        for compound in _COMPOUND.findall(part):
            joined = re.sub(r"[-./_]", "", compound)
            if is_model_number(joined):
                numbers.setdefault(joined, frozenset({place}))
    return numbers


def _may_begin(run: str) -> bool:
    """Whether a model number may begin so and go on after a space."""
    return 1 < len(run) <= _LETTERS and run.isalpha()


def _may_end(run: str, sizes: bool) -> bool:
    """Whether it has digits enough for a model number."""
    return sum(map(str.isdigit, run)) >= 2 and (sizes or not _MEASURE.fullmatch(run))


def beginnings(numbers: set[str]) -> set[str]:
    """What a person may have typed so far of these model numbers, marked: "lp746*"."""
    return {
        f"{number[:end]}*"
        for number in numbers
        for end in range(max(len(number) - _UNTYPED, 4), len(number))
        if is_model_number(number[:end])
    }


def model_places(text: str) -> frozenset[int]:
    """Places of the words, parted by spaces, that are model numbers by themselves."""
    parts = [re.sub(r"[^\w]|_", "", part) for part in fold(text).split()]
    return frozenset(place for place, part in enumerate(parts) if is_model_number(part))


def word_hash(word: str) -> int:
    """32 bits are enough to compare within one query's candidates."""
    return int(xxhash.xxh32_intdigest(word.encode("utf-8", "surrogatepass")))


def word_hashes(tokens: list[str] | set[str]) -> WordHashes:
    """Distinct words -> sorted distinct hashes."""
    return np.array(sorted({word_hash(word) for word in tokens}), dtype=np.uint32)


def folded(query: str) -> str:
    """A query as people mean it: without case, width and surplus spaces."""
    return " ".join(unicodedata.normalize("NFKC", query).casefold().split())
