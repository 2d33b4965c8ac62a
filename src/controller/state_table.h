// The states of a run, as a table: what happens in which state leads where and asks for what.
// No I/O: the controller does what the table says.
#ifndef CONTROLLER_STATE_TABLE_H
#define CONTROLLER_STATE_TABLE_H

enum state { STATE_PLANNED, STATE_STARTING, STATE_READY, STATE_RUNNING, STATE_STOPPING, STATE_DONE };

enum happening {
	HAPPENS_GO,        // the run directory is there, the controller listens
	HAPPENS_ALL_HELLO, // every node of the plan has said hello
	HAPPENS_ALL_UP,    // the same, of a persistent cluster
	HAPPENS_RESUME,    // a controller takes over a persistent cluster from one that died
	HAPPENS_RESIZE,    // a persistent cluster is to have other nodes, or its own again
	HAPPENS_DRAINED,   // it is to go down, and no job is on it any more
	HAPPENS_ALL_DONE,  // every rank that decides has ended well
	HAPPENS_ENOUGH,    // the job asked to stop when so much was seen
	HAPPENS_AGAIN,     // a rank failed, or a node said so, and the job's retries allow another attempt
	HAPPENS_FAIL,      // a rank, a node or the executor failed, a node is lost, a deadline is over
	HAPPENS_CANCEL,    // somebody asked to stop
	HAPPENS_HURRY,     // somebody asked again: at once
	HAPPENS_ALL_LEFT,  // every node has sent all it had and gone (or the wait for it is over)
	HAPPENS_GONE,      // the executor has removed everything
};

enum action {
	ACTION_NONE,
	ACTION_UP,      // executor up
	ACTION_READY,   // tell who waits for it
	ACTION_DRAIN,   // end the jobs on a persistent cluster
	ACTION_LAUNCH,  // launch to every node
	ACTION_STOP,    // bye to every node: end the ranks, bring what is to be brought, go
	ACTION_DOWN,    // executor down, whatever the nodes do
	ACTION_RECEIPT, // receipt, end, report
};

struct transition {
	enum state state;
	enum happening happening;
	enum state next;
	enum action action;
};

// The row for a state and a happening, or NULL: then it does not matter any more.
const struct transition *state_table_find(enum state state, enum happening happening);

const char *state_table_name(enum state state);

#endif
