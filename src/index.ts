/**
 * rproc-gpio as a library: the service, its configuration, and the interfaces between chips and consumers.
 * @packageDocumentation
 */
export { type Config, ConfigError, configJsonSchema, loadConfig, parseConfig } from './config/config.ts';
export { CoprocessorError } from './coprocessor/coprocessor-error.ts';
export { type LogLevel, Service, type ServiceOptions } from './daemon/service.ts';
export * from './gpio/chip.ts';
export { ChipLines, type ReadPolicy } from './gpio/chip-lines.ts';
export type { Line } from './gpio/line.ts';
export type { Access, LineConsumer, LineHandle } from './gpio/line-handle.ts';
export { LineSelectionError, type LineSelector, selectLines } from './gpio/line-selection.ts';
