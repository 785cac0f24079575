/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control API's pure parts: /init's body, the metadata service's answers, metrics, the clock.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/mountinfo.h"
#include "envd/control/ca_bundle.h"
#include "envd/control/clock.h"
#include "envd/control/cpus.h"
#include "envd/control/http_client.h"
#include "envd/control/init_request.h"
#include "envd/control/memory_report.h"
#include "envd/control/metrics.h"
#include "envd/control/mmds.h"
#include "envd/control/oom_log.h"
#include "envd/control/volumes.h"

static int parse(struct arena *arena, const char *body, struct init_request *ret)
{
	struct error err;

	return init_request_parse(body, strlen(body), arena, ret, &err);
}

static void test_init_refused(void **state)
{
	static const char *const bodies[] = {
		"{",
		"[]",
		"1",
		"\"\"",
		"{} x",
		"null x",
		"{\"timestamp\":1}",
		"{\"timestamp\":\"yesterday\"}",
		"{\"timestamp\":\"\"}",
		"{\"accessToken\":\"\"}",
		"{\"accessToken\":\"a\\u0062\"}",
		"{\"accessToken\":1}",
		"{\"envVars\":[]}",
		"{\"envVars\":{\"A\":1}}",
		"{\"defaultUser\":{}}",
		"{\"volumeMounts\":{}}",
		"{\"volumeMounts\":[1]}",
		"{\"volumeMounts\":[{\"path\":1}]}",
	};
	struct arena arena = {0};
	struct init_request r;

	for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
		if (parse(&arena, bodies[i], &r) == 0)
			fail_msg("taken: %s", bodies[i]);
	arena_clear(&arena);
}

static void test_init_taken(void **state)
{
	struct arena arena = {0};
	struct init_request r;

	assert_int_equal(parse(&arena, "", &r), 0);
	assert_int_equal(parse(&arena, " null ", &r), 0);
	assert_int_equal(parse(&arena, "{}", &r), 0);
	assert_false(r.has_vars || r.has_mounts || r.has_timestamp || r.token);
	assert_int_equal(
		parse(&arena,
		      "{\"ACCESSTOKEN\":\"ab\",\"envvars\":{\"A\":null,\"B\":\"2\"},"
		      "\"timestamp\":\"1970-01-01T00:00:01.5Z\",\"other\":[{}],"
		      "\"defaultUser\":null,\"defaultWorkdir\":\"/w\",\"lifecycleID\":\"l\","
		      "\"volumeMounts\":[{\"nfs_target\":\"h:/e\",\"path\":\"/m\"},null]}",
		      &r),
		0);
	assert_int_equal(r.token_bytes, 2);
	assert_memory_equal(r.token, "ab", 2);
	assert_int_equal(r.n_vars, 2);
	assert_string_equal(r.vars[0].value, "");
	assert_string_equal(r.vars[1].value, "2");
	assert_true(r.has_timestamp);
	assert_int_equal(r.timestamp_ns, 1500000000);
	assert_null(r.default_user);
	assert_string_equal(r.default_workdir, "/w");
	assert_int_equal(r.n_mounts, 2);
	assert_string_equal(r.mounts[0].nfs_target, "h:/e");
	assert_string_equal(r.mounts[1].path, "");
	arena_clear(&arena);
}

static void test_mmds_answers(void **state)
{
	static const char good[] = "{\"instanceID\":\"i\",\"envID\":\"e\",\"x\":{\"y\":[1]},"
				   "\"address\":\"http://10.0.0.1:1\",\"accessTokenHash\":null}";
	struct mmds_answer a;
	char text[1024];

	assert_int_equal(mmds_parse(good, strlen(good), &a), 0);
	assert_string_equal(a.instance_id, "i");
	assert_string_equal(a.env_id, "e");
	assert_string_equal(a.address, "http://10.0.0.1:1");
	assert_string_equal(a.token_hash, "");
	assert_true(mmds_parse("{", 1, &a) < 0);
	assert_true(mmds_parse("", 0, &a) < 0);
	memset(text, 'a', sizeof(text));
	memcpy(text, "{\"envID\":\"", 10);
	memcpy(text + sizeof(text) - 3, "\"}", 3);
	assert_true(mmds_parse(text, strlen(text), &a) < 0);
}

static void test_http_answers(void **state)
{
	static const struct {
		const char *bytes;
		int at_end, result, status;
		const char *body;
	} cases[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", 0, 1, 200, "ab"},
		{"HTTP/1.1 200 OK\r\ncontent-length:2\r\n\r\na", 0, 0, 200, NULL},
		{"HTTP/1.1 200 OK\r\ncontent-length:2\r\n\r\na", 1, -71, 200, NULL},
		{"HTTP/1.0 404 No\r\n\r\nxyz", 0, 0, 404, NULL},
		{"HTTP/1.0 404 No\r\n\r\nxyz", 1, 1, 404, "xyz"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: "
		 "chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
		 0, 1, 200, "abc"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", 0, 0, 200,
		 NULL},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n0\r\n\r\n", 0, -71,
		 200, NULL},
		/* The end of a body stands in a chunk: nothing is joined before all is there. */
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\na0\r\n\r\n", 0, 0, 200,
		 NULL},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n 2\r\nab\r\n", 0, -71, 200,
		 NULL},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		 "2;x=y\r\nab\r\n0\r\nA: b\r\n\r\n",
		 0, 1, 200, "ab"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd0\r\n\r\n", 0, -71,
		 200, NULL},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", 1, -71, 200, NULL},
		{"HTTP/1.1 204 None\r\n\r\nxyz", 0, 1, 204, ""},
		{"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n2", 0, -71, 200, NULL},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2 \t\r\n\r\nab", 0, 1, 200, "ab"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2x\r\n\r\nab", 0, -71, 200, NULL},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab", 0, -71, 200, NULL},
		{"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nab", 0, -71, 200,
		 NULL},
		{"HTTP/1.1 \r\n\r\n200 OK", 0, -71, 0, NULL},
		{"HTTP/1.1 200", 0, 0, 0, NULL},
		{"SSH-2.0\r\n\r\n", 0, -71, 0, NULL},
		{"", 1, -71, 0, NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[256], *body = NULL;
		size_t n = 0;
		int status = 0, r;

		strcpy(text, cases[i].bytes);
		r = http_client_parse(text, strlen(text), cases[i].at_end, &status, &body, &n);
		if (r != cases[i].result)
			fail_msg("case %zu: %d", i, r);
		if (r == 1) {
			assert_int_equal(status, cases[i].status);
			assert_int_equal(n, strlen(cases[i].body));
			assert_memory_equal(body, cases[i].body, n);
		}
	}
}

static void test_urls(void **state)
{
	static const char *const bad[] = {
		"",
		"https://10.0.0.1",
		"http://host/",
		"http://10.0.0.1:0",
		"http://10.0.0.1:x",
		"http://10.0.0.1:+80",
		"http://10.0.0.1:99999",
		"http://[fd00::1",
		"http:///x",
	};
	struct http_url url;

	assert_int_equal(http_url_parse("http://10.0.0.1", &url), 0);
	assert_int_equal(url.port, 80);
	assert_string_equal(url.path, "/");
	assert_int_equal(http_url_parse("http://[fd00::1]:8080/a/b?c", &url), 0);
	assert_string_equal(url.host, "fd00::1");
	assert_int_equal(url.port, 8080);
	assert_string_equal(url.path, "/a/b?c");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (http_url_parse(bad[i], &url) == 0)
			fail_msg("taken: %s", bad[i]);
}

static void test_metrics(void **state)
{
	struct metrics_cpu before, after;
	struct metrics_memory memory;

	metrics_parse_cpu("cpu  10 0 10 70 10 0 0 0 5 0\ncpu0 1 1\ncpu1 1 1\nintr 1\n", &before);
	assert_int_equal(before.count, 2);
	assert_int_equal(before.total, 100);
	assert_int_equal(before.busy, 20);
	metrics_parse_cpu("cpu  60 0 10 110 20 0 0 0 5 0\ncpu0 1 1\ncpu1 1 1\nintr 1\n", &after);
	assert_true(metrics_cpu_percent(&before, &after) == 50.0);
	assert_true(metrics_cpu_percent(&after, &after) == 0.0);
	metrics_parse_memory("MemTotal:  100 kB\nMemFree: 1 kB\nMemAvailable: 40 kB\nCached: 7 kB\n"
			     "SwapCached: 9 kB\nSReclaimable: 3 kB\n",
			     &memory);
	assert_int_equal(memory.total_bytes, 102400);
	assert_int_equal(memory.available_bytes, 40960);
	assert_int_equal(memory.cache_bytes, 10240);
}

static void test_clock(void **state)
{
	const int64_t host = 1700000000000000000, ms = 1000000;

	assert_false(clock_is_off(host, host));
	assert_false(clock_is_off(host - 50 * ms, host));
	assert_true(clock_is_off(host - 51 * ms, host));
	assert_false(clock_is_off(host + 5000 * ms, host));
	assert_true(clock_is_off(host + 5001 * ms, host));
}

static void test_ca_bundle(void **state)
{
	char directory[] = "/tmp/envd-ca-XXXXXX", path[64], missing[64], *text, *one;
	struct error err;
	FILE *f;

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/bundle.crt", directory);
	snprintf(missing, sizeof(missing), "%s/none.crt", directory);
	f = fopen(path, "w");
	fputs("SYSTEM\n", f);
	fclose(f);
	one = ca_bundle_normalize("ONE\n\n\n");
	assert_string_equal(one, "ONE\n");
	assert_int_equal(ca_bundle_install(path, one, NULL, &err), 0);
	assert_int_equal(ca_bundle_install(path, one, NULL, &err), 0);
	assert_int_equal(ca_bundle_install(path, "TWO\n", one, &err), 0);
	assert_int_equal(fd_read_file(-1, path, 4096, &text, NULL), 0);
	assert_string_equal(text, "SYSTEM\nTWO\n");
	assert_int_equal(ca_bundle_install(missing, one, NULL, &err), -1);
	assert_int_equal(err.code, ERROR_INVALID_ARGUMENT);
	free(text);
	free(one);
	unlink(path);
	assert_int_equal(rmdir(directory), 0);
}

static void test_volumes_that_are_mounted(void **state)
{
	struct loop loop;
	struct volumes *m;

	loop_init(&loop);
	m = volumes_new(&loop);

	assert_true(volumes_wanted(m, "/m", NULL));
	volumes_remember(m, "/m", NULL);
	assert_false(volumes_wanted(m, "/m", NULL));
	assert_false(volumes_wanted(m, "/m", ""));
	assert_true(volumes_wanted(m, "/m", "a"));
	volumes_remember(m, "/m", "a");
	assert_false(volumes_wanted(m, "/m", "a"));
	assert_true(volumes_wanted(m, "/m", "b"));
	assert_true(volumes_wanted(m, "/m", NULL));
	volumes_free(m);
	loop_clear(&loop);
}

static void test_init_thaw_and_cpus(void **state)
{
	struct arena arena = {0};
	struct init_request r;

	assert_int_equal(parse(&arena, "{\"thaw\":\"skip\",\"cpuCount\":-3}", &r), 0);
	assert_true(r.skips_thaw && r.has_cpus);
	assert_int_equal(r.cpus, -3);
	assert_int_equal(parse(&arena, "{\"thaw\":\"later\",\"cpuCount\":null}", &r), 0);
	assert_false(r.skips_thaw || r.has_cpus);
	assert_int_equal(parse(&arena, "{\"thaw\":1}", &r), -1);
	assert_int_equal(parse(&arena, "{\"cpuCount\":1.5}", &r), -1);
	assert_int_equal(parse(&arena, "{\"cpuCount\":\"2\"}", &r), -1);
	arena_clear(&arena);
}

/* The table of variables grows as they come: a small body costs little memory. */
static void test_init_many_vars(void **state)
{
	size_t room = INIT_MAX_VARS * 16 + 64, at, i;
	char *body = mem_alloc(room);
	struct arena arena = {0};
	struct init_request r;

	at = (size_t)snprintf(body, room, "{\"envVars\":{");
	for (i = 0; i < INIT_MAX_VARS; i++)
		at += (size_t)snprintf(body + at, room - at, "%s\"V%zu\":\"%zu\"", i ? "," : "", i,
				       i);
	snprintf(body + at, room - at, "}}");
	assert_int_equal(parse(&arena, body, &r), 0);
	assert_int_equal(r.n_vars, INIT_MAX_VARS);
	for (i = 0; i < r.n_vars; i++)
		assert_int_equal(strtoul(r.vars[i].value, NULL, 10), i);
	snprintf(body + at, room - at, ",\"A\":\"\"}}");
	assert_int_equal(parse(&arena, body, &r), -1);
	arena_clear(&arena);
	free(body);
}

static void test_cpu_lists(void **state)
{
	static const struct {
		const char *text;
		unsigned n;
	} cases[] = {
		{"0\n", 1},	  {"0-3\n", 4}, {"0-3,8\n", 5}, {"0,2-3,5-7\n", 6},
		{"0-1,1-2\n", 3}, {"\n", 0},	{"", 0},	{"3-1\n", 0},
		{"0-64\n", 0},	  {"0 1\n", 0}, {"0-63\n", 64}, {"x\n", 0},
	};
	uint8_t bits[8];
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++)
		if (cpus_parse_list(cases[i].text, bits, sizeof(bits)) != cases[i].n)
			fail_msg("%s", cases[i].text);
	assert_int_equal(cpus_parse_list("1,3\n", bits, sizeof(bits)), 2);
	assert_int_equal(bits[0], 1 << 1 | 1 << 3);
}

static void test_oom_records(void **state)
{
	static const struct {
		const char *record, *name; /* NULL: no kill */
	} cases[] = {
		{"3,7,1,-;Out of memory: Killed process 12 (python3) total-vm:1kB, x\n", "python3"},
		{"0,7,1,-;Memory cgroup out of memory: Killed process 1 (a) b) total-vm:1kB\n",
		 "a) b"},
		{"6,7,1,-,caller=T1;Out of memory (oom_kill_allocating_task): Killed process 3 (x) "
		 "total-vm:9kB\n SUBSYSTEM=x\n",
		 "x"},
		{"3,7,1,-;Out of memory: Killed process x\n", "Unknown"},
		{"3,7,1,-;Out of memory: Killed process 12 (python3)\n (a) total-vm:1\n",
		 "Unknown"},
		/* A program of the guest wrote it: its facility is not the kernel's. */
		{"12,7,1,-;Out of memory: Killed process 12 (python3) total-vm:1kB\n", NULL},
		{"3,7,1,-;x: Out of memory: Killed process 12 (python3) total-vm:1kB\n", NULL},
		{"3,7,1,-;oom_reaper: reaped process 12 (python3)\n", NULL},
		{"3;Out of memory: Killed process 12 (python3) total-vm:1kB\n", NULL},
		{"Out of memory: Killed process 12 (python3) total-vm:1kB\n", NULL},
		{"", NULL},
	};
	struct oom_kill kill;
	size_t i;
	bool is;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		is = oom_log_parse(cases[i].record, strlen(cases[i].record), &kill);
		if (is != (cases[i].name != NULL))
			fail_msg("%s", cases[i].record);
		if (!is)
			continue;
		assert_string_equal(kill.process, cases[i].name);
		assert_int_equal(kill.seq, 7);
	}
}

static void test_mountinfo(void **state)
{
	char line[] = "36 35 98:0 /r /a\\040b\\134c rw,noatime shared:1 master:2 - nfs4 h:/e rw";
	char bad[] = "36 35 98:0 /r /a rw shared:1 nfs4 h:/e rw", cut[] = "36 35 98:0 /r";
	char text[] = "\\0\\400\\04\\101";
	struct mountinfo mount;

	assert_true(mountinfo_parse(line, &mount));
	assert_string_equal(mount.path, "/a b\\c");
	assert_string_equal(mount.type, "nfs4");
	assert_false(mountinfo_parse(bad, &mount));
	assert_false(mountinfo_parse(cut, &mount));
	mountinfo_unescape(text);
	assert_string_equal(text, "\\0\\400\\04A");
	assert_true(mountinfo_has("/proc"));
	assert_false(mountinfo_has("/proc/self"));
}

static void put_file(int dir_fd, const char *name, const char *text)
{
	int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static void test_memory_report(void **state)
{
	static const struct {
		const char *parent_min, *min, *low, *report;
	} cases[] = {
		{"104857600\n", "209715200\n", "314572800\n",
		 "{\"request\":209715200,\"low\":314572800,\"floor\":104857600,\"partial\":false}"},
		{"max\n", "5\n", "0\n", "{\"request\":5,\"low\":0,\"floor\":5,\"partial\":false}"},
		{"0\n", "max\n", "0\n",
		 "{\"request\":9223372036854775807,\"low\":0,\"floor\":0,\"partial\":false}"},
		{"7\n", "5\n", "x\n", "{\"request\":5,\"low\":0,\"floor\":5,\"partial\":true}"},
	};
	char directory[] = "/tmp/envd-memory-XXXXXX", report[MEMORY_REPORT_BYTES], text[64];
	char command[64], self[64];
	int fd;
	size_t i;

	assert_non_null(mkdtemp(directory));
	fd = open(directory, O_RDONLY | O_DIRECTORY);
	assert_int_equal(mkdirat(fd, "p", 0755), 0);
	assert_int_equal(mkdirat(fd, "p/own", 0755), 0);
	snprintf(text, sizeof(text), "%d\n", (int)getpid());
	put_file(fd, "p/own/cgroup.procs", text);
	put_file(fd, "cgroup.procs", "1\n");
	put_file(fd, "self", "0::/p/own\n");
	snprintf(self, sizeof(self), "%s/self", directory);
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		put_file(fd, "p/memory.min", cases[i].parent_min);
		put_file(fd, "p/own/memory.min", cases[i].min);
		put_file(fd, "p/own/memory.low", cases[i].low);
		memory_report_read(fd, self, report);
		assert_string_equal(report, cases[i].report);
	}
	/* Outside of the hierarchy; no hierarchy at all; in its root. */
	put_file(fd, "p/own/cgroup.procs", "");
	memory_report_read(fd, self, report);
	assert_string_equal(report, "{\"request\":0,\"low\":0,\"floor\":0,\"partial\":true}");
	memory_report_read(-1, self, report);
	assert_string_equal(report, "{\"request\":0,\"low\":0,\"floor\":0,\"partial\":true}");
	put_file(fd, "cgroup.procs", text);
	put_file(fd, "self", "0::/\n");
	memory_report_read(fd, self, report);
	assert_string_equal(report, "{\"request\":0,\"low\":0,\"floor\":0,\"partial\":false}");
	close(fd);
	snprintf(command, sizeof(command), "rm -r %s", directory);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_init_refused),
		cmocka_unit_test(test_init_taken),
		cmocka_unit_test(test_mmds_answers),
		cmocka_unit_test(test_http_answers),
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_metrics),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_ca_bundle),
		cmocka_unit_test(test_volumes_that_are_mounted),
		cmocka_unit_test(test_init_thaw_and_cpus),
		cmocka_unit_test(test_init_many_vars),
		cmocka_unit_test(test_cpu_lists),
		cmocka_unit_test(test_oom_records),
		cmocka_unit_test(test_mountinfo),
		cmocka_unit_test(test_memory_report),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
