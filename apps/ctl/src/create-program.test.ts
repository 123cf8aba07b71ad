import { expect, test } from 'vitest';
import { runCommand } from './run-command.ts';

test.each([['validate-config'], ['rollout', 'config'], ['rollback', 'config'], ['status'], ['keys'], ['keys', 'generate'], ['import', 'litellm'], ['audit', 'verify'], ['train'], ['score'], ['evaluate']])('%s %s is a command with help', async (...argv) => {
  const out: string[] = [];
  expect(await runCommand([...argv, '--help'], { env: {}, columns: undefined, print: (text) => out.push(text), printError: () => undefined })).toBe(0);
  expect(out.join('\n')).toContain(`Usage: pointsman ${argv.join(' ')} `);
});

test('what is no command is refused with the nearest one', async () => {
  const errors: string[] = [];
  expect(await runCommand(['audti'], { env: {}, columns: undefined, print: () => undefined, printError: (text) => errors.push(text) })).toBe(1);
  expect(errors.join('\n')).toContain('Did you mean audit?');
});
