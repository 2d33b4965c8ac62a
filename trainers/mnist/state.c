#include "mnist/state.h"

#include "common/die.h"
#include "common/mem.h"
#include "mnist/net.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAGIC "mnps-1\n"
#define PAGE 4096
#define LOCK_TRIES 100 // a tenth of a second each: one that was killed may not be quite dead

struct state_file {
	char magic[8], boot[40];
	struct job job;
	uint64_t run, size;
	uint32_t shard, zero;
	_Atomic uint64_t current; // 0 or 1
};

// The start of a half.
struct numbers {
	uint64_t step, late;
};

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

static size_t half_size(const struct job *job, uint32_t shard)
{
	size_t head = round_up(sizeof(struct numbers) + job->workers * sizeof(struct state_seat), 64);
	return round_up(head + 3 * round_up(job_floats(job, shard) * sizeof(float), 64), PAGE);
}

static size_t whole_size(const struct job *job, uint32_t shard)
{
	return PAGE + 2 * half_size(job, shard);
}

static char *half_at(const struct state *s, int n)
{
	return (char *)s->file + PAGE + (size_t)n * half_size(&s->file->job, s->shard);
}

static void find_halves(struct state *s)
{
	const struct job *job = &s->file->job;
	size_t block = round_up(job_floats(job, s->shard) * sizeof(float), 64);
	s->half = mem_new(2, sizeof *s->half);
	for (int n = 0; n < 2; n++) {
		char *at = half_at(s, n);
		struct numbers *numbers = (void *)at;
		struct state_half *h = &s->half[n];
		h->step = numbers->step;
		h->late = numbers->late;
		h->seats = (void *)(at + sizeof *numbers);
		at += round_up(sizeof *numbers + job->workers * sizeof(struct state_seat), 64);
		h->params = (void *)at;
		h->m = (void *)(at + block);
		h->v = (void *)(at + 2 * block);
	}
}

// Which start of the machine this is.
static void boot_name(char out[40])
{
	memset(out, 0, 40);
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");
	if (!file || fscanf(file, "%39s", out) != 1)
		die("/proc/sys/kernel/random/boot_id: cannot read");
	fclose(file);
}

static void lock(const struct state *s)
{
	for (int i = 0; flock(s->fd, LOCK_EX | LOCK_NB) < 0; i++) {
		if (errno != EWOULDBLOCK)
			die("%s: cannot lock: %s", s->path, strerror(errno));
		if (i == LOCK_TRIES)
			die("%s: another process uses it", s->path);
		nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
	}
}

static void check(const struct state *s)
{
	const struct state_file *f = s->file;
	char boot[40];
	if (memcmp(f->magic, MAGIC, 8) != 0 || f->shard != s->shard || job_check(&f->job) ||
		f->shard >= f->job.servers || f->size != s->size || whole_size(&f->job, s->shard) != s->size ||
		atomic_load(&f->current) > 1)
		die("%s: not what server %u of such a training leaves; remove it to start anew", s->path, s->shard);
	boot_name(boot);
	if (memcmp(f->boot, boot, sizeof boot) != 0)
		die("%s: was left when the machine went down, or by another machine, and may be torn; remove it to "
		    "start anew",
			s->path);
}

void state_open(struct state *s, const char *dir, uint32_t shard)
{
	*s = (struct state){.shard = shard, .fd = -1};
	if (!dir)
		return;
	if (asprintf(&s->path, "%s/mnist-ps-%u.state", dir, shard) < 0)
		die("out of memory");
	s->fd = open(s->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (s->fd < 0 && errno == ENOENT)
		return;
	if (s->fd < 0)
		die("%s: %s", s->path, strerror(errno));
	lock(s);
	struct stat st;
	if (fstat(s->fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < PAGE)
		die("%s: not what a server leaves; remove it to start anew", s->path);
	s->size = (size_t)st.st_size;
	s->file = mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, s->fd, 0);
	if (s->file == MAP_FAILED)
		die("%s: cannot map: %s", s->path, strerror(errno));
	check(s);
	find_halves(s);
}

void state_close(struct state *s)
{
	if (s->file)
		munmap(s->file, s->size);
	if (s->fd >= 0)
		close(s->fd);
	free(s->path);
	free(s->half);
	*s = (struct state){.fd = -1};
}

static void fill(struct state *s, const struct job *job, uint64_t run)
{
	struct state_file *f = s->file;
	*f = (struct state_file){.magic = MAGIC, .job = *job, .run = run, .size = s->size, .shard = s->shard};
	boot_name(f->boot);
	((struct numbers *)(void *)half_at(s, 1))->step = STATE_TORN;
	find_halves(s);
	size_t first = job_first_row(job, s->shard), width = net_width(job->hidden);
	for (size_t row = 0; row < job_rows(job, s->shard); row++)
		net_randomize(s->half[0].params + row * width, first + row, job->hidden, job->seed);
}

// The file has its name only when it is whole. Its room is taken now: a full disk is to be said here, not by a signal
// at some step.
void state_create(struct state *s, const struct job *job, uint64_t run)
{
	char *beside = NULL;
	s->size = whole_size(job, s->shard);
	if (s->path) {
		if (asprintf(&beside, "%s.%d", s->path, (int)getpid()) < 0)
			die("out of memory");
		s->fd = open(beside, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
		if (s->fd < 0)
			die("%s: %s", beside, strerror(errno));
		int code = posix_fallocate(s->fd, 0, (off_t)s->size);
		if (code) {
			unlink(beside);
			die("%s: %s", beside, strerror(code));
		}
		lock(s);
	}
	s->file = mmap(NULL, s->size, PROT_READ | PROT_WRITE,
		MAP_POPULATE | (s->path ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS), s->fd, 0);
	if (s->file == MAP_FAILED)
		die("%s: cannot map: %s", s->path ? s->path : "memory", strerror(errno));
	fill(s, job, run);
	if (s->path && renameat2(AT_FDCWD, beside, AT_FDCWD, s->path, RENAME_NOREPLACE) < 0) {
		int code = errno;
		unlink(beside);
		die("%s: %s", s->path, code == EEXIST ? "another server has made it meanwhile" : strerror(code));
	}
	free(beside);
}

const struct job *state_job(const struct state *s)
{
	return &s->file->job;
}

uint64_t state_run(const struct state *s)
{
	return s->file->run;
}

void state_extend(struct state *s, uint64_t steps)
{
	s->file->job.steps = steps;
}

struct state_half *state_now(const struct state *s)
{
	return &s->half[atomic_load_explicit(&s->file->current, memory_order_relaxed)];
}

struct state_half *state_other(const struct state *s)
{
	return &s->half[!atomic_load_explicit(&s->file->current, memory_order_relaxed)];
}

static void write_numbers(struct state *s, struct state_half *half, uint64_t step)
{
	struct numbers *numbers = (void *)half_at(s, (int)(half - s->half));
	half->step = step;
	*numbers = (struct numbers){.step = half->step, .late = half->late};
	atomic_thread_fence(memory_order_seq_cst); // a process that dies here leaves what is before it in the program
}

struct state_half *state_next(struct state *s)
{
	struct state_half *next = state_other(s);
	write_numbers(s, next, STATE_TORN);
	return next;
}

void state_commit(struct state *s)
{
	struct state_half *next = state_other(s);
	next->late = state_now(s)->late;
	write_numbers(s, next, state_now(s)->step + 1);
	atomic_store_explicit(&s->file->current, (uint64_t)(next - s->half), memory_order_release);
}

void state_remove(struct state *s)
{
	if (s->path && s->file)
		unlink(s->path);
}
