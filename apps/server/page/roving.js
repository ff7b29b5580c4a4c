/** Arrow keys within a group: it is one stop of the Tab key, however many buttons it has. */

/** @type {Record<string, [number, number]>} */
const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * Let the arrow keys move the focus to the nearest button in their direction, Home and End to the first and the last.
 * Buttons may come and go.
 *
 * @param {HTMLElement} group
 * @param {string} selector
 */
export function byArrows(group, selector) {
  /** @type {HTMLElement | null} */
  let stop = null;
  const all = () => /** @type {HTMLElement[]} */ ([...group.querySelectorAll(selector)]);
  const settle = () => {
    const buttons = all();
    if (!stop || !buttons.includes(stop)) stop = buttons[0] ?? null;
    for (const button of buttons) button.tabIndex = button === stop ? 0 : -1;
  };
  new MutationObserver(settle).observe(group, { childList: true, subtree: true });
  group.addEventListener("focusin", (event) => {
    const button = /** @type {HTMLElement} */ (event.target).closest(selector);
    if (button) stop = /** @type {HTMLElement} */ (button);
    settle();
  });
  group.addEventListener("keydown", (event) => {
    const buttons = all();
    const from = buttons.find((button) => button === document.activeElement);
    if (!from || event.altKey || event.ctrlKey || event.metaKey) return;
    const to =
      event.key === "Home"
        ? buttons[0]
        : event.key === "End"
          ? buttons[buttons.length - 1]
          : event.key in DIRECTIONS
            ? nearest(from, buttons, DIRECTIONS[event.key])
            : undefined;
    if (!to) return;
    event.preventDefault();
    to.focus();
    to.scrollIntoView({ block: "nearest", inline: "nearest" });
  });
}

/**
 * @param {HTMLElement} from
 * @param {HTMLElement[]} buttons
 * @param {[number, number]} direction
 * @returns {HTMLElement} `from` itself if there is nothing in this direction.
 */
function nearest(from, buttons, [x, y]) {
  const here = from.getBoundingClientRect();
  let [best, least] = [from, Infinity];
  for (const button of buttons) {
    const there = button.getBoundingClientRect();
    const across = there.left + there.width / 2 - here.left - here.width / 2;
    const down = there.top + there.height / 2 - here.top - here.height / 2;
    const along = across * x + down * y;
    const aside = Math.abs(across * y) + Math.abs(down * x);
    const far = along + 3 * aside;
    if (along > 1 && far < least) [best, least] = [button, far];
  }
  return best;
}
