import nx from '@nx/eslint-plugin';
import tseslint from 'typescript-eslint';

const only = (sourceTag, ...tags) => ({ sourceTag, onlyDependOnLibsWithTags: tags });

/** A package that may be imported in one room only, with the reason a reader sees. */
const rooms = [
  { names: ['express'], allow: ['apps/gateway/src/http/**', 'apps/gateway/src/endpoints/**', 'apps/bench/**'], why: 'express lives in the gateway http room.' },
  { names: ['ioredis'], allow: ['libs/redis/**'], why: 'ioredis lives in libs/redis.' },
  { names: ['redlock'], allow: ['libs/locking/**'], why: 'redlock lives in libs/locking.' },
  { names: ['kysely', 'pg', '@electric-sql/pglite'], allow: ['libs/database/**'], why: 'SQL lives in libs/database.' },
  { names: ['onnxruntime-node'], allow: ['libs/routing/src/onnx/**'], why: 'ONNX lives in libs/routing/src/onnx.' },
  { names: ['prom-client'], allow: ['libs/telemetry/**'], why: 'Metrics are created in libs/telemetry.' },
];
const scopes = [
  { group: ['@aws-sdk/*'], allow: ['libs/object-store/**', 'libs/providers/**'], why: '@aws-sdk lives in libs/object-store.' },
  { group: ['@ai-sdk/*'], allow: ['libs/providers/**'], why: '@ai-sdk lives in libs/providers.' },
  { group: ['@opentelemetry/*'], allow: ['libs/telemetry/**'], why: 'OpenTelemetry lives in libs/telemetry.' },
];
const walls = (file) => ({
  paths: rooms.filter((room) => !room.allow.some((glob) => glob === file)).flatMap((room) => room.names.map((name) => ({ name, message: room.why }))),
  patterns: scopes.filter((scope) => !scope.allow.some((glob) => glob === file)).map(({ group, why }) => ({ group, message: why })),
});
const roomGlobs = [...new Set([...rooms, ...scopes].flatMap((room) => room.allow))];

export default tseslint.config(
  { ignores: ['**/dist/**', '**/node_modules/**', '**/test-results/**', '.nx/**', '.pointsman/**'] },
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.recommended],
    plugins: { '@nx': nx },
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@nx/enforce-module-boundaries': ['error', {
        banTransitiveDependencies: true,
        depConstraints: [
          only('layer:base', 'layer:base'),
          only('layer:adapter', 'layer:base', 'layer:adapter'),
          only('layer:domain', 'layer:base', 'layer:adapter', 'layer:domain'),
          only('layer:app', 'layer:base', 'layer:adapter', 'layer:domain'),
          only('layer:test', 'layer:base', 'layer:adapter', 'layer:domain', 'layer:test'),
        ],
      }],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: { arguments: false } }],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      'no-restricted-imports': ['error', walls(undefined)],
      'no-console': 'error',
      eqeqeq: 'error',
    },
  },
  ...roomGlobs.map((glob) => ({ files: [glob.endsWith('**') ? `${glob}/*.ts` : glob], rules: { 'no-restricted-imports': ['error', walls(glob)] } })),
  {
    // Domain code takes a clock and a random source, so that a test decides what time it is.
    files: ['libs/routing/src/**/*.ts', 'libs/resilience/src/**/*.ts', 'libs/gateway-config/src/**/*.ts', 'libs/wire-formats/src/**/*.ts', 'libs/pricing/src/**/*.ts'],
    ignores: ['**/*.test.ts'],
    rules: {
      'no-restricted-properties': ['error',
        { object: 'Date', property: 'now', message: 'Take a Clock.' },
        { object: 'Math', property: 'random', message: 'Take a random source.' },
        { object: 'process', property: 'env', message: 'Environment is read in settings.ts of an app.' },
      ],
    },
  },
  {
    files: ['libs/**/*.ts', 'apps/**/*.ts'],
    ignores: ['libs/service/**', 'libs/testing/**', 'apps/bench/**', 'apps/system-tests/**', '**/*.test.ts'],
    rules: { 'no-restricted-syntax': ['error', { selector: "CallExpression[callee.object.name='process'][callee.property.name='exit']", message: 'Only libs/service ends the process.' }] },
  },
  {
    // Tests, what they share, tools and system tests may use the test layer and print.
    files: ['**/*.test.ts', '**/*.conformance.ts', '**/*.fixture.ts', 'apps/system-tests/**/*.ts', 'apps/bench/**/*.ts', 'tools/**/*.ts', 'apps/ctl/**/*.ts'],
    rules: {
      '@nx/enforce-module-boundaries': ['error', { depConstraints: [{ sourceTag: '*', onlyDependOnLibsWithTags: ['*'] }] }],
      'no-console': 'off',
    },
  },
);
