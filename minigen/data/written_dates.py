"""Pairs of texts to translate: a date as people write it, and the same date in ISO 8601.

A date and one of the FORMS are drawn, then a spelling for each field of the form. Every text has
exactly one reading: with dots the day comes before the month, with slashes after it; the year is
first or last; a year of two digits is from 1969 to 2068, as in POSIX. English in every locale.
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
CASES = (str, str, str.lower, str.upper)  # half of the texts keep their capitals


def dates(n: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """n distinct dates from 1969 to 2068 in random order: as people write them, and in ISO 8601.

    For example "Sat, 3rd of May 1997" and "1997-05-03". Since no date is repeated, a model trained
    on one part of the lists has seen none of the dates of the rest. With the same seed, a shorter
    list is a prefix of a longer one. Raises ValueError unless n is an integer from 0 to 36,525,
    the number of days in these hundred years.
    """
    days = LAST + 1 - FIRST
    if isinstance(n, bool) or not isinstance(n, Integral) or not 0 <= n <= days:
        raise ValueError(f"dates: n must be an integer from 0 to {days}, got {n!r}")
    rng = Generator(seed)
    drawn = [date.fromordinal(FIRST + int(day)) for day in rng.permutation(days)[:n]]
    choices = rng.uniform((n, 6))
    return [_written(*pair) for pair in zip(drawn, choices)], [day.isoformat() for day in drawn]


def _written(day: date, choices: np.ndarray) -> str:
    """The date in words; six numbers in [0, 1) choose the form, the case and the spellings."""
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
    """The option at the fraction `choice`, in [0, 1), of the list."""
    return options[int(choice * len(options))]


def _suffix(day: int) -> str:
    """The suffix of the ordinal number of a day: st, nd, rd or th."""
    return "th" if 11 <= day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
