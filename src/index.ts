/**
 * rproc-gpio as a library: the service, its configuration, and the interfaces between chips and consumers.
 * @packageDocumentation
 */
export { ChipClient, LineClient } from './client/chip-client.ts';
export { Client, type ConnectOptions, connect } from './client/client.ts';
export { ControlError } from './client/control-error.ts';
export { defaultControlSocket, findControlSocket } from './client/control-socket.ts';
export { type EdgeOptions, EdgeStream } from './client/edge-stream.ts';
export { type Config, ConfigError, configJsonSchema, loadConfig, parseConfig } from './config/config.ts';
export { CoprocessorError } from './coprocessor/coprocessor-error.ts';
export { type LogLevel, Service, type ServiceOptions } from './daemon/service.ts';
export * from './gpio/chip.ts';
export { ChipLines, type ReadPolicy } from './gpio/chip-lines.ts';
export type { Line } from './gpio/line.ts';
export type { LineConsumer, LineHandle } from './gpio/line-handle.ts';
export { LineOperator, type Outcome, type OutcomeListener } from './gpio/line-operator.ts';
export { LineSelectionError, type LineSelector, selectLines } from './gpio/line-selection.ts';
export type {
  Access,
  InitialState,
  LineSettings,
  OnRelease,
  OpenOptions,
  Role,
} from './gpio/line-settings.ts';
export { GpiochipError } from './gpiochip/gpiochip-error.ts';
export type {
  ChipInfo,
  EdgeChoice,
  LineEdge,
  LineInfo,
  LineOutcome,
  ReloadReport,
  ServiceStatus,
} from './wire/control.ts';
