import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { preparePart } from './prepare-part.ts';
import { chooseParts, REAL_PARTS, type RealPart } from './real-parts.ts';

const part = (name: string, more: Partial<RealPart> = {}): RealPart => ({ name, needs: ['sh'], script: 'start.sh', limitMin: 1, tests: [], ...more });

test('every part runs unless parts are named, and a name nobody has is refused', () => {
  const names = (choice: { only?: string[]; without?: string[] }): string[] => chooseParts([part('a'), part('b'), part('c')], { only: [], without: [], ...choice }).map(({ name }) => name);
  expect(names({})).toEqual(['a', 'b', 'c']);
  expect(names({ without: ['b'] })).toEqual(['a', 'c']);
  expect(names({ only: ['c'] })).toEqual(['c']);
  expect(() => names({ without: ['d'] })).toThrow(/There is no part d: choose from a, b, c/);
  expect(new Set(REAL_PARTS.map(({ name }) => name)).size).toBe(REAL_PARTS.length);
});

test('a start script hands its variables to the tests; what is missing or fails is told, not thrown', async () => {
  await using directory = await temporaryDirectory();
  const write = async (text: string): Promise<void> => {
    await writeFile(join(directory.path, 'start.sh'), `#!/bin/sh\n${text}\n`);
    await chmod(join(directory.path, 'start.sh'), 0o755);
  };
  await write('echo building; echo THE_PART=/some/where; echo OTHER=a=b');
  expect(await preparePart(part('a'), directory.path)).toEqual({ env: { THE_PART: '/some/where', OTHER: 'a=b' } });
  await write('exit 3');
  expect(await preparePart(part('a'), directory.path)).toEqual({ problem: 'start.sh ended with 3' });
  expect(await preparePart(part('a', { needs: ['no-such-program', 'sh'] }), directory.path)).toEqual({ problem: 'needs no-such-program on PATH' });
  await write('sleep 60');
  expect(await preparePart(part('a', { limitMin: 0.002 }), directory.path)).toEqual({ problem: 'was not ready within 0.002 minutes' });
});
