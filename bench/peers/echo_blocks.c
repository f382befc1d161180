/*
 * echo_blocks - the floor of a server of long bodies: what is written in blocks can be read again
 *
 * SPDX-License-Identifier: MIT
 *
 * One body for all clients, of one block at a time, with a reply in each ACK and no checks.
 *
 * usage: echo_blocks PORT
 */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MOST (64u << 20)
enum { GET = 1, PUT = 3, BLOCK2 = 23, BLOCK1 = 27 };

static uint8_t body[MOST];
static size_t body_len;

static int bound_socket(int port) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0), big = 4 << 20;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof addr)) return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &big, sizeof big);
    return fd;
}

/* the value of the option with this number, or a default; where the payload begins */
static uint32_t block_of(const uint8_t *in, size_t n, unsigned wanted, uint32_t block, size_t *payload) {
    unsigned number = 0;
    *payload = n;
    for (size_t at = 4u + (in[0] & 15); at < n;) {
        if (in[at] == 0xff) { *payload = at + 1; break; }
        unsigned delta = in[at] >> 4, len = in[at] & 15;
        at++;
        if (delta == 13) delta = 13u + in[at++];
        else if (delta == 14) delta = 269u + (unsigned)(in[at] << 8 | in[at + 1]), at += 2;
        if (len == 13) len = 13u + in[at++];
        number += delta;
        if (number == wanted && len <= 3 && at + len <= n) {
            block = 0;
            for (unsigned i = 0; i < len; i++) block = block << 8 | in[at + i];
        }
        at += len;
    }
    return block;
}

static size_t put_block(uint8_t *out, unsigned number, uint32_t block) {
    out[0] = 0xd3, out[1] = (uint8_t)(number - 13);
    out[2] = (uint8_t)(block >> 16), out[3] = (uint8_t)(block >> 8), out[4] = (uint8_t)block;
    return block < 65536 ? block < 256 ? (out[0] = 0xd1, out[2] = out[4], 3)
                                       : (out[0] = 0xd2, out[2] = out[3], out[3] = out[4], 4) : 5;
}

static size_t answer(const uint8_t *in, size_t n, uint8_t *out) {
    size_t at = 4u + (in[0] & 15), payload;
    uint32_t block = block_of(in, n, in[1] == PUT ? BLOCK1 : BLOCK2, 6, &payload);
    size_t size = 16u << (block & 7), offset = (block >> 4) * size;
    memcpy(out, in, at);
    out[0] = (uint8_t)((in[0] & 0x4f) | 0x20), out[1] = 69;
    if (in[1] == PUT && offset + (n - payload) <= MOST) {
        memcpy(body + offset, in + payload, n - payload), body_len = offset + (n - payload);
        out[1] = block & 8 ? 95 : 68;
        return at + put_block(out + at, BLOCK1, block);
    }
    if (offset >= body_len) {                               /* nothing was written: the usual body */
        memcpy(out + at, "\xffhello, 123", 11);
        return at + 11;
    }
    size_t left = body_len - offset;
    at += put_block(out + at, BLOCK2, (block & ~8u) | (left > size ? 8 : 0));
    out[at++] = 0xff;
    memcpy(out + at, body + offset, left < size ? left : size);
    return at + (left < size ? left : size);
}

int main(int argc, char **argv) {
    int fd = argc == 2 ? bound_socket(atoi(argv[1])) : -1;
    if (fd < 0) {
        perror("echo_blocks");
        return 1;
    }
    for (;;) {
        uint8_t in[2048], out[2048];
        struct sockaddr_in from;
        socklen_t from_len = sizeof from;
        ssize_t n = recvfrom(fd, in, sizeof in, 0, (struct sockaddr *)&from, &from_len);
        if (n < 5 || (in[0] & 15) > 8) continue;
        sendto(fd, out, answer(in, (size_t)n, out), 0, (struct sockaddr *)&from, from_len);
    }
}
