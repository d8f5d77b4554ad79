"""The WHEN of ``psm scan --since``: what people write for a moment in the past, as epoch seconds.

A table of our own, at 2 ms and 1 MB. Of the libraries for it, dateparser takes 175 ms to the first date, in a process
of 28 MB, and 1.3 s to find that "banana" is none; parsedatetime (26 ms, 5 MB) takes "banana" for now, and yesterday for
9 o'clock; dateutil (28 ms, 6 MB) does not know "2 hours ago".
"""

import re
from datetime import datetime, time, timedelta

from psm.errors import UsageError

_EXAMPLES = (
    'Examples: "2 hours ago", "yesterday", "last monday", "10:30", "2025-10-08 10:00", 2025-10-08T10:00:00Z, '
    "or seconds since 1970."
)
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_NUMBERS = {"a": 1, "an": 1} | {word: number for number, word in enumerate(_WORDS)}
_UNITS = {
    word: words[0]
    for words in (
        ("second", "seconds", "sec", "secs", "s"),
        ("minute", "minutes", "min", "mins", "m"),
        ("hour", "hours", "hr", "hrs", "h"),
        ("day", "days", "d"),
        ("week", "weeks", "wk", "wks", "w"),
        ("month", "months", "mo"),
        ("year", "years", "yr", "yrs", "y"),
    )
    for word in words
}
_SECONDS = {"second": 1, "minute": 60, "hour": 3600}
_DAYS = {"day": 1, "week": 7}
_MONTHS = {"month": 1, "year": 12}
_LAST = {f"last {unit}": f"a {unit}" for unit in ("hour", "day", "week", "month", "year")}
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_YEAR_ONE = -62_135_596_800.0

_EPOCH = re.compile(r"@-?\d+(\.\d+)?|\d+(\.\d+)?", re.ASCII)
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?|[a-z]+) ?([a-z]+)(?:,? and |, ?| )?", re.ASCII)
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?", re.ASCII)
_DAY_AND_CLOCK = re.compile(r"(today|yesterday|(?:last )?[a-z]+day)(?:,? (?:at )?([\d:]+))?", re.ASCII)
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d|\d{8})(?:[t ](\d\d:?\d\d(?::?\d\d(?:[.,]\d+)?)?) ?(z|utc|gmt|[+-]\d\d(?::?\d\d)?)?)?", re.ASCII
)


def parse_when(text: str, *, now: datetime) -> float:
    """The moment that ``text`` means, in seconds since the epoch.

    ``now`` is naive local time, or carries the zone whose rules "local" means. Hours and less are counted exactly; days
    and more by the calendar, so that a day ago is the same time on the clock. A day without a time is its midnight. A
    time that the clock shows twice, or never (summer time begins or ends), is the earlier of both readings, because to
    look at too many files does no harm.

    :raises UsageError: when it cannot be read or lies in the future; the message shows examples.
    """
    words = " ".join(text.lower().split())
    try:
        moment = _read(words, now)
    except (ValueError, OverflowError):
        moment = None
    if moment is None or moment < _YEAR_ONE:
        raise UsageError(f'"{text}" is no moment that psm understands. {_EXAMPLES}')
    if moment > now.timestamp():
        raise UsageError(f'"{text}" lies in the future. {_EXAMPLES}')
    return moment


def _read(words: str, now: datetime) -> float | None:
    if words == "now":
        return now.timestamp()
    if _EPOCH.fullmatch(words) and not re.fullmatch(r"\d{4}|\d{8}", words, re.ASCII):  # a year, a date
        return float(words.removeprefix("@"))
    if clock := _CLOCK.fullmatch(words):
        return _timestamp(now, now, clock)
    if (match := _DAY_AND_CLOCK.fullmatch(words)) and (days := _days_back(match[1], now)) is not None:
        clock = _CLOCK.fullmatch(match[2]) if match[2] else None
        if match[2] and clock is None:
            return None
        return _timestamp(now - timedelta(days=days), now, clock)
    if match := _ISO.fullmatch(words):
        return _iso(match[1], match[2], match[3], now)
    span = words.removesuffix(" ago")
    if span in _LAST:
        return _ago(_LAST[span], now)
    return _ago(span.removeprefix("last "), now)


def _days_back(day: str, now: datetime) -> int | None:
    """How many days ago a named day was; a weekday is the last one before today."""
    if day in ("today", "yesterday"):
        return 0 if day == "today" else 1
    weekday = day.removeprefix("last ")
    return (now.weekday() - _WEEKDAYS.index(weekday) - 1) % 7 + 1 if weekday in _WEEKDAYS else None


def _ago(words: str, now: datetime) -> float | None:
    """ "2 hours", "1h30m", "a day and 3 hours" before now."""
    if not words:
        return None
    seconds, days, months = 0.0, 0, 0
    at = 0
    while at < len(words):
        match = _AMOUNT.match(words, at)
        if match is None or (unit := _UNITS.get(match[2])) is None:
            return None
        amount = _NUMBERS.get(match[1]) if match[1].isalpha() else float(match[1])
        if amount is None:
            return None
        if unit in _SECONDS:
            seconds += amount * _SECONDS[unit]
        elif amount != int(amount):
            return None
        elif unit in _DAYS:
            days += int(amount) * _DAYS[unit]
        else:
            months += int(amount) * _MONTHS[unit]
        at = match.end()
    if not (days or months):
        return now.timestamp() - seconds
    return _local(_months_before(now, months) - timedelta(days=days)) - seconds


def _months_before(moment: datetime, months: int) -> datetime:
    """The same day and time so many months earlier, or that month's last day when it has no such day."""
    month = moment.year * 12 + moment.month - 1 - months
    first = moment.replace(year=month // 12, month=month % 12 + 1, day=1)
    last = ((first + timedelta(days=31)).replace(day=1) - timedelta(days=1)).day
    return first.replace(day=min(moment.day, last))


def _timestamp(day: datetime, now: datetime, clock: re.Match[str] | None) -> float:
    hour, minute, second = (int(part or 0) for part in clock.groups()) if clock else (0, 0, 0)
    return _local(datetime.combine(day.date(), time(hour, minute, second), tzinfo=now.tzinfo))


def _iso(day: str, clock: str | None, zone: str | None, now: datetime) -> float:
    offset = "+00:00" if zone in ("z", "utc", "gmt") else zone or ""
    moment = datetime.fromisoformat(f"{day}T{clock}{offset}" if clock else day)
    return moment.timestamp() if zone else _local(moment.replace(tzinfo=now.tzinfo))


def _local(moment: datetime) -> float:
    return min(moment.replace(fold=fold).timestamp() for fold in (0, 1))
