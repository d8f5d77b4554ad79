"""A Latin reading of names in other alphabets: "Группа крови" is also "gruppa krovi".

Cyrillic, Greek, kana and Hangul are written by their sound, as passports and shops write them. Han characters have no
one reading, and Arabic and Hebrew leave out their vowels: a name that holds any of these gets none.
"""

import unicodedata


def _sounding(letters: str, sounds: str) -> dict[str, str]:
    return dict(zip(letters, sounds.split(), strict=True))


_CYRILLIC = _sounding(
    "абвгдезийклмнопрстуфхцчшщъыьэюяёжіїєґўђјљњћџ",
    "a b v g d e z i y k l m n o p r s t u f kh ts ch sh shch | y | e yu ya yo zh i yi ye g u dj j lj nj c dz",
)
_GREEK = _sounding("αβγδεζηθικλμνξοπρσςτυφχψω", "a v g d e z i th i k l m n x o p r s s t y f ch ps o")
_KANA = _sounding(
    "あいうえおかきくけこがぎぐげごさしすせそざじずぜぞたちつてとだぢづでどなにぬねの"
    "はひふへほばびぶべぼぱぴぷぺぽまみむめもやゆよらりるれろわゐゑをんゔぁぃぅぇぉゃゅょ",
    "a i u e o ka ki ku ke ko ga gi gu ge go sa shi su se so za ji zu ze zo ta chi tsu te to da ji zu de do "
    "na ni nu ne no ha hi fu he ho ba bi bu be bo pa pi pu pe po ma mi mu me mo ya yu yo ra ri ru re ro "
    "wa i e o n vu a i u e o ya yu yo",
)
_LETTERS = {letter: sound.strip("|") for letter, sound in (_CYRILLIC | _GREEK).items()}
_GREEK_PAIRS = (("ου", "ou"), ("αυ", "av"), ("ευ", "ev"), ("μπ", "b"), ("ντ", "nt"), ("γγ", "ng"), ("γκ", "gk"))
_HANGUL = tuple(
    sounds.split()
    for sounds in (
        "g kk n d tt r m b pp s ss _ j jj ch k t p h",
        "a ae ya yae eo e yeo ye o wa wae oe yo u wo we wi yu eu ui i",
        "_ k k k n n n t l k m l l l p l m p p t t ng t t k t p t",
    )
)
_SMALL = "ゃゅょぁぃぅぇぉ"
_KATAKANA, _HIRAGANA = 0x30A1, 0x3041


def latin(text: str) -> str | None:
    """A normalised text in Latin letters, spelt by its sound; None when it is Latin already, or cannot be spelt so."""
    if text.isascii():
        return None
    for pair, sound in _GREEK_PAIRS:
        text = text.replace(pair, sound)
    found = "".join(_sounds(text))
    return found if found.isascii() and found != text else None


def _sounds(text: str) -> list[str]:
    sounds: list[str] = []
    held = False
    for character in map(_hiragana, unicodedata.normalize("NFC", text)):
        if character == "っ":  # the next consonant is held
            held = True
        elif character == "ー":  # the vowel is held: some write it twice, most do not
            continue
        elif character in _SMALL and sounds:
            sounds.append(_glided(sounds.pop(), character))
        else:
            sound = _KANA.get(character) or _LETTERS.get(character, character)
            sound = _syllable(character) if "가" <= character <= "힣" else sound
            sounds.append(sound[:1] + sound if held else sound)
            held = False
    return sounds


def _hiragana(character: str) -> str:
    return chr(ord(character) - _KATAKANA + _HIRAGANA) if "ァ" <= character <= "ヶ" else character


def _glided(before: str, small: str) -> str:
    """A syllable with a small letter after it: "ki" and "ya" are "kya", "shi" and "yo" are "sho", "fu" and "a" "fa"."""
    sound = _KANA[small]
    if small in "ゃゅょ" and before.endswith(("shi", "chi", "ji")):
        return before[:-1] + sound[1:]
    return before[:-1] + sound if len(before) > 1 else before + sound


def _syllable(character: str) -> str:
    """A Hangul syllable by its three parts, in the Revised Romanization, each letter for itself."""
    place = ord(character) - ord("가")
    parts = (place // 588, place % 588 // 28, place % 28)
    return "".join(letters[part] for letters, part in zip(_HANGUL, parts, strict=True)).replace("_", "")
