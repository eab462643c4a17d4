#!/usr/bin/env python3
"""Checks the demo's result against a plain computation over its input.

Knows nothing of Mainstem: it reads the two input files and the CSV that came out, with Python's standard library alone,
and compares them row by row. Ends with 0 when they agree and with 1, saying where, when they do not.

usage: check_delays.py FLIGHTS.csv[.gz] AIRLINES.csv RESULT.csv
"""
import csv
import gzip
import sys
from collections import namedtuple

MISSING = "NA"
MISMATCHES_SHOWN = 20
# A mean is printed with two decimals; the sums behind it are compared exactly.
MEAN_TOLERANCE_MIN = 0.005 + 1e-9

Day = namedtuple("Day", "flights cancelled delayed delay_sum_min delay_max_min")


def rows(path):
    opened = gzip.open(path, "rt", newline="") if path.endswith(".gz") else open(path, newline="")
    with opened as file:
        yield from csv.DictReader(file)


def expected_days(flights_path, airlines_path):
    names = {row["carrier"]: row["name"] for row in rows(airlines_path)}
    days = {}
    for row in rows(flights_path):
        # `time_hour` is UTC, so its first ten characters are the UTC day.
        key = (names[row["carrier"]], row["time_hour"][:10])
        day = days.get(key, Day(0, 0, 0, 0, None))
        day = day._replace(flights=day.flights + 1)
        if row["dep_time"] == MISSING:
            day = day._replace(cancelled=day.cancelled + 1)
        if row["dep_delay"] != MISSING:
            delay = int(row["dep_delay"])
            longest = delay if day.delay_max_min is None else max(day.delay_max_min, delay)
            day = day._replace(
                delayed=day.delayed + 1,
                delay_sum_min=day.delay_sum_min + delay,
                delay_max_min=longest,
            )
        days[key] = day
    return days


def differences(expected, result_path):
    seen = {}
    for line, row in enumerate(rows(result_path), start=2):
        key = (row["airline"], row["day"])
        place = f"line {line} ({key[0]}, {key[1]})"
        if key in seen:
            yield f"{place}: written twice, first on line {seen[key]}"
            continue
        seen[key] = line
        day = expected.get(key)
        if day is None:
            yield f"{place}: no such airline-day in the input"
            continue
        mean = day.delay_sum_min / day.delayed if day.delayed else None
        for column, want in (
            ("flights", day.flights),
            ("cancelled", day.cancelled),
            ("delay_sum_min", day.delay_sum_min),
            ("delay_max_min", day.delay_max_min),
        ):
            have = int(row[column]) if row[column] not in ("", MISSING) else None
            if have != want:
                yield f"{place}: {column} is {have}, the input says {want}"
        have = float(row["delay_mean_min"]) if row["delay_mean_min"] not in ("", MISSING) else None
        if (have is None) != (mean is None) or (mean is not None and abs(have - mean) > MEAN_TOLERANCE_MIN):
            yield f"{place}: delay_mean_min is {have}, the input says {mean}"
    for key in sorted(set(expected) - set(seen)):
        yield f"missing: {key[0]}, {key[1]} ({expected[key].flights} flights)"


def print_worst(result_path, count=10):
    ranked = [row for row in rows(result_path) if row["delay_mean_min"] not in ("", MISSING)]
    ranked.sort(key=lambda row: (-float(row["delay_mean_min"]), row["airline"], row["day"]))
    print(f"\n{'airline':<28} {'day':<10} {'flights':>7} {'cancelled':>9} {'mean min':>9} {'max min':>8}")
    for row in ranked[:count]:
        print(
            f"{row['airline']:<28} {row['day']:<10} {row['flights']:>7} {row['cancelled']:>9} "
            f"{float(row['delay_mean_min']):>9.2f} {row['delay_max_min']:>8}"
        )


def main(arguments):
    if len(arguments) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    flights, airlines, result = arguments
    expected = expected_days(flights, airlines)
    wrong = list(differences(expected, result))
    total = sum(day.flights for day in expected.values())
    if wrong:
        print(f"FAILED: {result} differs from {flights} in {len(wrong)} places:")
        for text in wrong[:MISMATCHES_SHOWN]:
            print(f"  {text}")
        if len(wrong) > MISMATCHES_SHOWN:
            print(f"  ... and {len(wrong) - MISMATCHES_SHOWN} more")
        return 1
    cancelled = sum(day.cancelled for day in expected.values())
    delayed = sum(day.delayed for day in expected.values())
    minutes = sum(day.delay_sum_min for day in expected.values())
    print(
        f"VERIFIED: {len(expected):,} airline-days, {total:,} flights, {cancelled:,} cancelled, "
        f"{minutes:,} minutes of departure delay over {delayed:,} flights"
    )
    print_worst(result)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
