"""The keys under which tracks and files are found: a file is a candidate for a track when they share one.

Keys depend on the item alone, never on what else the library holds: so the tracks that a changed file could answer are
those that share one of its old or its new keys, and matching only these gives the same as matching all.

Three kinds of keys:

- proofs: ``path:``, ``isrc:``, ``mbid:``;
- ``t:`` + a spelling of the song's name without spaces ("gimmegimmegimme"), with and without its additions. The names
  that hundreds of recordings share (Intro, Outro, Interlude …) carry the artist too;
- ``p:`` + the beginnings of a word of the artist and of a word of the title ("jimi|vood"): two spellings that
  differ by a slip still share most of them.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b

from psm.match.artists import Artists
from psm.match.views import Described, View
from psm.match.vocabulary import COMMON_TITLES, COMMON_WORDS
from psm.models import FileFacts, Track

MOST_CANDIDATES = 400
_PREFIX = 4
_MOST_TITLE_WORDS = 4
_MOST_ARTIST_WORDS = 4
_MOST_KEYS = 48


def file_keys(file: FileFacts, described: Described) -> frozenset[str]:
    """The keys of a file. One that could not be read is found by its path alone."""
    own = [f"path:{file.path.hex()}"]
    return frozenset([*own, *_content_keys(described)] if file.readable else own)


def track_keys(track: Track, described: Described) -> frozenset[str]:
    """The keys of a track."""
    return frozenset([*(f"path:{location.hex()}" for location in track.locations), *_content_keys(described)])


@lru_cache(maxsize=65_536)
def key_hash(key: str) -> int:
    """A key as the index holds it: the first 8 bytes of its BLAKE2b, as a signed number."""
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little", signed=True)


def nearest(hashes: Iterable[int], files_by_hash: Mapping[int, Iterable[int]]) -> dict[int, int]:
    """For each file that shares a key with a track, how many they share."""
    shared: dict[int, int] = {}
    for one in hashes:
        for file_id in files_by_hash.get(one, ()):
            shared[file_id] = shared.get(file_id, 0) + 1
    return shared


def _content_keys(described: Described) -> list[str]:
    keys = [f"isrc:{isrc}" for isrc in sorted(described.isrcs)]
    if described.mb_recording_id:
        keys.append(f"mbid:{described.mb_recording_id}")
    for view in described.views:
        keys += _title_keys(view)
    for view in described.views:
        keys += _pair_keys(view)
    return list(dict.fromkeys(keys))[:_MOST_KEYS]


def _title_keys(view: View) -> list[str]:
    keys = []
    for spelling in view.title.spellings:
        if spelling in COMMON_TITLES or len(spelling) < 4:
            # Without an artist such a name says nothing; with one, it is a key of that artist's.
            keys += [f"t:{name}:{spelling}" for name in sorted(view.artists.names)[:_MOST_ARTIST_WORDS]] or [
                f"t::{spelling}"
            ]
        else:
            keys.append(f"t:{spelling}")
    return keys


def _pair_keys(view: View) -> list[str]:
    beginnings = _beginnings(view.title.core.split(), _MOST_TITLE_WORDS)
    return [f"p:{artist}|{title}" for artist in _artist_beginnings(view.artists) for title in beginnings]


def _artist_beginnings(artists: Artists) -> list[str]:
    return _beginnings(sorted(artists.tokens), _MOST_ARTIST_WORDS)


def _beginnings(tokens: list[str], most: int) -> list[str]:
    """The beginnings of the most telling words: the longest, common ones only when there are no others."""
    telling = [t for t in tokens if t not in COMMON_WORDS and len(t) > 1] or tokens
    longest = sorted(dict.fromkeys(telling), key=lambda t: (-len(t), t))[:most]
    return list(dict.fromkeys(t[:_PREFIX] for t in longest))
