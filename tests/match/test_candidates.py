"""The keys under which tracks and files find each other."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psm.match.candidates import (
    file_keys,
    key_hash,
    most_promising,
    name_keys,
    proof_keys,
    shared_keys,
    track_keys,
)
from psm.match.views import describe_file, describe_track
from psm.models import FileFacts, Track, TrackTags


def keys_of_file(*, path: bytes = b"/m/x.flac", readable: bool = True, **tags: object) -> frozenset[str]:
    file = FileFacts(1, path, TrackTags(**tags), readable)  # type: ignore[arg-type]
    return file_keys(file, describe_file(file))


def keys_of_track(title: str, *artists: str, **fields: object) -> frozenset[str]:
    track = Track(1, "k", title, artists, **fields)  # type: ignore[arg-type]
    return track_keys(track, describe_track(track))


@pytest.mark.parametrize(
    ("title", "artists", "tags"),
    [
        ("Halo", ("Beyoncé",), {"title": "HALO", "artists": ("Beyonce",)}),
        ("Blackbird", ("The Beatles",), {"title": "Black Bird", "artists": ("Beatles",)}),
        ("Innuendo", ("Queen",), {"title": "Innuendoo", "artists": ("Queens",)}),
        ("Halo", ("Beyoncé",), {"title": "Beyoncé - Halo"}),
        ("Halo", ("Beyoncé",), {"title": "03 Halo", "artists": ("Beyoncé",), "track_number": 3}),
        ("Brandy", (), {"title": "Brandy (You're a Fine Girl)", "artists": ("Looking Glass",)}),
        ("Intro", ("The xx",), {"title": "Intro", "artists": ("The xx",)}),
        ("ありがとう", ("いきものがかり",), {"title": "ありがとう", "artists": ("いきものがかり",)}),
        ("!!!", ("!!!",), {"title": "!!!", "artists": ("!!!",)}),
        ("Gimme Fuel Gimme Fire", ("Metallica",), {"title": "Gimme Fuel Give Fire", "artists": ("Metalica",)}),
        ("Everybody Dancing", ("Somebody",), {"title": "Everybody Dancing Up", "artists": ("Somebody",)}),
        (
            "Over the River Towards Home",
            ("Somebody",),
            {"title": "Overtheriver Towardshomes", "artists": ("Somebody",)},
        ),
        ("Symphony No. 5: Alegro", ("Mahler",), {"title": "Symphony No. 5: Allegro", "artists": ("Mahler",)}),
        ("1999 (Edit)", ("Prince",), {"title": "1999", "artists": ("Prince",)}),
    ],
)
def test_descriptions_of_one_recording_meet(title: str, artists: tuple[str, ...], tags: dict[str, object]) -> None:
    assert keys_of_track(title, *artists) & keys_of_file(**tags)  # type: ignore[arg-type]


def test_songs_of_one_album_meet_whatever_their_titles_say() -> None:
    wanted = keys_of_track("éMtropole", "Indochine", album="Préparation")
    assert wanted & keys_of_file(title="Metropole", artists=("Indochine",), album="Preparation (2006)")
    assert not wanted & keys_of_file(title="Metropole", artists=("Indochine",), album="Another")
    unknown = keys_of_track("Always", "Weezer", album="Unknown Album")
    assert not unknown & keys_of_file(title="Buddy Holly", artists=("Weezer",), album="Unknown Album")


@pytest.mark.parametrize("title", ["Track 03", "003", "n.a.", "Unknown"])
def test_a_placeholder_is_a_name_only_with_its_artist(title: str) -> None:
    wanted = keys_of_track(title, "Weezer")
    assert not wanted & keys_of_file(title=title, artists=("Queen",))
    assert wanted & keys_of_file(title=title, artists=("Weezer",))


@pytest.mark.parametrize(
    ("title", "artists", "tags"),
    [
        ("Intro", ("The xx",), {"title": "Intro", "artists": ("M83",)}),
        ("The Love of You", ("Queen",), {"title": "The Hate of You", "artists": ("Queen",)}),
        ("Halo", ("Beyoncé",), {"title": "Roads", "artists": ("Portishead",)}),
        ("Love Song Tonight", ("Queen",), {"title": "Love River Mountain", "artists": ("Queen",)}),
        ("Symphony No. 5: Allegro", ("Mahler",), {"title": "Symphony No. 6: Allegro", "artists": ("Mahler",)}),
    ],
)
def test_what_has_only_common_words_in_common_does_not_meet(
    title: str, artists: tuple[str, ...], tags: dict[str, object]
) -> None:
    assert not keys_of_track(title, *artists) & keys_of_file(**tags)  # type: ignore[arg-type]


def test_proofs_are_keys() -> None:
    one = keys_of_track("x", isrc="usrc17607839", mb_recording_id="F7F6", locations=(b"/m/\xff.mp3",))
    assert one & keys_of_file(isrcs=("US-RC1-76-07839",))
    assert one & keys_of_file(mb_recording_id="f7f6")
    assert one & keys_of_file(path=b"/m/\xff.mp3")


def test_a_file_that_could_not_be_read_is_found_by_its_path_alone() -> None:
    assert keys_of_file(title="Halo", artists=("Beyoncé",), readable=False) == {"path:" + b"/m/x.flac".hex()}


def test_a_file_without_tags_is_found_by_its_name() -> None:
    assert keys_of_track("Halo", "Beyoncé") & keys_of_file(path=b"/m/Beyonc\xc3\xa9 - Halo.mp3")
    assert keys_of_track("Halo", "Beyoncé") & keys_of_file(path=b"/m/03 - Halo.mp3", title="Track 03")


def test_keys_stay_few_however_long_the_title() -> None:
    many = keys_of_file(
        title=" ".join(f"word{n:03d}" for n in range(300)), artists=tuple(f"Artist{n}" for n in range(80))
    )
    assert len(many) <= 49


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=20), st.lists(st.text(max_size=12), max_size=3), st.binary(min_size=1, max_size=20))
def test_every_file_has_a_key_and_every_key_a_hash(title: str, artists: list[str], path: bytes) -> None:
    keys = keys_of_file(path=path.replace(b"\0", b""), title=title, artists=tuple(artists))
    assert keys
    assert all(-(2**63) <= key_hash(key) < 2**63 for key in keys)


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1, max_size=20).filter(str.strip), st.text(min_size=1, max_size=12))
def test_a_track_meets_the_file_that_says_the_same(title: str, artist: str) -> None:
    assert keys_of_track(title, artist) & keys_of_file(title=title, artists=(artist,))


def test_hashes_are_the_same_on_every_machine() -> None:
    assert key_hash("t:halo") == -3135370545375796375


def test_files_are_counted_by_shared_keys() -> None:
    assert shared_keys([1, 2, 3], {1: [10], 2: [10, 11], 4: [12]}) == {10: 2, 11: 1}


def test_the_keys_that_prove_or_name_a_track_are_among_its_keys() -> None:
    track = Track(1, "k", "Halo", ("Beyoncé",), isrc="USRC17607839", mb_recording_id="f7f6", locations=(b"/a",))
    described = describe_track(track)
    assert proof_keys(track, described) == ["path:2f61", "isrc:USRC17607839", "mbid:f7f6"]
    assert name_keys(described) == ["t:halo"]
    assert {*proof_keys(track, described), *name_keys(described)} < track_keys(track, described)


def test_the_most_promising_are_kept_and_the_path_decides_among_equals() -> None:
    asked: list[list[int]] = []

    def places(ids: Sequence[int]) -> dict[int, bytes]:
        asked.append(sorted(ids))
        return {i: b"%d" % (9 - i) for i in ids}

    promise = {1: (0.0,), 2: (1.0,), 3: (1.0,), 4: (1.0,), 5: (2.0,)}
    assert sorted(most_promising(promise, promise.__getitem__, places, most=5)) == [1, 2, 3, 4, 5]
    assert sorted(most_promising(promise, promise.__getitem__, places, most=4)) == [1, 2, 3, 4]
    assert asked == []
    assert sorted(most_promising(promise, promise.__getitem__, places, most=3)) == [1, 3, 4]
    assert asked == [[2, 3, 4]]
