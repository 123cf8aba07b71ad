import { defineConfig } from 'vitest/config';
import base from '../../../../vitest.config.ts';

/** Tests on parts that npm and apt do not bring; `npm run test:real` makes the parts ready and names them in the environment. */
export default defineConfig({
  test: {
    ...base.test,
    include: ['src/real/**/*.real-test.ts'],
    testTimeout: 120_000,
    fileParallelism: false,
    outputFile: { json: 'test-results/real.json' },
  },
});
