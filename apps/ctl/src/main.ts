import { runCommand } from './run-command.ts';
import { terminalContext } from './terminal.ts';

process.exitCode = await runCommand(process.argv.slice(2), terminalContext());
