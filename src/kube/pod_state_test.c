#include "base/mem.h"
#include "kube/pod_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct pod_row {
	const char *pod;
	enum pod_state_kind kind;
	const char *why; // somewhere in it; NULL: none
};

#define META "\"metadata\":{}"
#define LEAVING "\"metadata\":{\"deletionTimestamp\":\"2026-11-28T06:06:12Z\"}"
#define STATE(state) "\"containerStatuses\":[{\"name\":\"proxy\",\"state\":{}},{\"name\":\"node\",\"state\":" state "}]"
#define RUNNING STATE("{\"running\":{\"startedAt\":\"2026-11-28T06:05:46Z\"}}")
#define WAITING(reason, message) STATE("{\"waiting\":{\"reason\":\"" reason "\",\"message\":\"" message "\"}}")
#define ENDED(code, reason, message)                                                                                   \
	STATE("{\"terminated\":{\"exitCode\":" code ",\"reason\":\"" reason "\",\"message\":\"" message "\"}}")
#define POD(meta, phase, rest)                                                                                         \
	"{" meta ",\"spec\":{\"nodeName\":\"kube-2\"},\"status\":{\"phase\":\"" phase "\"," rest "}}"
#define CONDITION(type, status, reason, message)                                                                       \
	"\"conditions\":[{\"type\":\"" type "\",\"status\":\"" status "\",\"reason\":\"" reason                        \
	"\",\"message\":\"" message "\"}]"
#define UNSCHEDULABLE(message) POD(META, "Pending", CONDITION("PodScheduled", "False", "Unschedulable", message))
#define DISRUPTED(meta, phase, reason, state)                                                                          \
	POD(meta, phase, CONDITION("DisruptionTarget", "True", reason, "by somebody") "," state)
#define SIDECAR(phase, state, rest)                                                                                    \
	"{\"spec\":{\"initContainers\":[{\"name\":\"mesh\",\"restartPolicy\":\"Always\"}]},\"status\":{\"phase\":"     \
	"\"" phase "\",\"initContainerStatuses\":[{\"name\":\"mesh\",\"state\":" state "}]," rest "}}"
#define RUNC "failed to create containerd task: OCI runtime create failed: unable to start container process: "

static const struct pod_row pods[] = {
	{"{}", POD_STATE_WAITS, NULL},
	{POD(META, "Pending", "\"x\":1"), POD_STATE_WAITS, NULL},
	{POD(META, "Pending", WAITING("ContainerCreating", "")), POD_STATE_WAITS, NULL},
	{POD(META, "Running", RUNNING), POD_STATE_RUNS, NULL},
	{POD(META, "Running", "\"initContainerStatuses\":[{\"name\":\"proxy\",\"state\":{\"running\":{}}}]," RUNNING),
		POD_STATE_RUNS, NULL},
	// a sidecar that is started again
	{SIDECAR("Running", "{\"terminated\":{\"exitCode\":1}}", RUNNING), POD_STATE_RUNS, NULL},
	{SIDECAR("Running", "{\"waiting\":{\"reason\":\"CrashLoopBackOff\"}}", RUNNING), POD_STATE_RUNS, NULL},
	{SIDECAR("Pending", "{\"terminated\":{\"exitCode\":1}}", WAITING("PodInitializing", "")), POD_STATE_WAITS,
		NULL},
	{SIDECAR("Pending", "{\"waiting\":{\"reason\":\"CrashLoopBackOff\"}}", WAITING("PodInitializing", "")),
		POD_STATE_WAITS, "CrashLoopBackOff"},
	// images
	{POD(META, "Pending", WAITING("ErrImageNeverPull", "Container image is not present with pull policy of Never")),
		POD_STATE_NEVER, "may not be pulled"},
	{POD(META, "Pending", WAITING("InvalidImageName", "couldn't parse image name")), POD_STATE_NEVER, "valid name"},
	{POD(META, "Pending",
		 WAITING("ErrImagePull", "failed to resolve reference \\\"docker.io/library/x:1\\\": "
					 "docker.io/library/x:1: not found")),
		POD_STATE_NEVER, "not found"},
	{POD(META, "Pending",
		 WAITING("ImagePullBackOff",
			 "Back-off pulling image: pull access denied, repository does not exist or may require "
			 "authorization")),
		POD_STATE_NEVER, "cannot be pulled"},
	{POD(META, "Pending", WAITING("ImagePullBackOff", "toomanyrequests: You have reached your pull rate limit")),
		POD_STATE_WAITS, "refuses the image for now"},
	{POD(META, "Pending", WAITING("ErrImagePull", "dial tcp: lookup registry.invalid on [::1]:53: i/o timeout")),
		POD_STATE_WAITS, "i/o timeout"},
	{POD(META, "Pending", WAITING("ErrImagePull", "no match for platform in manifest: not found")), POD_STATE_NEVER,
		"architecture"},
	{POD(META, "Pending",
		 "\"initContainerStatuses\":[{\"name\":\"agent\",\"state\":{\"waiting\":{\"reason\":\"ErrImagePull\","
		 "\"message\":\"x: not found\"}}}]"),
		POD_STATE_NEVER, "not found"},
	{POD(META, "Pending",
		 WAITING("ErrImagePull",
			 "reading manifest 1 in docker.io/library/x: requested access to the resource is "
			 "denied")), // CRI-O
		POD_STATE_NEVER, "cannot be pulled"},
	{POD(META, "Pending",
		 WAITING("ErrImagePull", "no image found in image index for architecture arm64, OS linux")),
		POD_STATE_NEVER, "architecture"},
	{POD(META, "Pending",
		 WAITING("ErrImagePull", "failed to copy: read tcp: connection reset by peer: sha256:94010ab")),
		POD_STATE_WAITS, "connection reset"},
	{POD(META, "Pending",
		 WAITING("ErrImagePull",
			 "rpc error: code = Unknown desc = failed to pull and unpack image \\\"r/x:1\\\": failed to "
			 "resolve reference \\\"r/x:1\\\": failed to do request: Head \\\"http://r/\\\": refused")),
		POD_STATE_WAITS, "the image cannot be pulled: r/x:1: Head \"http://r/\": refused"},
	{POD(META, "Pending",
		 WAITING("ImagePullBackOff",
			 "Back-off pulling image \\\"x:1\\\": ErrImagePull: failed to pull and unpack "
			 "image \\\"r/x:1\\\": failed to do request: refused")),
		POD_STATE_WAITS, "the image cannot be pulled: r/x:1: refused"},
	{POD(META, "Pending",
		 WAITING("ErrImagePull", "failed to resolve reference \\\"r/x:1\\\": dial tcp: lookup r on [::1]:53: "
					 "read udp [::1]:33664->[::1]:53: read: connection refused")),
		POD_STATE_WAITS, "r/x:1: dial tcp: lookup r on [::1]:53: read: connection refused"},
	{POD(META, "Pending", WAITING("ImagePullBackOff", "Back-off pulling image \\\"x:1\\\"")), POD_STATE_WAITS,
		NULL},
	// containers
	{POD(META, "Pending", WAITING("CreateContainerConfigError", "secret \\\"nosuch\\\" not found")),
		POD_STATE_NEVER, "nosuch"},
	{POD(META, "Pending",
		 WAITING("CreateContainerConfigError", "container has runAsNonRoot and image will run as root")),
		POD_STATE_NEVER, "do not run as root, and this image does: use one with a USER, or"},
	{POD(META, "Failed",
		 "\"initContainerStatuses\":[{\"name\":\"muster-agent\",\"state\":{\"terminated\":{\"exitCode\":128,"
		 "\"reason\":\"StartError\",\"message\":\"" RUNC
		 "exec: \\\"/usr/local/bin/muster-agent\\\": no such file or directory\"}}}]"),
		POD_STATE_NEVER, "'cluster.kubernetes.agent_image' has no agent of muster in it"},
	{POD(META, "Pending",
		 WAITING("CreateContainerConfigError", "failed to sync configmap cache: timed out waiting")),
		POD_STATE_WAITS, "failed to sync"},
	{POD(META, "Pending",
		 WAITING("CreateContainerError",
			 "rpc error: code = Unavailable desc = connection error: connect: connection refused")),
		POD_STATE_WAITS, "cannot be made"},
	{POD(META, "Failed", ENDED("1", "Error", "exec /.muster/agent: exec format error\\n")), POD_STATE_ENDED,
		"another architecture"},
	{POD(META, "Failed", ENDED("128", "StartError", RUNC "exec: \\\"/nosuch\\\": no such file or directory")),
		POD_STATE_NEVER, "is not there"},
	{POD(META, "Failed", ENDED("128", "StartError", RUNC "exec /.muster/agent: exec format error")),
		POD_STATE_NEVER, "another architecture"},
	{POD(META, "Failed", ENDED("137", "OOMKilled", "")), POD_STATE_ENDED, "OOMKilled"},
	{POD(META, "Running", ENDED("3", "Error", "a word\\n\\u001b[1mof its own\\n")), POD_STATE_ENDED,
		"status 3: a word [1mof its own"},
	{POD(META, "Succeeded", ENDED("0", "Completed", "")), POD_STATE_ENDED, "status 0"},
	// places
	{UNSCHEDULABLE("0/3 nodes are available: 3 Insufficient cpu."), POD_STATE_WAITS, "3 Insufficient cpu"},
	{UNSCHEDULABLE("0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. no new claims"),
		POD_STATE_NEVER, "node selector"},
	{UNSCHEDULABLE("0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't match Pod's node "
		       "affinity/selector."),
		POD_STATE_WAITS, "1 Insufficient cpu"},
	{UNSCHEDULABLE("0/13 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/x: }, 12 "
		       "node(s) didn't match Pod's node affinity/selector."),
		POD_STATE_NEVER, "node selector"},
	{UNSCHEDULABLE("0/3 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }, 2 "
		       "node(s) didn't match Pod's node affinity/selector."),
		POD_STATE_WAITS, "not-ready"},
	{UNSCHEDULABLE("0/3 nodes are available: 1 node(s) had untolerated taint "
		       "{node.cloudprovider.kubernetes.io/uninitialized: true}, 2 node(s) didn't match Pod's node "
		       "affinity/selector."),
		POD_STATE_WAITS, "uninitialized"},
	{UNSCHEDULABLE("0/3 nodes are available: persistentvolumeclaim \\\"nopvc\\\" not found. not found"),
		POD_STATE_WAITS, "there is no PersistentVolumeClaim 'nopvc' in its namespace"},
	{"{\"spec\":{\"hostNetwork\":true},\"status\":{\"phase\":\"Pending\"," CONDITION("PodScheduled", "False",
		 "Unschedulable", "0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules.") "}}",
		POD_STATE_WAITS, "with 'host_network' each takes one pod of a run"},
	{"{\"spec\":{\"schedulerName\":\"nosched\"},\"status\":{\"phase\":\"Pending\"}}", POD_STATE_WAITS,
		"waits for the scheduler 'nosched'"},
	{"{\"spec\":{\"schedulerName\":\"default-scheduler\"},\"status\":{\"phase\":\"Pending\"}}", POD_STATE_WAITS,
		NULL},
	{POD(META, "Pending", CONDITION("PodScheduled", "False", "SchedulingGated", "kueue")), POD_STATE_WAITS,
		"let in"},
	// ends
	{POD(META, "Failed",
		 "\"reason\":\"Evicted\",\"message\":\"The node was low on resource: memory.\"," ENDED(
			 "137", "Error", "")),
		POD_STATE_ENDED, "evicted: The node was low"},
	{POD(META, "Failed", "\"reason\":\"OutOfcpu\",\"message\":\"Node didn't have enough resource\""),
		POD_STATE_ENDED, "OutOfcpu"},
	{POD(META, "Failed", "\"reason\":\"Terminated\",\"message\":\"imminent node shutdown\""), POD_STATE_ENDED,
		"shut down"},
	{DISRUPTED(LEAVING, "Failed", "PreemptionByScheduler", ENDED("143", "Error", "")), POD_STATE_ENDED,
		"preempted"},
	{DISRUPTED(LEAVING, "Failed", "EvictionByEvictionAPI", ENDED("143", "Error", "")), POD_STATE_ENDED, "drained"},
	{DISRUPTED(LEAVING, "Running", "DeletionByTaintManager", RUNNING), POD_STATE_RUNS, "out of reach"},
	{DISRUPTED(META, "Running", "NewReason", RUNNING), POD_STATE_RUNS, "by somebody"},
	{POD(LEAVING, "Failed", ENDED("143", "Error", "")), POD_STATE_ENDED, "somebody deleted"},
	{POD(LEAVING, "Running", RUNNING), POD_STATE_RUNS, "somebody deletes"},
	{POD(LEAVING, "Pending", WAITING("ContainerCreating", "")), POD_STATE_ENDED, "somebody deleted"},
	{POD(META, "Running", CONDITION("Ready", "False", "ContainersNotReady", "proxy") "," RUNNING), POD_STATE_RUNS,
		NULL},
	{POD(META, "Running", "\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\"}]," RUNNING), POD_STATE_RUNS,
		"kube-2 is not ready"},
	// anything
	{"[]", POD_STATE_WAITS, NULL},
	{"{\"status\":{\"containerStatuses\":{\"name\":3},\"conditions\":[1,null]}}", POD_STATE_WAITS, NULL},
};

static void what_pods_mean(void **state)
{
	for (size_t i = 0; i < countof(pods); i++) {
		autojson json_t *pod = json_loads(pods[i].pod, 0, NULL);
		if (!pod)
			fail_msg("no JSON: %s", pods[i].pod);
		struct pod_state s = pod_state_read(pod);
		if (s.kind != pods[i].kind || !s.why != !pods[i].why || (s.why && !strstr(s.why, pods[i].why)))
			fail_msg("found %d, '%s'; expected %d, '%s' of %s", s.kind, s.why ? s.why : "", pods[i].kind,
				pods[i].why ? pods[i].why : "", pods[i].pod);
		pod_state_fini(&s);
	}
}

static void who_leaves_and_who_is_away(void **state)
{
	autojson json_t *leaving = json_loads(POD(LEAVING, "Running", RUNNING), 0, NULL);
	autojson json_t *away = json_loads(
		POD(META, "Running", "\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\"}]," RUNNING), 0, NULL);
	struct pod_state s = pod_state_read(leaving);
	assert_true(s.leaves && !s.away);
	pod_state_fini(&s);
	s = pod_state_read(away);
	assert_true(!s.leaves && s.away && !s.homeless);
	pod_state_fini(&s);
	autojson json_t *homeless = json_loads(
		UNSCHEDULABLE("0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."), 0,
		NULL);
	s = pod_state_read(homeless);
	assert_true(s.homeless);
	pod_state_fini(&s);
}

struct event_row {
	const char *about, *reason, *message;
	enum pod_news_kind kind;
	const char *text;
};

static const struct event_row events[] = {
	{"Pod", "Scheduled", "Successfully assigned lab/x to kube-1", POD_NEWS_NONE, NULL},
	{"Pod", "FailedScheduling", "0/3 nodes are available: 3 Insufficient cpu.", POD_NEWS_WAITS, "3 Insufficient"},
	{"Pod", "FailedScheduling", "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.",
		POD_NEWS_WAITS, "node selector"},
	{"Pod", "FailedScheduling", "no nodes available to schedule pods", POD_NEWS_WAITS, "no nodes"},
	{"Pod", "Pulling", "Pulling image \"debian:12\"", POD_NEWS_PULLS, "debian:12"},
	{"Pod", "Pulled", "Successfully pulled image", POD_NEWS_PULLED, NULL},
	{"Pod", "Failed", "Error: ErrImagePull", POD_NEWS_FAILED, NULL},
	{"Pod", "Failed", "Failed to pull image \"x:1\": x:1: not found", POD_NEWS_NEVER, "not found"},
	{"Pod", "Failed", "Failed to pull image \"x:1\": dial tcp: i/o timeout", POD_NEWS_FAILED,
		"the image cannot be pulled: x:1: dial tcp"},
	{"Pod", "InspectFailed", "Failed to apply default image tag \"A B\"", POD_NEWS_NEVER, "A B"},
	{"Pod", "TriggeredScaleUp", "pod triggered scale-up: [{pool 1->2 (max: 9)}]", POD_NEWS_GROWS, "pool 1->2"},
	{"Pod", "FailedMount", "MountVolume.SetUp failed for volume \"v\" : configmap \"nosuch\" not found",
		POD_NEWS_WAITS, "there is no ConfigMap 'nosuch' in its namespace"},
	{"Pod", "FailedMount", "MountVolume.SetUp failed for volume \"v\" : secret \"s1\" not found", POD_NEWS_WAITS,
		"there is no Secret 's1' in its namespace"},
	{"Pod", "FailedMount",
		"MountVolume.SetUp failed for volume \"v\" : configmap references non-existent config key",
		POD_NEWS_WAITS, "non-existent config key"},
	{"Pod", "FailedMount",
		"MountVolume.SetUp failed for volume \"v\" : failed to sync configmap cache: timed out waiting for the "
		"condition",
		POD_NEWS_NONE, NULL},
	{"Job", "FailedCreate",
		"Error creating: pods \"q-0-x\" is forbidden: exceeded quota: small, requested: limits.cpu=900m",
		POD_NEWS_NEVER, "the quota of the namespace is too small: pods"},
	{"Job", "FailedCreate", "Error creating: pods \"q\" is forbidden: violates PodSecurity \"restricted:latest\"",
		POD_NEWS_NEVER, "namespace refuses"},
	{"Job", "FailedCreate",
		"Error creating: pods \"q\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != "
		"true",
		POD_NEWS_NEVER, "'cluster.kubernetes.pod: {spec: {securityContext: {runAsNonRoot: true}}}'"},
	{"Job", "FailedCreate",
		"Error creating: admission webhook \"p.example.com\" denied the request: no owner label",
		POD_NEWS_NEVER, "a webhook refuses its pod: admission webhook \"p.example.com\""},
	{"Job", "FailedCreate",
		"Error creating: Internal error occurred: failed calling webhook \"p.example.com\": connection refused",
		POD_NEWS_WAITS, "failed calling webhook"},
	{"Job", "FailedCreate",
		"Error creating: pods \"q\" is forbidden: status unknown for quota: new, resources: cpu",
		POD_NEWS_WAITS, "status unknown"},
	{"Job", "FailedCreate",
		"Error creating: pods \"q\" is forbidden: error looking up service account new/default: serviceaccount "
		"\"default\" not found",
		POD_NEWS_WAITS, "service account"},
	{"Job", "FailedCreate",
		"Error creating: pods \"q\" is forbidden: error looking up service account new/nosuch: serviceaccount "
		"\"nosuch\" not found",
		POD_NEWS_NEVER, "nosuch"},
	{"Job", "SuccessfulCreate", "Created pod: x", POD_NEWS_NONE, NULL},
	{"Pod", "Evicted", "The node was low on resource: memory.", POD_NEWS_ENDS,
		"its pod was evicted: The node was low on resource: memory."},
	{"Pod", "TaintManagerEviction", "Marking for deletion Pod ns/p", POD_NEWS_ENDS, "Marking for deletion"},
	{"Pod", "TaintManagerEviction", "Cancelling deletion of Pod ns/p", POD_NEWS_NONE, NULL},
	{"Job", "DeadlineExceeded", "Job was active longer than specified deadline", POD_NEWS_ENDS, "active longer"},
	{"Job", "Suspended", "Job suspended", POD_NEWS_HELD, "has to be started by a queue"},
	{"Job", "CreatedWorkload", "Created Workload: fix/job-muster-a-node", POD_NEWS_TAKEN, NULL},
	{"Node", "FailedCreate", "Error creating: forbidden", POD_NEWS_NONE, NULL},
};

static void what_events_mean(void **state)
{
	for (size_t i = 0; i < countof(events); i++) {
		const struct event_row *row = &events[i];
		autojson json_t *event = mem_json("{s:{s:s, s:s}, s:s, s:s}", "involvedObject", "kind", row->about,
			"name", "q", "reason", row->reason, "message", row->message);
		struct pod_news news = pod_state_news(event);
		if (news.kind != row->kind || !news.text != !row->text || (news.text && !strstr(news.text, row->text)))
			fail_msg("found %d, '%s' of %s: %s", news.kind, news.text ? news.text : "", row->reason,
				row->message);
		assert_string_equal(news.name, "q");
		free(news.text);
	}
}

static void what_does_not_pass_is_told(void **state)
{
	autojson json_t *event = mem_json("{s:{s:s, s:s}, s:s, s:s, s:i}", "involvedObject", "kind", "Pod", "name", "q",
		"reason", "FailedMount", "message", "failed to sync configmap cache", "count", 3);
	struct pod_news news = pod_state_news(event);
	assert_int_equal(news.kind, POD_NEWS_NONE);
	json_object_set_new(event, "count", json_integer(4));
	news = pod_state_news(event);
	assert_int_equal(news.kind, POD_NEWS_WAITS);
	assert_string_equal(news.text, "failed to sync configmap cache");
	free(news.text);
}

static void long_texts_are_cut_between_letters(void **state)
{
	struct {
		char text[3000];
	} many = {{0}};
	for (size_t i = 0; i + 2 < sizeof many.text; i += 2)
		memcpy(many.text + i, "\xc3\xa4", 2);
	for (int shift = 0; shift < 2; shift++) {
		autofree char *message = mem_printf("%s%s", shift ? "x" : "", many.text);
		autojson json_t *event = mem_json("{s:{s:s, s:s}, s:s, s:s}", "involvedObject", "kind", "Pod", "name",
			"q", "reason", "FailedMount", "message", message);
		struct pod_news news = pod_state_news(event);
		assert_true(strlen(news.text) <= 604);
		autojson json_t *valid = json_string(news.text);
		assert_non_null(valid);
		free(news.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_pods_mean),
		cmocka_unit_test(who_leaves_and_who_is_away),
		cmocka_unit_test(what_events_mean),
		cmocka_unit_test(what_does_not_pass_is_told),
		cmocka_unit_test(long_texts_are_cut_between_letters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
