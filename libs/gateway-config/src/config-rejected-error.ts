import { AppError } from '@pointsman/errors';
import type { ConfigProblem } from './gateway-config.ts';

/** Problems after the first so many are counted, not listed: a wrong file should explain itself, not fill a log. */
const MOST_LISTED = 100;

/** A configuration that must not be served. Lists every problem found, and the warnings that were found on the way. */
export class ConfigRejectedError extends AppError {
  readonly problems: readonly ConfigProblem[];
  readonly warnings: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[], warnings: readonly ConfigProblem[] = []) {
    const listed = problems.slice(0, MOST_LISTED);
    const more = problems.length - listed.length;
    super(
      'invalid_request',
      'config_rejected',
      `The configuration has ${problems.length === 1 ? '1 problem' : `${String(problems.length)} problems`}: ${listed.map(describeProblem).join('; ')}${more > 0 ? `; and ${String(more)} more` : ''}`,
      { details: { problems: listed.length } },
    );
    this.name = 'ConfigRejectedError';
    this.problems = problems;
    this.warnings = warnings;
  }
}

/** One line for a log: `config.yaml:12:7 model_list[2].litellm_params.api_bse: not a key that … (did you mean "api_base"?)`. */
export function describeProblem(problem: ConfigProblem): string {
  const place = problem.line === undefined ? '' : `${problem.file ?? 'config'}:${String(problem.line)}:${String(problem.column ?? 1)} `;
  const suggestion = problem.suggestion === undefined ? '' : ` (did you mean "${problem.suggestion}"?)`;
  return `${place}${problem.path === '' ? '' : `${problem.path}: `}${problem.message}${suggestion}`;
}
