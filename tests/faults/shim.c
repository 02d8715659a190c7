/* Lets the N-th call of a kind fail. Preloaded (LD_PRELOAD) into a daemon; told what to do, while it runs, by
 * the file named in WASL_FAULTS: six 32-bit words, shared memory (tests/faults/shim.py writes them).
 *
 * Files count if they lie below WASL_FAULTS_ROOT, as the kernel names them in /proc/self/fd. Not seen: memory
 * maps, and calls made without the C library.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, SYNC = 2, OPEN = 4, READ = 8, NAMES = 16, SIZE = 32, DESCRIPTOR = 64 };

struct orders {
    _Atomic int32_t kinds;   /* which calls; 0: none fails */
    _Atomic int32_t number;  /* errno; 0: the call does half of what it was asked for */
    _Atomic int32_t stuck;   /* all from the N-th on, not only the N-th */
    _Atomic int32_t at;      /* N, from 1 */
    _Atomic int32_t seen;    /* calls of these kinds so far */
    _Atomic int32_t fired;   /* how many failed */
};

static struct orders *orders;
static char root[PATH_MAX];
static size_t root_size;

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("WASL_FAULTS"), *below = getenv("WASL_FAULTS_ROOT");
    if (!name || !below) return;
    int (*plain_open)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    int (*plain_close)(int) = dlsym(RTLD_NEXT, "close");
    int fd = plain_open(name, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    snprintf(root, sizeof root, "%s/", below);
    root_size = strlen(root);
    void *map = mmap(NULL, sizeof *orders, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    plain_close(fd);
    if (map != MAP_FAILED) orders = map;
}

static int below_root(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path);
    return size >= (ssize_t)root_size && !memcmp(path, root, root_size);
}

static int named(const char *path) { return path && !strncmp(path, root, root_size); }

/* Whether this call is to fail: it is of that kind, it concerns a file of ours, and its turn has come. */
static int due(int kind) {
    int seen = atomic_fetch_add(&orders->seen, 1) + 1, at = orders->at;
    if (seen != at && !(orders->stuck && seen > at)) return 0;
    atomic_fetch_add(&orders->fired, 1);
    return 1;
}
static int asked(int kind) { return orders && (orders->kinds & kind); }
static int on_file(int kind, int fd) {
    int before = errno, yes = asked(kind) && below_root(fd) && due(kind);
    errno = before;
    return yes;
}
static int on_name(int kind, const char *path) { return asked(kind) && named(path) && due(kind); }
static int on_any(int kind) { return asked(kind) && due(kind); }

#define REAL(result, name, ...) \
    static result (*real)(__VA_ARGS__); \
    if (!real) real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)
#define FAIL do { errno = orders->number ? orders->number : EIO; return -1; } while (0)

#define MOVES_BYTES(kind, name, type) \
    ssize_t name(int fd, type data, size_t size) { \
        REAL(ssize_t, #name, int, type, size_t); \
        if (on_file(kind, fd)) { if (orders->number || size < 2) FAIL; size /= 2; } \
        return real(fd, data, size); \
    }
#define MOVES_BYTES_AT(kind, name, type, offset) \
    ssize_t name(int fd, type data, size_t size, offset at) { \
        REAL(ssize_t, #name, int, type, size_t, offset); \
        if (on_file(kind, fd)) { if (orders->number || size < 2) FAIL; size /= 2; } \
        return real(fd, data, size, at); \
    }
#define MOVES_PARTS_AT(kind, name, offset) \
    ssize_t name(int fd, const struct iovec *parts, int count, offset at) { \
        REAL(ssize_t, #name, int, const struct iovec *, int, offset); \
        if (on_file(kind, fd)) { \
            if (orders->number || parts[0].iov_len < 2) FAIL; \
            struct iovec half = {parts[0].iov_base, parts[0].iov_len / 2}; \
            return real(fd, &half, 1, at); \
        } \
        return real(fd, parts, count, at); \
    }
MOVES_BYTES(WRITE, write, const void *)
MOVES_BYTES_AT(WRITE, pwrite, const void *, off_t)
MOVES_BYTES_AT(WRITE, pwrite64, const void *, off64_t)
MOVES_PARTS_AT(WRITE, pwritev, off_t)
MOVES_PARTS_AT(WRITE, pwritev64, off64_t)
MOVES_BYTES(READ, read, void *)
MOVES_BYTES_AT(READ, pread, void *, off_t)
MOVES_BYTES_AT(READ, pread64, void *, off64_t)

#define SYNCS(name) \
    int name(int fd) { \
        REAL(int, #name, int); \
        if (on_file(SYNC, fd)) FAIL; \
        return real(fd); \
    }
SYNCS(fsync)
SYNCS(fdatasync)

#define SIZES(name, offset) \
    int name(int fd, offset size) { \
        REAL(int, #name, int, offset); \
        if (on_file(SIZE, fd)) FAIL; \
        return real(fd, size); \
    }
SIZES(ftruncate, off_t)
SIZES(ftruncate64, off64_t)
#define ALLOCATES(name, offset) \
    int name(int fd, offset at, offset size) { \
        REAL(int, #name, int, offset, offset); \
        if (on_file(SIZE, fd)) return orders->number ? orders->number : EIO; \
        return real(fd, at, size); \
    }
ALLOCATES(posix_fallocate, off_t)
ALLOCATES(posix_fallocate64, off64_t)

#define MODE mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }
#define OPENS(name) \
    int name(const char *path, int flags, ...) { \
        REAL(int, #name, const char *, int, ...); \
        MODE \
        if (on_name(OPEN, path) || on_any(DESCRIPTOR)) FAIL; \
        return real(path, flags, mode); \
    }
#define OPENS_AT(name) \
    int name(int at, const char *path, int flags, ...) { \
        REAL(int, #name, int, const char *, int, ...); \
        MODE \
        if (on_name(OPEN, path) || on_any(DESCRIPTOR)) FAIL; \
        return real(at, path, flags, mode); \
    }
OPENS(open)
OPENS(open64)
OPENS_AT(openat)
OPENS_AT(openat64)

int socket(int family, int type, int protocol) {
    REAL(int, "socket", int, int, int);
    if (on_any(DESCRIPTOR)) FAIL;
    return real(family, type, protocol);
}
int accept(int fd, struct sockaddr *name, socklen_t *size) {
    REAL(int, "accept", int, struct sockaddr *, socklen_t *);
    if (on_any(DESCRIPTOR)) FAIL;
    return real(fd, name, size);
}
int accept4(int fd, struct sockaddr *name, socklen_t *size, int flags) {
    REAL(int, "accept4", int, struct sockaddr *, socklen_t *, int);
    if (on_any(DESCRIPTOR)) FAIL;
    return real(fd, name, size, flags);
}
int dup(int fd) {
    REAL(int, "dup", int);
    if (on_any(DESCRIPTOR)) FAIL;
    return real(fd);
}
int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    if (on_name(NAMES, to)) FAIL;
    return real(from, to);
}
int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    if (on_name(NAMES, path)) FAIL;
    return real(path);
}
int mkdir(const char *path, mode_t mode) {
    REAL(int, "mkdir", const char *, mode_t);
    if (on_name(NAMES, path)) FAIL;
    return real(path, mode);
}
