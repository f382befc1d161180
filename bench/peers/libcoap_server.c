/*
 * libcoap_server - the benchmark's resource on libcoap: GET /hello -> "hello, 123"
 *
 * SPDX-License-Identifier: MIT
 *
 * usage: libcoap_server PORT
 */
#include <arpa/inet.h>
#include <coap3/coap.h>
#include <stdio.h>
#include <stdlib.h>

static void hello(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
                  const coap_string_t *query, coap_pdu_t *response) {
    (void)resource, (void)session, (void)request, (void)query;
    coap_pdu_set_code(response, COAP_RESPONSE_CODE_CONTENT);
    coap_add_data(response, 10, (const uint8_t *)"hello, 123");
}

static coap_context_t *serve_on(int port) {
    coap_address_t addr;
    coap_address_init(&addr);
    addr.size = sizeof addr.addr.sin;
    addr.addr.sin.sin_family = AF_INET;
    addr.addr.sin.sin_port = htons((uint16_t)port);
    addr.addr.sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    coap_context_t *context = coap_new_context(NULL);
    if (!context || !coap_new_endpoint(context, &addr, COAP_PROTO_UDP)) return NULL;
    coap_resource_t *resource = coap_resource_init(coap_make_str_const("hello"), 0);
    coap_register_request_handler(resource, COAP_REQUEST_GET, hello);
    coap_add_resource(context, resource);
    return context;
}

int main(int argc, char **argv) {
    coap_startup();
    coap_context_t *context = argc == 2 ? serve_on(atoi(argv[1])) : NULL;
    if (!context) {
        fputs("libcoap_server: usage: libcoap_server PORT, or the port cannot be bound\n", stderr);
        return 1;
    }
    for (;;) coap_io_process(context, COAP_IO_WAIT);
}
