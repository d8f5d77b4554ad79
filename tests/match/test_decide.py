"""Hard pairs with the verdict and its reason, and which of several files is taken."""

import random
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psm.config import MatchConfig
from psm.match.decide import Candidate, Judgement, Ruling, decide, judge, rank
from psm.match.scoring import farthest_apart
from psm.match.views import describe_file, describe_track
from psm.models import Confidence, FileFacts, Method, Track, TrackTags

CFG = MatchConfig()
NO_RULING = Ruling()


def track(label: str, *, seconds: float | None = 200.0, **fields: object) -> Track:
    artist, dash, title = label.partition(" - ")
    artists = (artist,) if dash else ()
    return Track(1, "key", title if dash else label, artists, duration_s=seconds, **fields)  # type: ignore[arg-type]


def file(label: str, *, seconds: float | None = 200.0, path: bytes | None = None, **tags: object) -> FileFacts:
    artist, dash, title = label.partition(" - ")
    said = {"title": title if dash else label, "artists": (artist,) if dash else (), "duration_s": seconds, **tags}
    place = path or b"/m/" + label.encode().hex().encode()
    return FileFacts(hash((place, label)) & 0xFFFF, place, TrackTags(**said))  # type: ignore[arg-type]


def judged(wanted: Track, found: FileFacts, ruling: Ruling = NO_RULING, cfg: MatchConfig = CFG) -> Judgement:
    return judge(wanted, describe_track(wanted), Candidate(found, describe_file(found)), ruling, cfg)


def best(wanted: Track, *found: FileFacts, ruling: Ruling = NO_RULING) -> FileFacts | None:
    described = describe_track(wanted)
    taken = decide(wanted, described, [Candidate(f, describe_file(f)) for f in found], ruling, CFG)
    return taken.candidate.file if taken else None


@pytest.mark.parametrize(
    ("wanted", "found", "why"),
    [
        ("Queen - Innuendo", "Queen - Innuendo (2011 Remaster)", "a remaster says nothing"),
        ("Queen - Innuendo", "Queen - Innuendo [Deluxe Edition] (Explicit)", "nor does the release"),
        ("Queen - Innuendo - Remastered 2011", "Queen - innuendo", "on either side"),
        ("CHIC - Good Times - 2018 Remaster", "Chic - Good Times", "case says nothing"),
        ("Beyoncé - Halo (feat. Jay-Z)", "Beyoncé feat. Jay-Z - Halo", "guests may stand in either field"),
        ("Beyoncé - Halo", "Jay-Z, Beyonce - Halo", "artists are a set"),
        ("P!nk - So What", "Pink - So What", "letters in disguise"),
        ("AC/DC - T.N.T.", "ACDC - TNT", "dots and slashes"),
        ("The Beatles - Blackbird", "Beatles - Black Bird", "where words end"),
        ("Looking Glass - Brandy (You're a Fine Girl)", "Looking Glass - Brandy", "a subtitle left out"),
        ("Queen - Innuendo - Live at Wembley", "Queen - Innuendo (Live)", "both are live"),
        ("Flume - Holdin On (Hermitude Remix)", "Flume - Holdin On - Hermitude Remix", "the same remix"),
        ("Nirvana - Smells Like Teen Spirit", "Nirvana - Smells Like Teen Sprit", "a slip"),
        ("Кино - Группа крови", "КИНО - Группа Крови", "Cyrillic"),
        ("Queen - Innuendo, Pt. 2", "Queen - Innuendo (Part II)", "the same part, written otherwise"),
        ("The xx - Intro", "The xx - Intro", "a common name, of the same artist"),
        ("Nena - 99 Luftballons", "Nena - 03 99 Luftballons", "a track number in the title"),
        ("Queen - Innuendo", "Queen - Innuendo (The Official Video)", "how it was published"),
        (
            "Gerry Goffin - It Might as Well Rain Until September and Then a While",
            "Gerry Goffin - It Might as Well Rain Until S",
            "a title cut at 28 letters or more",
        ),
    ],
)
def test_the_same_recording_is_known(wanted: str, found: str, why: str) -> None:
    assert judged(track(wanted), file(found)).accepted, why


@pytest.mark.parametrize(
    ("wanted", "found", "why"),
    [
        ("Queen - Innuendo", "Queen - Innuendo (Live at Wembley)", "only the file is live"),
        ("Queen - Innuendo - Live", "Queen - Innuendo", "only the track is live"),
        ("Queen - Innuendo", "Queen - Innuendo (Karaoke Version)", "only the file is karaoke"),
        ("Queen - Innuendo", "Queen - Innuendo - Instrumental", "only the file is instrumental"),
        ("Queen - Innuendo", "Queen - Innuendo (Acoustic)", "only the file is acoustic"),
        ("Queen - Innuendo", "Queen - Innuendo (Demo)", "only the file is demo"),
        ("Queen - Innuendo", "Queen - Innuendo (Flume Remix)", "only the file is remix"),
        ("Queen - Innuendo (Flume Remix)", "Queen - Innuendo (Justice Remix)", "another remix"),
        ("Queen - Innuendo, Pt. 1", "Queen - Innuendo, Pt. 2", "only the track is part 1"),
        ("Queen - Innuendo", "Queen - Innuendo (Sped Up)", "only the file is sped up"),
        ("Queen - Innuendo", "Queen - Innuendo - Spanish Version", "only the file is spanish version"),
        ("Survivor - Rocky", "Survivor - Rocky II", "another number in the title"),
        ("Queen - Show Me", "Queen - Show Me the Way", "different title"),
        ("Queen - The Night of the Wolf", "Queen - The Night of the Fox", "different title"),
        ("Queen - Innuendo", "Portishead - Innuendo", "different artists"),
        ("Queen - Song (First Movement)", "Queen - Song (Last Chapter)", "“first movement” is not “last chapter”"),
    ],
)
def test_a_sibling_is_refused_and_the_reason_is_said(wanted: str, found: str, why: str) -> None:
    verdict = judged(track(wanted), file(found))
    assert not verdict.accepted
    assert why in verdict.bad


@pytest.mark.parametrize(
    ("seconds", "accepted", "said"),
    [
        (201.0, True, "same duration"),
        (206.0, True, "6 s longer"),
        (194.0, True, "6 s shorter"),
        (218.0, False, "18 s longer"),
        (100.0, False, "100 s shorter"),
    ],
)
def test_the_duration_is_graded(seconds: float, accepted: bool, said: str) -> None:
    verdict = judged(track("Queen - Innuendo"), file("Queen - Innuendo", seconds=seconds))
    assert verdict.accepted is accepted
    assert said in verdict.reasons


def test_a_wider_tolerance_lets_more_pass() -> None:
    wide = MatchConfig(duration_tolerance_s=20.0)
    assert judged(track("Queen - Innuendo"), file("Queen - Innuendo", seconds=218.0), cfg=wide).accepted


def test_without_a_duration_the_names_decide() -> None:
    verdict = judged(track("Queen - Innuendo", seconds=None), file("Queen - Innuendo"))
    assert (verdict.accepted, verdict.method, verdict.confidence) == (True, Method.EXACT, Confidence.MEDIUM)
    same_album = judged(
        track("Queen - Innuendo", seconds=None, album="Innuendo"), file("Queen - Innuendo", album="Innuendo (Deluxe)")
    )
    assert same_album.confidence is Confidence.HIGH


def test_live_may_stand_in_the_album_alone() -> None:
    live_album = file("Queen - Innuendo", album="Live at Wembley")
    assert judged(track("Queen - Innuendo - Live"), live_album).accepted
    karaoke_album = file("Queen - Innuendo", album="Karaoke Hits")
    assert "only the file is karaoke" in judged(track("Queen - Innuendo"), karaoke_album).bad


def test_a_remixer_may_be_credited_as_the_artist_when_it_lasts_as_long() -> None:
    wanted = track("Disclosure - You & Me - Flume Remix")
    assert judged(wanted, file("Disclosure, Flume - You & Me")).accepted
    assert not judged(wanted, file("Disclosure, Flume - You & Me", seconds=230.0)).accepted


def test_nobody_named_needs_a_telling_title_and_the_same_duration() -> None:
    wanted = track("Queen - The Show Must Go On")
    assert judged(wanted, file("The Show Must Go On")).accepted
    assert judged(wanted, file("The Show Must Go On")).confidence is Confidence.LOW
    assert not judged(wanted, file("The Show Must Go On", seconds=206.0)).accepted
    assert not judged(track("Queen - Halo"), file("Halo")).accepted


@pytest.mark.parametrize(
    ("title", "tags"),
    [
        ("Queen - Innuendo", {}),
        ("Innuendo - Queen", {"artists": ("Queen",)}),
        ("Queen - Innuendo", {"artists": ("Unknown Artist",), "album_artist": "Various Artists"}),
        ("Queen - Innuendo", {"artists": ("Unknown Artist",), "album_artist": "Somebody"}),
        ("Innuendo / Queen", {"artists": ("Various Artists",)}),
        ("Innuendo", {"artists": (), "album_artist": "Queen"}),
        ("unknown", {"path": b"/m/03 - Queen - Innuendo.mp3"}),
    ],
)
def test_a_file_is_read_in_several_ways(title: str, tags: dict[str, object]) -> None:
    path = tags.pop("path", b"/m/x.mp3")
    assert isinstance(path, bytes)
    found = FileFacts(1, path, TrackTags(title=title, duration_s=200.0, **tags))  # type: ignore[arg-type]
    assert judged(track("Queen - Innuendo"), found).accepted


def test_a_video_names_its_artist_in_the_title_and_who_uploaded_it_in_the_field() -> None:
    video = file("Queen - Innuendo (Official Video)", artists=("Somebody's Channel",), title="Queen - Innuendo")
    found = judged(track("Queen - Innuendo"), video)
    assert (found.accepted, found.confidence) == (True, Confidence.LOW)
    assert "the artist is named in the title, and another one in the artist field" in found.bad
    assert not judged(track("Queen - Innuendo", seconds=206.0), video).accepted


@pytest.mark.parametrize(
    ("seconds", "album", "title", "accepted"),
    [
        (200.8, "Swan Road", "Track 04", True),
        (200.8, "Swan Raod", "Furrow, Sown", True),
        (202.0, "Swan Road", "Track 04", False),
        (200.8, "Another", "Track 04", False),
        (200.8, "Swan Road", "Sunwheel", False),
        (200.8, "Swan Road", "Furrow (Live)", False),
    ],
)
def test_at_the_same_place_of_an_album_a_likeness_of_titles_is_enough(
    seconds: float, album: str, title: str, accepted: bool
) -> None:
    wanted = track("Drudkh - Furrow", album="Swan Road")
    found = judged(wanted, file(f"Drudkh - {title}", seconds=seconds, album=album))
    assert found.accepted is accepted
    assert ("the same place on the album" in found.good) is accepted


def test_a_playlist_that_names_no_title_gets_what_lies_at_its_place() -> None:
    wanted = track("Drudkh - Unknown", album="Swan Road")
    found = judged(wanted, file("Drudkh - Furrow", album="Swan Road"))
    assert (found.accepted, found.confidence) == (True, Confidence.LOW)
    assert "“unknown” is no title" in found.bad


def test_a_remixer_after_the_dash_is_no_artist_after_the_title() -> None:
    remix = file("Innuendo - Justice & Daft Remix", artists=("Queen, Justice & Daft",))
    assert not judged(track("Queen - Innuendo"), remix).accepted


def test_a_file_without_a_title_or_a_name_is_nothing() -> None:
    verdict = judged(track("Queen - Innuendo"), FileFacts(1, b"/m/.mp3", TrackTags(title="")))
    assert not verdict.accepted


def test_an_equal_isrc_is_proof_when_nothing_speaks_against_it() -> None:
    wanted = track("Queen - Innuendo", isrc="GBUM71029604")
    found = judged(wanted, file("Queen - Innuendo (Album Version)", isrcs=("GBUM71029604",), seconds=212.0))
    assert (found.method, found.confidence, found.accepted) == (Method.ISRC, Confidence.HIGH, True)
    translated = judged(wanted, file("Королева - Намёк", isrcs=("GBUM71029604",)))
    assert (translated.method, translated.confidence) == (Method.ISRC, Confidence.MEDIUM)
    recording = judged(track("Queen - Innuendo", mb_recording_id="F0"), file("Queen - Innuendo", mb_recording_id="f0"))
    assert recording.method is Method.MUSICBRAINZ


def test_an_equal_isrc_of_another_song_is_no_proof() -> None:
    wanted = track("Queen - Innuendo", isrc="GBUM71029604")
    assert not judged(wanted, file("Portishead - Roads", isrcs=("GBUM71029604",), seconds=300.0)).accepted
    far = judged(wanted, file("Queen - Innuendo", isrcs=("GBUM71029604",), seconds=216.0))
    assert (far.method, far.confidence) == (Method.FUZZY, Confidence.LOW)
    assert "ISRC equal" in far.good


def test_an_equal_id_goes_before_an_equal_name() -> None:
    wanted = track("Queen - Innuendo", isrc="GBUM71029604")
    proven = file("Queen - Innuendo", path=b"/m/z.mp3", codec="mp3", isrcs=("GBUM71029604",))
    assert best(wanted, file("Queen - Innuendo", path=b"/m/a.flac", codec="flac"), proven) == proven


def test_of_equals_the_better_sound_is_taken_then_the_album_then_the_path() -> None:
    wanted = track("Queen - Innuendo")
    mp3 = file("Queen - Innuendo", path=b"/m/1.mp3", codec="mp3", bitrate_kbps=128)
    better = file("Queen - Innuendo", path=b"/m/2.mp3", codec="mp3", bitrate_kbps=320)
    sampler = file("Queen - Innuendo", path=b"/m/3.flac", codec="flac", compilation=True)
    album = file("Queen - Innuendo", path=b"/m/4.flac", codec="flac")
    later = file("Queen - Innuendo", path=b"/m/5.flac", codec="flac")
    wave = file("Queen - Innuendo", path=b"/m/6.wav", codec="pcm_s16le", compilation=True)
    described = describe_track(wanted)
    everything = [mp3, better, sampler, album, later, wave]
    random.Random(7).shuffle(everything)
    order = rank(wanted, described, [Candidate(f, describe_file(f)) for f in everything], NO_RULING, CFG)
    assert [j.candidate.file for j in order] == [album, later, sampler, wave, better, mp3]


def test_what_the_person_decided_comes_first() -> None:
    wanted = track("Queen - Innuendo", locations=(b"/m/named.mp3",))
    named = file("x - y", path=b"/m/named.mp3")
    other = file("v - w", path=b"/m/other.mp3")
    assert best(wanted, named, other) == named
    assert best(wanted, named, other, ruling=Ruling(chosen=other.id)) == other
    assert best(wanted, named, other, ruling=Ruling(rejected=frozenset([named.id]))) is None
    assert best(wanted, named, other, ruling=Ruling(none=True)) is None
    assert best(track("Queen - Innuendo")) is None


def test_a_slightly_different_title_is_less_sure() -> None:
    verdict = judged(track("Nirvana - Smells Like Teen Spirit"), file("Nirvana - Smells Like Teen Sprit"))
    assert (verdict.method, verdict.confidence) == (Method.FUZZY, Confidence.MEDIUM)
    assert any(reason.startswith("similar title") for reason in verdict.good)


def test_words_run_together_with_a_slip_are_still_similar() -> None:
    assert judged(track("Queen - Every Story Is a Love Story"), file("Queen - EveryStoryIsaLoveStry")).accepted


def test_subtitles_that_say_the_same_otherwise_agree() -> None:
    wanted = track("Queen - Song (The Long Goodbye)")
    assert judged(wanted, file("Queen - Song (Long Goodbye, The)")).accepted


def test_the_example_in_the_prose_is_true() -> None:
    wanted = track("CHIC - Good Times - 2018 Remaster", seconds=486.0)
    scores = [
        judged(wanted, file(label, seconds=seconds)).score
        for label, seconds in (
            ("Chic - Good Times", 480.0),
            ("Chic - Good Times (Live)", 486.0),
            ("Chic - Good Times", 220.0),
        )
    ]
    assert scores == [0.93, 0.5, 0.65]


def test_the_other_example_in_the_prose_is_true() -> None:
    wanted = track("Drudkh - Furrow", seconds=551.0, album="Swan Road")
    placed = judged(wanted, file("Drudkh - Track 04", seconds=551.4, album="Swan Road"))
    assert (placed.score, placed.confidence) == (0.865, Confidence.LOW)
    assert not judged(wanted, file("Drudkh - Track 04", seconds=553.0, album="Swan Road")).accepted
    assert not judged(wanted, file("Drudkh - Sunwheel", seconds=551.4, album="Swan Road")).accepted


@pytest.mark.parametrize(
    ("label", "seconds", "of"),
    [
        ("Queen - Innuendo", 206.0, {"duration": 0.93, "title": 1.0, "artists": 1.0}),
        ("Queen - Inuendo (Live)", 200.0, {"title": 0.45, "duration": 1.0}),
        ("Portishead - Innuendo", 200.0, {"artists": 0.4}),
    ],
)
def test_each_piece_of_evidence_has_its_weight(label: str, seconds: float, of: dict[str, float]) -> None:
    weights = {w.of: w.factor for w in judged(track("Queen - Innuendo"), file(label, seconds=seconds)).weights}
    assert {name: pytest.approx(weights[name]) for name in of} == of


LABELS = (
    "Queen - Innuendo",
    "Queens - Inuendo",
    "Innuendo",
    "Queen & Others - Innuendo (Live)",
    "Beyoncé - Halo (Edit)",
    "Queen - Track 04",
    "Freddie Mercury - Innuendo",
)
DESCRIBED = st.tuples(
    st.sampled_from(LABELS),
    st.none() | st.floats(100.0, 400.0) | st.sampled_from([180.0, 180.9, 182.9, 183.1, 192.0, 200.0, 220.0]),
    st.sampled_from([None, "Innuendo", "Live Killers", "A Night at the Opera"]),
    st.sampled_from([(), ("USRC17607839",)]),
)
SETTINGS = st.builds(
    MatchConfig, threshold=st.floats(0.3, 1.0), duration_tolerance_s=st.sampled_from([0.0, 1.0, 8.0, 60.0])
)


@settings(max_examples=300, deadline=None)
@given(DESCRIBED, st.lists(DESCRIBED, min_size=1, max_size=6), SETTINGS)
def test_what_is_let_go_early_would_not_have_been_taken(
    wanted: tuple[str, float | None, str | None, tuple[str, ...]],
    found: list[tuple[str, float | None, str | None, tuple[str, ...]]],
    cfg: MatchConfig,
) -> None:
    label, seconds, album, isrcs = wanted
    asked = track(label, seconds=seconds, album=album, isrc=isrcs[0] if isrcs else None)
    described = describe_track(asked)
    files = [
        FileFacts(n, b"/m/%d" % n, file(label, seconds=seconds, album=album, isrcs=isrcs).tags)
        for n, (label, seconds, album, isrcs) in enumerate(found)
    ]
    candidates = [Candidate(f, describe_file(f)) for f in files]
    first = rank(asked, described, candidates, NO_RULING, cfg)[0]
    assert decide(asked, described, candidates, NO_RULING, cfg) == (first if first.accepted else None)
    apart = farthest_apart(cfg)
    for one in candidates:
        verdict = judge(asked, described, one, NO_RULING, cfg)
        assert prod(weight.factor for weight in verdict.weights) == pytest.approx(verdict.score, abs=0.001)
        lasts = one.described.duration_s
        if verdict.accepted and not (isrcs and one.file.tags.isrcs) and None not in (apart, seconds, lasts):
            assert abs(lasts - seconds) <= apart  # type: ignore[operator]
