import { readFileSync, writeFileSync } from 'node:fs';
import { configJsonSchema, configReferenceTables } from '@pointsman/gateway-config';

/** Writes `config.schema.json` and the tables of `docs/configuration.md` from the schemas of libs/gateway-config. */
const root = new URL('../', import.meta.url);
const START = '<!-- reference: written by tools/write-config-schema.ts -->';
const END = '<!-- end of reference -->';

writeFileSync(new URL('config.schema.json', root), `${JSON.stringify(configJsonSchema(), undefined, 2)}\n`);

const docs = new URL('docs/configuration.md', root);
const text = readFileSync(docs, 'utf8');
const from = text.indexOf(START);
const to = text.indexOf(END);
if (from < 0 || to < from) throw new Error(`docs/configuration.md needs the lines "${START}" and "${END}"`);
writeFileSync(docs, `${text.slice(0, from + START.length)}\n\n${configReferenceTables()}\n${text.slice(to)}`);
