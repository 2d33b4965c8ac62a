#include "base/clock.h"
#include "base/crypto.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "exec/executor.h"
#include "exec/intent_log.h"
#include "exec/require_machines.h"
#include "exec/ssh_fanout.h"
#include "exec/ssh_process.h"
#include "exec/tunnel.h"
#include "job/plan.h"
#include "node/node_dirs.h"
#include "wire/event.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { AT_ONCE = 32 };                       // hosts, when the plan does not say
static const double connect_patience = 20.0; // seconds for a first connection
#define CONNECT_AGAIN                                                                                                  \
	3.0 // for one that is to come back: a new try is sooner through than an old one; and where the last one was in
	    // vain
enum { TRIES = 3 };                       // of a first connection that a busy sshd threw away
static const char own_log[] = "ssh";      // among the intents
static const double leave_patience = 5.0; // seconds for agents that were told to go
#define AGENT_MAX (256u << 20)
static const double cpus_least = 0.001; // as of local
#define NODE_FILES                                                                                                     \
	8 // the socket to ssh and its process, what it says, the way to the controller and the controller's end of it

// A host may have no home that can be written, or refuse to run what lies in some place: the first one that will do is
// taken. The scripts may hold no ' \ and !, because any login shell must hand them on unchanged. PLACE makes a
// directory for this user of those that all share, and not before its turn has come: `id` is a process more, and mostly
// not needed.
#define PLACES "\"${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/muster\" /var/tmp /tmp /dev/shm"
#define PLACE "case $d in /var/tmp|/tmp|/dev/shm) d=$d/muster-agent-$(id -u);; esac; "

// Arguments: label, SHA-256 twice, the agent's size, SHA-256. Runs the agent of that sum as a bridge; asks for it where
// it is not there. Others may bring it to the same place at that moment (a home that hosts share): the first one stays,
// because it may be running by then.
static const char bridge_script[] =
	"export MUSTER_RUN=%s; for d in " PLACES "; do " PLACE
	"if [ -x \"$d/agent-%s\" ] && [ -O \"$d\" ]; then exec \"$d/agent-%s\" bridge; fi; done; "
	"u=$(umask); umask 077; w=; for d in " PLACES "; do " PLACE
	"mkdir -p \"$d\" 2>/dev/null; t=$d/new-$$; if [ -O \"$d\" ] && : 2>/dev/null >\"$t\"; then "
	"if head -c %zu /dev/zero 2>/dev/null >\"$t\" && chmod 700 \"$t\" && [ -x \"$t\" ]; then w=$d; break; fi; rm "
	"-f \"$t\"; fi; rmdir \"$d\" 2>/dev/null; done; "
	"if [ -z \"$w\" ]; then echo; echo \"no directory for the agent that is writable, has space and allows "
	"execution "
	"from: tried\" " PLACES "; exit 11; fi; "
	"c() { rm -f \"$t\"; }; trap c EXIT; echo; "
	"if command -v gzip >/dev/null 2>&1; then echo muster-agent wanted gzip; read n; head -c \"$n\" | gzip -dc "
	">\"$t\"; "
	"else echo muster-agent wanted; read n; head -c \"$n\" >\"$t\"; fi; "
	"s=%s; r=$(\"$t\" digest 2>&1); a=$w/agent-$s; if [ \"$r\" = \"$s\" ]; then trap - EXIT; "
	"ln \"$t\" \"$a\" 2>/dev/null || [ -x \"$a\" ] || mv -f \"$t\" \"$a\"; rm -f \"$t\"; "
	"find \"$w\" -name \"agent-*\" -mtime +30 -exec rm -f {} +; umask \"$u\"; exec \"$a\" bridge; fi; "
	"echo; echo \"the agent does not run on this $(uname -sm), or was not copied completely to $w: $r\"; exit 11";

// Arguments: SHA-256 twice, "reap", "tidy" or "list", label. Where there is no agent there was never a node.
static const char leftovers_script[] =
	"for d in " PLACES "; do " PLACE "if [ -x \"$d/agent-%s\" ] && [ -O \"$d\" ]; then "
	"exec \"$d/agent-%s\" %s %s; fi; done; echo; echo muster-done";

struct host {
	json_t *where;
	struct ssh_process ssh;
	bool listed;  // written down as one on which something may be
	bool touched; // something of ours may be there
	bool clean;   // nothing of ours is there any more
	bool ready;   // its bridge was, once
	bool cut;     // and has been out of reach since
	int tries;
};

struct work {
	struct cluster *cluster;
	struct host *hosts;
	size_t count; // of hosts; those of a persistent cluster may be more than it has nodes
	struct tunnels *tunnels;
	char *agent; // its path
	char sum[CRYPTO_HEX];
	char *script;         // for a bridge
	char *plain, *packed; // the agent as it is sent, with its length before it; NULL until somebody wants it
	size_t plain_len, packed_len;
};

// --- what is asked for ------------------------------------------------------

static int ssh_check(const json_t *plan, struct error *err)
{
	if (require_machines(plan, &executor_traits_ssh, err))
		return -1;
	for (size_t i = 0; i < plan_nodes(plan); i++) {
		struct plan_node node = plan_node(plan, i);
		if (!node.host.host)
			return error_set(err, ERROR_USAGE,
				"node %zu has no host, expected `cluster.hosts` or `cluster.inventory` to name one", i);
		if (node.cpus > 0 && node.cpus < cpus_least)
			return error_set(err, ERROR_USAGE, "a limit of %g cpus is too small, expected at least %g",
				node.cpus, cpus_least);
	}
	if (executor_check_files(plan, NODE_FILES, err))
		return -1;
	autofree char *agent = node_dirs_agent();
	if (access(agent, X_OK))
		return error_errno(err, "cannot run the agent '%s'", agent);
	const char *path = getenv("PATH");
	autofree char *program = fs_which("ssh", path ? path : "/usr/bin:/bin");
	return program ? 0 : error_set(err, ERROR_SYSTEM, "`ssh` is not in PATH, expected OpenSSH's client");
}

// --- the way to a bridge ------------------------------------------------------

// The agent after its length: what the script reads.
static char *framed(const char *bytes, size_t len, size_t *total)
{
	struct str s = {0};
	str_printf(&s, "%zu\n", len);
	str_add(&s, bytes, len);
	*total = s.len;
	return str_steal(&s);
}

static void pack(struct work *w)
{
	char *argv[] = {"gzip", "-1", "-c", w->agent, NULL};
	autoclose int out = memfd_create("gzip", MFD_CLOEXEC);
	struct proc_options options = {.argv = argv, .in = -1, .out = out, .err = -1};
	pid_t pid = proc_spawn(&options, NULL, NULL);
	int status = -1;
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		return;
	size_t len;
	autofree char *bytes = fs_read_all(out, &len);
	w->packed = framed(bytes, len, &w->packed_len);
}

static void load(struct work *w)
{
	size_t len = 0;
	autofree char *bytes = fs_read(w->agent, AGENT_MAX, &len, NULL);
	w->plain = framed(bytes ? bytes : "", len, &w->plain_len);
}

static const void *answer(size_t node, const char *line, size_t *len, void *data)
{
	struct work *w = data;
	if (!str_starts(line, "muster-agent wanted"))
		return NULL;
	bool gzip = str_ends(line, " gzip");
	if (gzip && !w->packed)
		pack(w);
	if (!gzip && !w->plain)
		load(w);
	*len = gzip ? w->packed_len : w->plain_len;
	return gzip ? w->packed : w->plain;
}

static int open_bridge(size_t node, void *data, struct error *err)
{
	struct work *w = data;
	struct host *h = &w->hosts[node];
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return error_errno(err, "cannot make a socket pair");
	autoclose int theirs = ends[0], ours = ends[1];
	h->clean = false;
	h->tries++;
	if (ssh_process_start(
		    &h->ssh, h->where, w->script, theirs, theirs, h->ready ? CONNECT_AGAIN : connect_patience, err))
		return -1;
	return steal_fd(&ours);
}

// An sshd that has too many connections on their way closes some of them.
static bool was_thrown_away(const char *words)
{
	return strstr(words, "kex_exchange_identification") || strstr(words, "Connection reset") ||
	       strstr(words, "Connection closed");
}

static bool closed(size_t node, enum tunnel_reach reach, struct error *err, void *data)
{
	struct work *w = data;
	struct host *h = &w->hosts[node];
	autofree char *words = NULL;
	bool started = h->ssh.pid != 0;
	int status = ssh_process_end(&h->ssh, reach == TUNNEL_CUT ? 0 : 0.5, &words);
	// The bridge's own (helper/bridge.h), or the script's.
	bool spoken = status == 0 || (status >= 10 && status <= 12);
	h->ready = h->ready || reach == TUNNEL_READY || reach == TUNNEL_CUT;
	h->cut = reach == TUNNEL_CUT || (h->ready && reach == TUNNEL_SILENT);
	h->touched = h->touched || reach != TUNNEL_SILENT;
	h->clean = status == 0;
	if (started && words && *words && (!spoken || !*err->text))
		error_set(err, ERROR_SYSTEM, "%s", words);
	else if (started && !spoken && !*err->text)
		error_set(err, ERROR_SYSTEM, "ssh ended with status %d and printed nothing", status);
	if (reach == TUNNEL_READY && status == 11 && w->cluster->say)
		w->cluster->say(
			w->cluster, event_make("lost", "s:i, s:s", "node", (int)node, "why", "its agent was killed"));
	if (h->ready)
		return status != 0 && status != 11 && status != 12;
	return started && status == 255 && h->tries < TRIES && was_thrown_away(words);
}

static const struct tunnel_ops ops = {.open = open_bridge, .answer = answer, .closed = closed};

// --- up ---------------------------------------------------------------------

static void work_free(struct work *w)
{
	if (!w)
		return;
	tunnel_stop(w->tunnels, leave_patience);
	for (size_t k = 0; k < w->count; k++)
		json_decref(w->hosts[k].where);
	free(w->hosts);
	free(w->agent);
	free(w->script);
	free(w->plain);
	free(w->packed);
	free(w);
}

static size_t at_once(const json_t *plan)
{
	return plan_at_once(plan) ? plan_at_once(plan) : AT_ONCE;
}

// Written before any host is reached.
static int write_intent(const struct work *w, struct error *err)
{
	const struct cluster *c = w->cluster;
	autojson json_t *hosts = json_array();
	for (size_t k = 0; k < w->count; k++)
		if (w->hosts[k].listed)
			json_array_append(hosts, w->hosts[k].where);
	autofree char *run_dir = c->run_dir ? str_utf8_clean(c->run_dir, strlen(c->run_dir)) : NULL;
	autojson json_t *intent = mem_json("{s:s, s:s?, s:{s:i, s:I}, s:s, s:i, s:O}", "label", c->label, "run_dir",
		run_dir, "controller", "pid", (int)getpid(), "started", (json_int_t)proc_started(getpid()), "agent",
		w->sum, "at_once", (int)at_once(c->plan), "hosts", hosts);
	return intent_log_save(own_log, intent, err);
}

// What a process before this one wrote down, of a persistent cluster whose controller was killed.
static void inherit(struct work *w)
{
	autojson json_t *intents = intent_log_find(own_log, w->cluster->label);
	const json_t *hosts = json_object_get(json_array_get(intents, 0), "hosts");
	autojson json_t *known = json_object();
	size_t i;
	json_t *host;
	json_array_foreach (hosts, i, host) {
		autofree char *text = json_dumps(host, JSON_COMPACT | JSON_SORT_KEYS);
		json_object_set_new(known, text, json_true());
	}
	for (size_t k = 0; k < w->count; k++) {
		autofree char *text = json_dumps(w->hosts[k].where, JSON_COMPACT | JSON_SORT_KEYS);
		if (text && json_object_get(known, text))
			w->hosts[k].listed = w->hosts[k].touched = true;
	}
}

static struct work *work_new(struct cluster *c, struct error *err)
{
	struct work *w = mem_alloc(sizeof *w);
	w->cluster = c;
	w->agent = node_dirs_agent();
	w->count = plan_hosts(c->plan);
	w->hosts = mem_alloc((w->count + 1) * sizeof *w->hosts);
	for (size_t k = 0; k < w->count; k++)
		w->hosts[k].where = json_incref(plan_host_json(c->plan, k));
	inherit(w);
	struct tunnel_options options = {
		.url = c->url, .count = w->count, .at_once = at_once(c->plan), .ops = &ops, .data = w};
	struct stat st = {0};
	if (!crypto_sha256_file(w->agent, w->sum, err) && !stat(w->agent, &st)) {
		w->script = mem_printf(bridge_script, c->label, w->sum, w->sum, (size_t)st.st_size, w->sum);
		w->tunnels = tunnel_start(&options, err);
	}
	if (w->tunnels)
		return w;
	work_free(w);
	return NULL;
}

// What a host can do about limits its agent finds out.
static json_t *limits_of(const struct plan_node *node)
{
	json_t *limits = json_object();
	if (node->cpus > 0)
		json_object_set_new(limits, "cpus", mem_number(node->cpus));
	if (node->memory > 0)
		json_object_set_new(limits, "memory", json_integer(node->memory));
	return limits;
}

static json_t *make_config(struct cluster *c, size_t k)
{
	autofree char *token = c->token(c, k);
	json_t *config = mem_json("{s:s, s:i, s:i, s:s, s:s, s:s}", "run", c->label, "node", (int)k, "nodes",
		(int)plan_nodes(c->plan), "token", token, "url", c->url, "fingerprint", c->fingerprint);
	struct plan_node node = plan_node(c->plan, k);
	if (node.cpus > 0 || node.memory > 0)
		json_object_set_new(config, "limits", limits_of(&node));
	plan_add_lease(c->plan, config);
	return config;
}

// The agents of nodes that are not wanted any more have been told to go: where they have, nothing is left.
static void leave_hosts(struct work *w, size_t wanted)
{
	double end = clock_mono() + leave_patience;
	for (size_t k = wanted; k < w->count; k++) {
		struct host *h = &w->hosts[k];
		double left = end - clock_mono();
		if (h->listed && tunnel_close(w->tunnels, k, left > 0 ? left : 0) && (h->clean || !h->touched))
			h->listed = h->touched = false;
	}
}

static int ssh_up(struct cluster *c, struct error *err)
{
	if (ssh_check(c->plan, err))
		return -1;
	struct work *w = c->state ? c->state : work_new(c, err);
	c->state = w;
	if (!w)
		return -1;
	size_t wanted = plan_nodes(c->plan);
	leave_hosts(w, wanted);
	for (size_t k = 0; k < wanted; k++)
		w->hosts[k].listed = true;
	if (write_intent(w, err))
		return -1;
	for (size_t k = 0; k < wanted; k++) {
		if (c->cancelled && *c->cancelled)
			return error_set(err, ERROR_CANCELLED, "cancelled before the agents were started");
		tunnel_open(w->tunnels, k, make_config(c, k));
	}
	double deadline = plan_deadline(c->plan);
	size_t node = w->count;
	if (!tunnel_wait(w->tunnels, deadline > 0 ? deadline : 60, c->cancelled, &node, err))
		return 0;
	autofree char *name = node < w->count ? ssh_process_name(w->hosts[node].where) : NULL;
	return name ? error_wrap(err, "node %zu on host '%s'", node, name) : -1;
}

// --- down and left ----------------------------------------------------------

static char *leftovers_command(const json_t *intent, const char *what)
{
	const char *sum = json_string_value(json_object_get(intent, "agent"));
	return mem_printf(leftovers_script, sum, sum, what, json_string_value(json_object_get(intent, "label")));
}

static bool is_cut(const struct work *w, const json_t *where)
{
	for (size_t k = 0; w && k < w->count; k++)
		if (w->hosts[k].cut && json_equal(w->hosts[k].where, where))
			return true;
	return false;
}

// Cleans the hosts of an intent and strikes out those that are clean. how: "reap", or "tidy" to leave kept outputs. w:
// what this process knows of them, or NULL.
static int reap_hosts(json_t *intent, const struct work *w, const char *how, struct error *err)
{
	json_t *hosts = json_object_get(intent, "hosts"), *stay = json_array(), *silent = json_array();
	size_t count = json_array_size(hosts);
	struct ssh_fanout *all = ssh_fanout_list(hosts, connect_patience);
	autofree char *script = leftovers_command(intent, how);
	for (size_t i = 0; i < count; i++)
		all[i].connect = is_cut(w, all[i].host) ? CONNECT_AGAIN : connect_patience;
	ssh_fanout_run(all, count, script, at_once(intent));
	int rc = 0;
	for (size_t i = 0; i < count; i++) {
		if (all[i].done && strstr(all[i].text, "muster-kept"))
			json_array_append(stay, (json_t *)all[i].host);
		else if (!all[i].done) {
			autofree char *name = ssh_process_name(all[i].host);
			if (!rc)
				rc = error_set(err, ERROR_SYSTEM, "cannot clean up host '%s': %s", name,
					all[i].words && *all[i].words ? all[i].words : "no answer in time");
			json_array_append(stay, (json_t *)all[i].host);
			if (all[i].silent)
				json_array_append(silent, (json_t *)all[i].host);
		}
	}
	ssh_fanout_free(all, count);
	json_object_set_new(intent, "hosts", stay);
	json_object_set_new(intent, "silent",
		mem_json("{s:i, s:I, s:o}", "pid", (int)getpid(), "started", (json_int_t)proc_started(getpid()),
			"hosts", silent));
	if (json_array_size(stay)) {
		intent_log_save(own_log, intent, NULL);
		return rc;
	}
	intent_log_remove(own_log, json_string_value(json_object_get(intent, "label")));
	return 0;
}

// What this process knows to be clean need not be asked.
static void strike_clean(json_t *intent, const struct work *w)
{
	json_t *stay = json_array();
	for (size_t k = 0; k < w->count; k++)
		if (w->hosts[k].touched && !w->hosts[k].clean)
			json_array_append(stay, w->hosts[k].where);
	json_object_set_new(intent, "hosts", stay);
}

static bool is_live(const json_t *intent)
{
	return node_dirs_alive(json_object_get(intent, "controller"));
}

static int ssh_down(struct cluster *c, struct error *err)
{
	struct work *w = steal(c->state);
	if (w)
		tunnel_stop(steal(w->tunnels), leave_patience);
	autojson json_t *intents = intent_log_find(own_log, c->label);
	int rc = 0;
	size_t i;
	json_t *intent;
	json_array_foreach (intents, i, intent) {
		if (!c->label && is_live(intent))
			continue;
		if (w)
			strike_clean(intent, w);
		rc |= reap_hosts(intent, w, c->plan ? "tidy" : "reap", rc ? NULL : err);
	}
	work_free(w);
	return rc;
}

static void note(json_t *found, const json_t *intent, const char *what, const char *id)
{
	json_t *item = mem_json("{s:O, s:s, s:s, s:b}", "run", json_object_get(intent, "label"), "what", what, "id", id,
		"live", is_live(intent));
	static const char *const known[] = {"run_dir", "controller"};
	for (size_t i = 0; i < countof(known); i++)
		json_object_set(item, known[i], json_object_get(intent, known[i]));
	json_array_append_new(found, item);
}

// Each line of the host's own list: "muster-left WHAT ID".
static void note_lines(json_t *found, const json_t *intent, const char *name, const char *text)
{
	static const char word[] = "muster-left ";
	for (const char *at = text; (at = strstr(at, word)); at += strlen(word)) {
		const char *what = at + strlen(word);
		size_t len = strcspn(what, " \n");
		autofree char *kind = mem_strndup(what, len);
		autofree char *id = what[len] == ' ' ? str_utf8_clean(what + len + 1, strcspn(what + len + 1, "\n"))
						     : mem_strdup("");
		autofree char *where = mem_printf("%s on %s", id, name);
		note(found, intent, kind, where);
	}
}

static bool holds(const json_t *hosts, const json_t *host)
{
	size_t i;
	const json_t *one;
	json_array_foreach (hosts, i, one)
		if (json_equal(one, host))
			return true;
	return false;
}

// Takes those that have just not answered this process's question, in down, out of the hosts, and names them.
static json_t *note_silent(json_t *found, const json_t *intent)
{
	const json_t *silent = json_object_get(intent, "silent");
	bool ours = json_integer_value(json_object_get(silent, "pid")) == getpid() && node_dirs_alive(silent);
	json_t *others = json_array(), *host;
	size_t i;
	json_array_foreach (json_object_get(intent, "hosts"), i, host) {
		autofree char *name = ssh_process_name(host);
		if (ours && holds(json_object_get(silent, "hosts"), host))
			note(found, intent, "host", name);
		else
			json_array_append(others, host);
	}
	return others;
}

static void list_hosts(json_t *found, const json_t *intent)
{
	autojson json_t *hosts = note_silent(found, intent);
	size_t count = json_array_size(hosts);
	struct ssh_fanout *all = ssh_fanout_list(hosts, connect_patience);
	autofree char *script = leftovers_command(intent, "list");
	ssh_fanout_run(all, count, script, at_once(intent));
	for (size_t i = 0; i < count; i++) {
		autofree char *name = ssh_process_name(all[i].host);
		if (all[i].done)
			note_lines(found, intent, name, all[i].text);
		else
			note(found, intent, "host", name);
	}
	ssh_fanout_free(all, count);
}

// Of a run that goes on somebody else takes care: its hosts are named and left in peace.
static int ssh_left(struct cluster *c, json_t *found, struct error *err)
{
	autojson json_t *intents = intent_log_find(own_log, c->label);
	size_t i, k;
	json_t *intent, *host;
	json_array_foreach (intents, i, intent) {
		if (c->label || !is_live(intent)) {
			note(found, intent, "intent", json_string_value(json_object_get(intent, "label")));
			list_hosts(found, intent);
			continue;
		}
		json_array_foreach (json_object_get(intent, "hosts"), k, host) {
			autofree char *name = ssh_process_name(host);
			note(found, intent, "host", name);
		}
	}
	return 0;
}

extern const struct executor executor_ssh;
const struct executor executor_ssh = {
	.traits = &executor_traits_ssh,
	.check = ssh_check,
	.address = executor_loopback,
	.up = ssh_up,
	.down = ssh_down,
	.left = ssh_left,
};
