// The addon under a script of JavaScript that does anything: calls with sound and with absurd arguments in any order,
// shrinks files under mappings, collects objects, ends environments (two live at a time, as a thread's and a worker's).
//
// What has to hold: no access outside of what JavaScript gave, no descriptor closed that the addon does not own, none left
// open that JavaScript was not told of, each mapping gone with its environment, a function throws nothing, and a page that
// has gone reads as zeroes on a mapping that says it is dead.
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../common/input.h"
#include "fake_node.h"
#define FUZZ_MACHINE_ITSELF
#include "machine.h"

#define MAX_FUNCTIONS 64
#define MAX_VALUES 4000
#define MAX_DEPTH 3
#define ENVIRONMENTS 2

napi_value napi_register_module_v1(napi_env env, napi_value exports);

// What a function takes: d descriptor, n number, s size, b boolean, p path, u Uint8Array, i Int32Array, l list of
// descriptors, f function, m mapping, h poll handle, e events; and gives: d descriptor, D two, m mapping, h handle, - no more.
struct signature {
  const char *name;
  const char *takes;
  char gives;
};
static const struct signature SIGNATURES[] = {
    {"mapDescriptor", "dnsb", 'm'},
    {"unmap", "m", '-'},
    {"isDead", "m", '-'},
    {"openDeathDoorbell", "", 'x'},  // the environment's own
    {"closeDeathDoorbell", "", '-'},
    {"createMemfd", "psb", 'd'},
    {"createEventfd", "", 'd'},
    {"createPipe", "", 'D'},
    {"createSocketPair", "", 'D'},
    {"signalDescriptor", "d", '-'},
    {"drainDescriptor", "d", '-'},
    {"readDescriptor", "du", '-'},
    {"writeDescriptor", "du", '-'},
    {"setNonBlocking", "d", '-'},
    {"duplicateDescriptor", "d", 'd'},
    {"statDescriptor", "d", '-'},
    {"openPoll", "defb", 'h'},
    {"closePoll", "h", '-'},
    {"refPoll", "h", '-'},
    {"unrefPoll", "h", '-'},
    {"listenUnix", "pmn", 'd'},
    {"acceptUnix", "d", 'd'},
    {"connectUnix", "p", 'd'},
    {"peerCredentials", "d", '-'},
    {"sendMessage", "dul", '-'},
    {"receiveMessage", "dui", 'r'},
    {"receivedDescriptorCount", "", '-'},
    {"notify", "pu", '-'},
};

static struct {
  char name[32];
  napi_callback callback;
  struct signature signature;
} functions[MAX_FUNCTIONS];
static unsigned function_count;

static char folder[] = "/tmp/rproc-gpio-fuzz.XXXXXX";
static struct napi_env__ environments[ENVIRONMENTS];
static struct input *script;
static unsigned depth;

// ---- the script's side ----

void script_exported(const char *name, napi_callback callback) {
  for (unsigned i = 0; i < function_count; i++) {
    if (strcmp(functions[i].name, name) == 0) return;
  }
  MUST(function_count < MAX_FUNCTIONS && strlen(name) < sizeof functions[0].name);
  strcpy(functions[function_count].name, name);
  functions[function_count].callback = callback;
  // One that is not known here is called with anything.
  functions[function_count].signature = (struct signature){name, "????", '-'};
  for (size_t i = 0; i < sizeof SIGNATURES / sizeof SIGNATURES[0]; i++) {
    if (strcmp(SIGNATURES[i].name, name) == 0) functions[function_count].signature = SIGNATURES[i];
  }
  function_count++;
}

static bool is_alive(napi_value value) { return !value->collected; }

// One of the values of a kind that are there; NULL: none.
static napi_value pick(napi_env env, enum kind kind, uint8_t which) {
  napi_value found = NULL;
  unsigned skip = which % 8;
  for (napi_value value = env->values; value != NULL; value = value->next) {
    if (value->kind != kind || !is_alive(value) || (kind == KIND_BUFFER && value->own)) continue;
    found = value;
    if (skip-- == 0) break;
  }
  return found;
}

static double pick_descriptor(uint8_t which) {
  int last = -1;
  unsigned skip = which % 16;
  for (int fd = 3; fd < MACHINE_DESCRIPTORS; fd++) {
    if (machine_owner(fd) == OWNER_NONE) continue;
    last = fd;
    if (skip-- == 0) break;
  }
  return last;
}

static double take_number(void) {
  static const double odd[] = {-1, -4096, 2147483647, -2147483648.0, 4294967295.0, 4294967296.0, 9007199254740991.0,
                               9.3e18, -9.3e18, 1e300, 0.5, -0.0};
  const uint8_t kind = take8(script);
  if (kind < 96) return kind;
  if (kind < 160) return take16(script);
  if (kind < 200) return 4096.0 * take8(script);
  if (kind < 220) return odd[kind % (sizeof odd / sizeof odd[0])];
  if (kind < 230) return kind % 2 == 0 ? NAN : INFINITY;
  return (double)(int32_t)take32(script);
}

static napi_value take_path(napi_env env) {
  char path[160];
  const uint8_t kind = take8(script);
  int length = snprintf(path, sizeof path, "%s/%u", folder, kind % 3u);
  if (kind >= 200) length = kind - 200;                                                     // cut short, also to nothing
  if (kind >= 180 && kind < 200) length = (int)(sizeof path - 1 - (kind - 180)), memset(path, 'x', sizeof path);
  if (kind >= 170 && kind < 180) path[kind - 170] = (char)(kind % 2 == 0 ? '\0' : '@');
  napi_value value = fake_bytes(env, KIND_STRING, (size_t)length);
  memcpy(value->data, path, (size_t)length);
  return value;
}

static napi_value take_bytes(napi_env env, napi_typedarray_type type, size_t element) {
  const uint8_t kind = take8(script);
  napi_value mapping = kind >= 224 ? pick(env, KIND_BUFFER, kind) : NULL;
  if (mapping != NULL && mapping->writable && !mapping->detached) {
    const size_t offset = (take16(script) % mapping->size) / element * element;
    size_t length = (mapping->size - offset) / element;
    if (length > 8192) length = 8192;
    return fake_typed(env, type, mapping, offset, length);
  }
  const size_t length = kind < 200 ? kind % 64 : 300;
  napi_value buffer = fake_bytes(env, KIND_BUFFER, length * element);
  for (size_t i = 0; i < length * element && i < 16; i++) ((uint8_t *)buffer->data)[i] = take8(script);
  // Also from the middle on, and of no length.
  const size_t from = kind % 4 == 3 && length > 0 ? 1 : 0;
  return fake_typed(env, type, buffer, from * element, length - from);
}

static napi_value take_list(napi_env env) {
  const uint8_t kind = take8(script);
  const size_t length = kind < 200 ? kind % 6 : kind + 50u;  // up to 305: more than the kernel takes
  napi_value list = fake_bytes(env, KIND_ARRAY, length * sizeof(napi_value));
  list->size = length;
  for (size_t i = 0; i < length; i++) {
    ((napi_value *)list->data)[i] =
        fake_number(env, i < 6 ? pick_descriptor(take8(script)) : pick_descriptor((uint8_t)i));
  }
  if (length > 0 && (kind & 0x40) != 0) ((napi_value *)list->data)[length / 2] = NULL;  // a hole
  return list;
}

static napi_value take_argument(napi_env env, char type) {
  static const char types[] = "dnsbpuilfmhe??";
  const uint8_t absurd = take8(script);
  // One in sixteen is of another type.
  if (absurd >= 240) type = types[absurd % (sizeof types - 1)];
  napi_value value = NULL;
  switch (type) {
    case 'd':
      return fake_number(env, absurd >= 232 ? take_number() : pick_descriptor(absurd));
    case 'n':
    case 's':
      return fake_number(env, take_number());
    case 'e':
      return fake_number(env, absurd < 200 ? 1 + absurd % 15 : take_number());
    case 'b':
      value = fake_value(env, KIND_BOOLEAN);
      value->boolean = (absurd & 1) != 0;
      return value;
    case 'p':
      return take_path(env);
    case 'u':
      return take_bytes(env, napi_uint8_array, 1);
    case 'i':
      return take_bytes(env, napi_int32_array, sizeof(int32_t));
    case 'l':
      return take_list(env);
    case 'f':
      value = fake_value(env, KIND_FUNCTION);
      value->script = take8(script);
      return value;
    case 'm':
      value = pick(env, KIND_BUFFER, absurd);
      if (value == NULL || absurd > 200) return fake_number(env, take_number());
      return value;
    case 'h':
      value = pick(env, KIND_EXTERNAL, absurd);
      break;
    default:
      break;
  }
  return value != NULL ? value : fake_value(env, absurd % 2 == 0 ? KIND_UNDEFINED : KIND_NULL);
}

// JavaScript has been told of a descriptor.
static void receive_descriptor(double number) {
  if (number < 0) return;
  MUST(machine_owner((int)number) == OWNER_ADDON);
  machine_own((int)number, OWNER_SCRIPT);
}

static double call_count(napi_env env) {
  for (unsigned i = 0; i < function_count; i++) {
    if (strcmp(functions[i].name, "receivedDescriptorCount") == 0) {
      return functions[i].callback(env, &(struct napi_callback_info__){0})->number;
    }
  }
  return 0;
}

static void take_result(napi_env env, char gives, napi_value result, napi_value *arguments) {
  if (result == NULL) return;
  MUST(is_alive(result));
  if (gives == 'd' && result->kind == KIND_NUMBER) receive_descriptor(result->number);
  if (gives == 'D' && result->kind == KIND_ARRAY) {
    receive_descriptor(((napi_value *)result->data)[0]->number);
    receive_descriptor(((napi_value *)result->data)[1]->number);
  }
  if (gives == 'm' && result->kind == KIND_BUFFER) result->writable = !arguments[3]->boolean;
  if (gives == 'r' && result->kind == KIND_NUMBER) {
    const double count = call_count(env);
    MUST(count >= 0 && (result->number >= 0 || count == 0));
    for (size_t i = 0; i < (size_t)count; i++) {
      size_t length;
      const int32_t *fds = fake_typed_data(arguments[2], &length);
      // Shared memory that has died holds what it likes.
      MUST(i < length);
      if (arguments[2]->buffer->own) receive_descriptor(fds[i]);
    }
  }
}

static void call(napi_env env) {
  if (env->ending || env->instance == NULL || env->value_count > MAX_VALUES) return;
  const unsigned index = take8(script) % function_count;
  const struct signature *signature = &functions[index].signature;
  napi_value arguments[6];
  struct napi_callback_info__ info = {.count = strlen(signature->takes), .arguments = arguments};
  for (size_t i = 0; i < info.count; i++) arguments[i] = take_argument(env, signature->takes[i]);
  // Descriptors into shared memory cannot be accounted for.
  if (signature->gives == 'r' && arguments[2]->kind == KIND_TYPED && !arguments[2]->buffer->own) return;
  const size_t given = info.count;
  if (info.count > 0 && take8(script) >= 250) info.count--;
  napi_value result = functions[index].callback(env, &info);
  MUST(env->exception == NULL);
  if (info.count == given) take_result(env, signature->gives, result, arguments);
}

static void close_descriptor(uint8_t which) {
  const int fd = (int)pick_descriptor(which);
  if (fd < 0 || machine_owner(fd) != OWNER_SCRIPT) return;
  machine_own(fd, OWNER_NONE);
  close(fd);
}

static void shrink(uint8_t which, uint32_t size) {
  const int fd = (int)pick_descriptor(which);
  if (fd >= 0) (void)!ftruncate(fd, (off_t)(size & 0x1FFFF));
}

static bool is_dead(napi_env env, napi_value mapping) {
  for (unsigned i = 0; i < function_count; i++) {
    if (strcmp(functions[i].name, "isDead") != 0) continue;
    napi_value result = functions[i].callback(env, &(struct napi_callback_info__){1, &mapping});
    return result != NULL && result->boolean;
  }
  return false;
}

// Reads or writes where the page may have gone: survives.
static void touch(napi_env env, uint8_t which, uint32_t at, bool write) {
  napi_value mapping = env->instance != NULL && !env->ending ? pick(env, KIND_BUFFER, which) : NULL;
  if (mapping == NULL || mapping->detached) return;
  volatile uint8_t *byte = (uint8_t *)mapping->data + at % mapping->size;
  const bool was_dead = is_dead(env, mapping);
  if (write && mapping->writable) *byte = (uint8_t)at;
  (void)*byte;
  MUST(!was_dead || is_dead(env, mapping));
}

static void begin(napi_env env) {
  memset(env, 0, sizeof *env);
  napi_value exports = fake_value(env, KIND_OBJECT);
  if (napi_register_module_v1(env, exports) == NULL) {
    // Only because something of Node's failed; the module is not there then.
    fake_end(env, 0);
  }
}

static void step(napi_env env) {
  const uint8_t operation = take8(script);
  switch (operation % 16) {
    case 0:
      // No loop turns within a callback of its own.
      if (depth == 0 && !env->ending) fake_turn(env);
      break;
    case 1:
      close_descriptor(take8(script));
      break;
    case 2:
      shrink(take8(script), take32(script));
      break;
    case 3:
    case 4:
      touch(env, take8(script), take32(script), operation >= 128);
      break;
    case 5: {
      // A value that JavaScript cannot reach any more; not in the middle of a call that may hold it.
      napi_value value = depth == 0 ? pick(env, (operation & 16) != 0 ? KIND_EXTERNAL : KIND_BUFFER, take8(script)) : NULL;
      if (value != NULL) {
        fake_collect(env, value);
        // What looks into it is gone, too.
        for (napi_value other = env->values; other != NULL; other = other->next) {
          if (other->kind == KIND_TYPED && other->buffer == value) other->collected = true;
        }
      }
      break;
    }
    case 6:
      fake_fail(take8(script) % 32);
      break;
    case 7: {
      static const int errors[] = {ENOMEM, EMFILE, EINTR, EPERM, EIO, EAGAIN, ENOSPC, EACCES};
      const uint8_t which = take8(script);
      machine_fail(which % 8, errors[which >> 3 & 7]);
      break;
    }
    case 8:
      if (depth == 0 && !env->ending && operation >= 224) {
        fake_end(env, take8(script));
        begin(env);
      }
      break;
    default:
      call(env);
      break;
  }
}

bool script_called(napi_env env, uint8_t behaviour) {
  if (depth >= MAX_DEPTH) return true;
  depth++;
  for (unsigned steps = behaviour % 4; steps > 0 && input_left(script); steps--) step(env);
  depth--;
  return behaviour < 200;
}

// ---- an input ----

static void remove_folder_contents(void) {
  DIR *entries = opendir(folder);
  for (struct dirent *entry; entries != NULL && (entry = readdir(entries)) != NULL;) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    if (entry->d_name[0] != '.') unlink(path);
  }
  if (entries != NULL) closedir(entries);
}

static void remove_folder(void) {
  remove_folder_contents();
  rmdir(folder);
}

// Devices, as a page of /dev/mem or of UIO would be.
static void open_devices(void) {
  static const char *const paths[] = {"/dev/null", "/dev/zero"};
  for (unsigned i = 0; i < 2; i++) machine_own(open(paths[i], O_RDWR | O_CLOEXEC), OWNER_SCRIPT);
}

static void must_have_closed_all(void) {
  for (int fd = 3; fd < MACHINE_DESCRIPTORS; fd++) {
    if (machine_owner(fd) == OWNER_NONE) continue;
    MUST(machine_owner(fd) == OWNER_SCRIPT);  // the addon's is a leak
    machine_own(fd, OWNER_NONE);
    MUST(close(fd) == 0);
  }
  MUST(machine_mappings() == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  struct input input = {.bytes = bytes, .size = size};
  script = &input;
  if (machine_folder == NULL) {
    machine_folder = mkdtemp(folder);
    MUST(machine_folder != NULL);
    atexit(remove_folder);
  }
  machine_fail(0, 0);
  open_devices();
  for (unsigned i = 0; i < ENVIRONMENTS; i++) begin(&environments[i]);
  while (input_left(&input)) step(&environments[take8(&input) >= 192]);
  machine_fail(0, 0);
  for (unsigned i = 0; i < ENVIRONMENTS; i++) fake_end(&environments[i], (uint8_t)(size * 7 + i));
  must_have_closed_all();
  remove_folder_contents();
  return 0;
}
