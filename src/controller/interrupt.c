#include "controller/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

// The value of a signal (sigqueue) says why it was sent.
enum { CLUSTER_DOWN = 1 };

enum interrupt_rule interrupt_rule(int count)
{
	return count <= 0 ? INTERRUPT_NONE : count == 1 ? INTERRUPT_GENTLY : INTERRUPT_AT_ONCE;
}

const char *interrupt_text(int count)
{
	return interrupt_rule(count) == INTERRUPT_AT_ONCE ? "stopping at once"
							  : "stopping gently; Ctrl-C again stops at once";
}

int interrupt_send(int pidfd, struct error *err)
{
	if (syscall(SYS_pidfd_send_signal, pidfd, SIGINT, NULL, 0) == 0 || errno == ESRCH)
		return 0;
	return error_errno(err, "cannot signal the controller");
}

void interrupt_send_cluster_down(pid_t pid)
{
	sigqueue(pid, SIGTERM, (union sigval){.sival_int = CLUSTER_DOWN});
}

static sigset_t interrupts(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	return set;
}

static void change_mask(int how)
{
	sigset_t set = interrupts();
	sigaddset(&set, SIGHUP);
	sigprocmask(how, &set, NULL);
}

void interrupt_block(void)
{
	change_mask(SIG_BLOCK);
}

void interrupt_unblock(void)
{
	change_mask(SIG_UNBLOCK);
}

int interrupt_open(struct error *err)
{
	sigset_t set = interrupts();
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGHUP, SIG_IGN); // the terminal may go, the run need not
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? error_errno(err, "cannot watch signals") : fd;
}

bool interrupt_next(int fd, struct interrupt *interrupt)
{
	struct signalfd_siginfo info;
	if (read(fd, &info, sizeof info) != sizeof info)
		return false;
	*interrupt = (struct interrupt){.signal = sigabbrev_np((int)info.ssi_signo),
		.cluster_down = info.ssi_code == SI_QUEUE && info.ssi_int == CLUSTER_DOWN};
	return true;
}
