/**
 * `text.charCodeAt(index)`, for loops over the characters of texts of every origin. V8 looks a method of a string up by how the string is represented, and
 * literals, slices, ropes and what a parser made are more representations than its caches tell apart: as a method it costs a look-up per character,
 * as a function a few instructions.
 */
export const codeAt = Function.prototype.call.bind(String.prototype.charCodeAt) as (text: string, index: number) => number;
