"""What a watcher asks of a scan, beyond what one that is run once does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from psm.errors import PsmError
from psm.models import FileStat, Library


class ScanIsLarge(PsmError):  # noqa: N818  (it says where the work belongs, not that something is wrong)
    """More files would be read than the terms allow. Nothing was written."""

    def __init__(self) -> None:
        super().__init__("There is more to read than was asked for here.")


def _always(_: Library, __: bytes, ___: FileStat) -> bool:
    return True


def _ignore(_: Library, __: bytes, ___: bool) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Terms:
    """Paths are relative to the library's root.

    ``is_finished`` is asked of each file that would be read, with its stat; one that it denies is left as it is, and
    named in the result. ``read_at_most`` is how many
    files are read; more raise :class:`ScanIsLarge`. ``missing_lately`` is how many files went missing by earlier scans
    of the same watcher, by library: they count against the limit of what may go missing at once (rule 1). ``on_folder``
    hears of each folder that was walked and is not ignored, and whether a link led to it. One that ``is_routine`` and
    finds nothing writes nothing for an hour: not even when it was.
    """

    is_finished: Callable[[Library, bytes, FileStat], bool] = _always
    read_at_most: int | None = None
    missing_lately: Mapping[int, int] = field(default_factory=dict)
    on_folder: Callable[[Library, bytes, bool], None] = _ignore
    is_routine: bool = False


NO_TERMS = Terms()
"""Those of a scan that is run once."""
