"""The keys under which tracks and files are found: a file is a candidate for a track when they share one.

Keys depend on the item alone, never on what else the library holds: so the tracks that a changed file could answer are
those that share one of its old or its new keys, and matching only these gives the same as matching all.

Four kinds of keys:

- proofs: ``path:``, ``isrc:``, ``mbid:``;
- ``t:`` + a spelling of the song's name without spaces ("gimmegimmegimme"), with and without its additions. The names
  that hundreds of recordings share (Intro, Outro, Interlude …) carry the artist too;
- ``a:`` + the beginning of an artist's name and the album ("inte|antics"): what is called "xEvil" there, or "Track 03",
  may still be the song;
- ``p:`` + the beginnings of a word of the artist and of words of the title ("jimi|vood"): two spellings that differ by
  a slip still share most of them. A title of three telling words or more is found by any two of them, for one alone
  is shared with too many; words that were run together are found by how the title begins. The numbers in the title
  belong to the key, for another number is another song: thousands of "Symphony No. …" by one composer are nine crowds.

A crowd that is still too large (every file is called "Track 1") is cut to the most promising, by what is known without
reading what the files say: proofs, the same name, the number of shared keys, the duration, at last the path.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import chain, combinations

from psm.match.artists import Artists
from psm.match.titles import Title, numbers
from psm.match.views import Described, View
from psm.match.vocabulary import COMMON_TITLES, COMMON_WORDS
from psm.models import FileFacts, Track

MOST_CANDIDATES = 2_000
"""As many files are compared with one track, at most."""

_PREFIX = 4
_HEAD = 10
_MANY_WORDS = 3
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


def proof_keys(track: Track, described: Described) -> list[str]:
    """Those keys of a track of which each alone may settle the matter: the path, the ISRC, the MusicBrainz id."""
    return [*(f"path:{location.hex()}" for location in track.locations), *_id_keys(described)]


def name_keys(described: Described) -> list[str]:
    """Those keys that a file shares which is called the same."""
    return list(dict.fromkeys(chain.from_iterable(map(_title_keys, described.views))))


def key_hash(key: str) -> int:
    """A key as the index holds it: the first 8 bytes of its BLAKE2b, as a signed number."""
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little", signed=True)


def shared_keys(hashes: Iterable[int], files_by_hash: Mapping[int, Iterable[int]]) -> Counter[int]:
    """For each file that shares a key with a track, how many they share."""
    return Counter(chain.from_iterable(files_by_hash.get(one, ()) for one in hashes))


def most_promising(
    files: Collection[int],
    promise: Callable[[int], tuple[float, ...]],
    places: Callable[[Sequence[int]], Mapping[int, bytes]],
    *,
    most: int,
) -> list[int]:
    """All of a few files; of more than ``most`` those of the least ``promise``, and of equal ones the first by path.

    ``places`` gives the paths of files; it is asked only for those among which the path decides.
    """
    if len(files) <= most:
        return list(files)
    promises = {file: promise(file) for file in files}
    edge = sorted(promises.values())[most - 1]
    sure = [file for file in files if promises[file] < edge]
    tied = [file for file in files if promises[file] == edge]
    if len(sure) + len(tied) > most:
        paths = places(tied)
        tied = sorted((file for file in tied if file in paths), key=lambda file: paths[file])
    return sure + tied[: most - len(sure)]


def _content_keys(described: Described) -> list[str]:
    keys = [*_id_keys(described), *name_keys(described)]
    keys += _album_keys(described)
    for view in described.views:
        if not view.untitled:
            keys += _pair_keys(view)
    return list(dict.fromkeys(keys))[:_MOST_KEYS]


def _id_keys(described: Described) -> list[str]:
    keys = [f"isrc:{isrc}" for isrc in sorted(described.isrcs)]
    if described.mb_recording_id:
        keys.append(f"mbid:{described.mb_recording_id}")
    return keys


def _album_keys(described: Described) -> list[str]:
    """Whose album it is: a title with a slip in its first letters, or a placeholder, shares no other key."""
    if described.album is None:
        return []
    album = described.album.core.replace(" ", "")
    names = sorted(described.views[0].artists.names) if described.views else []
    return [f"a:{name}|{album}" for name in dict.fromkeys(name[:_PREFIX] for name in names[:_MOST_ARTIST_WORDS])]


def _title_keys(view: View) -> list[str]:
    keys = []
    for spelling in view.title.spellings:
        if view.untitled or spelling in COMMON_TITLES or len(spelling) < 4:
            # Without an artist such a name says nothing; with one, it is a key of that artist's.
            keys += [f"t:{name}:{spelling}" for name in sorted(view.artists.names)[:_MOST_ARTIST_WORDS]] or [
                f"t::{spelling}"
            ]
        else:
            keys.append(f"t:{spelling}")
    return keys


def _pair_keys(view: View) -> list[str]:
    beginnings = _title_beginnings(view.title)
    return [f"p:{artist}|{title}" for artist in _artist_beginnings(view.artists) for title in beginnings]


@lru_cache(maxsize=4_096)
def _artist_beginnings(artists: Artists) -> list[str]:
    return _beginnings(sorted(artists.tokens), _MOST_ARTIST_WORDS)


def _title_beginnings(title: Title) -> list[str]:
    core = title.core.split()
    words = _beginnings([word for word in core if not word.isdigit()] or core, _MOST_TITLE_WORDS)
    # Two words are one key too, in one order: so "Everybody Dancing" meets "Everybody Dancing Up".
    found = [] if len(words) >= _MANY_WORDS else words
    found = found + ["+".join(pair) for pair in combinations(sorted(words), 2)]
    squashed = title.core.replace(" ", "")
    if len(squashed) >= _HEAD:
        found.append(squashed[:_HEAD])
    said = "".join(f"#{number}" for number in numbers(title.core))
    return [one + said for one in found] if said else found


def _beginnings(tokens: list[str], most: int) -> list[str]:
    """The beginnings of the most telling words: the longest, common ones only when there are no others."""
    telling = [t for t in tokens if t not in COMMON_WORDS and len(t) > 1] or tokens
    longest = sorted(dict.fromkeys(telling), key=lambda t: (-len(t), t))[:most]
    return list(dict.fromkeys(t[:_PREFIX] for t in longest))
