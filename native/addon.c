// The addon opens doors that Node has none for: shared memory, doorbells, descriptor passing. What
// goes through them is TypeScript's business. Loaded by src/native.ts only; one state an environment.
#include <node_api.h>
#include <stddef.h>

#include "descriptor.h"
#include "environment.h"
#include "eventfd.h"
#include "mapping.h"
#include "memfd.h"
#include "message.h"
#include "notify.h"
#include "poll.h"
#include "unix_socket.h"

static const struct {
  const char *name;
  napi_callback function;
} FUNCTIONS[] = {
    {"mapDescriptor", mapping_map},
    {"unmap", mapping_unmap},
    {"isDead", mapping_is_dead},
    {"openDeathDoorbell", mapping_open_death_doorbell},
    {"closeDeathDoorbell", mapping_close_death_doorbell},
    {"createMemfd", memfd_create_sized},
    {"createEventfd", eventfd_create},
    {"createPipe", descriptor_create_pipe},
    {"createSocketPair", unix_socket_create_pair},
    {"signalDescriptor", eventfd_signal},
    {"drainDescriptor", eventfd_drain},
    {"readDescriptor", descriptor_read},
    {"writeDescriptor", descriptor_write},
    {"setNonBlocking", descriptor_set_non_blocking},
    {"duplicateDescriptor", descriptor_duplicate},
    {"statDescriptor", descriptor_stat},
    {"openPoll", poll_open},
    {"closePoll", poll_close},
    {"refPoll", poll_ref},
    {"unrefPoll", poll_unref},
    {"listenUnix", unix_socket_listen},
    {"acceptUnix", unix_socket_accept},
    {"connectUnix", unix_socket_connect},
    {"peerCredentials", unix_socket_peer_credentials},
    {"sendMessage", message_send},
    {"receiveMessage", message_receive},
    {"receivedDescriptorCount", message_received_descriptor_count},
    {"notify", notify_send},
};

NAPI_MODULE_INIT() {
  descriptor_ignore_sigpipe();
  if (environment_create(env) == NULL) return NULL;
  for (size_t index = 0; index < sizeof FUNCTIONS / sizeof FUNCTIONS[0]; index++) {
    napi_value function;
    if (napi_create_function(env, FUNCTIONS[index].name, NAPI_AUTO_LENGTH, FUNCTIONS[index].function, NULL,
                             &function) != napi_ok ||
        napi_set_named_property(env, exports, FUNCTIONS[index].name, function) != napi_ok) {
      return NULL;
    }
  }
  return exports;
}
