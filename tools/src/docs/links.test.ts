import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const root = new URL('../../../', import.meta.url);
const pages = ['README.md', 'CONTRIBUTING.md', ...readdirSync(new URL('docs', root)).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)];

function anchorsOf(text: string): Set<string> {
  return new Set([...text.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) => title.toLowerCase().replaceAll(/[^\w\s-]/g, '').trim().replaceAll(/\s/g, '-')));
}

test.each(pages)('every link of %s to a file or a heading of this repository leads somewhere', (page) => {
  const text = readFileSync(new URL(page, root), 'utf8');
  const links = [...text.matchAll(/(?:\]\(|src=")([^)"\s]+)/g)].map(([, target = '']) => target).filter((target) => !/^[a-z]+:/.test(target));
  const broken = links.filter((target) => {
    const [path = '', anchor] = target.split('#', 2);
    const file = path === '' ? new URL(page, root) : new URL(path, new URL(page, root));
    // Written by a full bench run, which a fresh clone has not made.
    if (file.pathname.endsWith('/docs/benchmarks.md')) return false;
    if (!existsSync(file)) return true;
    return anchor !== undefined && !anchorsOf(readFileSync(file, 'utf8')).has(anchor);
  });
  expect(broken).toEqual([]);
});
