/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/seccomp/profile.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "rpc/codec/json.h"

/* A name of libseccomp's, and its value. */
struct choice {
	const char *name;
	uint32_t value;
};

/* Linux has fewer errors (asm-generic/errno.h). */
#define ERRNO_NAMES 256

/* An action without its data. ERRNO and TRACE have a number, errnoRet. */
static const struct choice actions[] = {
	{"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW},
	{"SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0)},
	{"SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD},
	{"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
	{"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD},
	{"SCMP_ACT_LOG", SCMP_ACT_LOG},
	{"SCMP_ACT_TRACE", SCMP_ACT_TRACE(0)},
	{"SCMP_ACT_TRAP", SCMP_ACT_TRAP},
};

static const struct choice operators[] = {
	{"SCMP_CMP_NE", SCMP_CMP_NE},
	{"SCMP_CMP_LT", SCMP_CMP_LT},
	{"SCMP_CMP_LE", SCMP_CMP_LE},
	{"SCMP_CMP_EQ", SCMP_CMP_EQ},
	{"SCMP_CMP_GE", SCMP_CMP_GE},
	{"SCMP_CMP_GT", SCMP_CMP_GT},
	{"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
};

/* ---- values ---- */

/* Reads a string that is one of n names; otherwise fails with `what`. */
static int get_choice(struct json_lexer *in, struct arena *arena, const struct choice *choices,
		      size_t n, const char *what, uint32_t *ret)
{
	char *text;
	size_t i;

	if (json_get_string(in, arena, &text, NULL) < 0)
		return -1;
	for (i = 0; i < n; i++)
		if (strcmp(text, choices[i].name) == 0) {
			*ret = choices[i].value;
			return 0;
		}
	return json_fail(in, what);
}

static int get_action(struct json_lexer *in, struct arena *arena, uint32_t *ret)
{
	return get_choice(in, arena, actions, ARRAY_LEN(actions), "is not a supported action", ret);
}

static int get_errno(struct json_lexer *in, uint32_t *ret)
{
	int64_t value;

	if (in->token == JSON_NULL)
		return 0;
	if (json_get_int64(in, &value) < 0)
		return -1;
	if (value < 0 || value > 4095)
		return json_fail(in, "is not an error number");
	*ret = (uint32_t)value;
	return 0;
}

/*
 * Reads the name of an error ("ENOSYS"), as podman writes it beside errnoRet or instead of it.
 * Without a name, *ret stays unchanged.
 */
static int get_errno_name(struct json_lexer *in, struct arena *arena, uint32_t *ret)
{
	const char *name;
	char *text;
	int i;

	if (in->token == JSON_NULL)
		return 0;
	if (json_get_string(in, arena, &text, NULL) < 0)
		return -1;
	if (*text == '\0')
		return 0;
	for (i = 1; i < ERRNO_NAMES; i++) {
		name = strerrorname_np(i);
		if (name && strcmp(name, text) == 0) {
			*ret = (uint32_t)i;
			return 0;
		}
	}
	return json_fail(in, "is not the name of an error");
}

/* The action with its number. */
static uint32_t with_data(uint32_t action, uint32_t number)
{
	if (action == SCMP_ACT_ERRNO(0))
		return SCMP_ACT_ERRNO(number);
	if (action == SCMP_ACT_TRACE(0))
		return SCMP_ACT_TRACE(number);
	return action;
}

/* Numbers of arguments may need all 64 bits. */
static int get_uint64(struct json_lexer *in, uint64_t *ret)
{
	if (in->token != JSON_NUMBER || json_number_uint64(in->text.p, in->text.n, ret) < 0)
		return json_fail(in, "must be a number from 0 to 2^64 - 1");
	return 0;
}

/* ---- architectures ---- */

/* "SCMP_ARCH_X86_64" as libseccomp's number; 0: unknown. */
static uint32_t arch_of(const char *text)
{
	static const char prefix[] = "SCMP_ARCH_";
	char name[16];
	size_t i;

	if (strncmp(text, prefix, sizeof(prefix) - 1) != 0)
		return 0;
	text += sizeof(prefix) - 1;
	for (i = 0; i < sizeof(name) - 1 && text[i]; i++)
		name[i] = (char)tolower((unsigned char)text[i]);
	name[i] = '\0';
	return seccomp_arch_resolve_name(name);
}

/* An architecture that this machine's kernel may run beside its own. Others need no filter. */
static bool is_sibling(uint32_t arch)
{
#ifdef __x86_64__
	return arch == SCMP_ARCH_X86 || arch == SCMP_ARCH_X32;
#else
	return arch == SCMP_ARCH_ARM;
#endif
}

static void add_arch(struct seccomp_profile *profile, uint32_t arch)
{
	unsigned i;

	for (i = 0; i < profile->n_arches; i++)
		if (profile->arches[i] == arch)
			return;
	if (is_sibling(arch) && profile->n_arches < SECCOMP_ARCHES)
		profile->arches[profile->n_arches++] = arch;
}

/* ["SCMP_ARCH_X86", …]; NULL for `profile` reads over it. */
static int get_arches(struct json_lexer *in, struct arena *arena, struct seccomp_profile *profile)
{
	char *text;

	if (in->token == JSON_NULL)
		return 0;
	if (!json_open_array(in))
		return -1;
	while (json_next_element(in)) {
		if (json_get_string(in, arena, &text, NULL) < 0)
			return -1;
		add_arch(profile, arch_of(text));
	}
	return 0;
}

/* [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}, …] */
static int get_arch_map(struct json_lexer *in, struct arena *arena, struct seccomp_profile *profile)
{
	struct seccomp_profile below;
	uint32_t arch;
	char *text;
	unsigned i;
	int r = 0;

	if (in->token == JSON_NULL)
		return 0;
	if (!json_open_array(in))
		return -1;
	while (r == 0 && json_next_element(in)) {
		memset(&below, 0, sizeof(below));
		arch = 0;
		if (!json_open_object(in))
			return -1;
		while (r == 0 && json_next_field(in)) {
			if (json_name_is(in, "architecture")) {
				r = json_get_string(in, arena, &text, NULL);
				arch = r == 0 ? arch_of(text) : 0;
			} else if (json_name_is(in, "subArchitectures")) {
				r = get_arches(in, arena, &below);
			} else {
				json_skip(in);
			}
		}
		for (i = 0; arch == seccomp_arch_native() && i < below.n_arches; i++)
			add_arch(profile, below.arches[i]);
	}
	return r;
}

/* ---- rules ---- */

/* Counts the texts of an array, and the ones that the machine has. */
static int count_texts(struct json_lexer *in, struct arena *arena,
		       const struct seccomp_machine *machine,
		       bool (*has)(const struct seccomp_machine *, const char *), unsigned *ret_has,
		       unsigned *ret_all)
{
	char *text;

	if (in->token == JSON_NULL)
		return 0;
	if (!json_open_array(in))
		return -1;
	while (json_next_element(in)) {
		if (json_get_string(in, arena, &text, NULL) < 0)
			return -1;
		*ret_has += has(machine, text);
		++*ret_all;
	}
	return 0;
}

/* Reads a minimum of the kernel. */
static int get_kernel(struct json_lexer *in, struct arena *arena,
		      const struct seccomp_machine *machine, unsigned *ret_has)
{
	char *text;
	int r;

	if (json_get_string(in, arena, &text, NULL) < 0)
		return -1;
	r = seccomp_machine_has_kernel(machine, text);
	if (r < 0)
		return json_fail(in, "is not a kernel version such as 4.8");
	*ret_has = r > 0;
	return 0;
}

/*
 * An includes or excludes object. The rule counts if the machine has one of the architectures, all
 * the capabilities, and the kernel (includes); or none of them (excludes).
 */
static int get_condition(struct json_lexer *in, struct arena *arena,
			 const struct seccomp_machine *machine, bool excludes, bool *applies)
{
	unsigned has, all;
	bool is_list;
	int r = 0;

	if (in->token == JSON_NULL)
		return 0;
	if (!json_open_object(in))
		return -1;
	while (r == 0 && json_next_field(in)) {
		has = all = 0;
		is_list = true;
		if (json_name_is(in, "arches")) {
			r = count_texts(in, arena, machine, seccomp_machine_has_arch, &has, &all);
			/* One matching architecture suffices. */
			all = all && has ? has : all;
		} else if (json_name_is(in, "caps")) {
			r = count_texts(in, arena, machine, seccomp_machine_has_capability, &has,
					&all);
		} else if (json_name_is(in, "minKernel") && in->token != JSON_NULL) {
			r = get_kernel(in, arena, machine, &has);
			all = 1;
		} else {
			is_list = false;
			json_skip(in);
		}
		if (is_list && (excludes ? has > 0 : has < all))
			*applies = false;
	}
	return r;
}

static int get_name(struct json_lexer *in, struct arena *arena, struct seccomp_rule *rule,
		    size_t *room)
{
	const char **names;
	char *text;

	if (json_get_string(in, arena, &text, NULL) < 0)
		return -1;
	if (rule->n_names == *room) {
		*room = *room ? *room * 2 : 8;
		names = arena_alloc(arena, *room * sizeof(*names));
		if (rule->n_names)
			memcpy(names, rule->names, rule->n_names * sizeof(*names));
		rule->names = names;
	}
	rule->names[rule->n_names++] = text;
	return 0;
}

static int get_names(struct json_lexer *in, struct arena *arena, struct seccomp_rule *rule,
		     size_t *room)
{
	if (in->token == JSON_STRING)
		return get_name(in, arena, rule, room);
	if (!json_open_array(in))
		return -1;
	while (json_next_element(in))
		if (get_name(in, arena, rule, room) < 0)
			return -1;
	return 0;
}

static int get_operator(struct json_lexer *in, struct arena *arena, enum scmp_compare *ret)
{
	uint32_t value = 0;

	if (get_choice(in, arena, operators, ARRAY_LEN(operators), "is not a supported comparison",
		       &value) < 0)
		return -1;
	*ret = (enum scmp_compare)value;
	return 0;
}

/*
 * Parses {"index": 0, "value": 1, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ"}, which means (argument
 * & value) == valueTwo.
 */
static int get_arg(struct json_lexer *in, struct arena *arena, struct scmp_arg_cmp *arg)
{
	uint64_t index = 0;
	int r = 0;

	memset(arg, 0, sizeof(*arg));
	if (!json_open_object(in))
		return -1;
	while (r == 0 && json_next_field(in)) {
		if (json_name_is(in, "index")) {
			r = get_uint64(in, &index);
			if (r == 0 && index >= SECCOMP_ARGS)
				r = json_fail(in, "is not the number of an argument");
		} else if (json_name_is(in, "value")) {
			r = get_uint64(in, &arg->datum_a);
		} else if (json_name_is(in, "valueTwo")) {
			r = get_uint64(in, &arg->datum_b);
		} else if (json_name_is(in, "op")) {
			r = get_operator(in, arena, &arg->op);
		} else {
			json_skip(in);
		}
	}
	arg->arg = (unsigned)index;
	if (r == 0 && arg->op == _SCMP_CMP_MIN)
		r = json_fail(in, "has an argument without a comparison");
	return r;
}

static int get_args(struct json_lexer *in, struct arena *arena, struct seccomp_rule *rule)
{
	if (in->token == JSON_NULL)
		return 0;
	if (!json_open_array(in))
		return -1;
	while (json_next_element(in)) {
		if (rule->n_args == SECCOMP_ARGS)
			return json_fail(in, "has more than six comparisons");
		if (get_arg(in, arena, &rule->args[rule->n_args++]) < 0)
			return -1;
	}
	return 0;
}

/*
 * libseccomp accepts one comparison for each argument in a rule. As in runc, a rule with two
 * comparisons of an argument becomes several rules with one comparison each. The action is taken if
 * one of these rules matches.
 */
static bool compares_twice(const struct seccomp_rule *rule)
{
	unsigned seen = 0, i;

	for (i = 0; i < rule->n_args; i++) {
		if (seen & 1u << rule->args[i].arg)
			return true;
		seen |= 1u << rule->args[i].arg;
	}
	return false;
}

static void append(struct seccomp_rule ***tail, struct seccomp_rule *rule)
{
	**tail = rule;
	*tail = &rule->next;
}

static void append_rule(struct seccomp_rule ***tail, struct seccomp_rule *rule, struct arena *arena)
{
	struct seccomp_rule *part;
	unsigned i;

	if (!compares_twice(rule)) {
		append(tail, rule);
		return;
	}
	for (i = 0; i < rule->n_args; i++) {
		part = arena_alloc(arena, sizeof(*part));
		*part = *rule;
		part->args[0] = rule->args[i];
		part->n_args = 1;
		append(tail, part);
	}
}

static int get_rule(struct json_lexer *in, struct arena *arena,
		    const struct seccomp_machine *machine, struct seccomp_rule ***tail)
{
	struct seccomp_rule *rule = arena_zalloc(arena, sizeof(*rule));
	uint32_t action = UINT32_MAX, number = EPERM, named = 0;
	bool applies = true;
	size_t room = 0;
	int r = 0;

	if (!json_open_object(in))
		return -1;
	while (r == 0 && json_next_field(in)) {
		if (json_name_is(in, "names") || json_name_is(in, "name"))
			r = get_names(in, arena, rule, &room);
		else if (json_name_is(in, "action"))
			r = get_action(in, arena, &action);
		else if (json_name_is(in, "errnoRet"))
			r = get_errno(in, &number);
		else if (json_name_is(in, "errno"))
			r = get_errno_name(in, arena, &named);
		else if (json_name_is(in, "args"))
			r = get_args(in, arena, rule);
		else if (json_name_is(in, "includes"))
			r = get_condition(in, arena, machine, false, &applies);
		else if (json_name_is(in, "excludes"))
			r = get_condition(in, arena, machine, true, &applies);
		else
			json_skip(in);
	}
	if (r == 0 && action == UINT32_MAX)
		r = json_fail(in, "has a rule without an action");
	rule->action = with_data(action, named ? named : number);
	if (r == 0 && applies)
		append_rule(tail, rule, arena);
	return r;
}

static int get_rules(struct json_lexer *in, struct arena *arena,
		     const struct seccomp_machine *machine, struct seccomp_rule ***tail)
{
	if (in->token == JSON_NULL)
		return 0;
	if (!json_open_array(in))
		return -1;
	while (json_next_element(in))
		if (get_rule(in, arena, machine, tail) < 0)
			return -1;
	return 0;
}

/* ---- the profile ---- */

/* Each child has its filter for itself, so TSYNC changes nothing. */
static int get_flags(struct json_lexer *in, struct arena *arena)
{
	char *text;

	if (in->token == JSON_NULL)
		return 0;
	if (!json_open_array(in))
		return -1;
	while (json_next_element(in)) {
		if (json_get_string(in, arena, &text, NULL) < 0)
			return -1;
		if (strcmp(text, "SECCOMP_FILTER_FLAG_TSYNC") != 0)
			return json_fail(in, "is not a supported flag");
	}
	return 0;
}

int seccomp_profile_parse(const char *text, size_t n, const struct seccomp_machine *machine,
			  struct arena *arena, struct seccomp_profile *ret, struct error *err)
{
	struct json_lexer *in = arena_alloc(arena, sizeof(*in));
	uint32_t action = UINT32_MAX, number = EPERM, named = 0;
	struct seccomp_rule **tail;
	int r = 0;

	memset(ret, 0, sizeof(*ret));
	tail = &ret->rules;
	json_lexer_init(in, text, n);
	if (json_open_object(in)) {
		while (r == 0 && json_next_field(in)) {
			if (json_name_is(in, "defaultAction"))
				r = get_action(in, arena, &action);
			else if (json_name_is(in, "defaultErrnoRet"))
				r = get_errno(in, &number);
			else if (json_name_is(in, "defaultErrno"))
				r = get_errno_name(in, arena, &named);
			else if (json_name_is(in, "archMap"))
				r = get_arch_map(in, arena, ret);
			else if (json_name_is(in, "architectures"))
				r = get_arches(in, arena, ret);
			else if (json_name_is(in, "syscalls"))
				r = get_rules(in, arena, machine, &tail);
			else if (json_name_is(in, "flags"))
				r = get_flags(in, arena);
			else if (json_name_is(in, "listenerPath") && in->token != JSON_NULL)
				r = json_fail(in, "is not supported");
			else
				json_skip(in);
		}
	}
	if (json_finish(in, err) < 0)
		return -1;
	if (action == UINT32_MAX)
		return error_set(err, ERROR_INVALID_ARGUMENT, "defaultAction is missing");
	ret->default_action = with_data(action, named ? named : number);
	return 0;
}
