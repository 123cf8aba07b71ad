import { runCommand } from './run-command.ts';

process.exitCode = await runCommand(process.argv.slice(2), {
  env: process.env,
  print: (text) => { process.stdout.write(`${text}\n`); },
  printError: (text) => { process.stderr.write(`${text}\n`); },
  columns: process.stdout.isTTY ? process.stdout.columns : undefined,
});
