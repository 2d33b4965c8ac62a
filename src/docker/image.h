// Images of a Docker engine: there, pulled or built.
// It makes no containers.
#ifndef DOCKER_IMAGE_H
#define DOCKER_IMAGE_H

#include "base/error.h"
#include "docker/engine.h"

#include <jansson.h>
#include <stdatomic.h>

struct plan_build;

// How far it is is told as events: {"type": "image", "name", "step"}, and at the end {"type": "image", "name",
// "seconds", "ok": true}.
struct image_work {
	struct engine *engine;
	const atomic_bool *cancelled;
	void (*say)(void *data, json_t *event); // takes the event; may be NULL
	void (*hear)(void *data,
		const char *line); // gets every line of a build, and then the error has none of them; may be NULL
	void *data;
};

// Is it there? 1 or 0, -1 and err when the engine does not say.
int image_is_there(const struct image_work *work, const char *name, struct error *err);

// Sees to it that the image is there, pulling it only when it is not. err names it and says why it cannot be had.
int image_ensure(const struct image_work *work, const char *name, struct error *err);

// Builds an image called name. Returns the image's id, owned by the caller; NULL and err, which ends with the last
// lines of the build. Only the engine's cache remains of it, as after `docker build`.
char *image_build(const struct image_work *work, const char *name, const struct plan_build *build, struct error *err);

#endif
