// A library that a test puts in front of libc: reads, writes and syncs of some files fail or take long, as the lines of
// a file say that the test writes and changes while the process runs. One rule a line:
//
//   fail|slow  read|write|sync  NAME  FROM  TO  ERRNO|MICROSECONDS
//
// NAME is the beginning of a file's name, or *; the bytes FROM to TO are hit, also in part (a sync has none).
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int rules(char *text, size_t max) {
  const char *path = getenv("TROUBLE_RULES");
  if (path == NULL) return 0;
  // Past libc, so that this is no call of those below.
  int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  long got = syscall(SYS_read, fd, text, max - 1);
  syscall(SYS_close, fd);
  text[got > 0 ? got : 0] = 0;
  return got > 0;
}

static const char *name_of(int fd, char *path, size_t max) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  long got = syscall(SYS_readlinkat, AT_FDCWD, link, path, max - 1);
  if (got <= 0) return "";
  path[got] = 0;
  const char *slash = strrchr(path, '/');
  return slash == NULL ? path : slash + 1;
}

// Waits as long as the rules say; with what error the call has to fail, or 0.
static int trouble(const char *call, int fd, long long from, long long to) {
  char text[4096], path[4096];
  if (!rules(text, sizeof text)) return 0;
  const char *name = name_of(fd, path, sizeof path);
  char *rest = NULL;
  for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
    char what[16], which[16], prefix[256];
    long long low, high;
    long us;
    if (sscanf(line, "%15s %15s %255s %lld %lld %ld", what, which, prefix, &low, &high, &us) != 6) continue;
    if (strcmp(which, call) != 0) continue;
    if (strcmp(prefix, "*") != 0 && strncmp(name, prefix, strlen(prefix)) != 0) continue;
    if (strcmp(call, "sync") != 0 && (to <= low || from >= high)) continue;
    if (strcmp(what, "fail") == 0) return (int)us;
    struct timespec pause = {us / 1000000, (us % 1000000) * 1000};
    nanosleep(&pause, NULL);
  }
  return 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAILS(call, fd, from, length)                                                          \
  {                                                                                            \
    int error = trouble(call, fd, (long long)(from), (long long)(from) + (long long)(length)); \
    if (error != 0) {                                                                          \
      errno = error;                                                                           \
      return -1;                                                                               \
    }                                                                                          \
  }

ssize_t pread(int fd, void *bytes, size_t length, off_t from) {
  FAILS("read", fd, from, length)
  return REAL(pread)(fd, bytes, length, from);
}
ssize_t pread64(int fd, void *bytes, size_t length, off64_t from) {
  FAILS("read", fd, from, length)
  return REAL(pread64)(fd, bytes, length, from);
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t from) {
  FAILS("write", fd, from, length)
  return REAL(pwrite)(fd, bytes, length, from);
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t from) {
  FAILS("write", fd, from, length)
  return REAL(pwrite64)(fd, bytes, length, from);
}
static size_t length_of(const struct iovec *parts, int count) {
  size_t length = 0;
  for (int i = 0; i < count; i++) length += parts[i].iov_len;
  return length;
}
ssize_t preadv(int fd, const struct iovec *parts, int count, off_t from) {
  FAILS("read", fd, from, length_of(parts, count))
  return REAL(preadv)(fd, parts, count, from);
}
ssize_t preadv64(int fd, const struct iovec *parts, int count, off64_t from) {
  FAILS("read", fd, from, length_of(parts, count))
  return REAL(preadv64)(fd, parts, count, from);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t from) {
  FAILS("write", fd, from, length_of(parts, count))
  return REAL(pwritev)(fd, parts, count, from);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t from) {
  FAILS("write", fd, from, length_of(parts, count))
  return REAL(pwritev64)(fd, parts, count, from);
}
int fsync(int fd) {
  FAILS("sync", fd, 0, 0)
  return REAL(fsync)(fd);
}
int fdatasync(int fd) {
  FAILS("sync", fd, 0, 0)
  return REAL(fdatasync)(fd);
}
