/*
 * libcoap_scale - libcoap with the resources of coapsep_scale.py
 *
 * SPDX-License-Identifier: MIT
 *
 * GET /hello; GET /async?SECONDS, answered when its time has come; GET and POST /state, which can
 * be observed and is changed by each POST; GET and PUT /body.
 *
 * "bodies" turns its block-wise transfers on, which cost the other resources time.
 *
 * usage: libcoap_scale PORT [bodies]
 */
#include <arpa/inet.h>
#include <coap3/coap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static coap_resource_t *state;
static unsigned count;
static uint8_t *body;
static size_t body_len = 1 << 20;

static void answer(coap_pdu_t *response, coap_pdu_code_t code, const char *text) {
    coap_pdu_set_code(response, code);
    if (text) coap_add_data(response, strlen(text), (const uint8_t *)text);
}

static void hello(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
                  const coap_string_t *query, coap_pdu_t *response) {
    (void)resource, (void)session, (void)request, (void)query;
    answer(response, COAP_RESPONSE_CODE_CONTENT, "hello, 123");
}

static void later(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
                  const coap_string_t *query, coap_pdu_t *response) {
    (void)resource;
    coap_bin_const_t token = coap_pdu_get_token(request);
    if (coap_find_async(session, token)) {                  /* its time has come */
        answer(response, COAP_RESPONSE_CODE_CONTENT, "done");
        return;
    }
    double seconds = query ? atof((const char *)query->s) : 1;
    if (!coap_register_async(session, request, (coap_tick_t)(seconds * COAP_TICKS_PER_SECOND)))
        answer(response, COAP_RESPONSE_CODE_SERVICE_UNAVAILABLE, NULL);
}

static void read_state(coap_resource_t *resource, coap_session_t *session,
                       const coap_pdu_t *request, const coap_string_t *query,
                       coap_pdu_t *response) {
    (void)resource, (void)session, (void)request, (void)query;
    char text[16];
    snprintf(text, sizeof text, "%u", count);
    answer(response, COAP_RESPONSE_CODE_CONTENT, text);
}

static void change_state(coap_resource_t *resource, coap_session_t *session,
                         const coap_pdu_t *request, const coap_string_t *query,
                         coap_pdu_t *response) {
    (void)resource, (void)session, (void)request, (void)query;
    count++;
    coap_resource_notify_observers(state, NULL);
    answer(response, COAP_RESPONSE_CODE_CHANGED, NULL);
}

static void read_body(coap_resource_t *resource, coap_session_t *session,
                      const coap_pdu_t *request, const coap_string_t *query,
                      coap_pdu_t *response) {
    coap_pdu_set_code(response, COAP_RESPONSE_CODE_CONTENT);
    coap_add_data_large_response(resource, session, request, response, query,
                                 COAP_MEDIATYPE_APPLICATION_OCTET_STREAM, -1, 0, body_len, body,
                                 NULL, NULL);
}

static void write_body(coap_resource_t *resource, coap_session_t *session,
                       const coap_pdu_t *request, const coap_string_t *query,
                       coap_pdu_t *response) {
    (void)resource, (void)session, (void)query;
    size_t len, offset, total;
    const uint8_t *data;
    if (coap_get_data_large(request, &len, &data, &offset, &total)) {
        body = realloc(body, len);
        memcpy(body, data, len), body_len = len;
    }
    answer(response, COAP_RESPONSE_CODE_CHANGED, NULL);
}

static coap_resource_t *add(coap_context_t *context, const char *path, coap_request_t method,
                            coap_method_handler_t handler) {
    coap_resource_t *resource = coap_resource_init(coap_make_str_const(path), 0);
    coap_register_request_handler(resource, method, handler);
    coap_add_resource(context, resource);
    return resource;
}

static coap_context_t *serve_on(int port, int bodies) {
    coap_address_t addr;
    coap_address_init(&addr);
    addr.size = sizeof addr.addr.sin;
    addr.addr.sin.sin_family = AF_INET;
    addr.addr.sin.sin_port = htons((uint16_t)port);
    addr.addr.sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    coap_context_t *context = coap_new_context(NULL);
    if (!context || !coap_new_endpoint(context, &addr, COAP_PROTO_UDP)) return NULL;
    if (bodies)
        coap_context_set_block_mode(context, COAP_BLOCK_USE_LIBCOAP | COAP_BLOCK_SINGLE_BODY);
    add(context, "hello", COAP_REQUEST_GET, hello);
    add(context, "async", COAP_REQUEST_GET, later);
    state = coap_resource_init(coap_make_str_const("state"), COAP_RESOURCE_FLAGS_NOTIFY_CON);
    coap_register_request_handler(state, COAP_REQUEST_GET, read_state);
    coap_register_request_handler(state, COAP_REQUEST_POST, change_state);
    coap_resource_set_get_observable(state, 1);
    coap_add_resource(context, state);
    coap_register_request_handler(add(context, "body", COAP_REQUEST_GET, read_body),
                                  COAP_REQUEST_PUT, write_body);
    return context;
}

int main(int argc, char **argv) {
    coap_startup();
    body = calloc(1, body_len);
    coap_context_t *context = argc > 1 && body ? serve_on(atoi(argv[1]), argc > 2) : NULL;
    if (!context) {
        fputs("libcoap_scale: usage: libcoap_scale PORT [bodies], or the port cannot be bound\n", stderr);
        return 1;
    }
    for (;;) coap_io_process(context, 100);                 /* ms; COAP_IO_WAIT misses some that are due */
}
