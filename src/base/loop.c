#include "base/loop.h"

#include "base/mem.h"

#include <libwebsockets.h>
#include <stdlib.h>

struct loop {
	struct lws_context *context;
	struct lws_vhost *vhost; // what watched descriptors belong to
	bool stopped, ending;
};

struct loop_watch {
	struct loop *loop;
	struct lws *wsi;
	void (*on_event)(enum loop_event event, void *data);
	void *data;
	int fd;
	bool dead, writing;           // writing: on_event hears of LOOP_WRITABLE just now
	lws_sorted_usec_list_t again; // lws forgets what is asked for while it tells that a file is writable: it is
				      // asked a moment later
};

struct loop_timer {
	lws_sorted_usec_list_t sul; // first: the call-back gets its address
	struct loop *loop;
	void (*on_time)(void *data);
	void *data;
};

static void on_again(lws_sorted_usec_list_t *sul)
{
	struct loop_watch *watch = lws_container_of(sul, struct loop_watch, again);
	lws_callback_on_writable(watch->wsi);
}

static int on_file(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct loop_watch *watch = lws_get_opaque_user_data(wsi);
	if (!watch)
		return 0;
	switch ((int)reason) {
	case LWS_CALLBACK_RAW_RX_FILE:
		if (!watch->dead)
			watch->on_event(LOOP_READABLE, watch->data);
		return 0;
	case LWS_CALLBACK_RAW_WRITEABLE_FILE:
		watch->writing = true;
		if (!watch->dead)
			watch->on_event(LOOP_WRITABLE, watch->data);
		watch->writing = false;
		return 0;
	case LWS_CALLBACK_RAW_CLOSE_FILE:
		lws_set_opaque_user_data(wsi, NULL);
		lws_sul_schedule(lws_get_context(wsi), 0, &watch->again, on_again, LWS_SET_TIMER_USEC_CANCEL);
		if (!watch->dead && !watch->loop->ending)
			watch->on_event(LOOP_CLOSED, watch->data);
		free(watch);
		return 0;
	}
	return 0;
}

static const struct lws_protocols protocols[] = {{.name = "file", .callback = on_file}, {0}};

struct loop *loop_new(unsigned fds, struct error *err)
{
	lws_set_log_level(0, NULL);
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN,
		.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
			   LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS | LWS_SERVER_OPTION_NO_LWS_SYSTEM_STATES,
		.fd_limit_per_thread = fds,
		.pt_serv_buf_size = 32 * 1024, // two TLS records
		.protocols = protocols,
		.vhost_name = "files",
		.gid = -1,
		.uid = -1,
	};
	struct loop *loop = mem_alloc(sizeof *loop);
	loop->context = lws_create_context(&info);
	if (loop->context)
		loop->vhost = lws_create_vhost(loop->context, &info);
	if (!loop->vhost) {
		error_set(err, ERROR_SYSTEM, "cannot start the event loop (are there descriptors left?)");
		loop_free(loop);
		return NULL;
	}
	return loop;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	loop->ending = true;
	if (loop->context)
		lws_context_destroy(loop->context);
	free(loop);
}

void loop_run(struct loop *loop)
{
	loop->stopped = false;
	while (!loop->stopped && lws_service(loop->context, 0) >= 0)
		;
}

void loop_stop(struct loop *loop)
{
	loop->stopped = true;
	lws_cancel_service(loop->context);
}

struct loop_watch *loop_watch(
	struct loop *loop, int fd, void (*on_event)(enum loop_event event, void *data), void *data)
{
	struct loop_watch *watch = mem_alloc(sizeof *watch);
	watch->loop = loop;
	watch->on_event = on_event;
	watch->data = data;
	watch->fd = fd;
	lws_adopt_desc_t desc = {.vh = loop->vhost,
		.type = LWS_ADOPT_RAW_FILE_DESC,
		.fd = {.filefd = fd},
		.vh_prot_name = "file",
		.opaque = watch};
	watch->wsi = lws_adopt_descriptor_vhost_via_info(&desc);
	if (!watch->wsi) {
		free(watch);
		return NULL;
	}
	return watch;
}

void loop_unwatch(struct loop_watch *watch)
{
	if (!watch || watch->dead)
		return;
	watch->dead = true;
	lws_set_timeout(watch->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
}

void loop_watch_pause(struct loop_watch *watch, bool paused)
{
	lws_rx_flow_control(watch->wsi, !paused);
}

void loop_watch_writable(struct loop_watch *watch)
{
	if (watch->writing)
		lws_sul_schedule(lws_get_context(watch->wsi), 0, &watch->again, on_again, 1);
	else
		lws_callback_on_writable(watch->wsi);
}

int loop_watch_fd(const struct loop_watch *watch)
{
	return watch->fd;
}

static void on_sul(lws_sorted_usec_list_t *sul)
{
	struct loop_timer *timer = (struct loop_timer *)sul;
	timer->on_time(timer->data);
}

struct loop_timer *loop_timer_new(struct loop *loop, void (*on_time)(void *data), void *data)
{
	struct loop_timer *timer = mem_alloc(sizeof *timer);
	timer->loop = loop;
	timer->on_time = on_time;
	timer->data = data;
	return timer;
}

void loop_timer_set(struct loop_timer *timer, double seconds)
{
	lws_usec_t us = (lws_usec_t)(seconds * 1e6);
	lws_sul_schedule(timer->loop->context, 0, &timer->sul, on_sul, us > 0 ? us : 1);
}

void loop_timer_cancel(struct loop_timer *timer)
{
	lws_sul_schedule(timer->loop->context, 0, &timer->sul, on_sul, LWS_SET_TIMER_USEC_CANCEL);
}

void loop_timer_free(struct loop_timer *timer)
{
	if (!timer)
		return;
	loop_timer_cancel(timer);
	free(timer);
}

void *loop_context(struct loop *loop)
{
	return loop->context;
}
