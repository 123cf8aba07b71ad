/**
 * Cuts a text into the pieces that a simulated model streams and counts: a space and up to six letters, about the four characters
 * a token has in English. Joined, the pieces are the text.
 */
export function simulatedTokens(text: string): string[] {
  return text.match(/\s*[\p{L}\p{N}_]{1,6}|\s*[^\s\p{L}\p{N}_]|\s+/gu) ?? [];
}
