// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two forms of the same output: JSON, or names and values for people, indented,
 * with units.
 */
#include <stdio.h>

#include "vfio-probe.h"

#define VALUE_COLUMN	22

static struct {
	bool json;
	bool first;	/* the next value is the first of its object or list */
	bool in_line;	/* values of this object or list are on one line */
	int depth;
} out;

static int indentation(void)
{
	return 2 * (out.depth - !out.json);
}

/* Print the separator of a value from the one before it */
static void separate(void)
{
	if (out.json && !out.first)
		putchar(',');
	if (out.in_line)
		printf("%s", out.first ? "" : " ");
	else if (out.json || out.depth > 1 || !out.first)
		printf("\n%*s", indentation(), "");
	out.first = false;
}

static void begin_value(const char *key)
{
	separate();
	if (!key)
		return;
	if (out.json)
		printf("\"%s\": ", key);
	else if (out.in_line)
		printf("%s=", key);
	else
		printf("%-*s", VALUE_COLUMN - indentation(), key);
}

void open_values(const char *key, char bracket, bool in_line)
{
	if (out.json || in_line) {
		begin_value(key);
	} else {
		separate();
		printf("%s", key);
	}
	if (out.json)
		putchar(bracket);
	out.first = true;
	out.in_line = in_line;
	out.depth++;
}

void close_values(char bracket)
{
	out.depth--;
	if (out.json && !out.in_line)
		printf("\n%*s", 2 * out.depth, "");
	if (out.json)
		putchar(bracket);
	out.first = false;
	out.in_line = false;
}

void put_none(const char *key)
{
	begin_value(key);
	printf("%s", out.json ? "null" : "none");
}

void put_string(const char *key, const char *s)
{
	if (!*s) {
		put_none(key);
		return;
	}
	begin_value(key);
	if (!out.json) {
		printf("%s", s);
		return;
	}
	putchar('"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			putchar('\\');
		if ((unsigned char)*s < ' ')
			printf("\\u%04x", *s);
		else
			putchar(*s);
	}
	putchar('"');
}

void put_answer(const char *key, enum answer answer)
{
	static const char * const words[2][3] = {
		{ "unknown", "no", "yes" }, { "null", "false", "true" },
	};

	begin_value(key);
	printf("%s", words[out.json][answer]);
}

void put_bool(const char *key, bool value)
{
	put_answer(key, value ? YES : NO);
}

void put_number(const char *key, unsigned long long number)
{
	begin_value(key);
	printf("%llu", number);
}

void put_address(const char *key, unsigned long long address)
{
	char text[32];

	snprintf(text, sizeof(text), "0x%llx", address);
	put_string(key, text);
}

void put_size(const char *key, __u64 size)
{
	unsigned int unit = 0;

	while (!out.json && size && !(size % 1024)) {
		size /= 1024;
		unit++;
	}
	put_number(key, size);
	if (unit)
		putchar("KMGTPE"[unit - 1]);
}

void put_sizes(const char *key, __u64 bits)
{
	if (!bits && !out.json) {
		put_none(key);
		return;
	}
	open_values(key, '[', true);
	for (; bits; bits &= bits - 1)
		put_size(NULL, bits & -bits);
	close_values(']');
}

void begin_output(bool json)
{
	out.json = json;
	out.first = true;
	out.depth = 1;
	if (json)
		putchar('{');
}

void end_output(void)
{
	close_values('}');
	putchar('\n');
}
