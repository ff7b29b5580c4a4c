/**
 * What models write into answers as Markdown, shown so. markdown-it reads it; the elements are made here, of the tags
 * that are listed and with text nodes, so that nothing else can come of it.
 */

import MarkdownIt from "./markdown-it.js";
import { element } from "./dom.js";

const MOST = 50_000; // characters; what is longer is shown as it is
const TAGS = new Set("a blockquote code em hr li ol p pre s strong table tbody td th thead tr ul".split(" "));
const WITHIN_WORD = /\w\*+\w/y;

// Raw HTML is off by default, and so are links to scripts. An indented line is no code, but an indented line.
const markdown = new MarkdownIt({ breaks: true, linkify: true }).disable(["code", "image"]);
markdown.linkify.set({ fuzzyLink: false, fuzzyEmail: false });

markdown.inline.State = class extends markdown.inline.State {
  /**
   * Stars within a word are arithmetic, `2**3`, and no marks.
   *
   * @param {number} start
   * @param {boolean} canSplitWord
   */
  scanDelims(start, canSplitWord) {
    WITHIN_WORD.lastIndex = start - 1;
    return super.scanDelims(start, canSplitWord && !WITHIN_WORD.test(this.src));
  }
};

/**
 * @param {string} text
 * @returns {(Node | string)[]}
 */
export function richText(text) {
  if (text.length > MOST) return [element("p", { class: "plain" }, text)];
  const root = document.createDocumentFragment();
  build(markdown.parse(text, {}), root);
  return [...root.childNodes];
}

/**
 * @param {any[]} tokens markdown-it's.
 * @param {Node} root Gets what they stand for.
 */
function build(tokens, root) {
  let place = /** @type {any} */ (root);
  for (const token of tokens) {
    if (token.type === "inline") build(token.children, place);
    else if (token.type === "softbreak" || token.type === "hardbreak") place.append(element("br"));
    else if (token.type === "fence") place.append(element("pre", { tabindex: "0" }, element("code", {}, token.content)));
    else if (token.hidden || !tagOf(token)) place.append(token.content);
    else if (token.nesting < 0) place = place.parentNode;
    else {
      const made = element(tagOf(token), attributesOf(token), token.content);
      place.append(made);
      if (token.nesting) place = made;
    }
  }
}

/** @param {any} token */
function tagOf({ tag }) {
  if (/^h[1-6]$/.test(tag)) return "h3"; // below the question, which is an h2
  return TAGS.has(tag) ? tag : "";
}

/** @param {any} token */
function attributesOf(token) {
  if (token.tag === "ol") return { start: token.attrGet("start") };
  return token.tag === "a" ? { href: token.attrGet("href"), target: "_blank", rel: "noopener noreferrer" } : {};
}
