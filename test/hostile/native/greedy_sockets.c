#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "greedy.h"
#include "measure.h"
#include "options.h"

struct connection {
  int fd;
  bool opened;   /* once, at least */
  size_t said;   /* of hello */
  size_t at;     /* in repeat */
  uint64_t lines; /* read */
  uint64_t due_ns;
};

static struct {
  uint64_t opened, refused, closed, bytes_sent, bytes_read;
} counts;

static int open_socket(const struct socket_attack *attack) {
  struct sockaddr_un local = {.sun_family = AF_UNIX};
  struct sockaddr_in remote = {.sin_family = AF_INET, .sin_port = htons((uint16_t)attack->port)};
  remote.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (attack->path) {
    if (strlen(attack->path) >= sizeof local.sun_path) fail("--path: too long");
    strcpy(local.sun_path, attack->path);
  }
  int fd = socket(attack->path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) fail("socket: %s", strerror(errno));
  /* Who does not read does not offer the service the kernel's memory instead of its own either. */
  const int least = 4096;
  if (!attack->reads && setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof least)) fail("receive buffer: %s", strerror(errno));
  int result = attack->path ? connect(fd, (struct sockaddr *)&local, sizeof local)
                            : connect(fd, (struct sockaddr *)&remote, sizeof remote);
  if (result && errno != EINPROGRESS) {
    /* EAGAIN: as many wait already as may. */
    close(fd);
    counts.refused++;
    return -1;
  }
  counts.opened++;
  return fd;
}

/* Closed in the way of a client that is gone: what is unread is not waited for. */
static void close_connection(struct connection *connection) {
  close(connection->fd);
  *connection = (struct connection){.fd = -1, .opened = true};
}

static bool lost(ssize_t result) {
  return result == 0 || (result < 0 && errno != EAGAIN && errno != EINTR && errno != ENOTCONN);
}

/* false when the connection is over. */
static bool say(const struct socket_attack *attack, struct connection *connection) {
  while (connection->said < attack->hello.count) {
    size_t left = attack->hello.count - connection->said;
    if (attack->dribble_us) {
      if (now_ns() < connection->due_ns) return true;
      connection->due_ns = now_ns() + attack->dribble_us * 1000;
      left = 1;
    }
    ssize_t sent = send(connection->fd, attack->hello.at + connection->said, left, MSG_NOSIGNAL);
    if (sent < 0) return !lost(sent);
    connection->said += (size_t)sent;
    counts.bytes_sent += (uint64_t)sent;
    if (attack->dribble_us) return true;
  }
  /* As much as a socket takes, but no more than 64 KiB before the next connection has its turn; less where answers are read. */
  for (size_t budget = attack->reads ? 1024 : 65536; attack->repeat.count && budget;) {
    size_t left = attack->repeat.count - connection->at < budget ? attack->repeat.count - connection->at : budget;
    ssize_t sent = send(connection->fd, attack->repeat.at + connection->at, left, MSG_NOSIGNAL);
    if (sent < 0) return !lost(sent);
    counts.bytes_sent += (uint64_t)sent;
    connection->at = (connection->at + (size_t)sent) % attack->repeat.count;
    budget = (size_t)sent < budget ? budget - (size_t)sent : 0;
  }
  return true;
}

static bool listen_to(const struct socket_attack *attack, struct connection *connection) {
  char buffer[65536];
  ssize_t got = recv(connection->fd, buffer, attack->reads ? sizeof buffer : 1, attack->reads ? 0 : MSG_PEEK);
  if (got > 0 && attack->reads) {
    counts.bytes_read += (uint64_t)got;
    for (ssize_t i = 0; i < got; i++) connection->lines += buffer[i] == '\n';
  }
  return got > 0 || !lost(got);
}

/* A peer that closes is noticed also by who does not read: only then is all that was sent to it read to its end. */
static bool is_closed(int fd) {
  char byte;
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error) return true;
  return recv(fd, &byte, 1, MSG_PEEK) == 0;
}

/* Takes note of what the peer closes, until it has closed nothing for a while: what it has yet to see of us may be on its way. */
static uint64_t settle(struct connection *connections, uint64_t count, const struct socket_attack *attack) {
  const uint64_t quiet_ns = 300000000, limit_ns = 5000000000;
  uint64_t started = now_ns(), last_close = started, open;
  do {
    open = 0;
    for (uint64_t i = 0; i < count; i++) {
      if (connections[i].fd < 0) continue;
      if (listen_to(attack, &connections[i]) && !is_closed(connections[i].fd)) {
        open++;
        continue;
      }
      counts.closed++;
      close_connection(&connections[i]);
      last_close = now_ns();
    }
    usleep(1000);
  } while (open && now_ns() - last_close < quiet_ns && now_ns() - started < limit_ns);
  return open;
}

void attack_sockets(const struct socket_attack *attack) {
  if (!attack->path && !attack->port) fail("--path=PATH or --port=PORT is needed");
  struct connection *connections = calloc(attack->count, sizeof *connections);
  if (!connections) fail("no memory");
  for (uint64_t i = 0; i < attack->count; i++) connections[i].fd = -1;
  bool is_ready = false;
  while (!ended) {
    uint64_t not_yet = 0;
    for (uint64_t i = 0; i < attack->count && !ended; i++) {
      struct connection *connection = &connections[i];
      if (connection->fd < 0) {
        if (connection->opened && !attack->storms && !attack->returns) continue;
        connection->fd = open_socket(attack);
        if (connection->fd < 0) {
          if (!connection->opened) not_yet++;
          continue;
        }
        connection->opened = true;
      }
      bool lives = say(attack, connection) && listen_to(attack, connection) && !is_closed(connection->fd);
      if (!lives) counts.closed++;
      if (attack->answered && connection->lines < 2) not_yet++;
      if (!lives || (attack->storms && connection->said == attack->hello.count)) close_connection(connection);
    }
    /* As many as were asked for have been open, and have their answers; a full backlog is tried again. */
    if (!is_ready && !not_yet) say_ready();
    is_ready = is_ready || !not_yet;
    if (attack->pause_us) usleep((useconds_t)attack->pause_us);
  }
  uint64_t open = settle(connections, attack->count, attack);
  for (uint64_t i = 0; i < attack->count; i++)
    if (connections[i].fd >= 0) close(connections[i].fd);
  printf("{\"opened\":%llu,\"refused\":%llu,\"closed\":%llu,\"open\":%llu,\"bytesSent\":%llu,\"bytesRead\":%llu}\n",
         (unsigned long long)counts.opened, (unsigned long long)counts.refused, (unsigned long long)counts.closed,
         (unsigned long long)open, (unsigned long long)counts.bytes_sent, (unsigned long long)counts.bytes_read);
  free(connections);
}
