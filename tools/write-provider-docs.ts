import { readFileSync, writeFileSync } from 'node:fs';
import { withProviderTables } from './src/docs/provider-table.ts';

/** Writes the tables of `docs/providers.md` from the catalogue of libs/providers. */
const page = new URL('../docs/providers.md', import.meta.url);
writeFileSync(page, withProviderTables(readFileSync(page, 'utf8')));
