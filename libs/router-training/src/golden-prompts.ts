import { seededRandom } from '@pointsman/routing';

const OPENINGS = ['What is the', 'Explain the', 'Which of the following is the', 'Give an example of the', 'Compute the', 'Write a function for the', 'Prove the', 'Translate the', 'List every', 'Why is the'];
const SUBJECTS = ['capital of a country', 'derivative of a function', 'cause of inflation', 'sum of two numbers', 'structure of a cell', 'law of supply and demand', 'meaning of a proverb', 'length of a river', 'sorting of a list', 'rights of a tenant'];
const ENDINGS = ['?', ' in one sentence.', ' step by step.', '?\nA. the first\nB. the second\nC. both\nD. none of them\nAnswer:', ' with 3 examples and 12 words each.', ' in Python.', ', and show why it is NOT the other way round.'];

/** Made-up prompts of different kinds for golden rows: nobody's texts, the same for a seed. */
export function goldenPrompts(count: number, seed: number): string[] {
  const random = seededRandom(seed);
  const pick = (words: readonly string[]): string => words[Math.floor(random() * words.length)]!;
  return Array.from({ length: count }, () => `${pick(OPENINGS)} ${pick(SUBJECTS)}${pick(ENDINGS)}`);
}
