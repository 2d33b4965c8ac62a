// Credential plugins of a kubeconfig ("exec"): programs that give a token or a client certificate
// (client.authentication.k8s.io/v1 and v1beta1). It keeps nothing: who asks keeps what it was given until it expires.
#ifndef KUBE_CREDENTIAL_PLUGIN_H
#define KUBE_CREDENTIAL_PLUGIN_H

#include "base/error.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stddef.h>

#define CREDENTIAL_PLUGIN_API "client.authentication.k8s.io/" // then v1 or v1beta1

enum credential_plugin_mode { PLUGIN_NEVER_ASKS, PLUGIN_MAY_ASK, PLUGIN_ASKS }; // the user, on the terminal

struct credential_plugin {
	char *where;   // "FILE:LINE:COLUMN", for errors
	char *version; // CREDENTIAL_PLUGIN_API "v1"
	char *command; // a name to look for in PATH, or a path
	char *hint;    // how to install it; NULL: none
	json_t *args;  // an array of texts
	json_t *env;   // an object of texts: besides our own environment
	enum credential_plugin_mode mode;
	json_t *cluster; // what the plugin is told of the cluster; NULL: nothing
};

struct credential {
	char *token;      // NULL: none
	char *cert, *key; // PEM; NULL: none
	double expires;   // clock_wall; 0: not while we run
};

// Runs the plugin and waits for it. On a terminal, and where its mode lets it, it may ask the user. -1 and err, which
// ends with what the plugin has said, never with what it gave.
int credential_plugin_run(const struct credential_plugin *plugin, const atomic_bool *cancelled,
	struct credential *credential, struct error *err);

// What a plugin has written: the reader of credential_plugin_run.
int credential_plugin_read(
	const char *text, size_t len, const char *version, struct credential *credential, struct error *err);

void credential_plugin_fini(struct credential_plugin *plugin);
void credential_plugin_forget(struct credential *credential); // wipes it

#endif
