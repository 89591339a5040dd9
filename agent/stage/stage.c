// The constructor behind package stage; see its package comment.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "stage.h"

#define STAGE_NAME "nestbox-stage"
#define AGENT_NAME "nestbox-agent"
#define IGNORE_SETID "ignore-setid"

enum { fd_self = 3, fd_listen = 4, fd_errors = 5 };

static int is_agent;

static int ignores_setid;

int nestbox_is_agent(void) { return is_agent; }
int nestbox_ignores_setid(void) { return ignores_setid; }

static void die(const char *what) {
	dprintf(2, "nestbox: %s: %s\n", what, strerror(errno));
	_exit(71);
}

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#else
#error "add the AUDIT_ARCH_ constant of this architecture"
#endif

// Nix's sandbox answers a chmod that sets a setuid or setgid bit with EPERM,
// which fails NixOS's activation and systemd-tmpfiles. A filter that is newer
// and of the same action wins (seccomp(2), "the most recently installed"), and
// with errno 0 the call is a success that does nothing. Every other chmod
// passes. Nix's ENOTSUP for every setxattr is left: a filter can't tell a
// capability from a program's own attribute, and to lose the latter silently
// is worse than a setcap that says it failed.
#define LOAD(off) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (off))
#define ARG(n) (offsetof(struct seccomp_data, args) + 8 * (n))
#define IS(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (yes), (no))

static void ignore_setid(void) {
	struct sock_filter code[] = {
		LOAD(offsetof(struct seccomp_data, arch)),
		IS(NATIVE_ARCH, 0, 10),
		LOAD(offsetof(struct seccomp_data, nr)),
#ifdef SYS_chmod
		IS(SYS_chmod, 5, 0),
#else
		IS(SYS_fchmod, 5, 0),
#endif
		IS(SYS_fchmod, 4, 0),
		IS(SYS_fchmodat, 1, 0),
		IS(SYS_fchmodat2, 0, 5),
		LOAD(ARG(2)),
		BPF_STMT(BPF_JMP | BPF_JA, 1),
		LOAD(ARG(1)),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, S_ISUID | S_ISGID, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {sizeof(code) / sizeof(code[0]), code};
	// Privilege enough is no_new_privs or CAP_SYS_ADMIN in our namespace.
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) != 0)
		die("installing the filter of setuid bits");
	ignores_setid = 1;
}

// become_agent lets the caller go on into the Go runtime as the agent, with a
// session of its own and without init's arguments in its command line: a
// "pkill -f" meant for them must not find it.
static void become_agent(int argc, char **argv) {
	is_agent = 1;
	if (setsid() < 0)
		die("making a session for the agent");
	char *end = argv[argc - 1] + strlen(argv[argc - 1]);
	memset(argv[0], 0, end - argv[0]);
	memcpy(argv[0], AGENT_NAME, strlen(AGENT_NAME));
	prctl(PR_SET_NAME, AGENT_NAME);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		die("opening /dev/null");
	dup2(null, 0);
	dup2(null, 1);
	dup2(fd_errors, 2);
	close(null);
	close(fd_self);
	close(fd_errors);
}

// die_with_driver lets the kernel end the machine when the driver dies, however
// it dies. libcontainer's own request for that is lost in its forks: a child's
// starts cleared (prctl(2), PR_SET_PDEATHSIG). Our parent is in another pid
// namespace, so that it may be gone already can't be seen by getppid(2), but by
// the pipe that it reads our errors from.
static void die_with_driver(void) {
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		die("asking to die with the driver");
	struct pollfd errors = {.fd = fd_errors};
	if (poll(&errors, 1, 0) == 1 && (errors.revents & POLLERR))
		_exit(71);
}

__attribute__((constructor)) static void stage(int argc, char **argv, char **envp) {
	// argv: our path, STAGE_NAME, options, init, init's arguments ...
	if (argc < 4 || strcmp(argv[1], STAGE_NAME) != 0 || getpid() != 1)
		return;
	die_with_driver();
	if (strcmp(argv[2], IGNORE_SETID) == 0)
		ignore_setid();
	// The descriptors survived this execve; they must not survive another.
	for (int fd = fd_self; fd <= fd_errors; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	pid_t agent = fork();
	if (agent < 0)
		die("forking the agent");
	if (agent == 0) {
		become_agent(argc, argv);
		return;
	}
	execve(argv[3], argv + 3, envp);
	die(argv[3]);
}
