"""What a title says: the song, its version, its guests."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psm.match.titles import numbers, parse_album, parse_title


@pytest.mark.parametrize(
    ("text", "core", "kinds", "subtitles"),
    [
        ("Halo", "halo", set(), ()),
        ("Halo - 2011 Remaster", "halo", set(), ()),
        ("Halo (Remastered at Abbey Road)", "halo", set(), ()),
        ("Halo [Deluxe Edition] (Explicit)", "halo", set(), ()),
        ("Halo (Official Music Video)", "halo", set(), ()),
        ('Halo - From "The Film"', "halo", set(), ()),
        ("Halo (2019 Mix)", "halo", set(), ()),
        ("Halo - Original Mix", "halo", set(), ()),
        ("Halo - Radio Edit", "halo", set(), ()),
        ("Halo - Live at Wembley / 1986", "halo", {"live"}, ()),
        ("Halo (MTV Unplugged)", "halo", {"live"}, ()),
        ("Halo Live at Wembley", "halo", {"live"}, ()),
        ("Halo (Flume Remix)", "halo", {"remix"}, ()),
        ("Halo - Joris Voorn Edit", "halo", {"remix"}, ()),
        ("Halo Acoustic Version", "halo", {"acoustic"}, ()),
        ("Halo (Karaoke Version in the Style of Beyoncé)", "halo", {"karaoke"}, ()),
        ("Halo (Demo) [Instrumental]", "halo", {"demo", "instrumental"}, ()),
        ("Halo, Pt. 2", "halo", {"part 2"}, ()),
        ("Halo (Part II)", "halo", {"part 2"}, ()),
        ("Halo - Spanish Version", "halo", {"spanish version"}, ()),
        ("Halo (Sped Up)", "halo", {"sped up"}, ()),
        ("Halo (Extended Mix)", "halo", {"extended"}, ()),
        ("Halo (Guitar Version)", "halo", {"guitar version"}, ()),
        ("Halo - Lullaby Rendition", "halo", {"lullaby rendition"}, ()),
        ("Halo (2011 Re-Mastered Digital Version)", "halo", set(), ()),
        ("Halo (Album Version)", "halo", set(), ()),
        ("Halo (Lo-Fi)", "halo", {"lo-fi"}, ()),
        ("Halo (Minus One)", "halo", {"karaoke"}, ()),
        ("Halo (Act II)", "halo", {"part 2"}, ()),
        ("Halo (ライブ)", "halo", {"live"}, ()),
        ("Halo (Taylor's Version)", "halo", {"Taylor's version"}, ()),
        ("Brandy (You're a Fine Girl)", "brandy", set(), ("youre a fine girl",)),
        ("(I Can't Get No) Satisfaction", "i cant get no satisfaction", set(), ()),
        ("(Untitled)", "untitled", set(), ()),
        ("Live and Let Die", "live and let die", set(), ()),
        ("Feather", "feather", set(), ()),
        ("With or Without You", "with or without you", set(), ()),
        ("Halo (never closed", "halo", set(), ("never closed",)),
        ("Halo (a (nested) one)", "halo", set(), ("a nested one",)),
        ("1979", "1979", set(), ()),
        ("- -", "- -", set(), ()),
        ("Part 2", "part 2", set(), ()),
    ],
)
def test_a_title_is_taken_apart(text: str, core: str, kinds: set[str], subtitles: tuple[str, ...]) -> None:
    found = parse_title(text)
    assert (found.core, set(found.kinds), found.subtitles) == (core, kinds, subtitles)


@pytest.mark.parametrize(
    ("text", "guests"),
    [
        ("Halo (feat. Jay-Z & Rihanna)", ("Jay-Z & Rihanna",)),
        ("Halo ft. Jay-Z", ("Jay-Z",)),
        ("Halo [with Jay-Z] - Live", ("Jay-Z",)),
        ("Halo (w/ Jay-Z)", ("Jay-Z",)),
        ("Halo (con Jay-Z)", ("Jay-Z",)),
        ("Halo (Extended Mix (feat. Jay-Z))", ("Jay-Z",)),
        ("Halo （feat. Jay-Z）", ("Jay-Z",)),
        ("Halo (prod. Somebody)", ()),
        ("Halo", ()),
    ],
)
def test_guests_are_named_in_titles(text: str, guests: tuple[str, ...]) -> None:
    found = parse_title(text)
    assert found.guests == guests
    assert found.core == "halo"


def test_guests_within_an_addition_leave_the_rest_of_it() -> None:
    found = parse_title("Halo (Flume Remix (feat. Jay-Z & Rihanna))")
    assert (found.core, set(found.kinds), set(found.credit)) == ("halo", {"remix"}, {"flume"})
    assert found.guests == ("Jay-Z & Rihanna",)


def test_a_remix_says_whose_it_is() -> None:
    assert parse_title("Halo (Flume Remix)").credit == {"flume"}
    assert parse_title("Halo (Part 2)").credit == frozenset()


def test_an_addition_that_repeats_the_album_says_nothing() -> None:
    assert parse_title("Halo (Tribute to Tradition)", "Tribute to Tradition").kinds == frozenset()
    assert parse_title("Halo (Guide to Grooming)", "Guid e to rGrooming").subtitles == ()
    assert parse_title("Halo (Live in Rome)", "Live in Rome").kinds == {"live"}
    assert parse_title("Halo (Gold)", "Silver").subtitles == ("gold",)


@pytest.mark.parametrize(
    ("album", "is_live"),
    [
        ("Live in Rome", True),
        ("Queen Live", True),
        ("Live", True),
        ("Gold (Live)", True),
        ("MTV Unplugged in New York", True),
        ("Queen in Concert", True),
        ("Live Through This", False),
        ("Long Live", False),
        ("Born to Live", False),
        ("Live and Let Die", False),
        ("Alive 2007", False),
    ],
)
def test_an_album_is_live_when_its_name_says_so(album: str, is_live: bool) -> None:
    assert ("live" in parse_album(album).kinds) is is_live


@pytest.mark.parametrize(
    ("core", "found"),
    [("rocky ii", ("2",)), ("rocky", ()), ("rocky 02", ("2",)), ("00", ("0",)), ("vi", ()), ("malcolm x", ())],
)
def test_numbers_in_a_title(core: str, found: tuple[str, ...]) -> None:
    assert numbers(core) == found


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="aB1 -–()[]{}.&/'♥й日", max_size=24) | st.text(max_size=24))
def test_no_title_is_too_odd(text: str) -> None:
    found = parse_title(text)
    assert bool(found.core) == bool(text)
