import { UsageError } from './command.ts';

/**
 * The number that an option was given.
 * @param prefix of the number in the option, for the message
 * @throws UsageError when it is none, or out of range
 */
export function wholeNumber(option: string, text: string, least: number, most: number, prefix = ''): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > most) {
    throw new UsageError(`${option}=${prefix}${text}: a whole number from ${least} to ${most} is needed`);
  }
  return value;
}
