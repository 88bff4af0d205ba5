#pragma once
#include <libwebsockets.h>

// Macros that Swift does not import.

/// Bytes that must stand free before the payload given to `lws_write`.
static inline size_t cwebsockets_padding(void) { return LWS_PRE; }

/// Closes the connection at the next turn of the service loop, without another word to the peer.
static inline void cwebsockets_kill(struct lws *wsi) {
  lws_set_timeout(wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
}
