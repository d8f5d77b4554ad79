"""What a provider is: it turns the bytes of one playlist file into a :class:`~psm.models.SourcePlaylist`."""

from typing import Protocol

from psm.errors import PsmError
from psm.models import SourcePlaylist


class Provider(Protocol):
    """Reads one format. It never touches the disk: whoever calls it has read the bytes.

    ``suffixes`` are the lower-case endings of file names, with their dot. Those in ``shared_suffixes`` are used for
    other things as well (any table is a ``.csv``), so a file that turns out to be no playlist is no mistake there.
    """

    name: str
    suffixes: tuple[str, ...]
    shared_suffixes: tuple[str, ...]

    def read(self, content: bytes, source: bytes) -> SourcePlaylist:
        """The playlist in ``content``, whose file is the absolute path ``source``.

        A row that cannot be used is an entry in its ``errors``. Raises :class:`WrittenByPsm` for psm's own output,
        :class:`NoPlaylist` when this is not a playlist of this format, and nothing else, whatever the bytes.
        """
        ...


class NoPlaylist(PsmError):  # noqa: N818  (often it is no error: a folder of playlists holds other files too)
    """The file is no playlist that psm understands; the message says what it is or what it lacks."""


class WrittenByPsm(PsmError):  # noqa: N818  (it is no error)
    """psm wrote this playlist itself: taking it in would feed its own guesses back to it."""

    def __init__(self) -> None:
        super().__init__("it was written by psm, which never imports its own playlists")
