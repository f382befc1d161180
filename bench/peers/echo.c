/*
 * echo - the floor of the machine: a blocking C loop that answers every
 * datagram with a fixed piggybacked 2.05 "hello, 123".  No codec, no checks.
 *
 * SPDX-License-Identifier: MIT
 *
 * usage: echo PORT
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define TAIL "\xffhello, 123"
#define TAIL_LEN (sizeof TAIL - 1)

static int bound_socket(int port) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0), big = 4 << 20;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof addr)) return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &big, sizeof big);
    return fd;
}

int main(int argc, char **argv) {
    int fd = argc == 2 ? bound_socket(atoi(argv[1])) : -1;
    if (fd < 0) {
        perror("echo");
        return 1;
    }
    for (;;) {
        unsigned char in[2048], out[64];
        struct sockaddr_in from;
        socklen_t from_len = sizeof from;
        ssize_t n = recvfrom(fd, in, sizeof in, 0, (struct sockaddr *)&from, &from_len);
        size_t tkl = in[0] & 15;
        if (n < 4 + (ssize_t)tkl) continue;
        out[0] = (unsigned char)(0x60 | tkl), out[1] = 69;
        memcpy(out + 2, in + 2, 2 + tkl);
        memcpy(out + 4 + tkl, TAIL, TAIL_LEN);
        sendto(fd, out, 4 + tkl + TAIL_LEN, 0, (struct sockaddr *)&from, from_len);
    }
}
