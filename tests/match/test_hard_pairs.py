"""Pairs that are hard to tell, each with its verdict and the reason that a music lover would give.

"Artist - Title | m:ss | Album"; what a side does not know is left out or empty. None of these is from measured data.
"""

import unicodedata
from collections.abc import Callable

import pytest

from psm.config import MatchConfig
from psm.match.decide import Candidate, Ruling, judge
from psm.match.views import describe_file, describe_track
from psm.models import FileFacts, Track, TrackTags

SAME = [
    # How a title is written
    ("Adele - Hello | 4:55", "ADELE - HELLO | 4:55", "case"),
    ("Sigur Rós - Hoppípolla | 4:28", "Sigur Ros - Hoppipolla | 4:28", "accents"),
    ("Ke$ha - TiK ToK | 3:20", "Kesha - Tik Tok | 3:20", "a letter in disguise"),
    ("Røyksopp - Eple | 3:37", "Royksopp - Eple | 3:37", "a letter with a stroke"),
    ("宇多田ヒカル - First Love | 4:17", "宇多田ﾋｶﾙ - First Love | 4:17", "half-width kana"),
    ("R.E.M. - Nightswimming | 4:16", "REM - Nightswimming | 4:16", "initials"),
    ("Guns N' Roses - Don't Cry | 4:44", "Guns N Roses - Dont Cry | 4:44", "apostrophes"),
    ("Earth, Wind & Fire - September | 3:35", "Earth Wind and Fire - September | 3:35", "and"),
    ("Elton John - Rocket Man | 4:41", "Elton John - Rocketman | 4:41", "words run together"),
    ("Alanis Morissette - Ironic | 3:49", "Alanis Morisette - Ironic | 3:50", "a misspelt artist"),
    ("Lynyrd Skynyrd - Free Bird | 9:08", "Lynyrd Skynyrd - Freebird | 9:07", "one word or two"),
    ("Dua Lipa - Levitating | 3:23", "Dua Lipa - Levitatign | 3:23", "two letters swapped"),
    ("Klaxons - Diamond | 4:10", "Klaxons - iDamond | 4:10", "the first two letters swapped"),
    ("Кино - Группа крови | 4:44", "Kino - Gruppa krovi | 4:44", "a Latin reading of Cyrillic"),
    ("Мумий Тролль - Владивосток 2000 | 2:39", "Mumiy Troll - Vladivostok 2000 | 2:39", "spelt a little otherwise"),
    ("スピッツ - ロビンソン | 4:19", "Supittsu - Robinson | 4:19", "a Latin reading of kana"),
    ("아이유 - 좋은 날 | 3:53", "IU, 아이유 - Joheun nal | 3:53", "a Latin reading of Hangul"),
    ("Liszt - Vallée d'Obermann (First Version) | 12:40", "Liszt - Vallée d'Obermann (fist version) | 12:40",
     "the same version, misspelt"),
    # What says nothing
    ("Fleetwood Mac - Dreams | 4:17", "Fleetwood Mac - Dreams (2004 Remaster) | 4:18", "a remaster"),
    ("The Beatles - Help! - 2015 Mix | 2:19", "The Beatles - Help! | 2:19", "a mix of a year is a remaster"),
    ("Darude - Sandstorm - Original Mix | 3:45", "Darude - Sandstorm | 3:45", "the original mix is no remix"),
    ("Lady Gaga - Shallow (From 'A Star Is Born') | 3:36", "Lady Gaga - Shallow | 3:36", "where it comes from"),
    ("Eminem - Stan (Explicit) | 6:44", "Eminem - Stan | 6:44", "explicit"),
    ("a-ha - Take On Me (Official Video) | 3:46", "a-ha - Take On Me | 3:46", "how it was published"),
    # Names that look like additions
    ("Sneaker Pimps - 6 Underground | 4:05", "Sneaker Pimps - 6 Underground | 4:05", "a number that is its own"),
    ("Prince - 1999 | 3:38", "Prince - 1999 (Edit) | 3:38", "a title that is a number"),
    ("Nena - (Nur) geträumt | 3:20", "Nena - Nur geträumt | 3:20", "brackets in front belong to the title"),
    ("Paul McCartney - Live and Let Die | 3:12", "Paul McCartney - Live And Let Die | 3:12", "no live recording"),
    ("Nujabes - Feather | 2:55", "Nujabes feat. Cise Starr - Feather | 2:55", "no “feat” in “Feather”"),
    # Guests and names
    ("Gotye - Somebody That I Used to Know (feat. Kimbra) | 4:05",
     "Gotye, Kimbra - Somebody That I Used to Know | 4:04", "guests in either field"),
    ("Mabel Matiz, Mark Eliyahu - Karakol | 4:00", "Mark Eliyahu & Mabel Matiz - Karakol | 4:01", "a set, not a list"),
    ("Rosalía - La Noche (con Bad Bunny) | 3:20", "Rosalía, Bad Bunny - La Noche | 3:20", "guests in Spanish"),
    ("Kygo - Firestone (Extended Mix (feat. Conrad Sewell)) | 5:00", "Kygo - Firestone (Extended Mix) | 5:00",
     "guests within an addition"),
    ("Tyler, The Creator - EARFQUAKE | 3:10", "Tyler the Creator - Earfquake | 3:10", "a name with a comma"),
    ("Simon & Garfunkel - The Boxer | 5:08", "Paul Simon, Art Garfunkel, Simon & Garfunkel - The Boxer | 5:08",
     "a name among others"),
    ("Disclosure - Latch - Flume Remix | 4:30", "Disclosure, Flume - Latch | 4:30", "the remixer among the artists"),
    # The right version
    ("Nirvana - Lake of Fire - Live | 2:55", "Nirvana - Lake of Fire | 2:55 | MTV Unplugged in New York",
     "live in the album only"),
    ("Pink Floyd - Another Brick in the Wall, Pt. 2 | 3:59", "Pink Floyd - Another Brick in the Wall (Part II) | 4:00",
     "the same part"),
    ("Hole - Violet | 3:24", "Hole - Violet | 3:29 | Live Through This", "an album that is not live"),
    ("Talking Heads - Heaven | 3:41 | Gold", "Talking Heads - Heaven | 3:41 | Live in Rome", "as long as the studio's"),
    ("Doom - Figaro | 2:25 | Figaro", "Doom - Figaro | 2:25 | Figaro (Instrumental)", "a single with both versions"),
    ("Moby - Porcelain (Extended) | 4:01", "Moby - Porcelain | 4:01", "as long as the extended one"),
    # The same place: artist, album and length to the second agree
    ("Interpol - xEvil | 3:35 | Antics", "Interpol - Evil | 3:35 | Antics", "a letter too many"),
    ("Elbow - the Sky | 3:07 | Little Fictions", "Elbow - Under the Sky | 3:07 | Little Fictions",
     "half a title"),
    ("Drudkh - Furrow | 9:11 | Swan Road", "Drudkh - Track 04 | 9:11 | Swan Road", "a file that was never named"),
    ("Drudkh - Furrow | 9:11 | Swan Road", "Drudkh - 004 | 9:11 | Swan Raod", "and its album misspelt"),
    ("Vivaldi - The Four Seasons: Winter | 8:49 | Baroque Masterpieces",
     "I Musici - The Four Seasons: Winter | 8:49 | Baroque Masterpieces", "the composer, and who plays"),
    # One side knows little
    (" - The Last Time I Saw Richard | | Blue",
     "Joni Mitchell - The Last Time I Saw Richard | 4:15 | Blue", "nobody named, but title and album"),
    ("Queen - Innuendo", "Queen - Innuendo | 6:30", "no duration in the playlist"),
]  # fmt: skip

OTHERS = [
    # Siblings
    ("Adele - Hello | 4:55", "Adele - Hello (Live at the BBC) | 4:55", "a live recording, even as long"),
    ("Adele - Hello | 4:55", "Adele - Hello (Karaoke Version) | 4:55", "karaoke"),
    ("Adele - Hello | 4:55", "Adele - Hello | 4:55 | Karaoke Hits 2016", "karaoke by its album"),
    ("Adele - Hello | 4:55", "Adele - Hello - Instrumental | 4:55", "instrumental"),
    ("Adele - Hello | 4:55", "Adele - Hello (Demo) | 4:55", "a demo"),
    ("Adele - Hello | 4:55", "Adele - Hello (Sped Up) | 4:00", "sped up"),
    ("Adele - Hello | 4:55", "Adele - Hello (Marshmello Remix) | 4:55", "a remix"),
    ("Adele - Hello | 4:55", "Adele - Hello (Christmas Version) | 4:55", "some version that no list knows"),
    ("Adele - Hello (Guitar Version) | 4:55", "Adele - Hello (Harp Version) | 4:55", "two such versions"),
    ("Adele - Hello | 4:55", "Adele - Hello (Tiny Desk) | 4:55", "live at somebody's desk"),
    ("Adele - Hello (Marshmello Remix) | 4:55", "Adele - Hello (Dave Audé Remix) | 4:55", "somebody else's remix"),
    ("Кино - Группа крови | 4:44", "Кино - Группа крови (концертная версия) | 4:44", "live, in Russian"),
    ("Кино - Группа крови | 4:44", "Kino - Gruppa lyubvi | 4:44", "another word, in either alphabet"),
    ("Muse - Exogenesis, Pt. 1 | 4:18", "Muse - Exogenesis, Pt. 2 | 4:18", "another part"),
    ("Shakira - Whenever, Wherever | 3:16", "Shakira - Whenever, Wherever - Spanish Version | 3:16", "in Spanish"),
    ("Taylor Swift - Love Story | 3:55", "Taylor Swift - Love Story (Taylor's Version) | 3:56", "sung again"),
    ("Disclosure - Latch - Flume Remix | 4:30", "Disclosure, Flume - Latch | 3:20", "the remix lasts longer"),
    ("Doom - Figaro | 2:25 | Mm..Food", "Doom - Figaro | 2:25 | Mm..Food (Instrumentals)", "instrumental by its album"),
    ("Talking Heads - Heaven | 3:41 | Gold", "Talking Heads - Heaven | 3:46 | Live in Rome", "live by its album"),
    ("Talking Heads - Heaven | | Gold", "Talking Heads - Heaven | 3:41 | Live in Rome", "live, and no duration"),
    ("Moby - Porcelain | 4:01", "Moby - Porcelain (Extended) | 6:40", "the extended one"),
    ("Queen - Innuendo | 6:30", "Queen - Innuendo | 3:28", "an edit of half the length"),
    ("Queen - Song (First Movement) | 3:20", "Queen - Song (Last Chapter) | 3:20", "another movement"),
    # Another title
    ("Queen - Show Me | 3:20", "Queen - Show Me the Way | 3:20", "a longer title that begins with it"),
    ("Survivor - Rocky | 3:20", "Survivor - Rocky II | 3:20", "another number"),
    ("Blur - Song 2 | 2:02", "Blur - Song 3 | 2:02", "another number"),
    ("Queen - The Night | 3:20", "Queen - The Light | 3:20", "a rhyme, no slip"),
    ("Chopin - Nocturne No. 1 in B-Flat Minor | 5:30", "Chopin - Nocturne No. 2 in B-Flat Minor | 5:30",
     "titles from one pattern"),
    ("Bach - Concerto for Violin Strings and Continuo in A Minor BWV 1041 Allegro moderato | 4:00",
     "Bach - Concerto for Violin Strings and Continuo in A Minor BWV 1041 Andante moderato | 4:00",
     "one word of thirteen, and it tells"),
    ("Dave Brubeck - You Look Well, Uncle Robert | 3:09 | Time Off",
     "Dave Brubeck - That's My Hat, Uncle Robert | 3:09 | Time Off", "neighbours on an album"),
    ("Jessica Curry - The Mne | 3:25 | Dear Esther", "Jessica Curry - The Mine (Instrumental) | 3:25 | Dear Esther",
     "the same place, but instrumental"),
    # Other people
    ("Queen - Innuendo | 6:30", "Portishead - Innuendo | 6:30", "others"),
    ("Mo - Hold On | 3:20", "Ma - Hold On | 3:20", "a short name has no slips"),
    ("Anna, Big Guest - London | 3:20", "Berta, Big Guest - London | 3:20 | Punk", "only the guest is the same"),
    ("Lucio - Carezza - Tango argentino | 2:56 | Dances of Two Worlds",
     "Various Artists - Serata - Tango argentino | 2:56 | Dances of Two Worlds",
     "the name before the dash is a title for both"),
    ("Vivaldi - Winter | 8:49 | Greatest Hits", "Tori Amos - Winter | 8:49 | Greatest Hits", "an album that all have"),
    ("Queen - Halo | 4:00 | Halo", "Beyoncé - Halo | 4:00 | Halo", "a single is named for its song"),
    # One side knows too little
    (" - Halo | 4:00", "Beyoncé - Halo | 4:00", "nobody named, and a short title"),
    ("Drudkh - Furrow | 9:11 | Swan Road", "Drudkh - Track 04 | 9:13 | Swan Road", "unnamed, two seconds apart"),
    ("Drudkh - Furrow | 9:11", "Drudkh - Track 04 | 9:11", "unnamed, and no album"),
    ("Drudkh - Furrow | 9:11 | Unknown Album", "Drudkh - Track 04 | 9:11 | Unknown Album", "unknown is no album"),
    ("Drudkh - Furrow | 9:11 | Live, Vol. 1", "Drudkh - Track 04 | 9:11 | Live, Vol. 2", "another volume"),
]  # fmt: skip


def wide(text: str) -> str:
    """``text`` in the full-width letters that East Asian input methods write."""
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def seconds(text: str) -> float | None:
    minutes, colon, rest = text.partition(":")
    return int(minutes) * 60.0 + int(rest) if colon else None


def fields(text: str) -> tuple[str, str, float | None, str | None]:
    said, lasts, album = ([part.strip() for part in text.split("|")] + ["", ""])[:3]
    artist, _, title = said.partition("- " if said.startswith("-") else " - ")
    return artist, title, seconds(lasts), album or None


def is_accepted(wanted: str, found: str, spelt: Callable[[str], str] = str) -> bool:
    artist, title, lasts, album = fields(wanted)
    track = Track(1, "key", title, (artist,) if artist else (), album=album, duration_s=lasts)
    by, called, played, of = fields(found)
    by, called, of = spelt(by), spelt(called), of and spelt(of)
    file = FileFacts(1, b"/m/x.flac", TrackTags(title=called, artists=(by,), album=of, duration_s=played))
    candidate = Candidate(file, describe_file(file))
    return judge(track, describe_track(track), candidate, Ruling(), MatchConfig()).accepted


@pytest.mark.parametrize(("wanted", "found", "why"), SAME)
def test_one_recording_however_it_is_written(wanted: str, found: str, why: str) -> None:
    assert is_accepted(wanted, found), why


@pytest.mark.parametrize(("wanted", "found", "why"), OTHERS)
def test_another_recording_however_alike(wanted: str, found: str, why: str) -> None:
    assert not is_accepted(wanted, found), why


@pytest.mark.parametrize(("wanted", "found", "why"), [*SAME, *OTHERS])
def test_the_verdict_is_the_same_when_track_and_file_change_places(wanted: str, found: str, why: str) -> None:
    assert is_accepted(wanted, found) is is_accepted(found, wanted), why


@pytest.mark.parametrize(
    "spelt",
    [
        str.upper,
        str.lower,
        wide,
        lambda text: unicodedata.normalize("NFD", text),
        lambda text: unicodedata.normalize("NFKD", text),
    ],
    ids=["upper", "lower", "wide", "NFD", "NFKD"],
)
@pytest.mark.parametrize(("wanted", "found", "why"), [*SAME, *OTHERS])
def test_case_width_and_unicode_form_change_nothing(
    wanted: str, found: str, why: str, spelt: Callable[[str], str]
) -> None:
    assert is_accepted(wanted, found, spelt) is is_accepted(wanted, found), why
