#include "kube/credential_plugin.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	OUTPUT_MAX = 1 << 20,
	ERRORS_MAX = 64 * 1024, // of its standard error the last so many bytes count
	SECONDS_MAX = 300,      // somebody may have to log in with a browser
};

void credential_plugin_fini(struct credential_plugin *p)
{
	free(p->where);
	free(p->version);
	free(p->command);
	free(p->hint);
	json_decref(p->args);
	json_decref(p->env);
	json_decref(p->cluster);
	*p = (struct credential_plugin){0};
}

void credential_plugin_forget(struct credential *c)
{
	char *secrets[] = {c->token, c->cert, c->key};
	for (size_t i = 0; i < countof(secrets); i++)
		crypto_wipe(secrets[i]);
	*c = (struct credential){0};
}

// --- what it gives ----------------------------------------------------------

// "2026-11-28T10:00:00Z", with a fraction of a second or another zone: RFC 3339. -1 when it is none.
static int read_time(const char *text, double *when)
{
	struct tm tm = {0};
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (!rest)
		return -1;
	if (*rest == '.') {
		size_t digits = strspn(rest + 1, "0123456789");
		if (digits == 0)
			return -1;
		rest += 1 + digits;
	}
	int hours = 0, minutes = 0, used = 0;
	char sign = '+';
	if (strcmp(rest, "Z") != 0 && (sscanf(rest, "%c%2d:%2d%n", &sign, &hours, &minutes, &used) != 3 || rest[used] ||
					      !strchr("+-", sign) || hours < 0 || minutes < 0))
		return -1;
	double offset = hours * 3600.0 + minutes * 60.0;
	*when = (double)timegm(&tm) - (sign == '-' ? -offset : offset);
	return 0;
}

// A token goes into a header: printable, without blanks.
static bool is_token(const char *text)
{
	for (; *text > ' ' && *text < 0x7f; text++)
		;
	return *text == '\0';
}

static int take_text(const json_t *status, const char *name, char **text, struct error *err)
{
	const json_t *value = json_object_get(status, name);
	if (!value || json_is_null(value))
		return 0;
	if (!json_is_string(value))
		return error_set(err, ERROR_SYSTEM, "status.%s is no text", name);
	if (json_string_length(value) > 0)
		*text = mem_strdup(json_string_value(value));
	return 0;
}

static int take_status(const json_t *status, struct credential *c, struct error *err)
{
	autofree char *until = NULL;
	if (take_text(status, "token", &c->token, err) < 0 ||
		take_text(status, "clientCertificateData", &c->cert, err) < 0 ||
		take_text(status, "clientKeyData", &c->key, err) < 0 ||
		take_text(status, "expirationTimestamp", &until, err) < 0)
		return -1;
	if (!c->token && !c->cert && !c->key)
		return error_set(
			err, ERROR_SYSTEM, "status has neither a token nor clientCertificateData and clientKeyData");
	if (!c->cert != !c->key)
		return error_set(
			err, ERROR_SYSTEM, "status.%s is missing", c->cert ? "clientKeyData" : "clientCertificateData");
	if (c->token && !is_token(c->token))
		return error_set(err, ERROR_SYSTEM, "status.token has a byte that no token may have");
	if (until && read_time(until, &c->expires) < 0)
		return error_set(err, ERROR_SYSTEM,
			"status.expirationTimestamp is '%.40s', expected a time as in RFC 3339", until);
	return 0;
}

int credential_plugin_read(const char *text, size_t len, const char *version, struct credential *c, struct error *err)
{
	*c = (struct credential){0};
	autojson json_t *said = json_loadb(text, len, 0, NULL);
	const char *kind = json_text_or(said, "kind", ""), *api = json_text_or(said, "apiVersion", "");
	if (strcmp(kind, "ExecCredential") != 0)
		return error_set(err, ERROR_SYSTEM, "its output is no JSON object of the kind ExecCredential");
	if (strcmp(api, version) != 0)
		return error_set(
			err, ERROR_SYSTEM, "its output has the apiVersion '%.80s', expected '%s'", api, version);
	const json_t *status = json_object_get(said, "status");
	if (!json_is_object(status))
		return error_set(err, ERROR_SYSTEM, "its output has no status");
	if (take_status(status, c, err) == 0)
		return 0;
	credential_plugin_forget(c);
	return -1;
}

// --- running it -------------------------------------------------------------

static char *exec_info(const struct credential_plugin *p, bool interactive)
{
	autojson json_t *info = mem_json("{s:s, s:s, s:{s:b}}", "apiVersion", p->version, "kind", "ExecCredential",
		"spec", "interactive", interactive);
	if (p->cluster)
		json_object_set(json_object_get(info, "spec"), "cluster", p->cluster);
	autofree char *text = json_dumps(info, JSON_COMPACT);
	return mem_printf("KUBERNETES_EXEC_INFO=%s", text);
}

extern char **environ;

// Our own environment, with that of the configuration in place of what has the same name. Ends with NULL.
static char **make_env(const struct credential_plugin *p, bool interactive)
{
	size_t have = 0, n = 0;
	while (environ[have])
		have++;
	char **env = mem_alloc((have + json_object_size(p->env) + 2) * sizeof *env);
	for (size_t i = 0; i < have; i++) {
		size_t len = strcspn(environ[i], "=");
		autofree char *name = mem_strndup(environ[i], len);
		if (strcmp(name, "KUBERNETES_EXEC_INFO") != 0 && !json_object_get(p->env, name))
			env[n++] = mem_strdup(environ[i]);
	}
	const char *name;
	json_t *value;
	json_object_foreach (p->env, name, value)
		env[n++] = mem_printf("%s=%s", name, json_string_value(value));
	env[n] = exec_info(p, interactive);
	return env;
}

static void free_texts(char **texts)
{
	for (char **at = texts; *at; at++)
		free(*at);
	free(texts);
}

static char **make_argv(const struct credential_plugin *p)
{
	size_t count = json_array_size(p->args);
	char **argv = mem_alloc((count + 2) * sizeof *argv);
	argv[0] = mem_strdup(p->command);
	for (size_t i = 0; i < count; i++)
		argv[i + 1] = mem_strdup(json_string_value(json_array_get(p->args, i)));
	return argv;
}

// What the child writes.
struct child {
	pid_t pid;
	int pidfd;
	bool group;
	int out, err; // -1: at its end
	struct str output, errors;
};

static void drain(int *fd, struct str *text, size_t max)
{
	char bytes[4096];
	ssize_t got = read(*fd, bytes, sizeof bytes);
	if (got < 0 && errno == EINTR)
		return;
	if (got <= 0) {
		close(steal_fd(fd));
		return;
	}
	str_add(text, bytes, (size_t)got);
	explicit_bzero(bytes, sizeof bytes);
	if (text->len > max) { // the newest counts
		memmove(text->text, text->text + text->len - max, max);
		text->len = max;
		text->text[max] = '\0';
	}
}

// What is there of its standard error when it has ended. What it has started and left behind may keep that open.
static void drain_rest(struct child *c)
{
	struct pollfd poller = {.fd = c->err, .events = POLLIN};
	for (size_t n = 0; c->err >= 0 && n < ERRORS_MAX && poll(&poller, 1, 0) > 0; n += 4096, poller.fd = c->err)
		drain(&c->err, &c->errors, ERRORS_MAX);
}

static int listen_to(struct child *c, const atomic_bool *cancelled, struct error *err)
{
	double end = clock_mono() + SECONDS_MAX;
	bool ended = false;
	while (c->out >= 0 || !ended) {
		struct pollfd pollers[] = {{.fd = c->out, .events = POLLIN}, {.fd = c->err, .events = POLLIN},
			{.fd = ended ? -1 : c->pidfd, .events = POLLIN}};
		if (poll(pollers, countof(pollers), 100) < 0 && errno != EINTR)
			return error_errno(err, "cannot wait for it");
		if (cancelled && *cancelled)
			return error_set(err, ERROR_CANCELLED, "cancelled");
		if (clock_mono() > end)
			return error_set(err, ERROR_SYSTEM, "it has not ended after %d s", SECONDS_MAX);
		if (c->out >= 0 && pollers[0].revents)
			drain(&c->out, &c->output, OUTPUT_MAX + 1);
		if (c->err >= 0 && pollers[1].revents)
			drain(&c->err, &c->errors, ERRORS_MAX);
		if (c->output.len > OUTPUT_MAX)
			return error_set(err, ERROR_SYSTEM, "it writes more than %d bytes", OUTPUT_MAX);
		ended = ended || pollers[2].revents;
	}
	drain_rest(c);
	return 0;
}

// The last line that is not empty.
static char *last_line(const struct str *text)
{
	size_t end = text->len;
	while (end > 0 && strchr(" \t\r\n", text->text[end - 1]))
		end--;
	size_t start = end;
	while (start > 0 && text->text[start - 1] != '\n')
		start--;
	return str_utf8_clean(text->len ? text->text + start : "", end - start);
}

static int judge(int status, const struct str *errors, struct error *err)
{
	autofree char *line = last_line(errors);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFSIGNALED(status))
		return error_set(err, ERROR_SYSTEM, "it was ended by signal %d%s%.300s", WTERMSIG(status),
			*line ? ": " : "", line);
	return error_set(
		err, ERROR_SYSTEM, "it ended with status %d%s%.300s", WEXITSTATUS(status), *line ? ": " : "", line);
}

static int start(const struct credential_plugin *p, bool interactive, struct child *c, struct error *err)
{
	int out[2], errors[2] = {-1, -1};
	if (pipe2(out, O_CLOEXEC) < 0 || (!interactive && pipe2(errors, O_CLOEXEC) < 0))
		return error_errno(err, "cannot make a pipe");
	char **argv = make_argv(p), **env = make_env(p, interactive);
	c->pid = proc_spawn(&(struct proc_options){.argv = argv,
				    .env = env,
				    .in = interactive ? 0 : -1,
				    .out = out[1],
				    .err = interactive ? 2 : errors[1],
				    .group = !interactive,
				    .die_with_parent = true},
		&c->pidfd, err);
	free_texts(argv);
	free_texts(env);
	close(out[1]);
	mem_cleanup_fd(&errors[1]);
	c->out = out[0];
	c->err = errors[0];
	return c->pid < 0 ? -1 : 0;
}

static void finish(struct child *c, bool failed, int *status)
{
	mem_cleanup_fd(&c->out);
	mem_cleanup_fd(&c->err);
	mem_cleanup_fd(&c->pidfd);
	if (c->pid <= 0)
		return;
	if (failed)
		kill(c->group ? -c->pid : c->pid, SIGKILL);
	while (waitpid(c->pid, status, 0) < 0 && errno == EINTR)
		;
}

static int run(const struct credential_plugin *p, bool interactive, const atomic_bool *cancelled,
	struct credential *credential, struct error *err)
{
	struct child c = {.pidfd = -1, .group = !interactive, .out = -1, .err = -1};
	int status = 0, rc = start(p, interactive, &c, err);
	if (rc == 0)
		rc = listen_to(&c, cancelled, err);
	finish(&c, rc < 0, &status);
	if (rc == 0)
		rc = judge(status, &c.errors, err);
	if (rc == 0)
		rc = credential_plugin_read(
			c.output.text ? c.output.text : "", c.output.len, p->version, credential, err);
	crypto_wipe(str_steal(&c.output));
	str_fini(&c.errors);
	return rc;
}

static bool is_there(const struct credential_plugin *p)
{
	const char *path = getenv("PATH");
	autofree char *found = fs_which(p->command, json_text_or(p->env, "PATH", path ? path : "/usr/bin:/bin"));
	return found;
}

// A controller is none of its terminal's foreground processes: what reads the terminal there is stopped.
static bool has_terminal(void)
{
	return isatty(0) && isatty(2) && tcgetpgrp(0) == getpgrp();
}

int credential_plugin_run(const struct credential_plugin *p, const atomic_bool *cancelled,
	struct credential *credential, struct error *err)
{
	bool terminal = has_terminal(), interactive = terminal && p->mode != PLUGIN_NEVER_ASKS;
	*credential = (struct credential){0};
	if (!is_there(p))
		return error_set(err, ERROR_USAGE, "%s: the credential plugin '%s' is not there%s%.500s", p->where,
			p->command, p->hint ? ": " : "", p->hint ? p->hint : "");
	if (p->mode == PLUGIN_ASKS && !terminal)
		return error_set(err, ERROR_USAGE,
			"%s: the credential plugin '%s' asks the user (interactiveMode: Always), and there is no "
			"terminal here",
			p->where, p->command);
	int rc = run(p, interactive, cancelled, credential, err);
	return rc < 0 && (!err || err->code != ERROR_CANCELLED)
		       ? error_wrap(err, "%s: the credential plugin '%s'", p->where, p->command)
		       : rc;
}
