import { Command } from 'commander';
import type { AddCommand, CommandContext } from './command-context.ts';
import { addAudit } from './commands/audit.ts';
import { addEvaluate } from './commands/evaluate.ts';
import { addGate } from './commands/gate.ts';
import { addImport } from './commands/import.ts';
import { addKeys } from './commands/keys.ts';
import { addRegister } from './commands/register.ts';
import { addRollbackModel } from './commands/rollback-model.ts';
import { addRollback } from './commands/rollback.ts';
import { addRolloutModel } from './commands/rollout-model.ts';
import { addRollout } from './commands/rollout.ts';
import { addScore } from './commands/score.ts';
import { addSignModel } from './commands/sign-model.ts';
import { addStatus } from './commands/status.ts';
import { addTrain } from './commands/train.ts';
import { addValidateConfig } from './commands/validate-config.ts';

const COMMANDS: readonly AddCommand[] = [addValidateConfig, addRollout, addRolloutModel, addRollback, addRollbackModel, addStatus, addKeys, addImport, addAudit, addTrain, addScore, addEvaluate, addGate, addSignModel, addRegister];

/** The `pointsman` command line. Throws commander's `CommanderError` instead of ending the process. */
export function createProgram(context: CommandContext): Command {
  const program = new Command('pointsman')
    .description('Operates a Pointsman LLM gateway.')
    .showHelpAfterError('(add --help for what is possible)')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => { context.print(text.trimEnd()); },
      writeErr: (text) => { context.printError(text.trimEnd()); },
      getOutHelpWidth: () => context.columns ?? 100,
      getErrHelpWidth: () => context.columns ?? 100,
    });
  for (const addCommand of COMMANDS) addCommand(program, context);
  for (const command of program.commands) command.copyInheritedSettings(program);
  return program;
}
