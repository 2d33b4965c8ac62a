#include "kube/own_pod.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/url.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

json_t *own_pod_read(const char *name, const json_t *pods)
{
	const json_t *pod = json_array_get(json_object_get(pods, "items"), 0);
	const json_t *metadata = json_object_get(pod, "metadata");
	const char *uid = json_text(metadata, "uid");
	if (!uid || !json_is(metadata, "name", name))
		return NULL;
	return mem_json("{s:s, s:s, s:s, s:s}", "apiVersion", "v1", "kind", "Pod", "name", name, "uid", uid);
}

// A container's host name is its pod's name; with the machine's network it is the machine's, and then there is no such
// pod. A list of one, because the rights of a run have list on pods, and not get.
json_t *own_pod_owner(struct api_server *server)
{
	char name[HOST_NAME_MAX + 1] = "";
	if (!api_server_in_cluster(server) || gethostname(name, sizeof name - 1))
		return NULL;
	autofree char *quoted = url_quote(name);
	autofree char *path = mem_printf(
		"/api/v1/namespaces/%s/pods?fieldSelector=metadata.name%%3D%s", api_server_namespace(server), quoted);
	autojson json_t *pods = NULL;
	struct error err = {0};
	return api_server_do(server, "GET", path, NULL, &pods, &err) ? NULL : own_pod_read(name, pods);
}
