#include "controller/state.h"

#include "base/mem.h"

static const struct transition table[] = {
	{STATE_PLANNED, HAPPENS_GO, STATE_STARTING, ACTION_UP},
	{STATE_PLANNED, HAPPENS_FAIL, STATE_STOPPING, ACTION_DOWN},
	{STATE_PLANNED, HAPPENS_CANCEL, STATE_STOPPING, ACTION_DOWN},
	{STATE_STARTING, HAPPENS_ALL_HELLO, STATE_RUNNING, ACTION_LAUNCH},
	{STATE_STARTING, HAPPENS_FAIL, STATE_STOPPING, ACTION_STOP},
	{STATE_STARTING, HAPPENS_CANCEL, STATE_STOPPING, ACTION_STOP},
	{STATE_RUNNING, HAPPENS_ALL_DONE, STATE_STOPPING, ACTION_STOP},
	{STATE_RUNNING, HAPPENS_AGAIN, STATE_RUNNING, ACTION_LAUNCH},
	{STATE_RUNNING, HAPPENS_FAIL, STATE_STOPPING, ACTION_STOP},
	{STATE_RUNNING, HAPPENS_CANCEL, STATE_STOPPING, ACTION_STOP},
	{STATE_STOPPING, HAPPENS_ALL_LEFT, STATE_STOPPING, ACTION_DOWN},
	{STATE_STOPPING, HAPPENS_CANCEL, STATE_STOPPING, ACTION_NONE},
	{STATE_STOPPING, HAPPENS_HURRY, STATE_STOPPING, ACTION_DOWN},
	{STATE_STOPPING, HAPPENS_GONE, STATE_DONE, ACTION_RECEIPT},
};

const struct transition *state_find(enum state state, enum happening happening)
{
	for (size_t i = 0; i < countof(table); i++)
		if (table[i].state == state && table[i].happening == happening)
			return &table[i];
	return NULL;
}

const char *state_name(enum state state)
{
	static const char *const names[] = {"planned", "starting", "running", "stopping", "done"};
	return names[state];
}
