/**
 * Where the nodes of a graph go: in layers from left to right, each next to what it needs.
 *
 * A node is placed once, by what stands before it in the order given. So a graph that grows at its end keeps
 * everything where it is.
 */

const LANE = 0.3; // rows that an edge takes where it passes a layer

/**
 * @typedef {{layer: number, row: number}} Place `row` is that of the middle, from 0.5; rows may be broken.
 * @typedef {{from: string, to: string, through: Place[]}} Edge
 * @typedef {{places: Map<string, Place>, edges: Edge[], layers: number, rows: number}} Layout
 */

/**
 * @param {string[]} keys The nodes, in the order in which they came.
 * @param {Map<string, string[]>} needs The nodes that each node needs.
 * @returns {Layout}
 */
export function layout(keys, needs) {
  /** @type {Map<string, Place>} */
  const places = new Map();
  /** @type {Edge[]} */
  const edges = [];
  /** @type {Map<string, Place[]>} The places where a node's edges pass the layers behind it. */
  const lanes = new Map();
  /** @type {Column[]} */
  const columns = [];

  for (const key of keys) {
    const sources = (needs.get(key) ?? []).filter((source) => places.has(source));
    const layer = 1 + Math.max(-1, ...sources.map((source) => places.get(source)?.layer ?? 0));
    const entries = sources.map((source) => reach(source, layer));
    const rows = entries.map((through) => through.at(-1)?.row ?? 0);
    const wanted = rows.length ? rows.reduce((sum, row) => sum + row, 0) / rows.length : 0;
    places.set(key, { layer, row: column(layer).place(wanted, 1) });
    sources.forEach((from, index) => edges.push({ from, to: key, through: entries[index].slice(1) }));
  }
  // A reference to a task further down the plan.
  for (const key of keys) {
    for (const source of needs.get(key) ?? []) {
      if (places.has(source) && !edges.some((edge) => edge.from === source && edge.to === key)) {
        edges.push({ from: source, to: key, through: [] });
      }
    }
  }
  return { places, edges, layers: columns.length, rows: Math.max(0, ...columns.map((one) => one.bottom)) };

  /** @param {number} layer */
  function column(layer) {
    while (columns.length <= layer) columns.push(new Column());
    return columns[layer];
  }

  /**
   * The places from a node to the layer before another one, its own first.
   *
   * @param {string} key
   * @param {number} layer
   * @returns {Place[]}
   */
  function reach(key, layer) {
    const start = /** @type {Place} */ (places.get(key));
    const lane = lanes.get(key) ?? [start];
    lanes.set(key, lane);
    while (start.layer + lane.length < layer) {
      const next = start.layer + lane.length;
      lane.push({ layer: next, row: column(next).place(lane[lane.length - 1].row, LANE) });
    }
    return lane.slice(0, layer - start.layer);
  }
}

/** A layer: which of its rows are taken. */
class Column {
  /** @type {{from: number, to: number}[]} */
  #taken = [];

  get bottom() {
    return Math.max(0, ...this.#taken.map((one) => one.to));
  }

  /**
   * Take the free place that is the nearest to the one wanted.
   *
   * @param {number} wanted The row of the middle.
   * @param {number} size In rows.
   * @returns {number} The row of the middle.
   */
  place(wanted, size) {
    const half = size / 2;
    const around = this.#taken.flatMap(({ from, to }) => [from - half, to + half]);
    const free = [Math.max(half, wanted), half, ...around].filter((row) => this.#fits(row - half, row + half));
    const row = free.reduce((best, one) => (Math.abs(one - wanted) < Math.abs(best - wanted) ? one : best));
    this.#taken.push({ from: row - half, to: row + half });
    return row;
  }

  /**
   * @param {number} from
   * @param {number} to
   */
  #fits(from, to) {
    const slack = 1e-6;
    return from > -slack && this.#taken.every((one) => to < one.from + slack || from > one.to - slack);
  }
}
