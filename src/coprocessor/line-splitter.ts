import type { Readable } from 'node:stream';

/** Longer lines are cut: firmware that never ends a line must not fill the memory. */
export const MAX_LINE_LENGTH = 4096;

/** Tells each line of a stream of text, without its end; a last line without an end as well. */
export function splitLines(stream: Readable, onLine: (line: string) => void): void {
  let rest = '';
  const tell = (line: string): void => onLine(line.endsWith('\r') ? line.slice(0, -1) : line);
  stream.setEncoding('utf8');
  stream.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() as string;
    for (const line of lines) tell(line.slice(0, MAX_LINE_LENGTH));
    while (rest.length >= MAX_LINE_LENGTH) {
      tell(rest.slice(0, MAX_LINE_LENGTH));
      rest = rest.slice(MAX_LINE_LENGTH);
    }
  });
  stream.on('end', () => {
    if (rest !== '') tell(rest);
    rest = '';
  });
  // A pipe whose other end breaks ends as well; the process's exit says why.
  stream.on('error', () => {});
}
