import { numberField, type ModelPrice } from './model-price.ts';
import { rateCards, type RateCard, type RateCards } from './rate-card.ts';
import type { CostBreakdown, PricedUsage, ServiceTier } from './usage.ts';

/** Adds up one usage. `priced` and `unpriced` say whether anything used had a price, and whether anything had none. */
interface Bill {
  inputUsd: number;
  outputUsd: number;
  cacheReadUsd: number;
  cacheCreationUsd: number;
  reasoningUsd: number;
  unitsUsd: number;
  priced: boolean;
  unpriced: boolean;
}

interface UnitRates {
  readonly perRequest: number | undefined;
  readonly perQuery: number | undefined;
  readonly perInputCharacter: number | undefined;
  readonly perOutputCharacter: number | undefined;
  readonly perInputSecond: number | undefined;
  readonly perOutputSecond: number | undefined;
  readonly perInputImage: number | undefined;
  readonly perOutputImage: number | undefined;
  readonly perInputPixel: number | undefined;
  readonly perOutputPixel: number | undefined;
  readonly perPage: number | undefined;
}

function unitRates(price: ModelPrice): UnitRates {
  return {
    perRequest: numberField(price, 'input_cost_per_request'),
    perQuery: numberField(price, 'input_cost_per_query'),
    perInputCharacter: numberField(price, 'input_cost_per_character'),
    perOutputCharacter: numberField(price, 'output_cost_per_character'),
    perInputSecond: numberField(price, 'input_cost_per_second') ?? numberField(price, 'cost_per_second'),
    perOutputSecond: numberField(price, 'output_cost_per_second'),
    perInputImage: numberField(price, 'input_cost_per_image'),
    perOutputImage: numberField(price, 'output_cost_per_image'),
    perInputPixel: numberField(price, 'input_cost_per_pixel'),
    perOutputPixel: numberField(price, 'output_cost_per_pixel'),
    perPage: numberField(price, 'ocr_cost_per_page'),
  };
}

function webSearchRate(price: ModelPrice, context: 'low' | 'medium' | 'high'): number | undefined {
  const rates = price.fields.get('search_context_cost_per_query');
  if (typeof rates !== 'object' || rates === null) return undefined;
  const rate: unknown = new Map<string, unknown>(Object.entries(rates)).get(`search_context_size_${context}`);
  return typeof rate === 'number' && rate >= 0 ? rate : undefined;
}

function cardFor(cards: RateCards, promptTokens: number): RateCard | undefined {
  let chosen = cards[0];
  for (let index = 1; index < cards.length; index += 1) {
    const card = cards[index];
    if (card === undefined || promptTokens <= card.above) break;
    chosen = card;
  }
  return chosen?.rates;
}

/** Counts of providers are taken as they come: a part that exceeds its whole never makes a negative cost. */
function rest(whole: number, parts: number): number {
  return whole > parts ? whole - parts : 0;
}

function tokenInputUsd(rates: RateCard, usage: PricedUsage): { inputUsd: number; cacheReadUsd: number; cacheCreationUsd: number } {
  const cached = usage.cachedTokens ?? 0;
  const created = usage.cacheCreationTokens ?? 0;
  const created1h = Math.min(usage.cacheCreation1hTokens ?? 0, created);
  const audio = usage.audioInputTokens ?? 0;
  const image = usage.imageInputTokens ?? 0;
  const cacheReadUsd = cached * (rates.cacheRead ?? 0);
  const cacheCreationUsd = (created - created1h) * (rates.cacheCreation ?? 0) + created1h * (rates.cacheCreation1h ?? 0);
  const text = rest(usage.promptTokens, cached + created + audio + image);
  return { inputUsd: text * (rates.input ?? 0) + cacheReadUsd + cacheCreationUsd + audio * (rates.audioInput ?? 0) + image * (rates.imageInput ?? 0), cacheReadUsd, cacheCreationUsd };
}

function tokenOutputUsd(rates: RateCard, usage: PricedUsage): { outputUsd: number; reasoningUsd: number } {
  const reasoning = usage.reasoningTokens ?? 0;
  const audio = usage.audioOutputTokens ?? 0;
  const image = usage.imageOutputTokens ?? 0;
  const reasoningUsd = reasoning * (rates.reasoning ?? 0);
  const text = rest(usage.completionTokens, reasoning + audio + image);
  return { outputUsd: text * (rates.output ?? 0) + reasoningUsd + audio * (rates.audioOutput ?? 0) + image * (rates.imageOutput ?? 0), reasoningUsd };
}

interface Compiled {
  readonly price: ModelPrice;
  readonly cards: Readonly<Record<ServiceTier, RateCards>>;
  readonly units: UnitRates;
}

function compile(price: ModelPrice): Compiled {
  return {
    price,
    cards: { default: rateCards(price, 'default'), batch: rateCards(price, 'batch'), flex: rateCards(price, 'flex'), priority: rateCards(price, 'priority') },
    units: unitRates(price),
  };
}

function addUnits({ price, units }: Compiled, usage: PricedUsage, bill: Bill): void {
  const add = (count: number | undefined, rate: number | undefined, side: 'inputUsd' | 'outputUsd'): void => {
    if (count === undefined || count <= 0) return;
    if (rate === undefined) {
      bill.unpriced = true;
      return;
    }
    bill.priced = true;
    bill[side] += count * rate;
    bill.unitsUsd += count * rate;
  };
  if (units.perRequest !== undefined) add(1, units.perRequest, 'inputUsd');
  add(usage.queries, units.perQuery, 'inputUsd');
  if (usage.webSearches !== undefined) add(usage.webSearches, webSearchRate(price, usage.webSearchContext ?? 'medium'), 'inputUsd');
  add(usage.inputCharacters, units.perInputCharacter, 'inputUsd');
  add(usage.outputCharacters, units.perOutputCharacter, 'outputUsd');
  add(usage.inputSeconds, units.perInputSecond, 'inputUsd');
  add(usage.outputSeconds, (usage.videoResolution === undefined ? undefined : numberField(price, `output_cost_per_second_${usage.videoResolution}`)) ?? units.perOutputSecond, 'outputUsd');
  add(usage.inputImages, units.perInputImage, 'inputUsd');
  add(usage.outputImages, units.perOutputImage, 'outputUsd');
  add(usage.inputPixels, units.perInputPixel, 'inputUsd');
  add(usage.outputPixels, units.perOutputPixel, 'outputUsd');
  add(usage.pages, units.perPage, 'inputUsd');
}

function bill(compiled: Compiled, usage: PricedUsage): Bill {
  const result: Bill = { inputUsd: 0, outputUsd: 0, cacheReadUsd: 0, cacheCreationUsd: 0, reasoningUsd: 0, unitsUsd: 0, priced: false, unpriced: false };
  const rates = cardFor(compiled.cards[usage.serviceTier ?? 'default'], usage.promptTokens);
  if (usage.promptTokens > 0) {
    if (rates === undefined || (rates.input === undefined && rates.audioInput === undefined && rates.imageInput === undefined)) result.unpriced = true;
    else {
      result.priced = true;
      const { inputUsd, cacheReadUsd, cacheCreationUsd } = tokenInputUsd(rates, usage);
      result.inputUsd += inputUsd;
      result.cacheReadUsd += cacheReadUsd;
      result.cacheCreationUsd += cacheCreationUsd;
    }
  }
  if (usage.completionTokens > 0) {
    if (rates === undefined || (rates.output === undefined && rates.audioOutput === undefined && rates.imageOutput === undefined)) result.unpriced = true;
    else {
      result.priced = true;
      const { outputUsd, reasoningUsd } = tokenOutputUsd(rates, usage);
      result.outputUsd += outputUsd;
      result.reasoningUsd += reasoningUsd;
    }
  }
  addUnits(compiled, usage, result);
  return result;
}

/**
 * What a call cost, or undefined when nothing that it used has a price. Rules, as in LiteLLM's map:
 * - Cached, cache-written, audio and image tokens are parts of the prompt and are taken out of it before the rest is priced; reasoning, audio and image tokens likewise out of the completion.
 * - `*_above_Nk_tokens`: a prompt of more than N thousand tokens changes the price of every token of the request, output included.
 * - `tiered_pricing`: the tier of the whole prompt prices every token of the request.
 * - `batch`, `flex`, `priority`: `*_batches`, `*_flex`, `*_priority`, else the plain price; a batch without a price of its own costs half.
 * - A cache or reasoning price that is not named is that of the prompt or the completion, never nothing.
 */
export function costUsd(price: ModelPrice | undefined, usage: PricedUsage): CostBreakdown | undefined {
  if (price === undefined) return undefined;
  const { inputUsd, outputUsd, cacheReadUsd, cacheCreationUsd, reasoningUsd, unitsUsd, priced, unpriced } = bill(compile(price), usage);
  if (unpriced && !priced) return undefined;
  return { totalUsd: inputUsd + outputUsd, inputUsd, outputUsd, cacheReadUsd, cacheCreationUsd, reasoningUsd, unitsUsd };
}

/** `costUsd` prepared once per deployment: returns the total in USD; what has no price counts as 0. */
export function compileCost(price: ModelPrice): (usage: PricedUsage) => number {
  const compiled = compile(price);
  return (usage) => {
    const { inputUsd, outputUsd } = bill(compiled, usage);
    return inputUsd + outputUsd;
  };
}
