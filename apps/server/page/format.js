/** Numbers and calls, as people read them. */

/**
 * @param {number} value Seconds.
 * @returns {string} `0.15 s`, `12.3 s`, `2 min 5 s`.
 */
export function seconds(value) {
  if (value < 0.9995) return `${value.toFixed(value < 0.0995 ? 3 : 2)} s`;
  if (value < 60) return `${value.toFixed(value < 9.95 ? 2 : 1)} s`;
  const whole = Math.round(value);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/**
 * @param {number} value
 * @returns {string} `12,345`.
 */
export function count(value) {
  return value.toLocaleString("en");
}

/**
 * @param {number} number
 * @param {string} noun
 * @returns {string} `1 task`, `2 tasks`.
 */
export function plural(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

const LONG_DECIMAL = /(?:(?<![\w.,:/])|(?<=":)|(?<=\d{9},))-?(?=[\d.]{16,40}(?![\w.]))\d{1,15}\.\d{1,38}(?![\w.])/g;

/**
 * A text with the numbers in it that only a computer writes, 9910.880000000001, as people do: as `for_people` in
 * `agent.language.values`.
 *
 * @param {string} text
 * @returns {string} `9910.88`.
 */
export function readable(text) {
  return text.replace(LONG_DECIMAL, (number) => {
    const value = Number(number);
    const size = Math.abs(value);
    const digits = size < 1 ? { maximumSignificantDigits: 3 } : { maximumFractionDigits: 2 };
    return value.toLocaleString("en", { ...digits, useGrouping: size >= 10_000 });
  });
}

/**
 * A value on one line.
 *
 * @param {any} value
 * @returns {string}
 */
export function inline(value) {
  return (JSON.stringify(value) ?? String(value)).replace(/,"/g, ', "').replace(/":/g, '": ');
}

/**
 * A call's arguments on one line, without their names.
 *
 * @param {Record<string, any>} args
 * @returns {string}
 */
export function preview(args) {
  return Object.values(args).map(inline).join(", ");
}

/**
 * A value as text on as many lines as it takes.
 *
 * @param {any} value
 * @returns {string}
 */
export function inFull(value) {
  return typeof value === "string" ? value : (JSON.stringify(value, null, 2) ?? String(value));
}
