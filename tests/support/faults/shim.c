/* Makes one system call of a process fail. Preloaded with LD_PRELOAD, and armed by fault_arm().
 *
 *   fault_arm("pwrite", "enospc", 3, folder)   the third pwrite below a folder: no space is left
 *
 * Calls:  pwrite, preadv, fsync, rename (also renameat2), unlink, mkdir.
 * Kinds:  kill   SIGKILL before the call
 *         eio    the call fails with EIO
 *         enospc the call fails with ENOSPC
 *         short  the call does half of its work (pwrite and preadv)
 *         count  nothing fails
 *
 * fault_calls(call) says how many such calls there were below the folder.
 *
 * Not thread-safe: it is meant for calls that one thread makes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static char armed_call[16], armed_kind[16], armed_below[PATH_MAX];
static long armed_number;

static const char *const names[] = {"pwrite", "preadv", "fsync", "rename", "unlink", "mkdir"};
enum { NAMES = sizeof names / sizeof *names };
static long counts[NAMES];

static long *count_of(const char *call)
{
    for (int i = 0; i < NAMES; i++)
        if (strcmp(call, names[i]) == 0)
            return &counts[i];
    return NULL;
}

void fault_arm(const char *call, const char *kind, long number, const char *below)
{
    snprintf(armed_call, sizeof armed_call, "%s", call);
    snprintf(armed_kind, sizeof armed_kind, "%s", kind);
    snprintf(armed_below, sizeof armed_below, "%s", below);
    armed_number = number;
    memset(counts, 0, sizeof counts);
}

long fault_calls(const char *call)
{
    const long *count = count_of(call);
    return count ? *count : -1;
}

/* What the caller has to do. */
enum outcome { GO_ON, FAIL, HALVE };

static enum outcome meet(const char *call, const char *path)
{
    if (strncmp(path, armed_below, strlen(armed_below)) != 0)
        return GO_ON;
    long number = ++*count_of(call);
    if (strcmp(call, armed_call) != 0 || number != armed_number ||
        strcmp(armed_kind, "count") == 0)
        return GO_ON;
    if (strcmp(armed_kind, "kill") == 0)
        kill(getpid(), SIGKILL);
    if (strcmp(armed_kind, "short") == 0)
        return HALVE;
    errno = strcmp(armed_kind, "eio") == 0 ? EIO : ENOSPC;
    return FAIL;
}

static enum outcome meet_descriptor(const char *call, int descriptor)
{
    char link[64], path[PATH_MAX];
    if (armed_below[0] == 0)
        return GO_ON;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    return meet(call, path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static size_t half(size_t size) { return size > 1 ? size / 2 : size; }

ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t offset)
{
    enum outcome outcome = meet_descriptor("pwrite", descriptor);
    if (outcome == FAIL)
        return -1;
    return REAL(pwrite64)(descriptor, data, outcome == HALVE ? half(size) : size, offset);
}

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset)
{
    return pwrite64(descriptor, data, size, offset);
}

ssize_t preadv64v2(int descriptor, const struct iovec *parts, int count, off64_t offset, int flags)
{
    struct iovec first;
    enum outcome outcome = meet_descriptor("preadv", descriptor);
    if (outcome == FAIL)
        return -1;
    if (outcome == HALVE && count > 0) {
        first = parts[0];
        first.iov_len = half(first.iov_len);
        return REAL(preadv64v2)(descriptor, &first, 1, offset, flags);
    }
    return REAL(preadv64v2)(descriptor, parts, count, offset, flags);
}

ssize_t preadv2(int descriptor, const struct iovec *parts, int count, off_t offset, int flags)
{
    return preadv64v2(descriptor, parts, count, offset, flags);
}

ssize_t preadv64(int descriptor, const struct iovec *parts, int count, off64_t offset)
{
    return preadv64v2(descriptor, parts, count, offset, 0);
}

ssize_t preadv(int descriptor, const struct iovec *parts, int count, off_t offset)
{
    return preadv64v2(descriptor, parts, count, offset, 0);
}

int fsync(int descriptor)
{
    return meet_descriptor("fsync", descriptor) == FAIL ? -1 : REAL(fsync)(descriptor);
}

int rename(const char *from, const char *to)
{
    return meet("rename", to) == FAIL ? -1 : REAL(rename)(from, to);
}

int renameat(int from_directory, const char *from, int to_directory, const char *to)
{
    return meet("rename", to) == FAIL ? -1
                                      : REAL(renameat)(from_directory, from, to_directory, to);
}

int renameat2(int from_directory, const char *from, int to_directory, const char *to,
              unsigned int flags)
{
    if (meet("rename", to) == FAIL)
        return -1;
    return REAL(renameat2)(from_directory, from, to_directory, to, flags);
}

int unlink(const char *path) { return meet("unlink", path) == FAIL ? -1 : REAL(unlink)(path); }

int mkdir(const char *path, mode_t mode)
{
    return meet("mkdir", path) == FAIL ? -1 : REAL(mkdir)(path, mode);
}
