#pragma once
#include <curl/curl.h>

// libcurl's setters are variadic, and the message's result is a union: Swift can import neither.
typedef size_t (*ccurl_transfer_function)(char *bytes, size_t size, size_t count, void *context);
typedef int (*ccurl_seek_function)(void *context, curl_off_t offset, int origin);
typedef int (*ccurl_prerequest_function)(void *context, char *remote, char *local, int remote_port, int local_port);

static inline CURLcode ccurl_set_string(CURL *easy, CURLoption option, const char *value) {
  return (curl_easy_setopt)(easy, option, value);
}
static inline CURLcode ccurl_set_long(CURL *easy, CURLoption option, long value) {
  return (curl_easy_setopt)(easy, option, value);
}
static inline CURLcode ccurl_set_offset(CURL *easy, CURLoption option, curl_off_t value) {
  return (curl_easy_setopt)(easy, option, value);
}
static inline CURLcode ccurl_set_pointer(CURL *easy, CURLoption option, void *value) {
  return (curl_easy_setopt)(easy, option, value);
}
static inline CURLcode ccurl_set_transfer_function(CURL *easy, CURLoption option, ccurl_transfer_function value) {
  return (curl_easy_setopt)(easy, option, value);
}
static inline CURLcode ccurl_set_seek_function(CURL *easy, ccurl_seek_function value) {
  return (curl_easy_setopt)(easy, CURLOPT_SEEKFUNCTION, value);
}
static inline CURLcode ccurl_set_prerequest_function(CURL *easy, ccurl_prerequest_function value) {
  return (curl_easy_setopt)(easy, CURLOPT_PREREQFUNCTION, value);
}
static inline CURLMcode ccurl_multi_set_long(CURLM *multi, CURLMoption option, long value) {
  return (curl_multi_setopt)(multi, option, value);
}
static inline CURLcode ccurl_response_code(CURL *easy, long *value) {
  return (curl_easy_getinfo)(easy, CURLINFO_RESPONSE_CODE, value);
}
static inline CURLcode ccurl_message_result(const CURLMsg *message) { return message->data.result; }
