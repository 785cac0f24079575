/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/http/http_date.h"

#include <stdio.h>
#include <string.h>

#include "base/calendar.h"

static const char day_names[] = "SunMonTueWedThuFriSat";
static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char *const long_day_names[] = {"Sunday",	 "Monday", "Tuesday", "Wednesday",
					     "Thursday", "Friday", "Saturday"};

struct moment {
	struct calendar_date date;
	int hour, minute, second;
};

bool http_date_format(char out[HTTP_DATE_BYTES], int64_t seconds)
{
	struct calendar_date date;
	unsigned rest;
	int weekday;
	int64_t days;

	calendar_split(seconds, &days, &rest);
	calendar_date_of(days, &date);
	out[0] = '\0';
	if (date.year < 0 || date.year > 9999)
		return false;
	weekday = (int)((days % 7 + 11) % 7); /* 1970-01-01 was a Thursday */
	snprintf(out, HTTP_DATE_BYTES, "%.3s, %02d %.3s %04d %02u:%02u:%02u GMT",
		 day_names + 3 * weekday, date.day, month_names + 3 * (date.month - 1),
		 (int)date.year, rest / 3600 % 24, rest / 60 % 60, rest % 60);
	return true;
}

/* ---- reading ---- */

/* Each function parses its part at *p and advances *p, or returns false. */

static bool take_text(const char **p, const char *text)
{
	size_t n = strlen(text);

	if (strncmp(*p, text, n))
		return false;
	*p += n;
	return true;
}

/* Parses `digits` decimal digits; if `padded`, the first one may be a space. */
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

static bool take_month(const char **p, struct moment *m)
{
	if (!take_name(p, month_names, &m->date.month))
		return false;
	m->date.month++;
	return true;
}

/* "08:49:37". */
static bool take_time(const char **p, struct moment *m)
{
	return take_number(p, 2, false, &m->hour) && take_text(p, ":") &&
	       take_number(p, 2, false, &m->minute) && take_text(p, ":") &&
	       take_number(p, 2, false, &m->second);
}

/* "Sun, 06 Nov 1994 08:49:37 GMT". */
static bool parse_fixdate(const char *p, struct moment *m)
{
	int weekday, year;

	if (!take_name(&p, day_names, &weekday) || !take_text(&p, ", ") ||
	    !take_number(&p, 2, false, &m->date.day) || !take_text(&p, " ") || !take_month(&p, m) ||
	    !take_text(&p, " ") || !take_number(&p, 4, false, &year) || !take_text(&p, " ") ||
	    !take_time(&p, m) || !take_text(&p, " GMT"))
		return false;
	m->date.year = year;
	return !*p;
}

/* "Sunday, 06-Nov-94 08:49:37 GMT" (RFC 850). */
static bool parse_rfc850(const char *p, struct moment *m)
{
	int year;

	if (!take_long_day(&p) || !take_text(&p, ", ") ||
	    !take_number(&p, 2, false, &m->date.day) || !take_text(&p, "-") || !take_month(&p, m) ||
	    !take_text(&p, "-") || !take_number(&p, 2, false, &year) || !take_text(&p, " ") ||
	    !take_time(&p, m) || !take_text(&p, " GMT"))
		return false;
	m->date.year = year + (year >= 69 ? 1900 : 2000);
	return !*p;
}

/* "Sun Nov  6 08:49:37 1994" (C's asctime). */
static bool parse_asctime(const char *p, struct moment *m)
{
	int weekday, year;

	if (!take_name(&p, day_names, &weekday) || !take_text(&p, " ") || !take_month(&p, m) ||
	    !take_text(&p, " ") || !take_number(&p, 2, true, &m->date.day) || !take_text(&p, " ") ||
	    !take_time(&p, m) || !take_text(&p, " ") || !take_number(&p, 4, false, &year))
		return false;
	m->date.year = year;
	return !*p;
}

static bool moment_exists(const struct moment *m)
{
	return m->hour <= 23 && m->minute <= 59 && m->second <= 59 && calendar_exists(&m->date);
}

bool http_date_parse(const char *text, int64_t *ret_seconds)
{
	struct moment m;

	if (!parse_fixdate(text, &m) && !parse_rfc850(text, &m) && !parse_asctime(text, &m))
		return false;
	if (!moment_exists(&m))
		return false;
	*ret_seconds = calendar_days(&m.date) * CALENDAR_DAY_SECONDS + m.hour * 3600 +
		       m.minute * 60 + m.second;
	return true;
}
