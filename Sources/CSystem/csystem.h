// Linux system calls and constants that Swift's Glibc module leaves out, by declaration only.
//
// Glibc's module is built without _GNU_SOURCE, so GNU-only functions are declared here by hand; defining the macro in
// this header would clash with that module's fd_set. Functions that glibc 2.36 lacks or that are variadic are one-line
// inline wrappers.
#ifndef CSYSTEM_H
#define CSYSTEM_H

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

extern int accept4(int socket, struct sockaddr *address, socklen_t *length, int flags);
extern int pipe2(int ends[2], int flags);
extern long syscall(long number, ...);
extern int fcntl(int descriptor, int command, ...);

// linux/fcntl.h: a pipe's capacity in bytes.
#define CSYSTEM_F_SETPIPE_SZ 1031

// The thread's id, cached. Not pthread_self: glibc marks that one const, so that the optimiser may merge two reads
// around a suspension point, on two different threads, into one.
__attribute__((noinline, unused)) static int csystem_thread_id(void) {
    static __thread int cached = 0;
    __asm__ volatile("" ::: "memory");
    if (cached == 0) cached = (int)syscall(SYS_gettid);
    return cached;
}

static inline int csystem_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

static inline int csystem_pidfd_send_signal(int pidfd, int signal) {
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, (void *)0, 0);
}

static inline int csystem_close_range(unsigned first, unsigned last) {
    return (int)syscall(SYS_close_range, first, last, 0);
}

static inline int csystem_fcntl(int descriptor, int command, int argument) {
    return fcntl(descriptor, command, argument);
}

extern int pthread_setname_np(pthread_t thread, const char *name);
static inline int csystem_set_thread_name(pthread_t thread, const char *name) { return pthread_setname_np(thread, name); }

static inline int csystem_set_pipe_capacity(int descriptor, int bytes) {
    return fcntl(descriptor, CSYSTEM_F_SETPIPE_SZ, bytes);
}

// tty_ioctl(4): how many characters a line of the terminal has; 0 when there is none, or it does not know.
static inline int csystem_terminal_columns(int descriptor) {
    struct winsize size;
    return ioctl(descriptor, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

extern int pthread_getattr_np(pthread_t thread, pthread_attr_t *attributes);
static inline int csystem_signal_thread(int thread, int signal) {
    return (int)syscall(SYS_tgkill, getpid(), thread, signal);
}

// Of the code that a signal has interrupted; `context` is the handler's third argument.
struct csystem_registers {
    unsigned long instruction, stack, frame;
};

static inline struct csystem_registers csystem_registers(const void *context) {
    const mcontext_t *machine = &((const ucontext_t *)context)->uc_mcontext;
#if defined(__x86_64__)
    // sys/ucontext.h: REG_RIP, REG_RSP and REG_RBP, which want _GNU_SOURCE.
    struct csystem_registers registers = {machine->gregs[16], machine->gregs[15], machine->gregs[10]};
#elif defined(__aarch64__)
    struct csystem_registers registers = {machine->pc, machine->sp, machine->regs[29]};
#endif
    return registers;
}

// Copies what lies on a stack, word by word: no call, and no variable's memory for a sanitizer to check.
__attribute__((noinline, unused, no_sanitize("address", "thread"))) static void csystem_copy_words(
    unsigned long *to, const volatile unsigned long *from, unsigned long count) {
    for (unsigned long index = 0; index < count; index++) to[index] = from[index];
}

// Swift's runtime: the readable form of a symbol, to be freed; NULL when it is not a name of Swift's.
extern char *swift_demangle(
    const char *name, size_t length, char *output, size_t *capacity, unsigned flags);

static inline int csystem_die_with_parent(void) { return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); }

extern int fallocate(int descriptor, int mode, off_t offset, off_t length);
// FALLOC_FL_KEEP_SIZE (linux/falloc.h): room, but no bytes that could be read.
static inline int csystem_reserve(int descriptor, long bytes) { return fallocate(descriptor, 1, 0, bytes); }

// The data member of an epoll event as one 64-bit number; the union itself is awkward from Swift.
static inline struct epoll_event csystem_epoll_event(unsigned events, unsigned long long data) {
    struct epoll_event event;
    event.events = events;
    event.data.u64 = data;
    return event;
}

static inline unsigned long long csystem_epoll_data(const struct epoll_event *event) { return event->data.u64; }

#endif
