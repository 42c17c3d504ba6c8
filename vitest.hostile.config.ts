import { defineConfig } from 'vitest/config';

// Whole services under attack on two cores: one file at a time, generous limits, conditions instead of sleeps.
export default defineConfig({
  test: {
    pool: 'forks',
    fileParallelism: false,
    include: ['test/hostile/**/*.test.ts'],
    testTimeout: 900_000,
    hookTimeout: 180_000,
  },
});
