"""Random schedules against an oracle that knows no segments and no bit sets: it goes through every reading of the clock that
matches and asks Python's zoneinfo when, and how often, the clocks of the zone show it.

    cron_property.py --program build/dev/bin/cron_moments [--cases 300] [--seed N]

The seed is printed; the same seed makes the same cases from the same zone files.
"""

import argparse
import calendar
import datetime
import itertools
import os
import random
import subprocess
import sys
import zoneinfo

UTC = datetime.timezone.utc
SECOND = datetime.timedelta(seconds=1)
DAY = datetime.timedelta(days=1)
FOLDER = "/usr/share/zoneinfo"
MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
WEEKDAYS = "sun mon tue wed thu fri sat".split()
READINGS_MAX = 1500  # in one case


def steps(low, high, first, last, step):
    """A range's values in a field of low to high, as croniter reads them."""
    if first == last:
        return set(range(low, high + 1, step))
    if first < last:
        return set(range(first, last + 1, step))
    values = list(range(first, high + 1, step))
    over = values[-1] + step - high - 1
    return set(values) | set(range(low + (over + 1 if over else 0), last + 1, step))


class Field:
    """A random field: its text and the values that it means."""

    def __init__(self, dice, low, high, names=None, few=False):
        self.low, self.high, self.names, self.dice = low, high, names, dice
        self.values, items = set(), []
        for _ in range(1 if dice.random() < 0.75 else dice.randint(2, 4)):
            items.append(self._item(few))
        self.text = ",".join(items)
        self.is_any = "*" in items

    def _name(self, value):
        if self.names and self.dice.random() < 0.5:
            name = self.names[value - self.low]
            return self.dice.choice([name, name.upper(), name.title()])
        return f"{value:02}" if self.dice.random() < 0.1 else str(value)

    def _item(self, few):
        first, last = self.dice.randint(self.low, self.high), self.dice.randint(self.low, self.high)
        step = self.dice.choice([1, 2, 3, 5, 7, 10, 15, 20, 100])
        form = self.dice.choices(["*", "value", "range", "range/step", "*/step", "value/step"],
                                 [0, 8, 1, 1, 1, 1] if few else [6, 5, 3, 2, 3, 1])[0]
        if form == "*":
            self.values |= set(range(self.low, self.high + 1))
            return "*"
        if form == "value":
            self.values.add(first)
            return self._name(first)
        if form == "range":
            self.values |= steps(self.low, self.high, first, last, 1)
            return f"{self._name(first)}-{self._name(last)}"
        if form == "range/step":
            self.values |= steps(self.low, self.high, first, last, step)
            return f"{self._name(first)}-{self._name(last)}/{step}"
        if form == "*/step":
            self.values |= set(range(self.low, self.high + 1, step))
            return f"*/{step}"
        self.values |= steps(self.low, self.high, first, self.high, step)
        return f"{self._name(first)}/{step}"


class DayOfMonth(Field):
    def __init__(self, dice):
        super().__init__(dice, 1, 31)
        self.last, self.nearest = False, None
        roll = dice.random()
        if roll < 0.1:
            self.text, self.values, self.is_any, self.last = "L", set(), False, True
        elif roll < 0.2:
            self.nearest = dice.randint(1, 31)
            self.text, self.values, self.is_any = f"{self.nearest}W", set(), False
        elif roll < 0.25:
            self.text, self.last = self.text + ",l", True

    def _nearest_in(self, date):
        length = calendar.monthrange(date.year, date.month)[1]
        wanted = min(self.nearest, length)
        working = [day for day in range(1, length + 1) if datetime.date(date.year, date.month, day).weekday() < 5]
        return min(working, key=lambda day: abs(day - wanted))

    def matches(self, date):
        length = calendar.monthrange(date.year, date.month)[1]
        return (date.day in self.values or (self.last and date.day == length)
                or (self.nearest is not None and date.day == self._nearest_in(date)))


class DayOfWeek(Field):
    def __init__(self, dice):
        super().__init__(dice, 0, 6, WEEKDAYS)
        self.nth = []  # (weekday, number, or 0 for the last)
        if dice.random() < 0.25:
            self.values, self.is_any = set(), False
            self.nth = [(dice.randint(0, 6), dice.randint(0, 5)) for _ in range(dice.randint(1, 3))]
            self.text = ",".join(f"{day}#{number}" if number else f"L{day}" for day, number in self.nth)
        elif dice.random() < 0.1:
            self.text, self.values, self.is_any = "5-7", {5, 6, 0}, False

    def matches(self, date):
        weekday = date.isoweekday() % 7
        length = calendar.monthrange(date.year, date.month)[1]
        return weekday in self.values or any(
            weekday == day and ((date.day - 1) // 7 + 1 == number or (number == 0 and date.day > length - 7))
            for day, number in self.nth)


class Schedule:
    def __init__(self, dice):
        few = dice.random() < 0.5
        self.minute, self.hour = Field(dice, 0, 59, few=few), Field(dice, 0, 23, few=few)
        self.of_month, self.month, self.of_week = DayOfMonth(dice), Field(dice, 1, 12, MONTHS), DayOfWeek(dice)
        fields = [self.minute, self.hour, self.of_month, self.month, self.of_week]
        self.second, self.year = None, None
        if dice.random() < 0.3:
            self.second = Field(dice, 0, 59, few=dice.random() < 0.7)
            fields.append(self.second)
            if dice.random() < 0.4:
                self.year = Field(dice, 1970, 2099)
                fields.append(self.year)
        self.text = dice.choice([" ", "  "]).join(field.text for field in fields)
        self.is_fixed = "*" not in self.minute.text + self.hour.text
        self.times = [datetime.time(*time) for time in itertools.product(
            sorted(self.hour.values), sorted(self.minute.values), sorted(self.second.values) if self.second else [0])]

    def has_day(self, date):
        if date.month not in self.month.values:
            return False
        if self.year and self.year.values != set(range(1970, 2100)) and date.year not in self.year.values:
            return False
        whole = set(range(1, 32))
        any_month = self.of_month.is_any or (
            self.of_month.values == whole and not self.of_month.last and "*" in self.of_week.text)
        any_week = self.of_week.is_any or (self.of_week.values == set(range(7)) and "*" in self.of_month.text)
        if any_month or any_week:
            return ((any_month or self.of_month.matches(date)) and (any_week or self.of_week.matches(date)))
        return self.of_month.matches(date) or self.of_week.matches(date)

    def readings(self, first, last):
        """Every reading from one date to another that matches; nothing where there are too many."""
        found = []
        while first <= last:
            if self.has_day(first):
                found += [datetime.datetime.combine(first, time) for time in self.times]
                if len(found) > READINGS_MAX:
                    return None
            first += DAY
        return found


def when_shown(reading, zone):
    """The moments at which the clocks of a zone show a reading."""
    moments = {reading.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return sorted(moment for moment in moments if moment.astimezone(zone).replace(tzinfo=None) == reading)


def end_of_gap(reading, zone):
    """When the clocks jump over a reading."""
    low, high = sorted(reading.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    before = low.astimezone(zone).utcoffset()
    while high - low > SECOND:
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high


def oracle(schedule, zone, gap, overlap, after, until):
    first = (after.astimezone(zone) - 2 * DAY).date()
    readings = schedule.readings(first, (until.astimezone(zone) + 2 * DAY).date())
    if readings is None:
        return None
    moments = set()
    for reading in readings:
        shown = when_shown(reading, zone)
        if not schedule.is_fixed or overlap == "both":
            moments.update(shown)
        else:
            moments.update(shown[:1])
        if not shown and schedule.is_fixed and gap == "run_after":
            moments.add(end_of_gap(reading, zone))
    return [int(moment.timestamp()) for moment in sorted(moments) if after < moment <= until]


def changes_in(zone, year):
    """The days of a year on which the clocks are changed."""
    day = datetime.datetime(year, 1, 1, tzinfo=UTC)
    for _ in range(365):
        if day.astimezone(zone).utcoffset() != (day + DAY).astimezone(zone).utcoffset():
            yield day
        day += DAY


def make_case(dice, names):
    """Zone, schedule, policies, after, until; near a change of the clocks where there is one, half of the time."""
    schedule = Schedule(dice)
    name = dice.choice(names)
    zone = zoneinfo.ZoneInfo(name)
    year = dice.randint(1971, 2199) if not schedule.year else dice.randint(1971, 2098)
    changes = list(changes_in(zone, year)) if dice.random() < 0.7 else []
    if changes:
        after = dice.choice(changes) - DAY * dice.randint(0, 3)
    else:
        after = datetime.datetime(year, 1, 1, tzinfo=UTC) + DAY * dice.randint(0, 364)
    after += SECOND * dice.randint(0, 86399)
    gap, overlap = dice.choice(["run_after", "skip"]), dice.choice(["first", "both"])
    for days in (dice.choice([400, 800]), 60, 5, 1, 0.1):
        until = min(after + DAY * days, datetime.datetime(2200, 6, 1, tzinfo=UTC)).replace(microsecond=0)
        expected = oracle(schedule, zone, gap, overlap, after, until)
        if expected is not None:
            line = [name, schedule.text, gap, overlap, str(int(after.timestamp())), str(int(until.timestamp()))]
            return "\t".join(line), expected
    return None


def zone_names():
    """Without the machine's own clock, and without zones that only other packages have."""
    zoneinfo.reset_tzpath([FOLDER])
    names = zoneinfo.available_timezones() - {"localtime"}
    return sorted(name for name in names if os.path.isfile(os.path.join(FOLDER, name)))


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--program", required=True)
    arguments.add_argument("--cases", type=int, default=300)
    arguments.add_argument("--seed", type=int, default=20260101)
    options = arguments.parse_args()
    dice, names = random.Random(options.seed), zone_names()
    cases = [case for case in (make_case(dice, names) for _ in range(options.cases)) if case]
    told = subprocess.run([options.program], input="".join(line + "\n" for line, _ in cases), capture_output=True, text=True,
                          check=True).stdout.splitlines()
    wrong = 0
    for (line, expected), answer in zip(cases, told, strict=True):
        if answer.split() != [str(moment) for moment in expected]:
            wrong += 1
            found = [] if answer.startswith("!") else [int(word) for word in answer.split()]
            print(f"{line}\n  {answer if answer.startswith('!') else ''}"
                  f"missing {sorted(set(expected) - set(found))[:5]}, too many {sorted(set(found) - set(expected))[:5]}")
    moments = sum(len(expected) for _, expected in cases)
    with_any = sum(1 for _, expected in cases if expected)
    print(f"seed {options.seed}: {len(cases)} cases ({with_any} that fire), {moments} moments, {wrong} wrong")
    return 1 if wrong or not moments else 0


if __name__ == "__main__":
    sys.exit(main())
