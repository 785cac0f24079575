/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Gregorian calendar, for dates as text: days since 1970-01-01 and back, without the C
 * library's time zones.
 */
#ifndef BASE_CALENDAR_H
#define BASE_CALENDAR_H

#include <stdbool.h>
#include <stdint.h>

#define CALENDAR_DAY_SECONDS 86400

struct calendar_date {
	int64_t year;
	int month, day; /* from 1 */
};

/*
 * Returns the days from 1970-01-01 to a date. A day after the end of the month is a day of the next
 * month.
 */
int64_t calendar_days(const struct calendar_date *date);

/* Sets *ret to the date that is `days` after 1970-01-01. */
void calendar_date_of(int64_t days, struct calendar_date *ret);

/* Returns true if the date exists. */
bool calendar_exists(const struct calendar_date *date);

/* Splits seconds since 1970 into whole days, rounded down, and the seconds of the day. */
void calendar_split(int64_t seconds, int64_t *ret_days, unsigned *ret_seconds_of_day);

#endif
