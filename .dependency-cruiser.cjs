// The one direction of dependence (docs/architecture.md). A folder may import itself and what is listed.
const allowed = {
  wire: [],
  virtqueue: ['wire', 'native'],
  gpio: [],
  coprocessor: ['wire', 'virtqueue', 'gpio', 'native', 'libc'],
  exporters: ['wire', 'virtqueue', 'gpio', 'native'],
  gpiochip: ['wire', 'gpio', 'native', 'libc'],
  client: ['wire'],
  config: ['wire', 'virtqueue', 'gpio', 'native', 'coprocessor', 'exporters', 'gpiochip', 'client'],
  testing: ['wire', 'virtqueue', 'gpio', 'native', 'coprocessor', 'exporters', 'config'],
  daemon: [
    'wire',
    'virtqueue',
    'gpio',
    'native',
    'coprocessor',
    'gpiochip',
    'exporters',
    'client',
    'config',
    'testing',
    'libc',
  ],
  cli: [
    'wire',
    'virtqueue',
    'gpio',
    'native',
    'coprocessor',
    'gpiochip',
    'exporters',
    'client',
    'config',
    'testing',
    'daemon',
    'libc',
  ],
};
const pathOf = (name) => (['native', 'libc'].includes(name) ? `${name}\\.ts$` : `${name}/`);
module.exports = {
  forbidden: [
    {
      name: 'no-circular',
      severity: 'error',
      comment:
        'Types of one folder may name each other (a Line and its LineHandles); code may not go in circles',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'no-orphans',
      severity: 'error',
      from: { orphan: true, pathNot: '\\.d\\.ts$|src/index\\.ts$' },
      to: {},
    },
    {
      name: 'wire-is-pure',
      severity: 'error',
      comment: 'wire/ and gpio/ know no transport: no node:*, no packages',
      from: { path: '^src/(wire|gpio)/' },
      to: { dependencyTypes: ['core', 'npm', 'npm-dev', 'npm-no-pkg', 'unknown'] },
    },
    {
      name: 'ffi-only-in-libc',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/libc\\.ts$' },
      to: { path: '(ffi|ref)-napi' },
    },
    ...Object.entries(allowed).map(([from, to]) => ({
      name: `${from}-imports`,
      severity: 'error',
      from: { path: `^src/${from}/` },
      to: { path: '^src/', pathNot: `^src/(${[from, ...to].map(pathOf).join('|')})` },
    })),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
