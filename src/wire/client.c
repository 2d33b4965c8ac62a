#include "wire/client.h"

#include "base/mem.h"
#include "job/heartbeat.h"
#include "wire/conn.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_MAX = 16 << 20, TAKEN_STEP = 64 << 10 };
static const uint32_t stream_errors = 1u << 30, stream_mask = (1u << 30) - 1;

struct client_command {
	struct client *client;
	uint32_t number;
	uint64_t sent, out_of_way; // bytes of input: on their way, and there
	uint64_t taken, told;      // bytes of output: out of our way, and what the node knows of it
	const struct client_command_ops *ops;
	void *data;
};

struct client {
	struct conn *conn;
	char *token;
	void *commands; // a tree by number: there may be one for each of thousands of nodes
	uint32_t last;
	const struct client_ops *ops;
	void *data;
};

static int by_number(const void *a, const void *b)
{
	const struct client_command *x = a, *y = b;
	return x->number < y->number ? -1 : x->number > y->number;
}

static struct client_command *find(const struct client *client, uint32_t number)
{
	struct client_command **found = tfind(&(struct client_command){.number = number}, &client->commands, by_number);
	return found ? *found : NULL;
}

static void unlink_command(struct client_command *command)
{
	tdelete(command, &command->client->commands, by_number);
}

// Any of them, or NULL.
static struct client_command *first_of(const struct client *client)
{
	return client->commands ? *(struct client_command **)client->commands : NULL;
}

static void send_word(struct client_command *c, const char *key, json_t *value)
{
	autojson json_t *msg = mem_json("{s:s, s:i, s:o}", "msg", "exec", "session", (int)c->number, key, value);
	if (c->client->conn)
		conn_send(c->client->conn, msg);
}

// --- the line -------------------------------------------------------------------

static void on_open(struct conn *conn, void *data)
{
	struct client *client = data;
	conn_limit(conn, MESSAGE_MAX);
	autojson json_t *msg = mem_json("{s:s, s:s}", "msg", "client", "token", client->token);
	conn_send(conn, msg);
}

static void end_command(struct client_command *c, int status, const char *why)
{
	unlink_command(c);
	c->ops->on_end(status, why, c->data);
	free(c);
}

static void on_exec(struct client *client, const json_t *msg)
{
	struct client_command *c = find(client, (uint32_t)json_integer_value(json_object_get(msg, "session")));
	const char *error = json_string_value(json_object_get(msg, "error"));
	const json_t *status = json_object_get(msg, "status"), *taken = json_object_get(msg, "taken");
	if (!c)
		return;
	if (error)
		end_command(c, -1, error);
	else if (json_is_integer(taken)) {
		c->out_of_way = (uint64_t)json_integer_value(taken);
		c->ops->on_room(c->data);
	} else if (json_is_integer(status))
		end_command(c, (int)json_integer_value(status), NULL);
}

static void on_text(struct conn *conn, json_t *msg, void *data)
{
	struct client *client = data;
	const char *kind = json_string_value(json_object_get(msg, "msg"));
	if (!kind)
		return;
	if (strcmp(kind, "welcome") == 0)
		client->ops->on_welcome(client->data);
	else if (strcmp(kind, "exec") == 0)
		on_exec(client, msg);
	else
		client->ops->on_answer(msg, client->data);
}

static void on_bytes(struct conn *conn, uint32_t stream, uint64_t offset, const void *bytes, size_t len, void *data)
{
	struct client_command *c = find(data, stream & stream_mask);
	if (c)
		c->ops->on_bytes(stream & stream_errors, bytes, len, c->data);
}

static void on_close(struct conn *conn, const char *why, void *data)
{
	struct client *client = data;
	client->conn = NULL;
	for (struct client_command *c; (c = first_of(client));)
		end_command(c, -1, why);
	client->ops->on_close(why, client->data);
}

static const struct conn_ops ops = {on_open, on_text, on_bytes, NULL, on_close};

static void ignore_open(struct conn *conn, void *data)
{
}

static void ignore_text(struct conn *conn, json_t *msg, void *data)
{
}

static void ignore_bytes(struct conn *conn, uint32_t stream, uint64_t offset, const void *bytes, size_t len, void *data)
{
}

static void ignore_close(struct conn *conn, const char *why, void *data)
{
}

static const struct conn_ops forgotten_ops = {ignore_open, ignore_text, ignore_bytes, NULL, ignore_close};

struct client *client_dial(
	struct loop *loop, const json_t *control, const struct client_ops *client_ops, void *data, struct error *err)
{
	const char *url = json_string_value(json_object_get(control, "url"));
	const char *fingerprint = json_string_value(json_object_get(control, "fingerprint"));
	const char *token = json_string_value(json_object_get(control, "token"));
	struct client *client = mem_alloc(sizeof *client);
	*client = (struct client){.token = mem_strdup(token ? token : ""), .ops = client_ops, .data = data};
	client->conn =
		conn_dial(loop, url ? url : "", fingerprint ? fingerprint : "", HEARTBEAT_PERIOD, &ops, client, err);
	if (client->conn)
		return client;
	client_free(client);
	return NULL;
}

void client_free(struct client *client)
{
	if (!client)
		return;
	for (struct client_command *c; (c = first_of(client));)
		client_drop(c);
	if (client->conn) {
		conn_set(client->conn, &forgotten_ops, NULL);
		conn_close(client->conn, "done");
	}
	free(client->token);
	free(client);
}

void client_request(struct client *client, const json_t *msg)
{
	if (client->conn)
		conn_send(client->conn, msg);
}

// --- commands -------------------------------------------------------------------

struct client_command *client_run(
	struct client *client, const struct client_what *what, const struct client_command_ops *command_ops, void *data)
{
	struct client_command *c = mem_alloc(sizeof *c);
	*c = (struct client_command){.client = client, .number = ++client->last, .ops = command_ops, .data = data};
	if (!tsearch(c, &client->commands, by_number))
		abort(); // out of memory
	autojson json_t *msg = mem_json("{s:s, s:i, s:i, s:O, s:b, s:b, s:i, s:i}", "msg", "exec", "session",
		(int)c->number, "node", (int)what->node, "argv", what->argv, "agent", what->agent, "tty", what->tty,
		"rows", what->rows, "cols", what->cols);
	client_request(client, msg);
	return c;
}

void client_drop(struct client_command *command)
{
	if (!command)
		return;
	send_word(command, "gone", json_true());
	unlink_command(command);
	free(command);
}

size_t client_room(const struct client_command *command)
{
	uint64_t ahead = command->sent - command->out_of_way;
	return ahead < CLIENT_WINDOW ? CLIENT_WINDOW - (size_t)ahead : 0;
}

void client_write(struct client_command *command, const void *bytes, size_t len)
{
	if (command->client->conn)
		conn_send_bytes(command->client->conn, command->number, 0, bytes, len);
	command->sent += len;
}

void client_end_input(struct client_command *command)
{
	send_word(command, "eof", json_true());
}

void client_size(struct client_command *command, int rows, int cols)
{
	autojson json_t *msg = mem_json(
		"{s:s, s:i, s:i, s:i}", "msg", "exec", "session", (int)command->number, "rows", rows, "cols", cols);
	client_request(command->client, msg);
}

void client_taken(struct client_command *command, size_t len)
{
	command->taken += len;
	if (command->taken - command->told < TAKEN_STEP)
		return;
	command->told = command->taken;
	send_word(command, "taken", json_integer((json_int_t)command->taken));
}
