/** The marks that models put into answers: **bold**, `code` and lists. Made of text nodes, like everything else. */

import { element } from "./dom.js";

const MARKS = /(?<!\w)\*\*(?=\S)(.+?)(?<=\S)\*\*(?!\w)|`([^`]+)`/g;

/**
 * @param {string} text
 * @returns {(Node | string)[]}
 */
export function richText(text) {
  const made = [];
  // Lists, and what stands between them.
  for (const [index, part] of text.split(/((?:^[ \t]*[-*] .*(?:\n|$))+)/m).entries()) {
    if (index % 2) made.push(element("ul", {}, ...part.trimEnd().split("\n").map(item)));
    else if (part.trim()) made.push(...inLine(index ? part.trim() : part.trimEnd()));
  }
  return made;
}

/** @param {string} line */
function item(line) {
  return element("li", {}, ...inLine(line.replace(/^\s*[-*] /, "")));
}

/** @param {string} text */
function inLine(text) {
  const made = [];
  let end = 0;
  for (const { 0: all, 1: bold, 2: code, index } of text.matchAll(MARKS)) {
    made.push(text.slice(end, index), bold ? element("strong", {}, bold) : element("code", {}, code));
    end = index + all.length;
  }
  return [...made, text.slice(end)];
}
