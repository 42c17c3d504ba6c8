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
        'native/poll.c',
        'native/unix_socket.c',
      ],
      'defines': ['_GNU_SOURCE', 'NAPI_VERSION=8'],
      'cflags': ['-std=c11', '-Wall', '-Wextra', '-Wunused-parameter', '-Wshadow', '-Werror', '-fvisibility=hidden'],
    },
  ],
}
