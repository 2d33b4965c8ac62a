// The subcommands, one in each file. Each parses its arguments, calls one function and prints.
// None of them prints the error that ends it: main.c does.
//
// To add one: a file cmd/NAME.c with cmd_NAME, its line here, and its row in the table of main.c.
#ifndef CMD_CMD_H
#define CMD_CMD_H

#include "base/error.h"

// argv[0] is the subcommand. Returns the exit status, or -1 with err set.
int cmd_action(int argc, char **argv, struct error *err);
int cmd_agent(int argc, char **argv, struct error *err);
int cmd_attach(int argc, char **argv, struct error *err);
int cmd_cancel(int argc, char **argv, struct error *err);
int cmd_down(int argc, char **argv, struct error *err);
int cmd_export(int argc, char **argv, struct error *err);
int cmd_hosts(int argc, char **argv, struct error *err);
int cmd_ls(int argc, char **argv, struct error *err);
int cmd_up(int argc, char **argv, struct error *err);
int cmd_choose(int argc, char **argv, struct error *err);
int cmd_compare(int argc, char **argv, struct error *err);
int cmd_cp(int argc, char **argv, struct error *err);
int cmd_doctor(int argc, char **argv, struct error *err);
int cmd_exec(int argc, char **argv, struct error *err);
int cmd_list(int argc, char **argv, struct error *err);
int cmd_logs(int argc, char **argv, struct error *err);
int cmd_plan(int argc, char **argv, struct error *err);
int cmd_predict(int argc, char **argv, struct error *err);
int cmd_prices(int argc, char **argv, struct error *err);
int cmd_reap(int argc, char **argv, struct error *err);
int cmd_report(int argc, char **argv, struct error *err);
int cmd_rerun(int argc, char **argv, struct error *err);
int cmd_run(int argc, char **argv, struct error *err);
int cmd_scale(int argc, char **argv, struct error *err);
int cmd_status(int argc, char **argv, struct error *err);
int cmd_sweep(int argc, char **argv, struct error *err);
int cmd_version(int argc, char **argv, struct error *err);

#endif
