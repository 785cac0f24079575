/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/http/http_date.h"

#include <stdio.h>
#include <string.h>

static const char day_names[] = "SunMonTueWedThuFriSat";
static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char *const long_day_names[] = {"Sunday",	 "Monday", "Tuesday", "Wednesday",
					     "Thursday", "Friday", "Saturday"};

struct civil {
	int64_t year;
	int month, day, hour, minute, second; /* month and day from 1 */
};

/*
 * Days since 1970-01-01 of a date in the Gregorian calendar. The year is taken to begin in March,
 * so that the leap day is its last, and an era is the 400 years after which all repeats.
 */
static int64_t days_of(const struct civil *c)
{
	int64_t year = c->year - (c->month <= 2);
	int64_t era = (year >= 0 ? year : year - 399) / 400;
	int64_t year_of_era = year - era * 400;
	int64_t day_of_year = (153 * (c->month + (c->month > 2 ? -3 : 9)) + 2) / 5 + c->day - 1;

	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 +
	       day_of_year - 719468;
}

/* The date of that many days since 1970-01-01: the reverse of days_of. */
static void civil_of(int64_t days, struct civil *c)
{
	int64_t since = days + 719468;
	int64_t era = (since >= 0 ? since : since - 146096) / 146097;
	int64_t day = since - era * 146097;
	int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	int64_t day_of_year = day - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * day_of_year + 2) / 153;

	c->day = (int)(day_of_year - (153 * month + 2) / 5 + 1);
	c->month = (int)(month < 10 ? month + 3 : month - 9);
	c->year = era * 400 + year + (c->month <= 2);
}

bool http_date_format(char out[HTTP_DATE_BYTES], int64_t seconds)
{
	int64_t days = seconds / 86400, rest = seconds % 86400;
	int weekday;
	struct civil c;

	if (rest < 0) {
		rest += 86400;
		days--;
	}
	civil_of(days, &c);
	out[0] = '\0';
	if (c.year < 0 || c.year > 9999)
		return false;
	weekday = (int)((days % 7 + 11) % 7); /* 1970-01-01 was a Thursday */
	snprintf(out, HTTP_DATE_BYTES, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT",
		 day_names + 3 * weekday, c.day, month_names + 3 * (c.month - 1), (int)c.year,
		 (int)(rest / 3600), (int)(rest / 60 % 60), (int)(rest % 60));
	return true;
}

/* ---- reading ---- */

/* Each takes what it reads off *p, or returns false. */

static bool take_text(const char **p, const char *text)
{
	size_t n = strlen(text);

	if (strncmp(*p, text, n))
		return false;
	*p += n;
	return true;
}

/* `digits` decimal digits, of which the first may be a space where `padded`. */
static bool take_number(const char **p, int digits, bool padded, int *ret)
{
	int value = 0;

	for (int i = 0; i < digits; i++, (*p)++) {
		if (i == 0 && padded && **p == ' ')
			continue;
		if (**p < '0' || **p > '9')
			return false;
		value = value * 10 + (**p - '0');
	}
	*ret = value;
	return true;
}

/* One of the names of three letters each. */
static bool take_name(const char **p, const char *names, int *ret)
{
	for (int i = 0; names[3 * i]; i++) {
		if (!strncmp(*p, names + 3 * i, 3)) {
			*p += 3;
			*ret = i;
			return true;
		}
	}
	return false;
}

static bool take_long_day(const char **p)
{
	for (int i = 0; i < 7; i++)
		if (take_text(p, long_day_names[i]))
			return true;
	return false;
}

static bool take_month(const char **p, struct civil *c)
{
	if (!take_name(p, month_names, &c->month))
		return false;
	c->month++;
	return true;
}

/* "08:49:37". */
static bool take_time(const char **p, struct civil *c)
{
	return take_number(p, 2, false, &c->hour) && take_text(p, ":") &&
	       take_number(p, 2, false, &c->minute) && take_text(p, ":") &&
	       take_number(p, 2, false, &c->second);
}

/* "Sun, 06 Nov 1994 08:49:37 GMT". */
static bool parse_fixdate(const char *p, struct civil *c)
{
	int weekday, year;

	if (!take_name(&p, day_names, &weekday) || !take_text(&p, ", ") ||
	    !take_number(&p, 2, false, &c->day) || !take_text(&p, " ") || !take_month(&p, c) ||
	    !take_text(&p, " ") || !take_number(&p, 4, false, &year) || !take_text(&p, " ") ||
	    !take_time(&p, c) || !take_text(&p, " GMT"))
		return false;
	c->year = year;
	return !*p;
}

/* "Sunday, 06-Nov-94 08:49:37 GMT" (RFC 850). */
static bool parse_rfc850(const char *p, struct civil *c)
{
	int year;

	if (!take_long_day(&p) || !take_text(&p, ", ") || !take_number(&p, 2, false, &c->day) ||
	    !take_text(&p, "-") || !take_month(&p, c) || !take_text(&p, "-") ||
	    !take_number(&p, 2, false, &year) || !take_text(&p, " ") || !take_time(&p, c) ||
	    !take_text(&p, " GMT"))
		return false;
	c->year = year + (year >= 69 ? 1900 : 2000);
	return !*p;
}

/* "Sun Nov  6 08:49:37 1994" (C's asctime). */
static bool parse_asctime(const char *p, struct civil *c)
{
	int weekday, year;

	if (!take_name(&p, day_names, &weekday) || !take_text(&p, " ") || !take_month(&p, c) ||
	    !take_text(&p, " ") || !take_number(&p, 2, true, &c->day) || !take_text(&p, " ") ||
	    !take_time(&p, c) || !take_text(&p, " ") || !take_number(&p, 4, false, &year))
		return false;
	c->year = year;
	return !*p;
}

/* Whether there is such a day and time: its number of days, turned back, is the same date. */
static bool civil_exists(const struct civil *c)
{
	struct civil back;

	if (c->hour > 23 || c->minute > 59 || c->second > 59)
		return false;
	civil_of(days_of(c), &back);
	return back.year == c->year && back.month == c->month && back.day == c->day;
}

bool http_date_parse(const char *text, int64_t *ret_seconds)
{
	struct civil c;

	if (!parse_fixdate(text, &c) && !parse_rfc850(text, &c) && !parse_asctime(text, &c))
		return false;
	if (!civil_exists(&c))
		return false;
	*ret_seconds = days_of(&c) * 86400 + c.hour * 3600 + c.minute * 60 + c.second;
	return true;
}
