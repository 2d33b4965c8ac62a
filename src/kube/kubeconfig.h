// Which API server, and as whom: kubeconfig files as kubectl reads them, or the service account of a pod.
// It asks nobody and runs no plugin: kube/api_server.h does.
#ifndef KUBE_KUBECONFIG_H
#define KUBE_KUBECONFIG_H

#include "base/error.h"
#include "kube/credential_plugin.h"

#include <stdbool.h>
#include <stddef.h>

// Texts are NULL where nothing is said. Paths are absolute, or relative to the current directory.
struct kubeconfig {
	bool in_cluster;   // the service account of the pod that this process is in
	char *source;      // "FILE:LINE:COLUMN" of the cluster, or the directory of the service account: for errors
	char *context;     // "" in a pod
	char *namespace;   // never NULL
	char *server;      // "https://10.0.0.1:6443": never NULL
	char *server_name; // whose certificate it shows, if not its host's
	char *proxy;       // "http://proxy:3128"; NULL: as the environment says
	bool insecure;     // its certificate is not checked
	char *bundle;      // the file of certificates to trust
	char *bundle_text; // or they themselves, PEM
	char *cert, *key;  // files in PEM
	char *cert_text, *key_text;
	char *token, *token_file; // the file counts while it can be read
	char *user, *password;
	char *impersonation; // header lines, each with its "\r\n"; never NULL
	struct credential_plugin *plugin;
};

// The files that KUBECONFIG lists (else ~/.kube/config); where there are none, the service account of the pod that this
// process is in. context and namespace NULL: those of the configuration. -1 and err (ERROR_USAGE), which says where.
// kubeconfig_fini is to be called in either case.
int kubeconfig_load(const char *context, const char *namespace, struct kubeconfig *config, struct error *err);
void kubeconfig_fini(struct kubeconfig *config);

// Is there anything to load?
bool kubeconfig_is_there(void);

// The files of KUBECONFIG stay the same in another current directory: for a process that is about to leave its own.
void kubeconfig_keep_files(void);

// The same of texts: of what several say under one name, the first counts. Only a cluster's certificates are read from
// their file, when a plugin is to be told of them.
struct kubeconfig_text {
	const char *file; // its name: relative paths in it start from its directory
	const char *text;
	size_t len;
};
int kubeconfig_parse(const struct kubeconfig_text *texts, size_t count, const char *context, const char *namespace,
	struct kubeconfig *config, struct error *err);

// The service account in this directory, at the API server that KUBERNETES_SERVICE_HOST and _PORT name.
#define KUBECONFIG_SERVICE_ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"
int kubeconfig_from_pod(const char *directory, const char *namespace, struct kubeconfig *config, struct error *err);

#endif
