#include "node/stage.h"

#include "base/archives.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/http.h"
#include "base/mem.h"
#include "base/tree_checksum.h"
#include "job/plan.h"
#include "wire/event.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TELL_EVERY = 5000 }; // milliseconds

struct input {
	const char *name, *from, *path, *sha256;
	bool http, live, unpack;
	long index; // its number when it is asked for, or -1
	int wire, out;
	uint64_t left;              // bytes that are still to come
	char *fresh;                // where it is made before it is at its place
	atomic_size_t bytes, total; // the teller looks at them
	char sum[CRYPTO_HEX];       // "" for a directory
	char tree[CRYPTO_HEX];      // of a directory
};

// Tells how far an input is. A thread, because what is told of is busy in one call of fs_copy or archives_unpack.
struct teller {
	pthread_t thread;
	bool started;
	const struct input *input;
	int out, stop[2];
};

// --- how far it is ------------------------------------------------------------

static void tell(const struct teller *t)
{
	size_t bytes = t->input->bytes, total = t->input->total;
	autojson json_t *event = event_make(
		"input", "s:s, s:s, s:I", "name", t->input->name, "from", t->input->from, "done", (json_int_t)bytes);
	if (total)
		json_object_set_new(event, "total", json_integer((json_int_t)total));
	autofree char *line = event_print(event);
	fs_write_fd(t->out, line, strlen(line), NULL);
}

static void *teller_main(void *data)
{
	struct teller *t = data;
	while (poll(&(struct pollfd){.fd = t->stop[0], .events = POLLIN}, 1, TELL_EVERY) == 0)
		tell(t);
	return NULL;
}

static void teller_start(struct teller *t)
{
	if (pipe2(t->stop, O_CLOEXEC) < 0)
		return;
	t->started = pthread_create(&t->thread, NULL, teller_main, t) == 0;
	if (t->started)
		return;
	close(t->stop[0]);
	close(t->stop[1]);
}

static void teller_stop(struct teller *t)
{
	if (!t->started)
		return;
	close(t->stop[1]);
	pthread_join(t->thread, NULL);
	close(t->stop[0]);
}

static void on_http(uint64_t bytes, uint64_t total, void *data)
{
	struct input *in = data;
	in->bytes = bytes;
	in->total = total;
}

static void on_unpack(uint64_t bytes, void *data)
{
	struct input *in = data;
	in->bytes = bytes;
	in->total = 0;
}

// --- one input ------------------------------------------------------------------

static int fetch(struct input *in, struct error *err)
{
	autoclose int fd = open(in->fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return error_errno(err, "cannot create '%s'", in->fresh);
	if (http_get(in->from, fd, &(struct http_options){.on_progress = on_http, .data = in}, NULL, err) < 0)
		return -1;
	return close(steal_fd(&fd)) < 0 ? error_errno(err, "cannot write '%s'", in->fresh) : 0;
}

// --- what is sent -----------------------------------------------------------------

static ssize_t receive(void *buf, size_t size, void *data)
{
	struct input *in = data;
	for (;;) {
		ssize_t n = read(in->wire, buf, in->left < size ? (size_t)in->left : size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n > 0) {
			in->left -= (uint64_t)n;
			in->bytes += (size_t)n;
		}
		if (n == 0 && in->left)
			errno = ECONNRESET;
		return n == 0 && in->left ? -1 : n;
	}
}

static int receive_head(struct input *in, struct stage_head *head, struct error *err)
{
	autojson json_t *want = event_make("want", "s:I", "input", (json_int_t)in->index);
	autofree char *line = event_print(want);
	if (fs_write_fd(in->out, line, strlen(line), err) < 0)
		return -1;
	in->left = sizeof *head;
	while (in->left)
		if (receive((char *)head + sizeof *head - in->left, (size_t)in->left, in) < 0)
			return error_errno(err, "'%s' did not arrive", in->from);
	in->left = head->size;
	in->bytes = 0;
	in->total = head->size;
	return 0;
}

// The sum is made on the way: reading the file once more would take as long again.
static int receive_file(struct input *in, mode_t mode, struct error *err)
{
	autoclose int fd = open(in->fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(err, "cannot create '%s'", in->fresh);
	enum { CHUNK = 256 * 1024 };
	autofree char *chunk = mem_alloc(CHUNK);
	struct crypto_hash *hash = crypto_hash_new();
	ssize_t n = 0;
	int rc = 0;
	while (rc == 0 && (n = receive(chunk, CHUNK, in)) > 0) {
		crypto_hash_add(hash, chunk, (size_t)n);
		rc = fs_write_fd(fd, chunk, (size_t)n, err);
	}
	crypto_hash_end(hash, in->sum);
	if (rc < 0)
		return error_wrap(err, "'%s'", in->fresh);
	if (n < 0)
		return error_errno(err, "'%s' did not arrive", in->from);
	return fchmod(fd, mode | 0200) < 0 || close(steal_fd(&fd)) < 0
		       ? error_errno(err, "cannot write '%s'", in->fresh)
		       : 0;
}

static int receive_directory(struct input *in, struct error *err)
{
	if (in->unpack)
		return error_set(err, ERROR_JOB, "it is a directory, and only an archive can be unpacked");
	if (in->sha256)
		return error_set(err, ERROR_JOB, "it is a directory, and only a file has a sha256");
	if (mkdir(in->fresh, 0755) < 0)
		return error_errno(err, "cannot make directory '%s'", in->fresh);
	if (archives_unpack_from(
		    &(struct archives_source){.name = in->from, .read = receive, .data = in}, in->fresh, err) < 0)
		return -1;
	char rest[ARCHIVES_END];
	ssize_t n;
	while ((n = receive(rest, sizeof rest, in)) > 0)
		;
	return n < 0 ? error_errno(err, "'%s' did not arrive", in->from) : 0;
}

static int receive_input(struct input *in, struct error *err)
{
	struct stage_head head;
	if (receive_head(in, &head, err) < 0)
		return -1;
	return head.archive ? receive_directory(in, err) : receive_file(in, (mode_t)head.mode, err);
}

// --- one input, continued -------------------------------------------------------

static int check_sum(struct input *in, const char *file, struct error *err)
{
	struct stat st;
	if (stat(file, &st) < 0)
		return error_errno(err, "cannot read '%s'", file);
	if (!S_ISREG(st.st_mode) && in->sha256)
		return error_set(err, ERROR_JOB, "it is a directory, and only a file has a sha256");
	if (!S_ISREG(st.st_mode))
		return tree_checksum_make(file, in->tree, err);
	if (!*in->sum && crypto_sha256_file(file, in->sum, err) < 0)
		return -1;
	if (in->sha256 && strcmp(in->sum, in->sha256) != 0)
		return error_set(err, ERROR_JOB, "its sha256 is %s, expected %s", in->sum, in->sha256);
	return 0;
}

// Brings it; *file is where it is then, owned by the caller: an archive of this machine is unpacked where it lies.
static int bring(struct input *in, char **file, struct error *err)
{
	if (in->http || in->index >= 0) {
		*file = mem_strdup(in->fresh);
		return in->http ? fetch(in, err) : receive_input(in, err);
	}
	// A link that the user names means what it leads to; those inside of a directory stay links.
	autofree char *real = realpath(in->from, NULL);
	if (!real)
		return error_errno(err, "cannot read '%s'", in->from);
	*file = mem_strdup(in->unpack ? real : in->fresh);
	return in->unpack ? 0 : fs_copy(real, in->fresh, &in->bytes, err);
}

static int place(struct input *in, const char *file, const char *data_dir, struct error *err)
{
	autoclose int root = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return error_errno(err, "cannot open '%s'", data_dir);
	autofree char *dir = in->unpack ? mem_printf("%s/", in->path) : mem_strdup(in->path);
	if (fs_mkdirs_beneath(root, dir, err) < 0)
		return -1;
	autofree char *to = fs_join(data_dir, in->path);
	if (!in->unpack)
		return rename(in->fresh, to) < 0 ? error_errno(err, "cannot create '%s'", to) : 0;
	uint64_t bytes = 0;
	int rc = archives_unpack(file, to, on_unpack, in, &bytes, err);
	in->bytes = bytes;
	return rc;
}

// What is live is the thing itself, not a copy.
static int point(const struct input *in, const char *data_dir, struct error *err)
{
	autoclose int root = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return error_errno(err, "cannot open '%s'", data_dir);
	if (access(in->from, F_OK))
		return error_errno(err, "cannot read '%s'", in->from);
	if (fs_mkdirs_beneath(root, in->path, err) < 0)
		return -1;
	autofree char *to = fs_join(data_dir, in->path);
	return symlink(in->from, to) < 0 ? error_errno(err, "cannot create '%s'", to) : 0;
}

static int stage(struct input *in, const char *data_dir, struct error *err)
{
	if (!fs_is_inside(in->path))
		return error_set(err, ERROR_JOB, "the path '%s' points outside the data directory", in->path);
	if (in->live)
		return point(in, data_dir, err);
	autofree char *file = NULL;
	int rc = fs_remove(in->fresh, err);
	if (rc == 0)
		rc = bring(in, &file, err);
	if (rc == 0)
		rc = check_sum(in, file, err);
	if (rc == 0)
		rc = place(in, file, data_dir, err);
	fs_remove(in->fresh, NULL);
	return rc;
}

static int run(const json_t *input, const char *data_dir, int wire, int out)
{
	struct plan_input planned = plan_input_read(input);
	const json_t *index = json_object_get(input, "index");
	struct input in = {.name = planned.name,
		.from = planned.from,
		.path = planned.path,
		.sha256 = planned.sha256,
		.http = planned.kind == PLAN_INPUT_HTTP,
		.live = planned.kind == PLAN_INPUT_LIVE,
		.unpack = planned.unpack,
		.index = index ? (long)json_integer_value(index) : -1,
		.wire = wire,
		.out = out};
	autofree char *fresh = in.fresh = fs_join(data_dir, ".muster-input");
	struct teller teller = {.input = &in, .out = out};
	struct error err = {0};
	double start = clock_mono();
	teller_start(&teller);
	int failed = fs_mkdirs(data_dir, 0755, &err);
	if (!failed)
		failed = stage(&in, data_dir, &err);
	teller_stop(&teller);
	autojson json_t *event = event_make("input", "s:s, s:s, s:I, s:f, s:s?, s:b, s:s?", "name", in.name, "from",
		in.from, "bytes", (json_int_t)in.bytes, "seconds", clock_mono() - start, "sha256",
		*in.sum ? in.sum : NULL, "ok", !failed, "why", failed ? err.text : NULL);
	if (in.index >= 0)
		json_object_set_new(event, "sent", json_true());
	if (*in.tree)
		json_object_set_new(event, "tree", json_string(in.tree));
	autofree char *line = event_print(event);
	fs_write_fd(out, line, strlen(line), NULL);
	return failed;
}

int stage_run(const json_t *inputs, const char *data_dir, int wire, int out)
{
	size_t i;
	const json_t *input;
	json_array_foreach (inputs, i, input)
		if (run(input, data_dir, wire, out) < 0)
			return -1;
	return 0;
}
