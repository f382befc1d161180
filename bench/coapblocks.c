/*
 * coapblocks - a long body there and back in blocks (RFC 7959), by several clients at once
 *
 * SPDX-License-Identifier: MIT
 *
 * Build:  gcc -O2 -Wall -Wextra -o coapblocks coapblocks.c
 *
 * Each of T clients, on a port of its own, PUTs a body R times; when all are done, each GETs it R
 * times and looks whether it is the same.  One block of 1024 bytes at a time, as the RFC has it,
 * each in a CON that is sent again every second until it is answered.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 1024
#define SZX 6
enum { CON = 0, ACK = 2 };
enum { GET = 1, PUT = 3, CONTINUE = 95 };

struct client {
    int fd, left;               /* bodies still to be moved */
    uint16_t mid;               /* of the block under way, which is also its token */
    uint32_t number;            /* of that block */
    double sent;
};

static int n_clients = 1, times = 1, method, under_way, epfd;
static uint32_t n_blocks;
static size_t size = 1 << 20;
static double limit_s = 60;
static long pid, resent;
static const char *path;
static uint8_t *body;
static struct client *clients;

static void die(const char *what) {
    fprintf(stderr, "coapblocks: %s: %s\n", what, errno ? strerror(errno) : "failed");
    exit(2);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* user and system time of the server, seconds */
static double cpu(void) {
    char name[64], text[1024], *p;
    unsigned long user = 0, sys = 0;
    snprintf(name, sizeof name, "/proc/%ld/stat", pid);
    FILE *f = pid ? fopen(name, "r") : NULL;
    if (!f) return 0;
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    if ((p = strrchr(text, ')')))
        sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys);
    return (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
}

static size_t length_of(uint32_t number) {
    return number + 1 < n_blocks ? BLOCK : size - (size_t)number * BLOCK;
}

static size_t put_option(uint8_t *out, unsigned delta, const void *value, size_t len) {
    size_t at = 1;
    out[0] = (uint8_t)((delta < 13 ? delta : 13) << 4 | len);
    if (delta >= 13) out[at++] = (uint8_t)(delta - 13);
    memcpy(out + at, value, len);
    return at + len;
}

static void send_block(struct client *c) {
    uint8_t out[BLOCK + 128] = {0x42, (uint8_t)method, (uint8_t)(c->mid >> 8), (uint8_t)c->mid,
                                (uint8_t)(c->mid >> 8), (uint8_t)c->mid};
    int more = method == PUT && c->number + 1 < n_blocks;
    uint32_t block = c->number << 4 | (unsigned)more << 3 | SZX;
    uint8_t value[3] = {(uint8_t)(block >> 16), (uint8_t)(block >> 8), (uint8_t)block};
    int skip = block < 256 ? 2 : block < 65536 ? 1 : 0;
    size_t at = 6, len = length_of(c->number);
    at += put_option(out + at, 11, path, strlen(path));
    at += put_option(out + at, method == PUT ? 27 - 11 : 23 - 11, value + skip, (size_t)(3 - skip));
    if (method == PUT) {
        uint32_t all = htonl((uint32_t)size);               /* libcoap wants to know it */
        at += put_option(out + at, 60 - 27, &all, 4);
        out[at++] = 0xff;
        memcpy(out + at, body + (size_t)c->number * BLOCK, len), at += len;
    }
    c->sent = now();
    if (send(c->fd, out, at, 0) < 0 && errno != EAGAIN && errno != ECONNREFUSED) die("send");
}

static void next_block(struct client *c) {
    c->mid++;
    if (++c->number == n_blocks) {
        c->number = 0;
        if (!--c->left) { under_way--; return; }
    }
    send_block(c);
}

/* where the payload begins; 0 without one */
static size_t payload_of(const uint8_t *in, size_t n) {
    for (size_t at = 4u + (in[0] & 15); at < n;) {
        if (in[at] == 0xff) return at + 1;
        unsigned delta = in[at] >> 4, len = in[at] & 15;
        at += 1 + (delta == 13 ? 1 : delta == 14 ? 2 : 0);
        if (len == 13 && at < n) len = 13u + in[at++];
        at += len;
    }
    return 0;
}

static void on_datagram(struct client *c, const uint8_t *in, size_t n) {
    if (n < 4 || in[0] >> 6 != 1) return;
    if ((in[0] >> 4 & 3) == CON) {
        uint8_t ack[4] = {0x60, 0, in[2], in[3]};
        send(c->fd, ack, 4, 0);
    }
    if (!in[1] || n < 6 || (in[0] & 15) != 2 || !c->left) return;
    if ((in[4] << 8 | in[5]) != c->mid) return;             /* of an earlier block */
    int code = in[1], last = c->number + 1 == n_blocks;
    if (method == PUT ? (last ? code >> 5 != 2 : code != CONTINUE) : code != 69) {
        fprintf(stderr, "coapblocks: block %u draws %d.%02d\n", c->number, code >> 5, code & 31);
        exit(2);
    }
    size_t at = payload_of(in, n), len = length_of(c->number);
    if (method == GET && (!at || n - at != len || memcmp(in + at, body + (size_t)c->number * BLOCK, len))) {
        fprintf(stderr, "coapblocks: block %u has another content\n", c->number);
        exit(2);
    }
    next_block(c);
}

/* all clients move the body as often as they have to; returns the seconds */
static double move(int how) {
    double begin = now(), checked = begin;
    method = how, under_way = n_clients;
    for (int i = 0; i < n_clients; i++) clients[i].left = times, send_block(&clients[i]);
    while (under_way) {
        struct epoll_event events[64];
        uint8_t in[2048];
        ssize_t n;
        int ready = epoll_wait(epfd, events, 64, 100);
        for (int i = 0; i < ready; i++) {
            struct client *c = &clients[events[i].data.u32];
            while ((n = recv(c->fd, in, sizeof in, 0)) >= 0) on_datagram(c, in, (size_t)n);
        }
        double t = now();
        if (t - begin > limit_s) { fputs("coapblocks: the time is up\n", stderr); exit(2); }
        if (t - checked < 0.1) continue;
        checked = t;
        for (int i = 0; i < n_clients; i++)
            if (clients[i].left && t - clients[i].sent > 1) resent++, send_block(&clients[i]);
    }
    return now() - begin;
}

static void usage(void) {
    fputs("usage: coapblocks [options] PORT PATH   (of 127.0.0.1; one segment, no slash)\n"
          "  -b N    bytes of the body (1 MiB)  -T N    clients at once (1)\n"
          "  -r N    times each (1)             -P PID  the server: adds its CPU time\n"
          "  -x SEC  limit each way (60)\n"
          "Prints one line of JSON.\n", stderr);
    exit(2);
}

int main(int argc, char **argv) {
    int c;
    while ((c = getopt(argc, argv, "b:T:r:P:x:")) != -1) switch (c) {
        case 'b': size = strtoul(optarg, NULL, 10); break;
        case 'T': n_clients = atoi(optarg); break;
        case 'r': times = atoi(optarg); break;
        case 'P': pid = atol(optarg); break;
        case 'x': limit_s = atof(optarg); break;
        default: usage();
    }
    n_blocks = (uint32_t)((size + BLOCK - 1) / BLOCK);
    /* no message ID twice: none of them is free again so soon (RFC 7252, 4.4) */
    if (argc - optind != 2 || !size || n_clients < 1 || times < 1 || strlen(argv[optind + 1]) > 12 ||
        2ull * n_blocks * (unsigned)times > 65536) usage();
    path = argv[optind + 1];
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[optind]))};
    peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    epfd = epoll_create1(0);
    body = malloc(size), clients = calloc((size_t)n_clients, sizeof *clients);
    if (epfd < 0 || !body || !clients) die("set-up");
    for (size_t i = 0; i < size; i++) body[i] = (uint8_t)(i * 31 >> 5);
    for (int i = 0; i < n_clients; i++) {
        int fd = clients[i].fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        if (fd < 0 || connect(fd, (struct sockaddr *)&peer, sizeof peer)) die("connect");
        if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
    }
    double cpu0 = cpu(), up = move(PUT), cpu1 = cpu(), down = move(GET), cpu2 = cpu();
    printf("{\"bytes\":%zu,\"blocks\":%u,\"up_s\":%.6f,\"down_s\":%.6f,\"up_cpu_s\":%.3f,"
           "\"down_cpu_s\":%.3f,\"resent\":%ld}\n", size * (size_t)(n_clients * times),
           n_blocks * (unsigned)(n_clients * times), up, down, cpu1 - cpu0, cpu2 - cpu1, resent);
    return 0;
}
