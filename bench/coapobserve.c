/*
 * coapobserve - many observers of one resource, and how long a change takes to reach them all
 *
 * SPDX-License-Identifier: MIT
 *
 * Build:  gcc -O2 -Wall -Wextra -o coapobserve coapobserve.c
 *
 * N observers register (CON GET with Observe 0), at most W of them without a response at a
 * time.  Each of S source ports has N / S of them.  Then the resource is changed R times, by a
 * POST or a PUT to the same path from one more port; each time it is measured how long after
 * that request every observer has been sent a notification.  CON notifications are acknowledged
 * at once, also repeated ones.  A request without an answer is sent again every second.
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
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
enum { CON = 0, NON = 1, ACK = 2, RST = 3 };
enum { GET = 1, POST = 2, PUT = 3 };

struct observer {
    int fd;
    uint16_t mid;
    uint8_t registered;
    int change;                 /* the last change it has been told of */
    double asked;
};

static int n = 1000, ports = 1000, window = 64, changes = 3, method = POST;
static double limit_s = 60;
static long pid;
static struct sockaddr_in peer;
static const char *path;
static struct observer *observers;
static int epfd, *fds, n_registered, waiting, n_told, change;
static long repeated, refused, confirmable;
static double *told_at;
static int changed;             /* the response to the change has arrived */

static void die(const char *what) {
    fprintf(stderr, "coapobserve: %s: %s\n", what, errno ? strerror(errno) : "failed");
    exit(2);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* user and system time of the server, seconds; its resident memory in kB */
static double cpu_of(long *rss) {
    char name[64], text[1024], *p;
    unsigned long user = 0, sys = 0;
    snprintf(name, sizeof name, "/proc/%ld/stat", pid);
    FILE *f = pid ? fopen(name, "r") : NULL;
    if (!f) return 0;
    size_t got = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[got] = 0, *rss = 0;
    if ((p = strrchr(text, ')')))
        sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d "
                      "%*d %*u %*u %ld", &user, &sys, rss);
    *rss *= sysconf(_SC_PAGESIZE) / 1024;
    return (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
}

static int new_socket(uint32_t number) {
    int big = 4 << 20, fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (fd < 0) die("socket");
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &big, sizeof big);
    if (connect(fd, (struct sockaddr *)&peer, sizeof peer)) die("connect");
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = number};
    if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
    return fd;
}

/* a request to the path; its token is the number of the observer */
static void ask(int fd, int code, uint16_t mid, uint32_t number) {
    uint8_t out[256] = {0x44, (uint8_t)code, (uint8_t)(mid >> 8), (uint8_t)mid};
    size_t at = 8;
    unsigned last = 0;
    uint32_t token = htonl(number);
    memcpy(out + 4, &token, 4);
    if (code == GET) out[at++] = 0x60, last = 6;            /* Observe: 0, the empty value */
    char *copy = strdup(path);
    for (char *part = strtok(copy, "/"); part; part = strtok(NULL, "/")) {
        size_t len = strlen(part);
        if (len > 12 || at + len + 2 > sizeof out) die("path too long");
        out[at++] = (uint8_t)((11 - last) << 4 | len), last = 11;
        memcpy(out + at, part, len), at += len;
    }
    free(copy);
    if (code == PUT) out[at++] = 0xff, out[at++] = (uint8_t)('0' + change % 10);
    if (send(fd, out, at, 0) < 0 && errno != EAGAIN && errno != ECONNREFUSED) die("send");
}

static void ask_observer(uint32_t number) {
    struct observer *o = &observers[number];
    o->asked = now();
    ask(o->fd, GET, o->mid, number);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void on_datagram(int fd, const uint8_t *in, size_t size, double t) {
    if (size < 4 || in[0] >> 6 != 1) return;
    int type = in[0] >> 4 & 3, code = in[1];
    if (type == CON && code) {
        uint8_t ack[4] = {0x60, 0, in[2], in[3]};
        send(fd, ack, 4, 0);
        confirmable++;
    }
    if (code == 0 || size < 8 || (in[0] & 15) != 4) return;
    uint32_t number;
    memcpy(&number, in + 4, 4);
    number = ntohl(number);
    if (number == (uint32_t)n) { changed = code >> 5 == 2; return; }
    if (number > (uint32_t)n) return;
    struct observer *o = &observers[number];
    if (!o->registered) {
        /* the first option has to be Observe, or it did not become an observer */
        if (code >> 5 != 2 || size < 9 || in[8] >> 4 != 6) { refused++; o->registered = 2; }
        else o->registered = 1;
        n_registered++, waiting--;
    } else if (o->change < change) {
        o->change = change;
        told_at[n_told++] = t;
    } else {
        repeated++;
    }
}

static void receive(int timeout) {
    static uint8_t buf[BATCH][2048];
    struct epoll_event events[256];
    int ready = epoll_wait(epfd, events, 256, timeout);
    for (int i = 0; i < ready; i++) {
        int fd = fds[events[i].data.u32];
        for (;;) {
            struct mmsghdr in[BATCH];
            struct iovec iov[BATCH];
            memset(in, 0, sizeof in);
            for (int k = 0; k < BATCH; k++) {
                iov[k] = (struct iovec){buf[k], sizeof buf[k]};
                in[k].msg_hdr.msg_iov = &iov[k], in[k].msg_hdr.msg_iovlen = 1;
            }
            int got = recvmmsg(fd, in, n > ports ? BATCH : 2, MSG_DONTWAIT, NULL);
            double t = now();
            for (int k = 0; k < got; k++) on_datagram(fd, buf[k], in[k].msg_len, t);
            if (got < (n > ports ? BATCH : 2)) break;
        }
    }
}

static double register_all(double begin) {
    for (int next = 0, again = 0; n_registered < n;) {
        while (next < n && waiting < window) waiting++, ask_observer((uint32_t)next++);
        receive(20);
        if (now() - begin > limit_s) break;
        for (; again < next && observers[again].registered; again++) {}
        for (int i = again; i < next; i++)
            if (!observers[i].registered && now() - observers[i].asked > 1) ask_observer((uint32_t)i);
    }
    return now() - begin;
}

static void change_once(int fd) {
    long rss = 0, before = confirmable, repeated_before = repeated;
    change++, n_told = 0, changed = 0;
    double cpu = cpu_of(&rss), begin = now(), asked = begin;
    ask(fd, method, (uint16_t)change, (uint32_t)n);
    while ((n_told < n || !changed) && now() - begin < limit_s) {
        receive(20);
        if (!changed && now() - asked > 1) asked = now(), ask(fd, method, (uint16_t)change, (uint32_t)n);
    }
    double last = n_told ? told_at[n_told - 1] - begin : 0, settle = now() + 0.2;
    while (now() < settle) receive(20);                     /* copies, and the server's own end */
    cpu = cpu_of(&rss) - cpu;
    qsort(told_at, (size_t)n_told, sizeof *told_at, by_value);
    printf("%s{\"told\":%d,\"first_s\":%.6f,\"p50_s\":%.6f,\"last_s\":%.6f,\"cpu_s\":%.3f,"
           "\"confirmable\":%ld,\"repeated\":%ld}", change > 1 ? "," : "", n_told,
           n_told ? told_at[0] - begin : 0, n_told ? told_at[n_told / 2] - begin : 0, last, cpu,
           confirmable - before, repeated - repeated_before);
}

static void usage(void) {
    fputs("usage: coapobserve [options] PORT /path   (always of 127.0.0.1)\n"
          "  -n N    observers (1000)            -s N    source ports (as many)\n"
          "  -W N    registrations at a time (64) -c N    changes (3)\n"
          "  -p      change by PUT, not by POST  -P PID  the server: adds its CPU time and RSS\n"
          "  -x SEC  limit of the registration, and of each change (60)\n"
          "Prints one line of JSON.\n", stderr);
    exit(2);
}

int main(int argc, char **argv) {
    int c, given = 0;
    while ((c = getopt(argc, argv, "n:s:W:c:pP:x:")) != -1) switch (c) {
        case 'n': n = atoi(optarg); break;
        case 's': ports = atoi(optarg), given = 1; break;
        case 'W': window = atoi(optarg); break;
        case 'c': changes = atoi(optarg); break;
        case 'p': method = PUT; break;
        case 'P': pid = atol(optarg); break;
        case 'x': limit_s = atof(optarg); break;
        default: usage();
    }
    if (argc - optind != 2 || n < 1 || n > 1000000) usage();
    if (!given || ports > n) ports = n;
    peer.sin_family = AF_INET, peer.sin_port = htons((uint16_t)atoi(argv[optind]));
    peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    path = argv[optind + 1];
    struct rlimit files;
    if (!getrlimit(RLIMIT_NOFILE, &files)) files.rlim_cur = files.rlim_max, setrlimit(RLIMIT_NOFILE, &files);
    if ((epfd = epoll_create1(0)) < 0) die("epoll_create1");
    observers = calloc((size_t)n, sizeof *observers);
    fds = calloc((size_t)ports + 1, sizeof *fds);
    told_at = calloc((size_t)n, sizeof *told_at);
    if (!observers || !fds || !told_at) die("memory");
    for (int i = 0; i <= ports; i++) fds[i] = new_socket((uint32_t)i);
    for (int i = 0; i < n; i++) observers[i].fd = fds[i % ports], observers[i].mid = (uint16_t)(i / ports);
    long rss_before = 0, rss = 0;
    cpu_of(&rss_before);
    double took = register_all(now());
    double cpu = cpu_of(&rss);
    (void)cpu;
    printf("{\"observers\":%d,\"ports\":%d,\"registered\":%d,\"refused\":%ld,\"register_s\":%.4f,"
           "\"rss_bytes_each\":%.0f,\"changes\":[", n, ports, n_registered, refused, took,
           (double)(rss - rss_before) * 1024 / n);
    for (int i = 0; i < changes; i++) change_once(fds[ports]);
    printf("]}\n");
    return n_registered < n || refused;
}
