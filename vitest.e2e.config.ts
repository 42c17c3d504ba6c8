import { defineConfig } from 'vitest/config';

// Real guests and MCUs on two cores: one file at a time, generous limits, conditions instead of sleeps.
export default defineConfig({
  test: {
    pool: 'forks',
    fileParallelism: false,
    include: ['test/e2e/**/*.test.ts'],
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
});
