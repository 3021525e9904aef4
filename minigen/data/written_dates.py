"""Dates as people write them, and as ISO 8601 does: pairs of texts to translate.

A date and one of the FORMS are drawn, then how each piece of the form is written. No form is
ambiguous: with dots the day stands before the month, with slashes behind it, the year comes first
or last, and the years are those that POSIX reads from two digits. English, whatever the locale.
"""

from collections.abc import Sequence
from datetime import date
from numbers import Integral
from typing import Any

import numpy as np

from minigen.random import Generator

FIRST, LAST = date(1969, 1, 1).toordinal(), date(2068, 12, 31).toordinal()
FORMS = (
    "{day} {month} {year}",
    "{weekday} {day} {month} {year}",
    "{weekday}, {ordinal} of {month} {year}",
    "{weekday}, the {spelled} of {month}, {year}",
    "the {ordinal} of {month}, {year}",
    "the {spelled} of {month} {year}",
    "{month} {day}, {year}",
    "{weekday}, {month} {day}, {year}",
    "{weekday} {month} {day} {year}",
    "{month} the {spelled}, {year}",
    "{year} {month} {day}",
    "{year}, {month} {day}",
    "{plain}-{month}-{year}",
    "{plain} {month} '{two_digits}",
    "{weekday} {month} {plain} '{two_digits}",
    "{plain}.{number}.{year}",
    "{plain}. {number}. {year}",
    "{weekday}, {plain}.{number}.{year}",
    "{number}/{plain}/{year}",
    "{weekday} {number}/{plain}/{year}",
    "{year}/{number}/{plain}",
    "{year}-{number}-{plain}",
    "{year} {number} {plain}",
    "{iso_basic}",
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
UNITS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
TEENS = (
    *("tenth", "eleventh", "twelfth", "thirteenth", "fourteenth"),
    *("fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth"),
)
ORDINALS = (
    *(*UNITS, *TEENS, "twentieth"),
    *(f"twenty-{unit}" for unit in UNITS),
    *("thirtieth", "thirty-first"),
)
CASES = (str, str, str.lower, str.upper)  # half of all keep their capitals


def dates(n: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """n different dates from 1969 to 2068, in a random order: as written, and as ISO dates.

    ("Sat, 3rd of May 1997" and "1997-05-03".) As no date comes twice, any split of the lists
    leaves dates to test that were never seen. A longer list of the same seed starts as a shorter.
    Raises ValueError unless n is an integer from 0 to the 36,525 days of the hundred years.
    """
    days = LAST + 1 - FIRST
    if isinstance(n, bool) or not isinstance(n, Integral) or not 0 <= n <= days:
        raise ValueError(f"dates: n must be an integer from 0 to {days}, got {n!r}")
    rng = Generator(seed)
    drawn = [date.fromordinal(FIRST + int(day)) for day in rng.permutation(days)[:n]]
    choices = rng.uniform((n, 6))
    return [_written(*pair) for pair in zip(drawn, choices)], [day.isoformat() for day in drawn]


def _written(day: date, choices: np.ndarray) -> str:
    """The date as six choices in [0, 1) say: the form, the case, and how to write each piece."""
    form, case, zero, weekday_style, ordinal_style, month_style = choices
    month, weekday = MONTHS[day.month - 1], WEEKDAYS[day.weekday()]
    short = "Sept" if day.month == 9 else month[:3]
    plain, number = _pick(zero, ((f"{day.day}", f"{day.month}"), (f"{day:%d}", f"{day:%m}")))
    ordinal = f"{day.day}{_suffix(day.day)}"
    text = _pick(form, FORMS).format(
        weekday=_pick(weekday_style, (weekday, weekday[:3], f"{weekday[:3]}.")),
        plain=plain,
        ordinal=ordinal,
        day=_pick(ordinal_style, (plain, ordinal)),
        spelled=ORDINALS[day.day - 1],
        month=_pick(month_style, (month, month, month[:3], short)),
        number=number,
        year=day.year,
        two_digits=f"{day:%y}",
        iso_basic=f"{day:%Y%m%d}",
    )
    return _pick(case, CASES)(text)


def _pick(choice: float, options: Sequence[Any]) -> Any:
    """One of the options, for a choice in [0, 1)."""
    return options[int(choice * len(options))]


def _suffix(day: int) -> str:
    """st, nd, rd or th."""
    return "th" if 11 <= day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
