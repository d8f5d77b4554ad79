"""The one ignore policy, shared by scan and watch: which names are never music, and what marker files in folders say."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IgnorePolicy:
    """What is ignored for its own name or path, without looking at the disk (marker files: :class:`FolderRules`).

    ``patterns`` are ``library.ignore_patterns``.
    """

    patterns: tuple[str, ...] = ()

    def reason(self, relative: bytes, *, is_folder: bool) -> str | None:
        """Why this one path (not its parents) is ignored, None when it is not."""
        raise NotImplementedError

    def path_reason(self, relative: bytes, *, is_folder: bool) -> str | None:
        """Why this path or one of its parents is ignored, None when none is."""
        raise NotImplementedError
