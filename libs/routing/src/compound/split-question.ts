/** Longer parts are texts to work on, not questions. */
const MAX_PART = 2_000;
/** Longer questions are documents: nothing in them is taken for a list of questions. */
const MAX_QUESTION = 12_000;
const MIN_PART = 8;
const MARK = /^\s{0,8}(?:\(?\d{1,2}[.)]|\(?[a-h]\)|[-*•])\s+(\S.*)$/i;
/** "A. Paris" is a choice among answers, not a question. */
const CHOICE = /^\s{0,8}\(?[A-E][.)]\s/;

/**
 * The questions that a prompt puts one after another: the points of a list (with what stands before it in front of each), or two and more sentences that end in a
 * question mark. [] where it is one question. Linear in the length of the prompt.
 */
export function splitQuestion(prompt: string, maxParts: number): readonly string[] {
  if (prompt.length > MAX_QUESTION) return [];
  const listed = listParts(prompt.split('\n'));
  const parts = listed.length >= 2 ? listed : sentenceParts(prompt);
  return parts.length >= 2 && parts.length <= maxParts && parts.every((part) => part.length <= MAX_PART) ? parts : [];
}

function listParts(lines: readonly string[]): string[] {
  const first = lines.findIndex((line) => MARK.test(line));
  if (first === -1 || lines.some((line) => CHOICE.test(line))) return [];
  const lead = lines.slice(0, first).join('\n').trim();
  const points: string[] = [];
  for (const line of lines.slice(first)) {
    const point = MARK.exec(line)?.[1];
    if (point !== undefined) points.push(point.trim());
    else if (line.trim() === '') continue;
    else if (/^\s/.test(line) && points.length > 0) points.push(`${points.pop() ?? ''} ${line.trim()}`);
    else return []; // text behind the list: what it asks for is about all of it
  }
  // A list of facts before one question is no list of questions.
  if (!points.every((point) => point.length >= MIN_PART) || !(lead === '' || /[:?]$/.test(lead)) || !points.some((point) => point.endsWith('?') || IMPERATIVE.test(point))) return [];
  return points.map((point) => (lead === '' ? point : `${lead}\n${point}`));
}

const IMPERATIVE = /^(?:what|who|when|where|why|how|which|is|are|do|does|can|explain|describe|name|list|compute|calculate|find|give|write|translate|summari[sz]e|compare|define)\b/i;

function sentenceParts(prompt: string): string[] {
  const sentences = prompt.split(/(?<=[.?!])\s+/).map((sentence) => sentence.trim()).filter((sentence) => sentence !== '');
  const questions = sentences.filter((sentence) => sentence.endsWith('?') && sentence.length >= MIN_PART);
  if (questions.length < 2) return [];
  const facts = sentences.filter((sentence) => !sentence.endsWith('?')).join(' ');
  return questions.map((question) => (facts === '' ? question : `${facts}\n${question}`));
}
