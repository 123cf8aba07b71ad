import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { configJsonSchema } from './config-json-schema.ts';
import { configReferenceTables } from './config-reference.ts';
import { generalSettingsShape, litellmSettingsShape, modelEntryShape, modelParamsShape, routerSettingsShape } from './config-schema.ts';

const root = new URL('../../../', import.meta.url);
const STALE = 'run "node tools/write-config-schema.ts" with the Node of node_modules/.bin';

test('the committed config.schema.json is what the schemas say', () => {
  expect(JSON.parse(readFileSync(new URL('config.schema.json', root), 'utf8')), STALE).toEqual(JSON.parse(JSON.stringify(configJsonSchema())));
});

test('the tables of docs/configuration.md are what the schemas say', () => {
  expect(readFileSync(new URL('docs/configuration.md', root), 'utf8'), STALE).toContain(configReferenceTables());
});

test('every honoured key has a description, and editors show it with its default', () => {
  for (const [key, schema] of Object.entries({ ...routerSettingsShape, ...litellmSettingsShape, ...generalSettingsShape, ...modelParamsShape, ...modelEntryShape })) {
    expect(schema.meta()?.description, key).toMatch(/\.$/);
  }
  expect(configJsonSchema()).toMatchObject({ properties: { router_settings: { properties: { num_retries: { default: 2, description: expect.stringContaining('Retries') as string } } } } });
});
