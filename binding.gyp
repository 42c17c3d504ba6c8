{
  'targets': [
    {
      'target_name': 'rproc_gpio',
      'sources': [
        'native/addon.c',
        'native/arguments.c',
        'native/descriptor.c',
        'native/environment.c',
        'native/eventfd.c',
        'native/mapping.c',
        'native/memfd.c',
        'native/message.c',
        'native/notify.c',
        'native/poll.c',
        'native/sigbus.c',
        'native/unix_socket.c',
      ],
      'defines': ['_GNU_SOURCE', 'NAPI_VERSION=8'],
      'cflags': ['-std=c11', '-Wall', '-Wextra', '-Wunused-parameter', '-Wshadow', '-Werror', '-fvisibility=hidden'],
      # Node unloads an addon with the last environment that has it; the SIGBUS handler stays.
      'ldflags': ['-Wl,-z,nodelete'],
    },
    {
      # The simulated hub of `rproc-gpio demo`: the firmware example, built for this machine.
      'target_name': 'sensor-hub',
      'type': 'executable',
      'product_extension': '',
      # All of them: the library is meant to be copied, and a port grows by files.
      'sources': ['<!@(ls -1 examples/sensor-hub/lib/*.c examples/sensor-hub/host/*.c)'],
      'cflags': ['-std=c11', '-Wall', '-Wextra', '-Werror'],
    },
  ],
}
