/* SPDX-License-Identifier: Apache-2.0 */
#include "base/calendar.h"

/* Days from 0000-03-01, where the years of the computation begin, to 1970-01-01. */
#define EPOCH_DAYS 719468

/* 400 years, after which the calendar repeats itself. */
#define ERA_DAYS 146097

/*
 * Years are counted from March, so that the leap day is the last day of its year. (153 m + 2) / 5
 * is then the number of days before a month.
 */
int64_t calendar_days(const struct calendar_date *date)
{
	int64_t year = date->year - (date->month <= 2);
	int64_t era = (year >= 0 ? year : year - 399) / 400;
	int64_t year_of_era = year - era * 400;
	int64_t day_of_year =
		(153 * (date->month + (date->month > 2 ? -3 : 9)) + 2) / 5 + date->day - 1;

	return era * ERA_DAYS + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 +
	       day_of_year - EPOCH_DAYS;
}

void calendar_date_of(int64_t days, struct calendar_date *ret)
{
	int64_t since = days + EPOCH_DAYS;
	int64_t era = (since >= 0 ? since : since - (ERA_DAYS - 1)) / ERA_DAYS;
	int64_t day = since - era * ERA_DAYS;
	int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	int64_t day_of_year = day - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * day_of_year + 2) / 153;

	ret->day = (int)(day_of_year - (153 * month + 2) / 5 + 1);
	ret->month = (int)(month < 10 ? month + 3 : month - 9);
	ret->year = era * 400 + year + (ret->month <= 2);
}

bool calendar_exists(const struct calendar_date *date)
{
	struct calendar_date back;

	calendar_date_of(calendar_days(date), &back);
	return back.year == date->year && back.month == date->month && back.day == date->day;
}

void calendar_split(int64_t seconds, int64_t *ret_days, unsigned *ret_seconds_of_day)
{
	int64_t rest = seconds % CALENDAR_DAY_SECONDS;

	*ret_days = seconds / CALENDAR_DAY_SECONDS - (rest < 0);
	*ret_seconds_of_day = (unsigned)(rest < 0 ? rest + CALENDAR_DAY_SECONDS : rest);
}
