/**
 * The kinds of value that the configuration file has, each with the phrase for "what would be right".
 *
 * A leaf's `error` is that phrase (`expected ...`); for an unknown key it is the list of the known ones (see
 * `issue-faults.ts`). `x-unit` is the unit of a number.
 */
import { z } from 'zod';

/** Name of a co-processor, chip or export. */
const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/;
const SIZE_PATTERN = /^([1-9][0-9]{0,9})(KiB|MiB|GiB)$/;
const SIZE_FACTOR = { KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const;
/** Resource tables know 32-bit device addresses only (kernel include/linux/remoteproc.h). */
export const ADDRESS_SPACE_BYTES = 2 ** 32;
/** More than any physical address space or file that is mapped. */
export const LARGE_SPACE_BYTES = 2 ** 48;

/** A map with known keys. */
export function section<Shape extends z.core.$ZodShape>(description: string, shape: Shape) {
  const keys = Object.keys(shape);
  const error = (issue: { readonly code?: string | undefined }) =>
    issue.code === 'unrecognized_keys' ? keys.join(' ') : `a map with the keys ${keys.join(', ')}`;
  return z.strictObject(shape, { error }).describe(description);
}

/** A map from names that the file chooses. */
export function named<Value extends z.core.SomeType>(description: string, noun: string, value: Value) {
  const error = 'a name of 1 to 32 letters, digits, "-" and "_" that begins with a letter or digit';
  const key = z.string({ error }).regex(NAME_PATTERN, { error });
  return z.record(key, value, { error: `a map from names to ${noun}` }).describe(description);
}

export function integer(description: string, min: number, max: number, unit?: string) {
  const error = `a whole number${unit === undefined ? '' : ` of ${unit}`} from ${min} to ${max}`;
  const meta = unit === undefined ? { description } : { description, 'x-unit': unit };
  return z.int({ error }).min(min, { error }).max(max, { error }).meta(meta);
}

export function address(description: string, multipleOf: number, spaceBytes: number) {
  const max = spaceBytes - multipleOf;
  const error = `an address from 0 to 0x${max.toString(16)} that is a multiple of ${multipleOf}`;
  const number = z.int({ error }).min(0, { error }).max(max, { error }).multipleOf(multipleOf, { error });
  return number.meta({ description, 'x-unit': 'address' });
}

/** Memory is touched in aligned 32-bit elements, so that what begins in it begins at a multiple of 4. */
export function offset(description: string) {
  return address(description, 4, LARGE_SPACE_BYTES).meta({ 'x-unit': 'bytes' });
}

export function size(description: string) {
  const error = 'a size from 1 to 4GiB in bytes, such as 65536, 0x10000, "64KiB" or "1MiB"';
  const number = z.int({ error }).min(1, { error }).max(ADDRESS_SPACE_BYTES, { error });
  const text = z.string({ error }).regex(SIZE_PATTERN, { error });
  return z
    .union([number, text], { error })
    .transform((value) => (typeof value === 'number' ? value : parseSize(value)))
    .refine((value) => value <= ADDRESS_SPACE_BYTES, { error })
    .meta({ description, 'x-unit': 'bytes' });
}

function parseSize(text: string): number {
  const [, digits, unit] = SIZE_PATTERN.exec(text)!;
  return Number(digits) * SIZE_FACTOR[unit as keyof typeof SIZE_FACTOR];
}

export function text(description: string, error: string) {
  return z
    .string({ error })
    .min(1, { error })
    .refine((value) => !value.includes('\0'), { error })
    .describe(description);
}

export function path(description: string) {
  return text(description, 'a path');
}

export function choice<const Values extends readonly [string, ...string[]]>(
  description: string,
  values: Values,
) {
  return z.enum(values, { error: `one of ${values.join(', ')}` }).describe(description);
}

export function flag(description: string) {
  return z.boolean({ error: 'true or false' }).describe(description);
}

/** The key that says which of several forms a map has. */
export function type<const Name extends string>(name: Name, description: string) {
  return z.literal(name, { error: name }).describe(description);
}

/** The error of a union of maps that `type` tells apart. */
export function typeError(types: string) {
  return (issue: { readonly code?: string | undefined }) =>
    issue.code === 'invalid_union' ? types : `a map with a type: ${types}`;
}
