import { sql, type RawBuilder } from 'kysely';
import type { Connections, Session } from '../connections.ts';
import { nextBudgetReset } from '../next-budget-reset.ts';
import type { ModelBudgets } from '../rows.ts';
import { keys, tableOf, teams, users, type Entity } from './entities.ts';
import { pruneJournal } from './changes-since.ts';

const BATCH = 500;

interface Due {
  readonly id: string;
  readonly budget_duration: string | null;
  readonly budget_reset_at: Date;
}

/** See AccessStore.resetDueBudgets. Short transactions of a few hundred rows: nobody who records spend waits long. */
export async function resetDueBudgets(connections: Connections, now: Date, signal: AbortSignal | undefined): Promise<number> {
  let reset = 0;
  for (const entity of [keys, teams, users] as readonly Entity<object>[]) {
    for (let full = true; full; ) {
      const done = await connections.transaction((session) => resetRows(session, entity, now), { signal });
      reset += done;
      full = done === BATCH;
    }
  }
  for (const [scope, entity] of [['key', keys], ['team', teams]] as const) {
    await startModelPeriods(connections, { scope, entity: entity as Entity<object>, now, signal });
    for (let full = true; full; ) full = await connections.transaction((session) => resetModels(session, { scope, entity: entity as Entity<object>, now }), { signal }) === BATCH;
  }
  await connections.run(pruneJournal(), { signal });
  return reset;
}

async function resetRows(session: Session, entity: Entity<object>, now: Date): Promise<number> {
  const id = sql.ref(entity.id);
  // Whoever waits here for another replica's reset finds the date moved on, and the row is not due any more.
  const due = await session.run(sql<Due>`SELECT ${id} AS id, budget_duration, budget_reset_at FROM ${tableOf(entity)} WHERE budget_reset_at <= ${now} ORDER BY ${id} LIMIT ${BATCH} FOR NO KEY UPDATE`);
  if (due.length === 0) return 0;
  await session.run(sql`UPDATE ${tableOf(entity)} t SET spend = 0, period_start = p.start, budget_reset_at = p.next
    FROM ${periods(due.map((row) => ({ id: row.id, ...periodAround(row.budget_duration, row.budget_reset_at, now) })))} WHERE t.${id} = p.id`);
  return due.length;
}

interface ModelTask {
  readonly scope: 'key' | 'team';
  readonly entity: Entity<object>;
  readonly now: Date;
}

/** A model with a budget of its own has no period until something was spent on it, or until its budget was given one. */
async function startModelPeriods(connections: Connections, { scope, entity, now, signal }: ModelTask & { readonly signal: AbortSignal | undefined }): Promise<void> {
  const without = await connections.run(sql<{ id: string; model: string; budgets: ModelBudgets }>`
    SELECT m.id, m.model, o.model_max_budget AS budgets FROM pointsman.model_spend m JOIN ${tableOf(entity)} o ON o.${sql.ref(entity.id)} = m.id
    WHERE m.scope = ${scope} AND m.reset_at IS NULL AND o.model_max_budget -> m.model ->> 'budget_duration' IS NOT NULL ORDER BY m.id, m.model LIMIT 10000`, { signal });
  for (const { id, model, budgets } of without) {
    const duration = Object.hasOwn(budgets, model) ? budgets[model]?.budget_duration ?? null : null;
    const next = safeNext(duration, now);
    if (next === null) continue;
    await connections.run(sql`UPDATE pointsman.model_spend SET reset_at = ${next}, period_start = coalesce(period_start, ${now})
      WHERE scope = ${scope} AND id = ${id} AND model = ${model} AND reset_at IS NULL`, { signal });
  }
}

async function resetModels(session: Session, { scope, entity, now }: ModelTask): Promise<number> {
  const due = await session.run(sql<{ id: string; model: string; reset_at: Date; budgets: ModelBudgets | null }>`
    SELECT m.id, m.model, m.reset_at, (SELECT o.model_max_budget FROM ${tableOf(entity)} o WHERE o.${sql.ref(entity.id)} = m.id) AS budgets
    FROM pointsman.model_spend m WHERE m.scope = ${scope} AND m.reset_at <= ${now} ORDER BY m.id, m.model LIMIT ${BATCH} FOR NO KEY UPDATE`);
  if (due.length === 0) return 0;
  const rows = due.map(({ id, model, reset_at, budgets }) => {
    const duration = budgets !== null && Object.hasOwn(budgets, model) ? budgets[model]?.budget_duration ?? null : null;
    return { id, model, ...periodAround(duration, reset_at, now) };
  });
  await session.run(sql`UPDATE pointsman.model_spend t SET spend = 0, period_start = p.start, reset_at = p.next FROM ${periods(rows)} WHERE t.scope = ${scope} AND t.id = p.id AND t.model = p.model`);
  return due.length;
}

/** The period that `now` lies in, counted on from the end of the one that is over: a reset that comes late shortens no period. */
function periodAround(duration: string | null, end: Date, now: Date): { start: Date; next: Date | null } {
  let start = end;
  let next = safeNext(duration, start);
  if (next !== null && next <= now) {
    // Those on a clock or calendar have one answer for any moment; days in other numbers count on from where they stood, which is few steps.
    const shortMs = 86_400_000;
    if (next.getTime() - start.getTime() <= shortMs) {
      const lengthMs = next.getTime() - start.getTime();
      start = new Date(now.getTime() - (now.getTime() - start.getTime()) % lengthMs);
      next = safeNext(duration, now);
    }
    while (next !== null && next <= now) {
      start = next;
      next = safeNext(duration, start);
    }
  }
  return { start, next };
}

/** No duration, or one that an older version let in and nobody understands: then it is never due again, rather than in every round. */
function safeNext(duration: string | null, from: Date): Date | null {
  if (duration === null) return null;
  try {
    return nextBudgetReset(duration, from);
  } catch {
    return null;
  }
}

function periods(rows: readonly { readonly id: string; readonly model?: string; readonly start: Date; readonly next: Date | null }[]): RawBuilder<unknown> {
  return sql`jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) AS p(id text, model text, start timestamptz, next timestamptz)`;
}
