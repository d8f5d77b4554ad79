"""Artists as a set of names."""

import pytest

from psm.match.artists import compare_artists, is_nobody, parse_artists


def score(mine: tuple[str, ...], theirs: tuple[str, ...]) -> float | None:
    return compare_artists(parse_artists(mine), parse_artists(theirs)).score


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (("Simon & Garfunkel",), ("Simon and Garfunkel",)),
        (("Simon", "Garfunkel"), ("Garfunkel; Simon",)),
        (("The Beatles",), ("Beatles",)),
        (("AC/DC",), ("ACDC",)),
        (("Tyler, The Creator",), ("Tyler, the Creator",)),
        (("Florence + The Machine",), ("Florence and the Machine",)),
        (("Beyoncé", "Jay-Z"), ("Beyonce",)),
        (("Beyoncé",), ("Beyoncé feat. Jay-Z",)),
        (("Björk",), ("Bjork",)),
        (("Björk",), ("Björk - Topic",)),
        (("Björk",), ("bjorkVEVO",)),
        (("Led Zeppelin",), ("Led Zepplin",)),
        (("Carl Brave x Franco126",), ("Franco126, Carl Brave",)),
    ],
)
def test_the_same_people_agree(mine: tuple[str, ...], theirs: tuple[str, ...]) -> None:
    assert score(mine, theirs) == 1.0
    assert score(theirs, mine) == 1.0


def test_some_of_many_agree_a_little_less() -> None:
    found = compare_artists(parse_artists(("A One", "B Two", "C Three")), parse_artists(("C Three", "A One", "D Four")))
    assert found.score is not None
    assert 0.93 <= found.score < 1.0
    assert (found.common, found.asked) == (2, 3)


def test_a_name_that_holds_a_separator_is_found_among_others() -> None:
    assert score(("ACDC",), ("AC/DC", "Queen")) is not None
    found = compare_artists(parse_artists(("AC/DC",)), parse_artists(("AC/DC", "Queen")))
    assert found.common


def test_who_shares_a_guest_alone_is_somebody_else() -> None:
    found = score(("BIA", "J. Cole"), ("Young Thug", "J. Cole"))
    assert found is not None
    assert found < 0.93


def test_different_people_do_not_agree() -> None:
    assert score(("Queen",), ("Portishead",)) == 0.0
    assert score(("Mo",), ("Ma",)) == 0.0


def test_a_name_within_a_longer_one_is_similar() -> None:
    found = score(("Jimi Hendrix",), ("The Jimi Hendrix Experience",))
    assert found is not None
    assert 0.5 < found < 0.93


def test_guests_of_the_title_count() -> None:
    with_guest = parse_artists(("Beyoncé",), ("Jay-Z",))
    assert compare_artists(parse_artists(("Jay-Z",)), with_guest).common == 1


@pytest.mark.parametrize("name", ["", "Unknown Artist", "Various Artists", "VA", "  ", "<unknown>", "[Unknown]"])
def test_nobody_is_nobody(name: str) -> None:
    assert is_nobody(name)
    assert score((name,), ("Queen",)) is None


def test_somebody_is_not_nobody() -> None:
    assert not is_nobody("Soundgarden")
