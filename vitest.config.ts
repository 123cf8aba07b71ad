import { defineConfig } from 'vitest/config';

/** One configuration for every project: `vitest run` is started in the project's own folder. */
export default defineConfig({
  test: {
    root: process.cwd(),
    include: ['src/**/*.test.ts'],
    // Processes, not threads: tests start servers and native addons and must not share signals or env.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    reporters: process.env['CI'] === undefined ? ['default', 'json'] : ['dot', 'json'],
    outputFile: { json: 'test-results/results.json' },
    passWithNoTests: false,
  },
});
