#include "helper/image_step.h"

#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "docker/image.h"
#include "docker/rank_container.h"
#include "job/plan.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { NAME_MAX_BYTES = 4096 };

// In the run's directory, which is the one above: what the nodes of this run on this machine share.
static char *beside(const char *node_dir, const char *name)
{
	return mem_printf("%.*s/%s", (int)(strrchr(node_dir, '/') - node_dir), node_dir, name);
}

// Where they tell each other what was built.
static char *note_path(const char *node_dir)
{
	return beside(node_dir, "image.txt");
}

// NULL while nobody has built it.
static char *built(const char *node_dir)
{
	autofree char *path = note_path(node_dir);
	return fs_exists(path) ? fs_read(path, NAME_MAX_BYTES, NULL, NULL) : NULL;
}

char *image_step_name(const char *image, const char *node_dir, struct error *err)
{
	char *name = image ? mem_strdup(image) : built(node_dir);
	if (!name)
		error_set(err, ERROR_SYSTEM, "its image was not built");
	return name;
}

static char *why_done(struct engine *e, const json_t *step)
{
	const char *image = plan_container(step).image;
	autofree char *id = image ? NULL : built(json_text(step, "node_dir"));
	if (id)
		return mem_strdup("another node of this run built it on this machine");
	struct image_work work = {.engine = e};
	return image && image_is_there(&work, image, NULL) > 0 ? mem_printf("'%s' is there", image) : NULL;
}

char *image_step_is_done(const json_t *step)
{
	struct engine *e = rank_container_engine(NULL);
	char *why = e ? why_done(e, step) : NULL;
	engine_free(e);
	return why;
}

// --- taking it ------------------------------------------------------------------

static void on_line(void *data, const char *line)
{
	printf("%s\n", line);
	fflush(stdout);
}

// Of a build every line is heard, the names of its steps too.
static void on_event(void *data, json_t *event)
{
	const char *step = json_text(event, "step");
	if (step && !*(const bool *)data)
		on_line(data, step);
	json_decref(event);
}

static int build(const struct image_work *work, const json_t *step, struct error *err)
{
	const char *node_dir = json_text(step, "node_dir");
	autofree char *name = mem_printf("muster/%s", json_text(step, "job"));
	struct plan_build from = plan_container(step).build;
	autofree char *id = image_build(work, name, &from, err);
	autofree char *path = note_path(node_dir);
	return id ? fs_write(path, id, strlen(id), 0600, err) : -1;
}

static int take(struct engine *e, const json_t *step, struct error *err)
{
	const char *image = plan_container(step).image;
	bool builds = !image;
	struct image_work work = {.engine = e, .say = on_event, .hear = on_line, .data = &builds};
	autofree char *why = why_done(e, step); // by now
	if (why)
		on_line(NULL, why);
	if (why)
		return 0;
	return builds ? build(&work, step, err) : image_ensure(&work, image, err);
}

int image_step_take(const json_t *step)
{
	struct error err = {0};
	autofree char *lock = beside(json_text(step, "node_dir"), "image.lock");
	autoclose int turn = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct engine *e = turn < 0 || flock(turn, LOCK_EX) ? NULL : rank_container_engine(&err);
	int rc = e ? take(e, step, &err) : err.code ? -1 : error_errno(&err, "cannot lock '%s'", lock);
	engine_free(e);
	if (rc)
		on_line(NULL, err.text);
	return rc ? 1 : 0;
}
