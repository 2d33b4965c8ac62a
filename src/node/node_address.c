#include "node/node_address.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

// --- what a node offers -----------------------------------------------------------

static bool is_loopback(const char *address)
{
	return str_starts(address, "127.") || strcmp(address, "::1") == 0;
}

// As text when others may reach it.
static bool print_usable(const struct ifaddrs *i, char *text, size_t size)
{
	if (!i->ifa_addr || (i->ifa_flags & (IFF_UP | IFF_RUNNING | IFF_LOOPBACK)) != (IFF_UP | IFF_RUNNING))
		return false;
	if (i->ifa_addr->sa_family == AF_INET) {
		const struct in_addr *a = &((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr;
		return ntohl(a->s_addr) >> 16 != 0xa9fe &&
		       inet_ntop(AF_INET, a, text, (socklen_t)size); // 169.254: of the link only
	}
	if (i->ifa_addr->sa_family != AF_INET6)
		return false;
	const struct in6_addr *a = &((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr;
	return !IN6_IS_ADDR_LINKLOCAL(a) && inet_ntop(AF_INET6, a, text, (socklen_t)size);
}

// Not by /sys, which may show the devices of another network name space.
static bool is_bridge(const char *device)
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	struct ifreq ask = {.ifr_data = (char *)&info};
	autoclose int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	snprintf(ask.ifr_name, sizeof ask.ifr_name, "%s", device);
	return fd >= 0 && ioctl(fd, SIOCETHTOOL, &ask) == 0 && strcmp(info.driver, "bridge") == 0;
}

json_t *node_address_offer(const char *first)
{
	json_t *list = mem_json("[s]", first);
	struct ifaddrs *all;
	if (is_loopback(first) || getifaddrs(&all) < 0)
		return list;
	static const struct {
		bool bridge;
		int family;
	} turns[] = {{false, AF_INET}, {false, AF_INET6}, {true, AF_INET}, {true, AF_INET6}};
	char text[INET6_ADDRSTRLEN];
	for (size_t t = 0; t < countof(turns); t++)
		for (struct ifaddrs *i = all; i; i = i->ifa_next)
			if (print_usable(i, text, sizeof text) && i->ifa_addr->sa_family == turns[t].family &&
				is_bridge(i->ifa_name) == turns[t].bridge && !json_contains(list, text) &&
				json_array_size(list) < NODE_ADDRESS_MAX)
				json_array_append_new(list, json_string(text));
	freeifaddrs(all);
	return list;
}

char *node_address_own(void)
{
	autojson json_t *list = node_address_offer("0.0.0.0"); // which nobody can reach
	const char *own = json_string_value(json_array_get(list, 1));
	return mem_strdup(own && strchr(own, '.') ? own : "127.0.0.1");
}

static int try_bind(int family, int *port)
{
	union {
		struct sockaddr any;
		struct sockaddr_in four;
		struct sockaddr_in6 six;
	} a = {.any = {.sa_family = (sa_family_t)family}};
	socklen_t len = family == AF_INET6 ? sizeof a.six : sizeof a.four;
	int one = 1, none = 0;
	autoclose int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &none, sizeof none);
	if (bind(fd, &a.any, len) < 0 || getsockname(fd, &a.any, &len) < 0)
		return -1;
	*port = ntohs(family == AF_INET6 ? a.six.sin6_port : a.four.sin_port);
	return steal_fd(&fd);
}

int node_address_bind(bool six, int *port, struct error *err)
{
	int fd = six ? try_bind(AF_INET6, port) : -1;
	fd = fd < 0 ? try_bind(AF_INET, port) : fd;
	return fd < 0 ? error_errno(err, "there is no free port") : fd;
}

// --- the one that all reach -------------------------------------------------------

static const json_t *found_by(const json_t *tried, size_t who, const char *what, size_t node)
{
	char key[24];
	snprintf(key, sizeof key, "%zu", node);
	return json_object_get(json_object_get(json_array_get(tried, who), what), key);
}

// who: the first that does not.
static bool all_reach(const json_t *tried, size_t node, const char *address, size_t *who)
{
	for (*who = 0; *who < json_array_size(tried); ++*who)
		if (*who != node && !json_contains(found_by(tried, *who, "reached", node), address))
			return false;
	return true;
}

static const char *reason(const json_t *tried, size_t who, size_t node)
{
	const char *why = json_string_value(found_by(tried, who, "why", node));
	return why ? why : "no reason given";
}

const char *node_address_choose(
	const json_t *offered, size_t node, const json_t *tried, const char **why, size_t *who, struct error *err)
{
	size_t i, count = json_array_size(tried);
	const json_t *value;
	*why = NULL;
	json_array_foreach (offered, i, value) {
		if (all_reach(tried, node, json_string_value(value), who))
			return json_string_value(value);
		*why = *why ? *why : reason(tried, *who, node);
	}
	for (i = 0; i < count; i++) {
		if (i == node || json_array_size(found_by(tried, i, "reached", node)) > 0)
			continue;
		*who = i;
		error_set(err, ERROR_JOB, "node %zu cannot reach node %zu at any of its %zu addresses: %s", i, node,
			json_array_size(offered), reason(tried, i, node));
		return NULL;
	}
	autostr struct str s = {0};
	for (i = 0; i < count; i++)
		if (i != node)
			str_printf(&s, "%snode %zu reaches it at %s", s.len ? ", " : "", i,
				json_string_value(json_array_get(found_by(tried, i, "reached", node), 0)));
	*who = node;
	error_set(err, ERROR_JOB, "node %zu has no address that all others reach: %s", node, s.text);
	return NULL;
}
