// Linked into every program of a thread-sanitizer build.
//
// The sanitizer sees what orders two accesses only where the code that orders them was compiled with it. Swift's
// Mutex takes its quick path in code that is compiled into ours, but waits and wakes in libswiftSynchronization,
// which was not: whoever had to wait for a lock would seem to race with the one who held it. So the two functions of
// the slow path are put in front of the library's and say what they do. (Seen with Swift 6.3.1: eight tasks that
// append to one array under a Mutex are reported without this file, and are not with it.)
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>

#define LOCK_SLOW "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK_SLOW "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"
#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context))

extern void __tsan_acquire(void *address);
extern void __tsan_release(void *address);

typedef SWIFT void LockSlow(uint32_t thread, SELF void *handle);
typedef SWIFT void UnlockSlow(SELF void *handle);

SWIFT void sanitizing_lock_slow(uint32_t thread, SELF void *handle) __asm__(LOCK_SLOW);
SWIFT void sanitizing_unlock_slow(SELF void *handle) __asm__(UNLOCK_SLOW);

// Found at the start: dlsym takes locks of its own.
static LockSlow *lock_slow;
static UnlockSlow *unlock_slow;

__attribute__((constructor)) static void find(void) {
    lock_slow = (LockSlow *)dlsym(RTLD_NEXT, LOCK_SLOW);
    unlock_slow = (UnlockSlow *)dlsym(RTLD_NEXT, UNLOCK_SLOW);
}

SWIFT void sanitizing_lock_slow(uint32_t thread, SELF void *handle) {
    lock_slow(thread, handle);
    __tsan_acquire(handle);
}

SWIFT void sanitizing_unlock_slow(SELF void *handle) {
    __tsan_release(handle);
    unlock_slow(handle);
}

// In the program and not in the environment, which children do not get as a rule. Some tests have a worker crash:
// signals are left to do what they do.
const char *__tsan_default_options(void) {
    return "log_path=" REPORTS
           ":exitcode=0:handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:handle_abort=0";
}
