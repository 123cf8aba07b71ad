import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { parseRssBytes, parseStat, readProcessTree, treeOf } from './process-tree.ts';

const stat = (pid: number, name: string, parent: number, times: readonly number[]): string =>
  `${pid} (${name}) S ${parent} ${pid} ${pid} 0 -1 4194560 1 2 3 4 ${times.join(' ')} 20 0 11 0 123 1000 50 18446744073709551615`;

test('CPU ticks are user and system time with that of children that were waited for', () => {
  expect(parseStat(stat(42, 'node', 7, [100, 20, 3, 4]))).toEqual({ pid: 42, parentPid: 7, cpuTicks: 127 });
});

test('a process name with spaces and parentheses does not shift the fields', () => {
  expect(parseStat(stat(42, 'a) S 1 (b', 7, [1, 2, 0, 0]))).toEqual({ pid: 42, parentPid: 7, cpuTicks: 3 });
});

test('a line that is no stat line is refused', () => {
  expect(() => parseStat('')).toThrow('Not a /proc/PID/stat line.');
  expect(() => parseStat('1 (node) S')).toThrow('Not a /proc/PID/stat line.');
});

test('a tree holds the root and all descendants and nobody else', () => {
  const stats = [
    { pid: 1, parentPid: 0, cpuTicks: 1 },
    { pid: 10, parentPid: 1, cpuTicks: 2 },
    { pid: 12, parentPid: 11, cpuTicks: 4 },
    { pid: 11, parentPid: 10, cpuTicks: 8 },
    { pid: 20, parentPid: 1, cpuTicks: 16 },
  ];
  expect(treeOf(stats, 10).map(({ pid }) => pid).toSorted()).toEqual([10, 11, 12]);
});

test('the resident set is read in bytes, and is 0 for a process without memory', () => {
  expect(parseRssBytes('Name:\tnode\nVmRSS:\t    1592 kB\nThreads:\t1\n')).toBe(1592 * 1024);
  expect(parseRssBytes('Name:\tnode\nState:\tZ (zombie)\n')).toBe(0);
});

test('a child of a running process counts to its tree', async () => {
  // A shell gives its background children an empty stdin unless told otherwise.
  const shell = spawn('/bin/sh', ['-c', 'exec 3<&0; cat <&3 & echo ready; wait'], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(shell.stdout, 'data');
  const usage = await readProcessTree(shell.pid ?? 0);
  expect(usage.processes).toBe(2);
  expect(usage.rssBytes).toBeGreaterThan(0);
  const ended = once(shell, 'exit');
  shell.stdin.end();
  await ended;
  expect((await readProcessTree(shell.pid ?? 0)).processes).toBe(0);
});
