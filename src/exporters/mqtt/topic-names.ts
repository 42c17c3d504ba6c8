/**
 * Names of lines as parts of MQTT topics and of Home Assistant's ids.
 *
 * MQTT 5.0 section 4.7 (topic names; the same in 3.1.1) and section 1.5.4 (UTF-8 strings): no wildcards, no NUL, no lone
 * surrogates, at most 65,535 bytes. Brokers also refuse control characters and non-characters, which the section leaves
 * to them. Home Assistant takes `[a-zA-Z0-9_-]` only as an id in a discovery topic.
 */

/** MQTT 5.0, section 4.7.3: a topic name is at most this long in UTF-8. */
export const MAX_TOPIC_BYTES = 65_535;

/** A segment that needs no more than this is left as it is; entity ids of Home Assistant end at 255 characters. */
const MAX_SEGMENT_LENGTH = 64;
const LEGAL_SEGMENT = new RegExp(`^[A-Za-z0-9_-]{1,${MAX_SEGMENT_LENGTH}}$`);
const ILLEGAL_RUN = /[^A-Za-z0-9_-]+/g;

/**
 * Why a text cannot be (the beginning of) a topic name, in words that continue "the base topic ..."; null when it can.
 * Levels are separated by `/`; a single level has none.
 */
export function topicFault(text: string): string | null {
  if (text === '') return 'is empty';
  if (text.includes('\0')) return 'holds a NUL character, which no topic may';
  const wildcard = /[+#]/.exec(text);
  if (wildcard !== null) return `holds "${wildcard[0]}", a wildcard that only subscriptions may hold`;
  if (text.startsWith('$')) return 'begins with "$", which is for topics of the broker itself';
  if (text.startsWith('/')) return 'begins with "/", which makes an empty level';
  if (text.endsWith('/')) return 'ends with "/", which makes an empty level';
  if (text.includes('//')) return 'holds "//", which makes an empty level';
  if (/\p{Cs}/u.test(text)) return 'holds half of a surrogate pair, which is no character';
  const control = /\p{Cc}/u.exec(text);
  if (control !== null) return `holds the control character ${codePoint(control[0])}, which brokers refuse`;
  const nonCharacter = /\p{Noncharacter_Code_Point}/u.exec(text);
  if (nonCharacter !== null) return `holds ${codePoint(nonCharacter[0])}, which is no character`;
  const sizeBytes = new TextEncoder().encode(text).length;
  if (sizeBytes > MAX_TOPIC_BYTES) return `is ${sizeBytes} bytes long, more than ${MAX_TOPIC_BYTES}`;
  return null;
}

/**
 * A name as one topic level that is also a part of Home Assistant's ids: `[A-Za-z0-9_-]`, 1 to 64 characters.
 * A name that is one already stays as it is. In others every run of foreign characters becomes `_`, and a hash of the
 * whole name follows, so that a name has one segment always, whatever other lines there are: `IMU INT` and `IMU.INT` differ,
 * and neither takes the segment of `IMU_INT`.
 */
export function topicSegment(name: string): string {
  if (LEGAL_SEGMENT.test(name)) return name;
  const hash = `-${hash16(name).toString(16).padStart(4, '0')}`;
  const readable = name.replace(ILLEGAL_RUN, '_').slice(0, MAX_SEGMENT_LENGTH - hash.length);
  return (readable === '' ? '_' : readable) + hash;
}

/**
 * The segments of lines, in the order of `lines`: unique within a chip. A line without a name is `line13`, after its offset.
 * Of lines with the same segment the one of the lowest offset keeps it, and `-` and the offset is appended to the others:
 * a line that is added behind changes no segment before it, nor does the order of `lines`.
 */
export function assignSegments(
  lines: readonly { readonly chip: string; readonly offset: number; readonly name: string }[],
): string[] {
  const taken = new Map<string, Set<string>>();
  const segments = new Array<string>(lines.length);
  const inOrder = lines.map((line, index) => ({ line, index })).sort((a, b) => a.line.offset - b.line.offset);
  for (const { line, index } of inOrder) {
    const ofChip = taken.get(line.chip) ?? new Set();
    taken.set(line.chip, ofChip);
    let segment = line.name === '' ? `line${line.offset}` : topicSegment(line.name);
    while (ofChip.has(segment)) segment += `-${line.offset}`;
    ofChip.add(segment);
    segments[index] = segment;
  }
  return segments;
}

function codePoint(character: string): string {
  return `U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}`;
}

/** FNV-1a of 32 bits over UTF-16 code units, folded to 16 bits: stable across releases, which a segment has to be. */
function hash16(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  return (hash >>> 16) ^ (hash & 0xffff);
}
