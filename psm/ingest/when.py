"""The WHEN of ``psm scan --since``: what people write for a moment in the past, as epoch seconds."""

from datetime import datetime


def parse_when(text: str, *, now: datetime) -> float:
    """The moment that ``text`` means, in seconds since the epoch.

    :raises UsageError: when it cannot be read or lies in the future; the message shows examples.
    """
    raise NotImplementedError
