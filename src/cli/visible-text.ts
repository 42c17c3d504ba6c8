/**
 * A name as it can be printed: control characters, which firmware may have put there, become `\xNN`, so that no name moves
 * the cursor of a terminal or begins a new line of output.
 */
export function visible(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (character) => {
    const digits = character.charCodeAt(0).toString(16);
    return digits.length > 2 ? `\\u${digits}` : `\\x${digits.padStart(2, '0')}`;
  });
}

/**
 * A message as it can be logged: as {@link visible}, but tabs stay, and further lines are indented, so that nothing that a
 * firmware prints or a broker says begins a record of its own.
 */
export function loggable(message: string): string {
  return message
    .split('\n')
    .map((line) => line.split('\t').map(visible).join('\t'))
    .join('\n    ');
}

/** JSON as it can be printed: JSON itself leaves DEL and the controls from U+0080 on as they are. */
export function visibleJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\u007f-\u009f]/g,
    (character) => `\\u00${character.charCodeAt(0).toString(16)}`,
  );
}
