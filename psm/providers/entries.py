"""One row of a source, whatever its format: which of its fields make it a track."""

from collections.abc import Iterable, Sequence

from psm.models import PlaylistEntry
from psm.providers.locations import Located, guess
from psm.providers.text import clean, isrc_of, recording_id_of

NO_TITLE = "it has no title, and names no file whose name could say it"
STREAM = "it is the address of a stream, and no title is given with it"


def make_entry(
    position: int,
    *,
    title: str | None,
    artists: Iterable[str | None] = (),
    album: str | None = None,
    duration_s: float | None = None,
    identifiers: Sequence[str | None] = (),
    located: Sequence[Located] = (),
) -> PlaylistEntry | None:
    """The row as a track, or None when nothing says its title; see :func:`why_not` for the reason.

    ``identifiers`` are ISRCs, MusicBrainz recording ids, or URIs that hold one; those that are neither are left out.
    Without a title the name of the first file that is ``located`` says it.
    """
    names = tuple(name for name in map(clean, artists) if name)
    said = clean(title)
    guessed = False
    if not said and (name := next((place.name for place in located if clean(place.name)), "")):
        guessed = True
        from_name = guess(name)
        said, names = from_name.title, names or from_name.artists
    if not said:
        return None
    return PlaylistEntry(
        position=position,
        title=said,
        artists=names,
        album=clean(album) or None,
        duration_s=duration_s,
        isrc=next(filter(None, map(isrc_of, identifiers)), None),
        mb_recording_id=next(filter(None, map(recording_id_of, identifiers)), None),
        locations=tuple(dict.fromkeys(path for place in located for path in place.paths)),
        guessed=guessed,
    )


def why_not(located: Sequence[Located]) -> str:
    """Why a row with these places and no title cannot be a track."""
    return STREAM if any(place.remote for place in located) else NO_TITLE
