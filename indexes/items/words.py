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
    """Words of the text that name one model, joined forms included."""
    folded = fold(text)
    joined = (re.sub(r"[-./_]", "", run) for run in _COMPOUND.findall(folded))
    return {word for word in (*_WORD.findall(folded), *joined) if is_model_number(word)}


def model_share(text: str) -> float:
    """Which share of the words, parted by spaces, are model numbers: 1 for "WF-1000XM4"."""
    parts = [re.sub(r"[^\w]|_", "", part) for part in fold(text).split()]
    return sum(map(is_model_number, parts)) / len(parts) if parts else 0.0


def word_hash(word: str) -> int:
    """32 bits are enough to compare within one query's candidates."""
    return int(xxhash.xxh32_intdigest(word.encode("utf-8", "surrogatepass")))


def word_hashes(tokens: list[str] | set[str]) -> WordHashes:
    """Distinct words -> sorted distinct hashes."""
    return np.array(sorted({word_hash(word) for word in tokens}), dtype=np.uint32)


def folded(query: str) -> str:
    """A query as people mean it: without case, width and surplus spaces."""
    return " ".join(unicodedata.normalize("NFKC", query).casefold().split())
