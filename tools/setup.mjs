// Brings a checkout to where it can run: dependencies, addon, firmware for this machine, TypeScript. Does only what is out of
// date, so that it can stand before every npm script. Plain JavaScript: it runs before anything is installed.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const stamps = join(root, 'node_modules', '.rproc-gpio');

/** Files below a folder that a step depends on. */
function filesBelow(folder, ending) {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && ending.test(entry.name))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

function digest(files) {
  const hash = createHash('sha256').update(process.version);
  for (const file of files) hash.update(file).update(readFileSync(file));
  return hash.digest('hex');
}

function run(command, args) {
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (result.status !== 0) {
    process.stderr.write(`setup: ${command} ${args.join(' ')} failed; what it printed above says why\n`);
    process.exit(1);
  }
}

/** Runs a step when the files it depends on changed, or what it makes is not there. */
function step(name, inputs, outputs, action) {
  const wanted = digest(inputs);
  const stamp = join(stamps, name);
  if (
    outputs.every((output) => existsSync(join(root, output))) &&
    existsSync(stamp) &&
    readFileSync(stamp, 'utf8') === wanted
  )
    return;
  process.stderr.write(`setup: ${name}\n`);
  action();
  mkdirSync(stamps, { recursive: true });
  writeFileSync(stamp, wanted);
}

function needTools() {
  const missing = ['make', 'g++', 'python3'].filter(
    (tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0,
  );
  if (missing.length === 0) return;
  const packages = ['build-essential', 'python3'];
  if (process.getuid() === 0 && existsSync('/usr/bin/apt-get')) {
    process.stderr.write(`setup: ${missing.join(', ')} missing: installing ${packages.join(' ')}\n`);
    run('apt-get', ['update', '-q']);
    run('apt-get', ['install', '-q', '-y', '--no-install-recommends', ...packages]);
    return;
  }
  process.stderr.write(
    `setup: ${missing.join(', ')} missing. On Debian: sudo apt-get install ${packages.join(' ')}\n`,
  );
  process.exit(1);
}

process.chdir(root);
const manifest = [join(root, 'package.json'), join(root, 'package-lock.json')];
const native = [
  ...filesBelow('native', /\.[ch]$/),
  ...filesBelow('examples/sensor-hub/lib', /\.[ch]$/),
  ...filesBelow('examples/sensor-hub/host', /\.[ch]$/),
  join(root, 'binding.gyp'),
];
needTools();
step('dependencies', manifest, ['node_modules/typescript'], () =>
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']),
);
step('addon and firmware', native, ['build/Release/rproc_gpio.node', 'build/Release/sensor-hub'], () =>
  run('npm', ['run', '--silent', 'install']),
);
step(
  'TypeScript',
  [...filesBelow('src', /\.ts$/), join(root, 'tsconfig.json'), join(root, 'tsconfig.build.json')],
  ['dist/cli/main.js'],
  () => {
    rmSync(join(root, 'dist'), { recursive: true, force: true });
    execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], {
      cwd: root,
      stdio: ['ignore', 2, 2],
    });
  },
);
