"""Invented music: a library like people have, and one that is hard to match in.

Everything follows from the seed, and a longer library begins with the shorter one: the same files in every run.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate, islice

_FREQUENT = (
    "the you me love in my of a to and on it night time i'm don't one no your all day for is baby heart life down "
    "girl home world man blue live dance away fire back rain sun dream river light never good red black song"
).split()
_ONSETS = "b bl br c ch cl d dr f fl g gr h j k l m n p pr qu r s sh sl st t th tr v w y z".split()
_VOWELS = "a e i o u ai ea ee ou oa".split()
_CODAS = ["", "", "n", "r", "l", "s", "t", "m", "nd", "ck", "st", "ng", "rd"]
_FEW_WORDS = (
    "love night day blue red moon sun river song dance fire heart rain road dream light star home city girl boy time "
    "world life train gold black white summer winter glass paper stone garden mirror ocean shadow silver thunder window"
).split()
_SHARED_ALBUMS = ("Greatest Hits", "Live", "Unplugged", "The Best Of", "Singles", "Acoustic Sessions")
_COMPOSERS = (
    "Ludwig van Beethoven|Wolfgang Amadeus Mozart|Johann Sebastian Bach|Joseph Haydn|Franz Schubert|Johannes Brahms|"
    "Robert Schumann|Felix Mendelssohn|Antonín Dvořák|Gustav Mahler|Anton Bruckner|Pyotr Ilyich Tchaikovsky"
).split("|")
_WORKS = (
    "Symphony No. {n} in {key}|Piano Sonata No. {n} in {key}, Op. {opus}|String Quartet No. {n} in {key}|"
    "Piano Concerto No. {n} in {key}, Op. {opus}|Violin Sonata No. {n} in {key}|Cello Suite No. {n} in {key}"
).split("|")
_MOVEMENTS = (
    "I. Allegro|II. Andante|III. Menuetto: Allegretto|IV. Finale: Presto|I. Allegro con brio|II. Adagio|III. Scherzo|"
    "IV. Rondo: Allegro ma non troppo"
).split("|")
_KEYS = ("C Major", "C Minor", "D Major", "D Minor", "E-Flat Major", "F Major", "G Major", "G Minor", "A Major")
_ORCHESTRAS = (
    "Berliner Philharmoniker|Wiener Philharmoniker|London Symphony Orchestra|Royal Concertgebouw Orchestra|"
    "Chicago Symphony Orchestra|Academy of St Martin in the Fields|Chamber Orchestra of Europe|Gewandhausorchester"
).split("|")


@dataclass(frozen=True, slots=True)
class Song:
    """One file's tags; ``folder`` and ``name`` say where it lies, ``credit`` is its artists as tagged."""

    title: str
    artists: tuple[str, ...]
    album: str
    album_artist: str
    number: int
    seconds: float

    @property
    def folder(self) -> str:
        return f"{self.album_artist}/{self.album}".replace("?", "")

    @property
    def credit(self) -> str:
        return ", ".join(self.artists)


def library(count: int, *, unkind: bool, skip: int = 0) -> list[Song]:
    """``count`` songs, after the first ``skip``. The unkind ones share their words with thousands of others."""
    return list(islice(_unkind() if unkind else _usual(), skip, skip + count))


def wanted(count: int, songs: list[Song]) -> Iterator[Song]:
    """What playlists ask for: four of five are in the library, most spelt a little differently than there."""
    chance = random.Random(1)
    for number in range(count):
        song = chance.choice(songs)
        match number % 10:
            case 0:  # another song of the same artist
                yield replace(song, title=f"{chance.choice(songs).title} {_word(chance)}", seconds=_seconds(chance))
            case 1:  # a song of others
                yield replace(song, artists=(f"{_word(chance)} {_word(chance)}".title(),), seconds=_seconds(chance))
            case 2 | 3:
                yield replace(song, title=f"{song.title} - 2011 Remaster", seconds=song.seconds + chance.uniform(-2, 2))
            case 4:
                yield replace(song, title=_misspelt(song.title, chance))
            case 5:
                yield replace(song, album="", artists=song.artists[:1])
            case _:
                yield replace(song, seconds=song.seconds + chance.uniform(-0.5, 0.5))


def _usual() -> Iterator[Song]:
    """Albums of ten or so, a few by various artists; guests, live recordings and remasters, as people have them."""
    chance = random.Random(2)
    while True:
        artist = _artist(chance)
        for _ in range(min(25, int(chance.paretovariate(0.9)))):
            various = chance.random() < 0.08
            album = chance.choice(_SHARED_ALBUMS) if chance.random() < 0.06 else _title(chance)
            for number in range(1, chance.randint(8, 16)):
                by: tuple[str, ...] = (_artist(chance) if various else artist,)
                title = _title(chance)
                if chance.random() < 0.07:
                    guest = _artist(chance)
                    by, title = ((*by, guest), title) if chance.random() < 0.5 else (by, f"{title} (feat. {guest})")
                if chance.random() < 0.1:
                    title += chance.choice((" (Live)", " - Remastered", " (Remix)", " (Acoustic)", " (Radio Edit)"))
                yield Song(title, by, album, "Various Artists" if various else artist, number, _seconds(chance))


def _unkind() -> Iterator[Song]:
    """Every second song has three of forty words for a title, by one of many called "… Artist …"; the others are
    movements of a few hundred classical works, each recorded again and again."""
    chance = random.Random(3)
    for number in range(1 << 60):
        few = " ".join(chance.sample(_FEW_WORDS, 3)).title()
        place = number // 240
        artist = f"{_FEW_WORDS[place % len(_FEW_WORDS)].title()} Artist {place}"
        yield Song(few, (artist,), f"Album {number // 24 % 10}", artist, number // 2 % 12 + 1, _seconds(chance))
        work = chance.choice(_WORKS).format(
            n=chance.randint(1, 9), key=chance.choice(_KEYS), opus=chance.randint(1, 99)
        )
        composer, orchestra = chance.choice(_COMPOSERS), chance.choice(_ORCHESTRAS)
        album = f"{composer}: {work}"
        title = f"{work}: {chance.choice(_MOVEMENTS)}"
        yield Song(title, (composer, orchestra), album, orchestra, number % 99 + 1, _seconds(chance) * 2)


@cache
def _vocabulary() -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Ten thousand words and how often each is used: the n-th as often as 1/n, nearly, as in any language."""
    chance = random.Random(4)
    words = dict.fromkeys(_FREQUENT)
    while len(words) < 10_000:
        syllables = chance.choice((1, 2, 2, 2, 3))
        words["".join(chance.choice(p) for _ in range(syllables) for p in (_ONSETS, _VOWELS, _CODAS))] = None
    return tuple(words), tuple(accumulate(1 / (rank + 3) for rank in range(len(words))))


def _word(chance: random.Random) -> str:
    words, weights = _vocabulary()
    return chance.choices(words, cum_weights=weights)[0]


def _title(chance: random.Random) -> str:
    length = chance.choices((1, 2, 3, 4, 5, 6), (22, 30, 22, 13, 8, 5))[0]
    return " ".join(_word(chance) for _ in range(length)).title()


def _artist(chance: random.Random) -> str:
    own = chance.choice(_vocabulary()[0])  # any word as likely as another: names differ more than titles do
    name = " ".join([*(_word(chance) for _ in range(chance.choice((0, 1, 1, 1, 2)))), own]).title()
    return f"The {name}" if chance.random() < 0.15 else name


def _seconds(chance: random.Random) -> float:
    return min(900.0, max(45.0, chance.gauss(225, 60)))


def _misspelt(title: str, chance: random.Random) -> str:
    """Leaves out a letter, not the first one."""
    at = chance.randrange(1, len(title)) if len(title) > 4 else len(title)
    return title[:at] + title[at + 1 :]
