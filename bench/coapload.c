/*
 * coapload - a bounded CoAP-over-UDP load generator for benchmarks
 *
 * SPDX-License-Identifier: MIT
 *
 * Build:  gcc -O2 -Wall -Wextra -o coapload coapload.c
 *
 * One thread, epoll + sendmmsg/recvmmsg.  Every request has a token of its own
 * (slot number and generation) and a Message ID of its own: inside one run no
 * source endpoint ever uses a Message ID twice (RFC 7252, 4.4: a MID must not
 * be used again within EXCHANGE_LIFETIME, 247 s, and a server may take it for
 * a duplicate).  An endpoint that has spent its 65536 MIDs is replaced with a
 * freshly bound one; the old one stays open for late answers.
 *
 * The retransmission is deliberately simple: every -r seconds, the same bytes,
 * at most -R times, then the request is counted as lost.  There is no NSTART:
 * the concurrency is what -W says.  This is a load generator, not a CoAP
 * client, and it must only be pointed at machines of your own.
 *
 * When the time of a run (-d) is up, no request is started any more and nothing
 * more is counted as answered, but the answers under way are waited for, for at
 * most -g seconds: a request without an answer after that is "unfinished".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64            /* datagrams per sendmmsg/recvmmsg */
#define RXSIZE 2048         /* largest datagram that is looked at */
#define MAXSOCK 4096
#define MAXPID 16
#define HDR 12              /* 4 bytes header + 8 bytes token */

enum mode { CLOSED, PENDING, DUP };
enum { CON = 0, NON = 1, ACK = 2, RST = 3 };
enum state { FREE, WAIT, ACKED, LINGER, DONE };

struct endpoint {           /* one UDP source port */
    int fd, out_n;
    uint16_t base;          /* first MID */
    uint32_t used;          /* MIDs spent so far */
    uint32_t *slot_of;      /* (MID - base) -> slot + 1 */
    struct mmsghdr out[BATCH];
    struct iovec iov[BATCH][2];
    uint8_t hdr[BATCH][HDR];
};

struct slot {               /* one request in flight */
    uint64_t t_first, t_ack, hash;
    uint32_t gen;
    uint16_t mid, ep;
    uint8_t state, retx, nresp, nack, differs;
};

struct timer { uint64_t due; uint32_t slot, gen; };
struct series { float *v; size_t n, cap; };
struct usage { uint64_t cpu_us; long rss_kb; };

/* --- configuration ------------------------------------------------------ */
static enum mode mode = CLOSED;
static int con = 1, window = 64, n_active = 8, max_retx = 4, busy = 0, reuse_mid = 0;
static uint64_t total = 0;
static double duration = 0, warmup = 0, rtx_s = 2.0, limit_s = 60, delay_s = -1,
              gap_ms = 0, linger_ms = 300, grace_s = 3, rate = 0;
static pid_t pids[MAXPID];
static int n_pids;
static const char *label = "";
static char *target;
static struct sockaddr_storage peer;
static socklen_t peer_len;
static uint8_t opts[1024];
static size_t opts_len;

/* --- state -------------------------------------------------------------- */
static struct endpoint *eps[MAXSOCK];
static int n_eps, epfd;
static int active[MAXSOCK];
static struct slot *slots;
static uint32_t n_slots, *free_slots, n_free;
static struct timer *tq;    /* ring buffers, each in order of due time: */
static size_t tq_head, tq_n, tq_cap;   /* tq retransmission, gq second copy, lq linger */
static struct timer *gq, *lq;
static size_t gq_head, gq_n, gq_cap, lq_head, lq_n, lq_cap;
static uint64_t issued, rr, in_window;
static struct counters {
    uint64_t sent, completed, lost, retransmits, empty_acks, piggybacked, separate_con,
        separate_non, duplicates, dup_differs, rst, unexpected, malformed, mid_mismatch, drops,
        sends, recvs;
    uint64_t cls[8];
    uint64_t dup_resp[4], dup_acks[4], dup_identical, dup_differing;
} st;
static struct series lat, late_ack, late_tx;
static float *reg_at;       /* pending mode: time of the k-th registration */
static uint64_t n_reg;

static void die(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    fputs("coapload: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(2);
}

static void *xalloc(size_t n, size_t size) {
    void *p = calloc(n ? n : 1, size);
    if (!p) die("out of memory");
    return p;
}

static uint64_t now_ns(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void add(struct series *s, double v) {
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 1 << 16;
        if (!(s->v = realloc(s->v, s->cap * sizeof *s->v))) die("out of memory");
    }
    s->v[s->n++] = (float)v;
}

static void ring_push(struct timer **q, size_t *head, size_t *n, size_t *cap, struct timer t) {
    if (*n == *cap) {
        size_t nc = *cap ? *cap * 2 : 4096;
        struct timer *nq = xalloc(nc, sizeof *nq);
        for (size_t i = 0; i < *n; i++) nq[i] = (*q)[(*head + i) % *cap];
        free(*q);
        *q = nq, *head = 0, *cap = nc;
    }
    (*q)[(*head + (*n)++) % *cap] = t;
}

static uint64_t fnv(const uint8_t *p, size_t n) {
    uint64_t h = 1469598103934665603u;
    while (n--) h = (h ^ *p++) * 1099511628211u;
    return h ? h : 1;
}

/* CPU time (user + system) and resident memory of the servers under test */
static struct usage usage_of(void) {
    struct usage u = {0, 0};
    long tick = sysconf(_SC_CLK_TCK), page = sysconf(_SC_PAGESIZE) / 1024;
    for (int i = 0; i < n_pids; i++) {
        char path[64], buf[1024], *p;
        snprintf(path, sizeof path, "/proc/%d/stat", (int)pids[i]);
        FILE *f = fopen(path, "r");
        if (!f) continue;
        size_t n = fread(buf, 1, sizeof buf - 1, f);
        fclose(f);
        buf[n] = 0;
        unsigned long ut = 0, stime = 0;
        long rss = 0;
        if ((p = strrchr(buf, ')')))
            sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d "
                          "%*d %*d %*u %*u %ld", &ut, &stime, &rss);
        u.cpu_us += (uint64_t)(ut + stime) * 1000000u / (uint64_t)tick;
        u.rss_kb += rss * page;
    }
    return u;
}

/* --- endpoints and sending ---------------------------------------------- */
static int new_endpoint(void) {
    if (n_eps == MAXSOCK) die("too many source sockets");
    struct endpoint *e = xalloc(1, sizeof *e);
    int big = 4 << 20;
    e->fd = socket(peer.ss_family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (e->fd < 0) die("socket: %s", strerror(errno));
    setsockopt(e->fd, SOL_SOCKET, SO_RCVBUF, &big, sizeof big);
    if (connect(e->fd, (struct sockaddr *)&peer, peer_len)) die("connect: %s", strerror(errno));
    e->base = (uint16_t)random();
    e->slot_of = xalloc(65536, sizeof *e->slot_of);
    struct epoll_event ev = {.events = EPOLLIN, .data.u32 = (uint32_t)n_eps};
    if (epoll_ctl(epfd, EPOLL_CTL_ADD, e->fd, &ev)) die("epoll_ctl: %s", strerror(errno));
    eps[n_eps] = e;
    return n_eps++;
}

static void flush(struct endpoint *e) {
    int done = 0;
    while (done < e->out_n) {
        int n = sendmmsg(e->fd, e->out + done, (unsigned)(e->out_n - done), 0);
        st.sends++;
        if (n <= 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN) { usleep(50); continue; }
            st.drops++, n = 1;          /* e.g. ECONNREFUSED: counts as a lost datagram */
        }
        done += n;
    }
    e->out_n = 0;
}

static void flush_all(void) {
    for (int i = 0; i < n_eps; i++)
        if (eps[i]->out_n) flush(eps[i]);
}

/* queue one datagram; tok_slot < 0: an empty message (ACK or RST) */
static void put(struct endpoint *e, int type, int code, uint16_t mid, int64_t tok_slot, uint32_t gen) {
    if (e->out_n == BATCH) flush(e);
    int i = e->out_n++;
    uint8_t *h = e->hdr[i];
    h[0] = (uint8_t)(0x40 | type << 4 | (tok_slot >= 0 ? 8 : 0));
    h[1] = (uint8_t)code, h[2] = (uint8_t)(mid >> 8), h[3] = (uint8_t)mid;
    if (tok_slot >= 0) {
        uint32_t s = htonl((uint32_t)tok_slot), g = htonl(gen);
        memcpy(h + 4, &s, 4), memcpy(h + 8, &g, 4);
    }
    e->iov[i][0] = (struct iovec){h, tok_slot >= 0 ? HDR : 4};
    e->iov[i][1] = (struct iovec){opts, opts_len};
    memset(&e->out[i].msg_hdr, 0, sizeof e->out[i].msg_hdr);
    e->out[i].msg_hdr.msg_iov = e->iov[i];
    e->out[i].msg_hdr.msg_iovlen = tok_slot >= 0 ? 2 : 1;
}

static void put_request(uint32_t si) {
    struct slot *s = &slots[si];
    put(eps[s->ep], con ? CON : NON, 1, s->mid, si, s->gen);
    st.sent++;
}

static void start_request(uint64_t t) {
    uint32_t si = free_slots[--n_free];
    struct slot *s = &slots[si];
    int *a = &active[rr++ % (uint64_t)n_active];
    if (eps[*a]->used >= 65536 && !reuse_mid) *a = new_endpoint();
    struct endpoint *e = eps[*a];
    uint32_t gen = s->gen + 1;
    *s = (struct slot){.t_first = t, .gen = gen, .ep = (uint16_t)*a, .state = WAIT};
    s->mid = (uint16_t)(e->base + e->used);
    e->slot_of[e->used & 0xffff] = si + 1;
    e->used++, issued++, in_window++;
    put_request(si);
    if (mode == DUP) {
        if (gap_ms > 0)
            ring_push(&gq, &gq_head, &gq_n, &gq_cap,
                      (struct timer){t + (uint64_t)(gap_ms * 1e6), si, gen});
        else
            put_request(si);
    }
    ring_push(&tq, &tq_head, &tq_n, &tq_cap, (struct timer){t + (uint64_t)(rtx_s * 1e9), si, gen});
}

/* --- receiving ----------------------------------------------------------- */
static void leave_window(struct slot *s) { if (s->state == WAIT) in_window--; }

static void registered(uint64_t t, uint64_t t0) {
    if (mode == PENDING && n_reg < total) reg_at[n_reg++] = (float)((double)(t - t0) / 1e9);
}

static void release(struct slot *s) {
    s->state = DONE;
    if (mode == DUP) {
        st.dup_resp[s->nresp > 3 ? 3 : s->nresp]++;
        st.dup_acks[s->nack > 3 ? 3 : s->nack]++;
        if (s->nresp > 1) s->differs ? st.dup_differing++ : st.dup_identical++;
    }
    if (mode != PENDING) free_slots[n_free++] = (uint32_t)(s - slots);
}

static void on_datagram(int ei, const uint8_t *p, size_t n, uint64_t t, uint64_t t0) {
    struct endpoint *e = eps[ei];
    if (n < 4 || p[0] >> 6 != 1 || (p[0] & 15) > 8 || n < 4u + (p[0] & 15)) { st.malformed++; return; }
    int type = p[0] >> 4 & 3, code = p[1], tkl = p[0] & 15;
    uint16_t mid = (uint16_t)(p[2] << 8 | p[3]);
    if (code == 0) {                                   /* empty ACK, RST or ping */
        uint32_t si = e->slot_of[(uint16_t)(mid - e->base)];
        struct slot *s = si ? &slots[si - 1] : NULL;
        if (s && (s->mid != mid || s->ep != ei)) s = NULL;
        if (type == ACK) {
            st.empty_acks++;
            if (!s || s->state == DONE) { if (!s) st.unexpected++; return; }
            s->nack++;
            if (s->state == WAIT) {
                leave_window(s), s->state = ACKED, s->t_ack = t;
                registered(t, t0);
            }
        } else if (type == RST) {
            st.rst++;
            if (s && s->state != DONE) { leave_window(s); if (s->state == WAIT) registered(t, t0); release(s); }
        } else if (type == CON) {
            put(e, RST, 0, mid, -1, 0);
        }
        return;
    }
    if (code >> 5 < 2 || tkl != 8) { st.unexpected++; return; }
    if (type == CON) put(e, ACK, 0, mid, -1, 0);       /* also for repeated ones */
    uint32_t si, gen;
    memcpy(&si, p + 4, 4), memcpy(&gen, p + 8, 4);
    si = ntohl(si), gen = ntohl(gen);
    if (si >= n_slots || gen > slots[si].gen || gen == 0) { st.unexpected++; return; }
    struct slot *s = &slots[si];
    if (s->gen != gen || s->state == DONE || s->state == FREE) { st.duplicates++; return; }
    if (type == ACK && s->mid != mid) { st.mid_mismatch++; return; }
    uint64_t h = fnv(p, n);
    if (s->nresp++) {
        st.duplicates++;
        if (h != s->hash) s->differs = 1, st.dup_differs++;
        if (mode == DUP && s->nresp == 2) release(s);
        return;
    }
    s->hash = h;
    if (s->state == WAIT) registered(t, t0);
    leave_window(s);
    if (type == ACK) st.piggybacked++; else if (type == CON) st.separate_con++; else st.separate_non++;
    st.cls[code >> 5]++, st.completed++;
    add(&lat, (double)(t - s->t_first) / 1e3);
    if (mode == PENDING) {
        if (s->t_ack) add(&late_ack, (double)(t - s->t_ack) / 1e3 - delay_s * 1e6);
        add(&late_tx, (double)(t - s->t_first) / 1e3 - delay_s * 1e6);
    }
    if (mode == DUP) {
        s->state = LINGER;
        ring_push(&lq, &lq_head, &lq_n, &lq_cap,
                  (struct timer){t + (uint64_t)(linger_ms * 1e6), si, gen});
    } else {
        release(s);
    }
}

static void receive(int ei, uint64_t t0) {
    static uint8_t buf[BATCH][RXSIZE];
    static struct iovec iov[BATCH];
    static struct mmsghdr in[BATCH];
    for (;;) {
        for (int i = 0; i < BATCH; i++) {
            iov[i] = (struct iovec){buf[i], RXSIZE};
            memset(&in[i].msg_hdr, 0, sizeof in[i].msg_hdr);
            in[i].msg_hdr.msg_iov = &iov[i], in[i].msg_hdr.msg_iovlen = 1;
        }
        int n = recvmmsg(eps[ei]->fd, in, BATCH, MSG_DONTWAIT, NULL);
        st.recvs++;
        if (n <= 0) { if (n < 0 && errno == ECONNREFUSED) st.drops++; return; }
        uint64_t t = now_ns();
        for (int i = 0; i < n; i++) on_datagram(ei, buf[i], in[i].msg_len, t, t0);
        if (n < BATCH) return;
    }
}

/* --- timers -------------------------------------------------------------- */
static void run_timers(uint64_t t) {
    while (gq_n && gq[gq_head].due <= t) {             /* second copy in dup mode */
        struct timer x = gq[gq_head];
        gq_head = (gq_head + 1) % gq_cap, gq_n--;
        if (slots[x.slot].gen == x.gen) put_request(x.slot);
    }
    while (lq_n && lq[lq_head].due <= t) {             /* waited for a second answer */
        struct timer x = lq[lq_head];
        lq_head = (lq_head + 1) % lq_cap, lq_n--;
        if (slots[x.slot].gen == x.gen && slots[x.slot].state == LINGER) release(&slots[x.slot]);
    }
    while (tq_n) {                                     /* retransmissions */
        struct timer x = tq[tq_head];
        struct slot *s = &slots[x.slot];
        int live = s->gen == x.gen && s->state == WAIT;
        if (live && x.due > t) break;
        tq_head = (tq_head + 1) % tq_cap, tq_n--;
        if (!live) continue;
        if (s->retx >= max_retx) { st.lost++; leave_window(s); release(s); continue; }
        s->retx++;
        if (con) { put_request(x.slot); st.retransmits++; }
        x.due = t + (uint64_t)(rtx_s * 1e9);
        ring_push(&tq, &tq_head, &tq_n, &tq_cap, x);
    }
}

/* --- the end of a run ---------------------------------------------------- */
static void poll_answers(int timeout, uint64_t t0) {
    struct epoll_event ev[64];
    int n = epoll_wait(epfd, ev, 64, timeout);
    for (int i = 0; i < n; i++) receive((int)ev[i].data.u32, t0);
}

/* Without this every run would end with a window of requests whose fate is not
 * known, and a loss in a run shorter than all retransmissions would not show. */
static void drain(uint64_t t0) {
    struct counters counted = st;
    size_t n_lat = lat.n;
    uint64_t t_stop = now_ns() + (uint64_t)(grace_s * 1e9), t;
    while (n_free < n_slots && (t = now_ns()) < t_stop) {
        run_timers(t);
        flush_all();
        poll_answers(20, t0);
    }
    counted.lost = st.lost, counted.retransmits = st.retransmits;
    st = counted, lat.n = n_lat;
}

/* --- output -------------------------------------------------------------- */
static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

static void print_series(const char *name, struct series *s, double unit) {
    double sum = 0;
    qsort(s->v, s->n, sizeof *s->v, by_value);
    for (size_t i = 0; i < s->n; i++) sum += s->v[i];
#define Q(q) (s->n ? s->v[(size_t)((double)(s->n - 1) * (q))] / unit : 0.0)
    printf(",\"%s\":{\"n\":%zu,\"min\":%.4g,\"p50\":%.4g,\"p90\":%.4g,\"p99\":%.4g,\"max\":%.4g,\"mean\":%.4g}",
           name, s->n, Q(0), Q(.5), Q(.9), Q(.99), Q(1), s->n ? sum / (double)s->n / unit : 0.0);
#undef Q
}

static void usage(void) {
    fputs(
"usage: coapload [options] HOST:PORT /path[?query]\n"
"  -m MODE   closed (default): W requests outstanding, each answered one replaced\n"
"            pending: N requests to a slow resource; -W bounds the ones without\n"
"                     an ACK; ends when all N separate responses have arrived\n"
"            dup:     every request is sent twice with the same Message ID\n"
"  -n N      number of requests (all modes)          -d SEC  or: duration (closed)\n"
"  -W N      window (default 64)                     -s N    source sockets (8)\n"
"  -t TYPE   con (default) or non                    -w SEC  warm-up, not counted\n"
"  -q RATE   at most RATE new requests a second (default: as fast as -W allows)\n"
"  -r SEC    retransmission interval (2)             -R N    retransmissions (4)\n"
"  -x SEC    hard limit of the whole run (60)        -D SEC  delay of the resource\n"
"            (pending; default: the number in the query)\n"
"  -g SEC    after -d: wait at most SEC for answers under way (3)\n"
"  -G MS     dup: send the second copy MS later (0)  -L MS   dup: wait for it (300)\n"
"  -P PIDS   servers' process ids, comma separated: adds their CPU time and RSS\n"
"  -B        busy polling instead of sleeping in epoll_wait\n"
"  -M        allow a Message ID to be used again (not RFC 7252 conformant)\n"
"  -l TEXT   label, copied to the output\n"
"Prints one line of JSON.  Exit status: 0 if every request was answered, else 1.\n", stderr);
    exit(2);
}

/* --- set-up -------------------------------------------------------------- */
static void add_option(unsigned *last, unsigned number, const char *v, size_t len) {
    unsigned delta = number - *last;
    if (delta > 12 || len > 268 || opts_len + len + 2 > sizeof opts) die("path or query too long");
    opts[opts_len++] = (uint8_t)(delta << 4 | (len < 13 ? len : 13));
    if (len >= 13) opts[opts_len++] = (uint8_t)(len - 13);
    memcpy(opts + opts_len, v, len);
    opts_len += len, *last = number;
}

static void set_target(char *hostport, char *path) {
    char *colon = strrchr(hostport, ':'), *q = strchr(path, '?'), *w;
    if (!colon || path[0] != '/') usage();
    *colon = 0;
    size_t n = strlen(hostport);
    char *host = strdup(hostport);
    if (n > 2 && host[0] == '[' && host[n - 1] == ']') host[n - 1] = 0, host++;   /* IPv6 */
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *ai;
    int rc = getaddrinfo(host, colon + 1, &hints, &ai);
    if (rc) die("%s: %s", hostport, gai_strerror(rc));
    memcpy(&peer, ai->ai_addr, ai->ai_addrlen);
    peer_len = ai->ai_addrlen;
    freeaddrinfo(ai);
    *colon = ':';
    unsigned last = 0;
    if (q) *q++ = 0;
    for (w = strtok(path, "/"); w; w = strtok(NULL, "/")) add_option(&last, 11, w, strlen(w));
    if (q && delay_s < 0) delay_s = atof(q + strcspn(q, "0123456789"));
    for (w = q ? strtok(q, "&") : NULL; w; w = strtok(NULL, "&")) add_option(&last, 15, w, strlen(w));
}

int main(int argc, char **argv) {
    int c;
    char *p;
    while ((c = getopt(argc, argv, "m:n:d:W:s:t:w:q:r:R:x:D:g:G:L:P:BMl:h")) != -1) switch (c) {
        case 'm':
            if (!strcmp(optarg, "pending")) mode = PENDING;
            else if (!strcmp(optarg, "dup")) mode = DUP;
            else if (strcmp(optarg, "closed")) usage();
            break;
        case 'n': total = strtoull(optarg, NULL, 10); break;
        case 'd': duration = atof(optarg); break;
        case 'W': window = atoi(optarg); break;
        case 's': n_active = atoi(optarg); break;
        case 't': con = strcmp(optarg, "non") != 0; break;
        case 'w': warmup = atof(optarg); break;
        case 'q': rate = atof(optarg); break;
        case 'r': rtx_s = atof(optarg); break;
        case 'R': max_retx = atoi(optarg); break;
        case 'x': limit_s = atof(optarg); break;
        case 'D': delay_s = atof(optarg); break;
        case 'g': grace_s = atof(optarg); break;
        case 'G': gap_ms = atof(optarg); break;
        case 'L': linger_ms = atof(optarg); break;
        case 'P': for (p = strtok(optarg, ","); p && n_pids < MAXPID; p = strtok(NULL, ",")) pids[n_pids++] = atoi(p); break;
        case 'B': busy = 1; break;
        case 'M': reuse_mid = 1; break;
        case 'l': label = optarg; break;
        default: usage();
    }
    if (argc - optind != 2) usage();
    target = argv[optind];
    char *path = strdup(argv[optind + 1]);
    set_target(target, path);
    if (window < 1 || n_active < 1 || n_active > MAXSOCK / 2 || (mode != CLOSED && !total) ||
        (!total && duration <= 0) || (mode == PENDING && delay_s < 0)) usage();
    if (n_active > window) n_active = window;

    struct rlimit rl = {MAXSOCK + 64, MAXSOCK + 64}, old;
    if (!getrlimit(RLIMIT_NOFILE, &old) && old.rlim_cur < rl.rlim_cur) setrlimit(RLIMIT_NOFILE, &rl);
    srandom((unsigned)(now_ns() ^ (uint64_t)getpid()));
    if ((epfd = epoll_create1(0)) < 0) die("epoll: %s", strerror(errno));
    for (int i = 0; i < n_active; i++) active[i] = new_endpoint();
    n_slots = mode == PENDING ? (uint32_t)total : (uint32_t)window;
    slots = xalloc(n_slots, sizeof *slots);
    free_slots = xalloc(n_slots, sizeof *free_slots);
    for (n_free = 0; n_free < n_slots; n_free++) free_slots[n_free] = n_slots - 1 - n_free;
    if (mode == PENDING) reg_at = xalloc(total, sizeof *reg_at);

    struct usage u0 = usage_of(), u_reg = u0, u1;
    uint64_t t0 = now_ns(), t_begin = t0, t = t0, t_end = 0, t_reg = 0, base = 0;
    uint64_t t_stop = duration > 0 ? t0 + (uint64_t)((warmup + duration) * 1e9) : UINT64_MAX;
    uint64_t t_limit = t0 + (uint64_t)((limit_s > warmup + duration + 3 ? limit_s : warmup + duration + 3) * 1e9);
    int warm = warmup > 0, timed_out = 0;
    for (;;) {
        t = now_ns();
        if (warm && t >= t_begin + (uint64_t)(warmup * 1e9)) {
            memset(&st, 0, sizeof st);
            lat.n = 0, warm = 0, base = issued, t0 = t, u0 = usage_of();
            if (duration > 0) t_stop = t + (uint64_t)(duration * 1e9);
        }
        if (t >= t_limit) { timed_out = 1; break; }
        if (t >= t_stop) break;
        run_timers(t);
        uint64_t quota = rate > 0 ? base + 1 + (uint64_t)(rate * (double)(t - t0) / 1e9) : UINT64_MAX;
        while (n_free && in_window < (uint64_t)window && (!total || issued - base < total) && issued < quota)
            start_request(t);
        flush_all();
        if (mode == PENDING && !t_reg && n_reg >= total) { t_reg = now_ns(); u_reg = usage_of(); }
        if (total && issued - base >= total &&
            (mode == PENDING ? st.completed + st.lost + st.rst >= total : n_free == n_slots)) break;
        int timeout = busy ? 0 : gq_n || rate > 0 ? 1 : 20;
        poll_answers(timeout, t0);
    }
    t_end = now_ns();
    u1 = usage_of();
    flush_all();
    if (duration > 0 && mode != PENDING && !timed_out) drain(t0);
    uint64_t unfinished = 0;
    for (uint32_t i = 0; i < n_slots; i++)
        unfinished += slots[i].state == WAIT || slots[i].state == ACKED;
    double el = (double)(t_end - t0) / 1e9;
    static const char *names[] = {"closed", "pending", "dup"};
    printf("{\"label\":\"%s\",\"mode\":\"%s\",\"target\":\"%s%s\",\"type\":\"%s\",\"window\":%d,\"rate\":%g,\"sockets\":%d,"
           "\"endpoints\":%d,\"elapsed_s\":%.4f,\"timed_out\":%d", label, names[mode], target, argv[optind + 1],
           con ? "con" : "non", window, rate, n_active, n_eps, el, timed_out);
    printf(",\"completed\":%lu,\"rps\":%.1f,\"sent\":%lu,\"lost\":%lu,\"unfinished\":%lu,\"retransmits\":%lu,"
           "\"empty_acks\":%lu,\"piggybacked\":%lu,\"separate_con\":%lu,\"separate_non\":%lu,\"duplicates\":%lu,"
           "\"dup_differs\":%lu,\"rst\":%lu,\"mid_mismatch\":%lu,\"unexpected\":%lu,\"malformed\":%lu,"
           "\"send_errors\":%lu,\"class2\":%lu,\"class4\":%lu,\"class5\":%lu",
           st.completed, (double)st.completed / el, st.sent, st.lost, unfinished, st.retransmits, st.empty_acks,
           st.piggybacked, st.separate_con, st.separate_non, st.duplicates, st.dup_differs, st.rst,
           st.mid_mismatch, st.unexpected, st.malformed, st.drops, st.cls[2], st.cls[4], st.cls[5]);
    print_series("lat_us", &lat, 1);
    if (mode == PENDING) {
        printf(",\"delay_s\":%g,\"registered\":%lu,\"reg_s\":%.4f,\"reg_rate\":%.1f,\"reg_rate_by_tenth\":[",
               delay_s, n_reg, n_reg ? reg_at[n_reg - 1] : 0.0, n_reg ? (double)n_reg / reg_at[n_reg - 1] : 0.0);
        for (int i = 0; i < 10 && n_reg >= 10; i++) {
            uint64_t a = n_reg * (uint64_t)i / 10, b = n_reg * (uint64_t)(i + 1) / 10;
            double dt = reg_at[b - 1] - (a ? reg_at[a - 1] : 0.0f);
            printf("%s%.0f", i ? "," : "", dt > 0 ? (double)(b - a) / dt : 0.0);
        }
        printf("]");
        print_series("late_vs_ack_ms", &late_ack, 1e3);
        print_series("late_vs_send_ms", &late_tx, 1e3);
        if (n_pids)
            printf(",\"reg_cpu_us_each\":%.2f,\"rss_kb_registered\":%ld,\"rss_bytes_each\":%.0f",
                   n_reg ? (double)(u_reg.cpu_us - u0.cpu_us) / (double)n_reg : 0.0, u_reg.rss_kb,
                   n_reg ? (double)(u_reg.rss_kb - u0.rss_kb) * 1024 / (double)n_reg : 0.0);
    }
    if (mode == DUP)
        printf(",\"requests\":%lu,\"dup_identical\":%lu,\"dup_differing\":%lu,\"with_responses\":[%lu,%lu,%lu,%lu],"
               "\"with_empty_acks\":[%lu,%lu,%lu,%lu]", issued - base, st.dup_identical, st.dup_differing,
               st.dup_resp[0], st.dup_resp[1], st.dup_resp[2], st.dup_resp[3],
               st.dup_acks[0], st.dup_acks[1], st.dup_acks[2], st.dup_acks[3]);
    if (n_pids)
        printf(",\"cpu_s\":%.3f,\"cpu_us_per_req\":%.3f,\"cpu_share\":%.3f,\"rss_kb_before\":%ld,\"rss_kb_after\":%ld",
               (double)(u1.cpu_us - u0.cpu_us) / 1e6,
               st.completed ? (double)(u1.cpu_us - u0.cpu_us) / (double)st.completed : 0.0,
               (double)(u1.cpu_us - u0.cpu_us) / 1e6 / el, u0.rss_kb, u1.rss_kb);
    printf("}\n");
    return timed_out || st.lost || unfinished ? 1 : 0;
}
