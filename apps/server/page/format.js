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
