import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type {
  CoprocessorConfig,
  DoorbellConfig,
  ExecConfig,
  MemorySource,
  ResourceTableSource,
} from '../../src/config/config.ts';
import { configJsonSchema, parseConfig } from '../../src/config/config.ts';
import type { DoorbellOptions } from '../../src/coprocessor/doorbell.ts';
import type { ExecOptions } from '../../src/coprocessor/firmware-process.ts';
import type { MemorySource as MemoryOptions } from '../../src/coprocessor/memory-region.ts';
import type { ResourceTableSource as TableOptions } from '../../src/coprocessor/table-source.ts';
import { generatedFiles, type SchemaNode } from '../../tools/generate-docs.ts';

const ROOT = new URL('../../', import.meta.url);

describe('the generated pages', () => {
  it.each([...generatedFiles().keys()])('%s is up to date ("npm run docs" writes it)', (path) => {
    expect(readFileSync(fileURLToPath(new URL(path, ROOT)), 'utf8')).toBe(generatedFiles().get(path));
  });

  it('have examples that are valid', () => {
    const page = readFileSync(fileURLToPath(new URL('docs/config.md', ROOT)), 'utf8');
    const examples = [...page.matchAll(/```yaml\n(.*?)```/gs)].map(([, text]) => text!);
    expect(examples.length).toBeGreaterThanOrEqual(4);
    for (const text of examples) {
      expect(Object.keys(parseConfig(text, 'docs/config.md').chips).length).toBeGreaterThan(0);
    }
  });
});

describe('configJsonSchema', () => {
  const keys = [...keysOf('', configJsonSchema() as SchemaNode)];

  it('describes every key', () => {
    expect(keys.length).toBeGreaterThan(40);
    expect(keys.filter(({ node }) => (node.description ?? '') === '').map(({ path }) => path)).toEqual([]);
  });

  it('gives every key with a unit in its name that unit', () => {
    const unitOf: Readonly<Record<string, string>> = {
      Ms: 'ms',
      Us: 'us',
      Bytes: 'bytes',
      Address: 'address',
    };
    for (const { path, node } of keys) {
      const [suffix] = /(Ms|Us|Bytes|Address)$/.exec(path) ?? [];
      if (suffix !== undefined)
        expect({ path, unit: node['x-unit'] }).toEqual({ path, unit: unitOf[suffix] });
    }
  });

  it('accepts what the service accepts as input, and nothing besides', () => {
    expect(configJsonSchema()).toMatchObject({
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      required: ['chips'],
      additionalProperties: false,
    });
  });
});

describe('the types', () => {
  it('are those that the co-processor binding takes', () => {
    const memory = (value: MemorySource): MemoryOptions => value;
    const doorbell = (value: DoorbellConfig): DoorbellOptions => value;
    const exec = (value: ExecConfig): ExecOptions => value;
    const table = (value: ResourceTableSource): TableOptions => value;
    const hub: CoprocessorConfig = parseConfig(
      `coprocessors: { hub: { memory: [{ type: uio, device: uio0, deviceAddress: 0 }], resourceTable: { elf: a }, doorbell: { type: poll }, exec: { command: [a] } } }
chips: { hub: { coprocessor: hub } }`,
      '/etc/a.yaml',
    ).coprocessors.hub!;
    expect(memory(hub.memory[0]!).type).toBe('uio');
    expect(doorbell(hub.doorbell).type).toBe('poll');
    expect(exec(hub.exec!).command).toEqual(['a']);
    expect(table(hub.resourceTable)).toEqual({ elf: '/etc/a', section: '.resource_table' });
  });
});

function* keysOf(path: string, node: SchemaNode): Generator<{ path: string; node: SchemaNode }> {
  for (const [key, child] of Object.entries(node.properties ?? {})) {
    yield { path: `${path}.${key}`, node: child };
    yield* keysOf(`${path}.${key}`, child);
  }
  for (const form of [...(node.oneOf ?? []), ...(node.anyOf ?? [])]) yield* keysOf(path, form);
  if (node.items !== undefined) yield* keysOf(`${path}[]`, node.items);
  if (typeof node.additionalProperties === 'object') yield* keysOf(`${path}.NAME`, node.additionalProperties);
}
