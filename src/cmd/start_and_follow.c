#include "cmd/start_and_follow.h"

#include "base/mem.h"
#include "controller/controller_process.h"
#include "report/preflight_matrix.h"
#include "report/report.h"
#include "tui/viewer.h"

#include <stdio.h>
#include <stdlib.h>

static void print_matrix(const struct run *run)
{
	autojson json_t *report = report_make(run, NULL);
	autofree char *text = preflight_matrix_text(report);
	fputs(text, stdout);
}

static int follow(const struct start_and_follow_options *o, const struct controller_process *process, struct error *err)
{
	bool left = false;
	const struct run *run = o->controller.run;
	struct viewer_options options = {.json = o->json,
		.quiet = o->quiet,
		.owner = true,
		.until = o->controller.persistent ? "ready" : NULL,
		.left = &left,
		.controller = process->pid,
		.started = process->started};
	int status = viewer_follow(run, &options, err);
	if (left) {
		controller_process_let_go(process);
		return 0;
	}
	int ended = controller_process_wait(process);
	if (status < 0 || ended < 0) {
		controller_process_read_why(process, err);
		return status;
	}
	if (o->controller.preflight_only && !o->json)
		print_matrix(run);
	return ended;
}

int start_and_follow(const struct start_and_follow_options *o, struct error *err)
{
	struct controller_process process;
	if (controller_process_start(&process, &o->controller, o->detach, err) < 0)
		return -1;
	int status = o->detach ? controller_process_wait_started(&process, o->controller.run, err)
			       : follow(o, &process, err);
	controller_process_close(&process);
	return status;
}
