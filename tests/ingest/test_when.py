"""What people write for a moment in the past."""

import io
import struct
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psm.errors import ExitCode, UsageError
from psm.ingest.when import parse_when


def zone(rule: str) -> ZoneInfo:
    """A zone by its rule (RFC 9636: a TZif file without transitions): a machine may have no time zones installed."""
    part = b"TZif2" + bytes(15) + struct.pack(">6l", 0, 0, 0, 0, 1, 4) + struct.pack(">lbb", 3600, 0, 0) + b"CET\0"
    return ZoneInfo.from_file(io.BytesIO(part + part + f"\n{rule}\n".encode()))


BERLIN = zone("CET-1CEST,M3.5.0,M10.5.0/3")
NOW = datetime(2025, 10, 8, 12, 30, 15, tzinfo=BERLIN)  # a Wednesday


def read(text: str, now: datetime = NOW) -> str:
    """The moment as Berlin's clocks show it."""
    return datetime.fromtimestamp(parse_when(text, now=now), BERLIN).isoformat(" ").removesuffix("+02:00")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", "2025-10-08 12:30:15"),
        ("2 hours ago", "2025-10-08 10:30:15"),
        ("  2  HOURS\tago ", "2025-10-08 10:30:15"),
        ("2 hours", "2025-10-08 10:30:15"),
        ("last 2 hours", "2025-10-08 10:30:15"),
        ("an hour ago", "2025-10-08 11:30:15"),
        ("1.5 hours ago", "2025-10-08 11:00:15"),
        ("30 min ago", "2025-10-08 12:00:15"),
        ("90m", "2025-10-08 11:00:15"),
        ("1h30m", "2025-10-08 11:00:15"),
        ("1h 30m ago", "2025-10-08 11:00:15"),
        ("5 minutes, 3 seconds ago", "2025-10-08 12:25:12"),
        ("a day and 3 hours ago", "2025-10-07 09:30:15"),
        ("three days ago", "2025-10-05 12:30:15"),
        ("2 wks ago", "2025-09-24 12:30:15"),
        ("1 month ago", "2025-09-08 12:30:15"),
        ("2 yrs ago", "2023-10-08 12:30:15"),
        ("last hour", "2025-10-08 11:30:15"),
        ("last week", "2025-10-01 12:30:15"),
        ("last year", "2024-10-08 12:30:15"),
        ("today", "2025-10-08 00:00:00"),
        ("yesterday", "2025-10-07 00:00:00"),
        ("yesterday 22:15", "2025-10-07 22:15:00"),
        ("Yesterday at 22:15:30", "2025-10-07 22:15:30"),
        ("today 9:05", "2025-10-08 09:05:00"),
        ("10:30", "2025-10-08 10:30:00"),
        ("monday", "2025-10-06 00:00:00"),
        ("thursday", "2025-10-02 00:00:00"),
        ("last wednesday", "2025-10-01 00:00:00"),
        ("wednesday 10:00", "2025-10-01 10:00:00"),
        ("2025-10-08", "2025-10-08 00:00:00"),
        ("20251008", "2025-10-08 00:00:00"),
        ("2025-10-08 10:00", "2025-10-08 10:00:00"),
        ("2025-10-08T10:00:59", "2025-10-08 10:00:59"),
        ("2025-10-08T10:00:59.5", "2025-10-08 10:00:59.500000"),
        ("2025-10-08T10:00Z", "2025-10-08 12:00:00"),
        ("2025-10-08 10:00 UTC", "2025-10-08 12:00:00"),
        ("2025-10-08T10:00+05:30", "2025-10-08 06:30:00"),
        ("2025-10-08 09:00 -0100", "2025-10-08 12:00:00"),
        ("20251008T100000Z", "2025-10-08 12:00:00"),
        ("1759917600", "2025-10-08 12:00:00"),
        ("1759917600.25", "2025-10-08 12:00:00.250000"),
        ("@1759917600", "2025-10-08 12:00:00"),
    ],
)
def test_moments_are_read(text: str, moment: str) -> None:
    assert read(text) == moment


@pytest.mark.parametrize(("text", "seconds"), [("0", 0.0), ("@-5", -5.0), ("@2024", 2024.0), ("12345", 12345.0)])
def test_a_number_is_seconds_since_1970(text: str, seconds: float) -> None:
    assert parse_when(text, now=NOW) == seconds


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "banana",
            "ago",
            "last",
            "a",
            "hours ago",
            "2 fortnights ago",
            "2 hours later",
            "two",
            "nans",
            "infs",
        ),
        *(
            "2025",
            "25:00",
            "10:60",
            "10:30:61",
            "2025-02-30",
            "2025-13-01",
            "2025-10-08 24:30",
            "08.10.2025",
            "10/08/2025",
        ),
        *(
            "2025-10-08x10:00",
            "2025-10-08 10:00 CEST",
            "2025-10-08T",
            "yesterday at noon",
            "yesterday 1:2:3",
            "someday",
        ),
        *("1e5", "0x10", "-5", "1,5 hours ago", "1.5 months ago", "٣ hours ago", "2 hours ago ago", "h", "1 h h"),
        *(
            "99999999999999999999 years ago",
            "9" * 400 + " hours ago",
            "99999999 days ago",
            "@" + "9" * 400,
            "300000 weeks",
        ),
    ],
)
def test_what_cannot_be_read_is_an_error_that_shows_examples(text: str) -> None:
    with pytest.raises(UsageError, match="2 hours ago") as caught:
        parse_when(text, now=NOW)
    assert caught.value.exit_code == ExitCode.USAGE
    assert f'"{text}"' in str(caught.value)


@pytest.mark.parametrize(
    "text", ["12:31", "2025-10-09", "today 23:59", "2025-10-08T10:31Z", "1759999999", "1759917600000"]
)
def test_the_future_is_an_error_that_shows_examples(text: str) -> None:
    with pytest.raises(UsageError, match=r"lies in the future.*2 hours ago"):
        parse_when(text, now=NOW)


def test_a_day_ago_is_the_same_time_on_the_clock_and_24_hours_are_24_hours() -> None:
    after_the_change = datetime(2025, 10, 26, 12, 0, tzinfo=BERLIN)  # the clocks went back at 3:00
    assert read("1 day ago", after_the_change) == "2025-10-25 12:00:00"
    assert read("24 hours ago", after_the_change) == "2025-10-25 13:00:00"
    assert read("yesterday", after_the_change) == "2025-10-25 00:00:00"


def test_a_time_that_the_clocks_show_twice_is_the_first() -> None:
    assert read("2025-10-26 02:30", datetime(2025, 11, 1, tzinfo=BERLIN)) == "2025-10-26 02:30:00"
    assert read("2025-10-26 03:30", datetime(2025, 11, 1, tzinfo=BERLIN)) == "2025-10-26 03:30:00+01:00"


def test_a_time_that_the_clocks_skip_is_the_earlier_reading() -> None:
    assert read("2025-03-30 02:30", NOW) == "2025-03-30 01:30:00+01:00"


def test_a_month_ago_stays_in_that_month() -> None:
    assert read("1 month ago", datetime(2025, 7, 31, 10, tzinfo=BERLIN)) == "2025-06-30 10:00:00"
    assert read("a year ago", datetime(2024, 2, 29, 10, tzinfo=BERLIN)) == "2023-02-28 10:00:00+01:00"
    assert read("13 months ago", datetime(2025, 1, 15, tzinfo=BERLIN)) == "2023-12-15 00:00:00+01:00"


def test_local_time_is_that_of_this_machine_when_now_has_no_zone() -> None:
    now = datetime(2025, 10, 8, 12, 30)
    assert parse_when("2025-10-08 10:00", now=now) == datetime(2025, 10, 8, 10).timestamp()
    assert parse_when("1 hour ago", now=now) == now.timestamp() - 3600


@given(st.text(max_size=30) | st.from_regex(r"(last )?\d{0,3}[a-z :.@-]{0,20}( ago)?", fullmatch=True))
def test_any_text_is_a_moment_in_the_past_or_an_error(text: str) -> None:
    try:
        moment = parse_when(text, now=NOW)
    except UsageError:
        return
    assert moment <= NOW.timestamp()


@given(st.datetimes(datetime(1971, 1, 1), NOW.replace(tzinfo=None) - timedelta(days=2)))
def test_iso_8601_with_a_zone_is_read_exactly(moment: datetime) -> None:
    utc = moment.replace(tzinfo=UTC)
    assert parse_when(utc.isoformat(), now=NOW) == utc.timestamp()
    assert parse_when(f"@{int(utc.timestamp())}", now=NOW) == int(utc.timestamp())
