import { defineConfig } from 'vitest/config';

// ffi-napi ends the process when it is loaded in a worker thread: tests run in child processes.
export default defineConfig({
  test: {
    pool: 'forks',
    include: ['test/**/*.test.ts'],
    exclude: ['test/e2e/**', 'test/hostile/**'],
    testTimeout: 20_000,
    coverage: { include: ['src/**'], reporter: ['text-summary', 'json-summary'] },
  },
});
