import { defineConfig } from 'vitest/config';

/**
 * Tests on parts that npm and apt do not bring; `npm run test:real` makes the parts ready and names them in the environment.
 * Apart from `vitest.config.ts` at the root, so that `npm test` never finds these files.
 */
export default defineConfig({
  test: {
    root: process.cwd(),
    include: ['src/real/**/*.real-test.ts'],
    pool: 'forks',
    // Each file starts servers of its own: one at a time leaves them the machine.
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 60_000,
    reporters: process.env['CI'] === undefined ? ['default', 'json'] : ['dot', 'json'],
    outputFile: { json: 'test-results/real.json' },
    passWithNoTests: false,
  },
});
