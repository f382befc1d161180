/*
 * echo_ports - the C echo on several ports, for clients that ask one server one thing at a time
 *
 * SPDX-License-Identifier: MIT
 *
 * usage: echo_ports PORT FIRST COUNT     PORT, and COUNT ports from FIRST on
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MOST 256
#define TAIL "\xffhello, 123"
#define TAIL_LEN (sizeof TAIL - 1)

static int bound_socket(int port) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), big = 4 << 20;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof addr)) {
        perror("echo_ports");
        exit(1);
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &big, sizeof big);
    return fd;
}

/* a fixed piggybacked 2.05 for everything that waits at this socket */
static void answer(int fd) {
    unsigned char in[2048], out[64];
    struct sockaddr_in from;
    for (;;) {
        socklen_t from_len = sizeof from;
        ssize_t n = recvfrom(fd, in, sizeof in, 0, (struct sockaddr *)&from, &from_len);
        if (n < 0) return;
        size_t tkl = in[0] & 15;
        if (n < 4 + (ssize_t)tkl || tkl > 8) continue;
        out[0] = (unsigned char)(0x60 | tkl), out[1] = 69;
        memcpy(out + 2, in + 2, 2 + tkl);
        memcpy(out + 4 + tkl, TAIL, TAIL_LEN);
        sendto(fd, out, 4 + tkl + TAIL_LEN, 0, (struct sockaddr *)&from, from_len);
    }
}

int main(int argc, char **argv) {
    struct pollfd sockets[MOST + 1];
    int count = argc == 4 ? atoi(argv[3]) : 0;
    if (count < 1 || count > MOST) {
        fputs("usage: echo_ports PORT FIRST COUNT\n", stderr);
        return 1;
    }
    for (int i = 0; i < count; i++)
        sockets[i] = (struct pollfd){bound_socket(atoi(argv[2]) + i), POLLIN, 0};
    sockets[count] = (struct pollfd){bound_socket(atoi(argv[1])), POLLIN, 0};
    while (poll(sockets, (nfds_t)count + 1, -1) >= 0)
        for (int i = 0; i <= count; i++)
            if (sockets[i].revents) answer(sockets[i].fd);
    return 1;
}
