// The API server is a script: one answer after the other, and silence after the last.
#include "base/mem.h"
#include "base/str.h"
#include "kube/watch.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

struct answer {
	const char *wants; // somewhere in the path
	int status;        // -1: the connection breaks after the lines
	const char *list;  // of a list
	const char *lines[4];
};

static struct script {
	const struct answer *answers;
	size_t count, next;
	struct str told; // "+a" "-a" "!410", each followed by a blank
	char *wrong;
	pthread_mutex_t lock;
	pthread_cond_t changed;
} script = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void tell(char sign, const char *text)
{
	pthread_mutex_lock(&script.lock);
	str_printf(&script.told, "%c%s ", sign, text);
	pthread_cond_broadcast(&script.changed);
	pthread_mutex_unlock(&script.lock);
}

static void be_silent(const atomic_bool *cancelled)
{
	while (!*cancelled)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

int api_server_ask(struct api_server *s, const struct api_server_ask *ask, json_t **answer, struct error *err)
{
	pthread_mutex_lock(&script.lock);
	const struct answer *a = script.next < script.count ? &script.answers[script.next++] : NULL;
	if (a && !strstr(ask->path, a->wants) && !script.wrong)
		script.wrong = mem_printf("asked for '%s', expected '%s'", ask->path, a->wants);
	pthread_cond_broadcast(&script.changed);
	pthread_mutex_unlock(&script.lock);
	if (!a) {
		be_silent(ask->cancelled);
		return error_set(err, ERROR_CANCELLED, "cancelled");
	}
	if (answer)
		*answer = a->list ? json_loads(a->list, 0, NULL) : NULL;
	for (size_t i = 0; i < countof(a->lines) && a->lines[i]; i++) {
		autojson json_t *line = json_loads(a->lines[i], 0, NULL);
		if (ask->on_line(line, ask->data, err))
			return -1;
	}
	if (a->status < 0 || a->status >= 400)
		error_set(err, ERROR_SYSTEM, "status %d", a->status);
	return a->status;
}

static void on_object(enum watch_change change, const json_t *object, void *data)
{
	const json_t *meta = json_object_get(object, "metadata");
	assert_null(json_object_get(meta, "managedFields"));
	tell(change == WATCH_SEEN ? '+' : '-', json_string_value(json_object_get(meta, "uid")));
}

static void on_trouble(int status, const struct error *err, void *data)
{
	autofree char *text = mem_printf("%d", status);
	tell('!', text);
}

static const struct watch_ops ops = {on_object, on_trouble};

// Plays the answers and expects that this was told by the time all are given, and no more.
static void play(const struct answer *answers, size_t count, bool news_only, const char *expected)
{
	script.answers = answers;
	script.count = count;
	script.next = 0;
	struct watch_options options = {
		.path = "/pods?labelSelector=a", .news_only = news_only, .pause = 0.001, .ops = &ops};
	struct error err = {0};
	struct watch *w = watch_start(&options, NULL, &err);
	if (!w)
		fail_msg("%s", err.text);
	struct timespec end;
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 20;
	pthread_mutex_lock(&script.lock);
	int rc = 0;
	while (rc == 0 && (script.next < count || !script.told.text || strlen(script.told.text) < strlen(expected)))
		rc = pthread_cond_timedwait(&script.changed, &script.lock, &end);
	pthread_mutex_unlock(&script.lock);
	watch_stop(w);
	if (script.wrong)
		fail_msg("%s", script.wrong);
	assert_string_equal(script.told.text ? script.told.text : "", expected);
	str_fini(&script.told);
	script.told = (struct str){0};
}

#define LIST(version, items) "{\"metadata\":{\"resourceVersion\":\"" version "\"},\"items\":[" items "]}"
#define OBJECT(uid, version)                                                                                           \
	"{\"metadata\":{\"uid\":\"" uid "\",\"resourceVersion\":\"" version "\",\"managedFields\":[1]}}"
#define LINE(type, object) "{\"type\":\"" type "\",\"object\":" object "}"

static void goes_on_where_it_was(void **state)
{
	static const struct answer answers[] = {
		{.wants = "labelSelector=a&limit=", .status = 200, .list = LIST("5", OBJECT("a", "3"))},
		{.wants = "&resourceVersion=5",
			.status = 200,
			.lines = {LINE("ADDED", OBJECT("b", "6")), LINE("MODIFIED", OBJECT("a", "7")),
				LINE("DELETED", OBJECT("b", "8"))}},
		{.wants = "&resourceVersion=8",
			.status = 200,
			.lines = {LINE("BOOKMARK", "{\"metadata\":{\"resourceVersion\":\"30\"}}")}},
		{.wants = "&resourceVersion=30",
			.status = -1,
			.lines = {LINE("ADDED", OBJECT("c", "31"))}}, // no last chunk
		{.wants = "&resourceVersion=31", .status = -1},       // no answer
		{.wants = "&resourceVersion=31", .status = 200, .lines = {LINE("DELETED", OBJECT("c", "32"))}},
	};
	play(answers, countof(answers), false, "+a +b +a -b +c -c ");
}

static void gone_in_three_forms(void **state)
{
	static const struct answer answers[] = {
		{.wants = "limit=", .status = 200, .list = LIST("5", OBJECT("a", "3") "," OBJECT("b", "4"))},
		{.wants = "&resourceVersion=5", .status = 410}, // as a status
		{.wants = "limit=", .status = 200, .list = LIST("50", OBJECT("b", "4"))},
		{.wants = "&resourceVersion=50",
			.status = 200,
			.lines = {LINE("ERROR", "{\"kind\":\"Status\",\"code\":410,\"message\":\"too old\"}"),
				LINE("ADDED", OBJECT("never", "51"))}},
		{.wants = "limit=", .status = 200, .list = LIST("60", OBJECT("b", "4") "," OBJECT("c", "55"))},
		{.wants = "&resourceVersion=60", .status = 200}, // empty
		{.wants = "limit=", .status = 200, .list = LIST("70", "")},
	};
	play(answers, countof(answers), false, "+a +b +b -a +b +c -b -c ");
}

static void pages(void **state)
{
	static const struct answer answers[] = {
		{.wants = "limit=",
			.status = 200,
			.list = "{\"metadata\":{\"resourceVersion\":\"5\",\"continue\":\"xyz\"},\"items\":[" OBJECT(
				"a", "1") "]}"},
		{.wants = "&continue=xyz", .status = 200, .list = LIST("5", OBJECT("b", "2"))},
		{.wants = "&resourceVersion=5", .status = 200, .lines = {LINE("DELETED", OBJECT("a", "9"))}},
	};
	play(answers, countof(answers), false, "+a +b -a ");
}

static void half_a_list_is_none(void **state)
{
	static const struct answer answers[] = {
		{.wants = "limit=", .status = 200, .list = LIST("5", OBJECT("a", "1"))},
		{.wants = "&resourceVersion=5", .status = 410},
		{.wants = "limit=",
			.status = 200,
			.list = "{\"metadata\":{\"resourceVersion\":\"9\",\"continue\":\"xyz\"},\"items\":[" OBJECT(
				"b", "6") "]}"},
		{.wants = "&continue=xyz", .status = 410},
		{.wants = "limit=", .status = 200, .list = LIST("11", OBJECT("b", "6") "," OBJECT("c", "7"))},
		{.wants = "&resourceVersion=11", .status = -1},
	};
	play(answers, countof(answers), false, "+a +b +b +c -a ");
}

static void trouble_is_told_and_does_not_last(void **state)
{
	static const struct answer answers[] = {
		{.wants = "limit=", .status = 200, .list = LIST("5", OBJECT("a", "1"))},
		{.wants = "&resourceVersion=5", .status = 403},
		{.wants = "&resourceVersion=5", .status = 410},
		{.wants = "limit=", .status = 503},
		{.wants = "limit=", .status = 410}, // of a list this is no trouble: it is asked again
		{.wants = "limit=", .status = 200, .list = LIST("9", OBJECT("a", "1"))},
	};
	play(answers, countof(answers), false, "+a !403 !503 +a ");
}

static void news_only(void **state)
{
	static const struct answer answers[] = {
		{.wants = "&limit=1",
			.status = 200,
			.list = "{\"metadata\":{\"resourceVersion\":\"5\",\"continue\":\"x\"},\"items\":[" OBJECT(
				"a", "1") "]}"},
		{.wants = "&resourceVersion=5", .status = 200, .lines = {LINE("ADDED", OBJECT("b", "6"))}},
		{.wants = "&resourceVersion=6", .status = 410},
		{.wants = "&limit=1", .status = 200, .list = LIST("9", OBJECT("a", "1"))},
	};
	play(answers, countof(answers), true, "+b ");
}

static void what_is_no_list_does_not_start(void **state)
{
	static const struct answer wrong[] = {{.wants = "limit=", .status = 200},
		{.wants = "limit=", .status = 200, .list = "[]"}, {.wants = "limit=", .status = 200, .list = "{}"},
		{.wants = "limit=", .status = 403}, {.wants = "limit=", .status = -1}};
	for (size_t i = 0; i < countof(wrong); i++) {
		script.answers = &wrong[i];
		script.count = 1;
		script.next = 0;
		struct watch_options options = {.path = "/pods", .ops = &ops};
		struct error err = {0};
		assert_null(watch_start(&options, NULL, &err));
		assert_true(*err.text);
	}
}

static void what_is_no_object_is_passed_over(void **state)
{
	static const struct answer answers[] = {
		{.wants = "limit=", .status = 200, .list = LIST("5", "1,null,{},{\"metadata\":3}")},
		{.wants = "&resourceVersion=5",
			.status = 200,
			.lines = {"[]", "{}", LINE("ADDED", "null"), LINE("ADDED", OBJECT("a", "6"))}},
	};
	play(answers, countof(answers), false, "+a ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(goes_on_where_it_was),
		cmocka_unit_test(gone_in_three_forms),
		cmocka_unit_test(pages),
		cmocka_unit_test(half_a_list_is_none),
		cmocka_unit_test(trouble_is_told_and_does_not_last),
		cmocka_unit_test(news_only),
		cmocka_unit_test(what_is_no_list_does_not_start),
		cmocka_unit_test(what_is_no_object_is_passed_over),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
