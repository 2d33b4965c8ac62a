// The `exec` member of a user in a kubeconfig file: which credential plugin to run, and how.
// It runs nothing: kube/credential_plugin.h does.
#ifndef KUBE_KUBECONFIG_PLUGIN_H
#define KUBE_KUBECONFIG_PLUGIN_H

#include "base/error.h"
#include "job/yaml.h"
#include "kube/credential_plugin.h"

#include <stdbool.h>

// Fills the plugin (zeroed), but for what it is told of the cluster; *tell: it wants to be told. -1 and err, which says
// where; credential_plugin_fini is to be called in either case.
int kubeconfig_plugin_take(const struct yaml *exec, struct credential_plugin *plugin, bool *tell, struct error *err);

#endif
