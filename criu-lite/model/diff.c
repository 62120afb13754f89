/*
 * diff - two snapshots compared, member by member; one line for each
 * difference. Members are found by name, so their order is of no matter.
 *
 * Clocks are compared only as far as that one of two timers has been lost. A
 * member "extra" that one side lacks is no difference if either snapshot is of
 * another tool's image, which cannot have it.
 */
#include "model/state.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <json-c/json.h>

#define PATH_BYTES 512
#define VALUE_MAX 160
#define SOON_S 5 /* a timer that had no longer to run may have expired */

struct diff {
	FILE *out;
	size_t n;
	bool foreign;
	char path[PATH_BYTES];
};

static void diff_value(struct diff *d, struct json_object *a, struct json_object *b);

static void print_value(struct diff *d, struct json_object *v)
{
	const char *text;

	if (!v) {
		fputs("none", d->out);
		return;
	}
	text = json_object_is_type(v, json_type_string)
		       ? json_object_get_string(v)
		       : json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN |
								   JSON_C_TO_STRING_NOSLASHESCAPE);
	fprintf(d->out, "%.*s%s", VALUE_MAX, text, strlen(text) > VALUE_MAX ? "..." : "");
}

static void differ(struct diff *d, struct json_object *a, struct json_object *b)
{
	d->n++;
	fprintf(d->out, "%s: ", *d->path ? d->path : "snapshot");
	print_value(d, a);
	fputs(" != ", d->out);
	print_value(d, b);
	fputc('\n', d->out);
}

static bool is_word(const char *key)
{
	if (!isalpha((unsigned char)*key))
		return false;
	while (isalnum((unsigned char)*key) || *key == '_')
		key++;
	return !*key;
}

static bool lost_timer(struct json_object *a, struct json_object *b)
{
	return !a != !b && json_object_get_int64(a ? a : b) > SOON_S;
}

/* A member that one or both have. */
static void diff_member(struct diff *d, const char *key, struct json_object *a,
			struct json_object *b)
{
	size_t len = strlen(d->path);

	if (d->foreign && !a != !b && !strcmp(key, "extra"))
		return;
	snprintf(d->path + len, sizeof(d->path) - len, is_word(key) ? "%s%s" : "%s[%s]",
		 len && is_word(key) ? "." : "", key);
	if (strcmp(key, "remaining_s"))
		diff_value(d, a, b);
	else if (lost_timer(a, b))
		differ(d, a, b);
	d->path[len] = '\0';
}

static void diff_objects(struct diff *d, struct json_object *a, struct json_object *b)
{
	struct json_object *other;

	json_object_object_foreach(a, key, val)
	{
		json_object_object_get_ex(b, key, &other);
		if (*d->path || (strcmp(key, "foreign") && strcmp(key, "format")))
			diff_member(d, key, val, other);
	}
	json_object_object_foreach(b, key2, val2)
	{
		if (!json_object_object_get_ex(a, key2, &other) &&
		    (*d->path || strcmp(key2, "foreign")))
			diff_member(d, key2, NULL, val2);
	}
}

static void diff_arrays(struct diff *d, struct json_object *a, struct json_object *b)
{
	size_t na = json_object_array_length(a), nb = json_object_array_length(b);
	char key[24];

	for (size_t i = 0; i < na || i < nb; i++) {
		snprintf(key, sizeof(key), "%zu", i);
		diff_member(d, key, i < na ? json_object_array_get_idx(a, i) : NULL,
			    i < nb ? json_object_array_get_idx(b, i) : NULL);
	}
}

static void diff_value(struct diff *d, struct json_object *a, struct json_object *b)
{
	if (json_object_is_type(a, json_type_object) && json_object_is_type(b, json_type_object))
		diff_objects(d, a, b);
	else if (json_object_is_type(a, json_type_array) && json_object_is_type(b, json_type_array))
		diff_arrays(d, a, b);
	else if (!json_object_equal(a, b))
		differ(d, a, b);
}

/**
 * state_diff - compare two snapshots
 * @a: one, from state_json() or parsed again from its text
 * @b: the other
 * @out: gets a line for each difference: its path, what @a has and what @b has
 * @ndiff: how many there are
 *
 * Return: 0; -EINVAL if one is not a snapshot of this format.
 */
int state_diff(struct json_object *a, struct json_object *b, FILE *out, size_t *ndiff)
{
	struct diff d = { .out = out };
	struct json_object *fa, *fb, *tmp;

	if (!json_object_is_type(a, json_type_object) ||
	    !json_object_is_type(b, json_type_object) ||
	    !json_object_object_get_ex(a, "format", &fa) ||
	    !json_object_object_get_ex(b, "format", &fb) || !json_object_equal(fa, fb))
		return -EINVAL;
	d.foreign = json_object_object_get_ex(a, "foreign", &tmp) ||
		    json_object_object_get_ex(b, "foreign", &tmp);
	diff_objects(&d, a, b);
	*ndiff = d.n;
	return 0;
}
