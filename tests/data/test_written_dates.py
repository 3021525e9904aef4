"""Written dates: each text has exactly one reading, its date, and no date is repeated."""

import re
from datetime import date

import pytest

from minigen.data import dates
from minigen.data.written_dates import FORMS

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
ORDINALS = re.findall(
    r"\S+",
    """first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth
    thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth
    twenty-first twenty-second twenty-third twenty-fourth twenty-fifth twenty-sixth twenty-seventh
    twenty-eighth twenty-ninth thirtieth thirty-first""",
)


def read(text):
    """The date in a text, parsed from its words and numbers; its weekday must agree."""
    words = re.findall(r"[a-z]+(?:-[a-z]+)?", text.lower())
    numbers = re.findall(r"'?\d+", text)
    if numbers == [text]:  # 19970503
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    (index,) = [i for i, number in enumerate(numbers) if len(number) > 2]  # 1997 or '97
    year = numbers.pop(index)
    if year.startswith("'"):
        year = ("19" if year[1:] >= "69" else "20") + year[1:]  # as POSIX's strptime
    months = [MONTHS.index(word[:3]) + 1 for word in words if word[:3] in MONTHS]
    days = [ORDINALS.index(word) + 1 for word in words if word in ORDINALS]
    days += map(int, numbers)
    if months or index == 0 or "/" in text:
        month, day = months + days
    else:
        assert re.search(r"\d+\. ?\d+\. ?\d+$", text)
        day, month = days
    found = date(int(year), month, day)
    assert {word[:3] for word in words} & set(WEEKDAYS) <= {WEEKDAYS[found.weekday()]}
    return found


def test_every_text_can_be_parsed_to_its_date():
    written, iso = dates(36_525)
    assert [read(text).isoformat() for text in written] == iso


def test_the_dates_are_all_days_of_a_hundred_years():
    _, iso = dates(36_525)
    assert len(set(iso)) == 36_525
    assert (min(iso), max(iso)) == ("1969-01-01", "2068-12-31")


def test_every_form_and_case_occurs():
    written, _ = dates(5_000)
    patterns = {re.sub(r"[A-Za-z]+", "w", re.sub(r"\d", "0", text)) for text in written}
    assert len(patterns) > len(FORMS)
    for example in (
        r"Sat(urday)?\.?, \d+(st|nd|rd|th) of [A-Z][a-z]+ \d{4}",
        r"the twenty-\w+ of \w+ \d{4}",
        r"\d+ [A-Z]{3} '\d\d",
        r"\d\d\.\d\d\.\d{4}",
        r"\d/\d+/\d{4}",
        r"\d{8}",
        r"Sept \d.*",
    ):
        assert any(re.fullmatch(example, text) for text in written), example


def test_ordinals_end_as_in_english():
    found = {match for text in dates(5_000)[0] for match in re.findall(r"(\d+)([a-z]{2})\b", text)}
    suffixes = {"1": "st", "21": "st", "31": "st", "2": "nd", "22": "nd", "3": "rd", "23": "rd"}
    assert found == {(str(day), suffixes.get(str(day), "th")) for day in range(1, 32)}


def test_the_seed_determines_the_dates_and_a_shorter_list_is_a_prefix():
    written, iso = dates(300, seed=5)
    assert dates(300, seed=5) == (written, iso)
    assert dates(40, seed=5) == (written[:40], iso[:40])
    assert dates(300, seed=6)[1] != iso
    assert iso != sorted(iso)


@pytest.mark.parametrize("n", [-1, 36_526, 2.0, True, "9"])
def test_an_invalid_number_of_dates_is_refused(n):
    with pytest.raises(ValueError, match=r"dates: n must be an integer from 0 to 36525, got"):
        dates(n)
    assert dates(0) == ([], [])
