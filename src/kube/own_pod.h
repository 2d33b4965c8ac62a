// The pod that this process is in, as the owner of what it makes: Kubernetes removes that when the pod has gone,
// however it went. It makes nothing, and outside of a cluster there is none.
#ifndef KUBE_OWN_POD_H
#define KUBE_OWN_POD_H

#include "kube/api_server.h"

#include <jansson.h>

// An entry of metadata.ownerReferences, owned by the caller. NULL when this process is not in a pod of the server's
// namespace, or may not look at it.
json_t *own_pod_owner(struct api_server *server);

// The same from the pod's name and the list of the pods of that name, as the API server has answered. NULL when it is
// not in there. One that is about to go is fine: what it owns goes with it.
json_t *own_pod_read(const char *name, const json_t *pods);

#endif
