import { readFileSync } from 'node:fs';
import { providerCatalog, providerIds, unservedProviderIds } from '@pointsman/providers';
import { expect, test } from 'vitest';
import { providerTables, withProviderTables } from './provider-table.ts';

test('docs/providers.md says what the catalogue says (node tools/write-provider-docs.ts writes it)', () => {
  const page = readFileSync(new URL('../../../docs/providers.md', import.meta.url), 'utf8');
  expect(withProviderTables(page)).toBe(page);
});

test('every provider of the catalogue has exactly one row or is named as not served, and every other name is listed', () => {
  const text = providerTables();
  const [served = ''] = text.split('## Known differences');
  const [, rest = ''] = text.split('## Known and not served');
  for (const { id } of providerCatalog.entries) {
    const rows = served.split('\n').filter((line) => line.startsWith(`| \`${id}\` |`));
    expect({ id, rows: rows.length, named: rest.includes(`\`${id}\``) }).toEqual(
      unservedProviderIds.includes(id) ? { id, rows: 0, named: true } : { id, rows: 1, named: false },
    );
  }
  for (const id of providerIds.filter((known) => known !== 'simulated')) expect(text).toContain(`| \`${id}\` |`);
});

test('a page without the marks is refused rather than overwritten', () => {
  expect(() => withProviderTables('# Providers\n')).toThrow('needs the lines');
});
