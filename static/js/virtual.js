// A list of any length of which only what is on the screen exists. Rows have one height and keep their order in the
// document, so that keyboard and screen reader meet them as the eye does.

const SPARE = 40;
const BEYOND = 6; // rows kept above and below the screen

export class VirtualRows {
  items = [];

  #box;
  #make;
  #fill;
  #made = new Map(); // item's id -> {element, ...} as `make` gave it
  #spare = []; // rows that left the screen, to be filled anew
  #rowHeight = 0;
  #scheduled = false;
  #onScroll = () => this.#soon();
  #shownIds = "";
  #onWindow;

  /**
   * `make()` gives an object with an `element`; `fill(row, item, index)` puts an item into it. Items have an `id`.
   * `onWindow(items)` is told which are on the screen whenever that changes.
   */
  constructor(box, { make, fill, onWindow = () => {} }) {
    this.#box = box;
    this.#make = make;
    this.#fill = fill;
    this.#onWindow = onWindow;
    addEventListener("scroll", this.#onScroll, { passive: true });
    addEventListener("resize", this.#onScroll, { passive: true });
  }

  close() {
    removeEventListener("scroll", this.#onScroll);
    removeEventListener("resize", this.#onScroll);
  }

  /** Show these items, in this order. */
  show(items) {
    this.items = items;
    this.layout();
  }

  /** Fill the rows of *ids* anew, where they are on the screen; of all, without ids. */
  refresh(ids) {
    for (const [id, row] of this.#made) {
      if (!ids || ids.has(id)) this.#fill(row, row.item, row.index);
    }
  }

  /** The rows that exist: for what ticks. */
  rows() {
    return this.#made.values();
  }

  #soon() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      this.layout();
    });
  }

  layout() {
    if (!this.#box.isConnected) return;
    this.#rowHeight = Number.parseFloat(getComputedStyle(this.#box).getPropertyValue("--row-height")) || 56;
    this.#box.style.height = `${this.items.length * this.#rowHeight}px`;
    const wanted = this.#window();
    this.#drop(new Set(wanted.map((index) => this.items[index].id)));
    const focused = this.#box.contains(document.activeElement) ? document.activeElement : null;
    let before = this.#box.firstElementChild;
    for (const index of wanted) {
      const row = this.#place(index);
      if (row.element === before) before = before.nextElementSibling;
      else this.#box.insertBefore(row.element, before);
    }
    // Moving an element takes the focus from it.
    if (focused && focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
    this.#tellWindow(wanted);
  }

  #window() {
    const top = -this.#box.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(top / this.#rowHeight) - BEYOND);
    const last = Math.min(this.items.length - 1, Math.ceil((top + innerHeight) / this.#rowHeight) + BEYOND);
    const wanted = [];
    for (let index = first; index <= last; index += 1) wanted.push(index);
    const focused = this.#focusedIndex();
    if (focused !== null && (focused < first || focused > last)) wanted.push(focused);
    return wanted.sort((a, b) => a - b);
  }

  /** A row that has the focus stays, wherever the screen is. */
  #focusedIndex() {
    for (const [id, row] of this.#made) {
      if (!row.element.contains(document.activeElement)) continue;
      const index = this.items.findIndex((item) => item.id === id);
      return index < 0 ? null : index;
    }
    return null;
  }

  #drop(wanted) {
    for (const [id, row] of this.#made) {
      if (wanted.has(id)) continue;
      row.element.remove();
      this.#made.delete(id);
      if (this.#spare.length < SPARE) this.#spare.push(row);
    }
  }

  #place(index) {
    const item = this.items[index];
    let row = this.#made.get(item.id);
    if (!row) {
      row = this.#spare.pop() ?? this.#make();
      row.item = null; // whatever it showed before
      this.#made.set(item.id, row);
    }
    if (row.index !== index) row.element.style.transform = `translateY(${index * this.#rowHeight}px)`;
    else if (row.height !== this.#rowHeight) row.element.style.transform = `translateY(${index * this.#rowHeight}px)`;
    const isOther = row.item !== item || row.index !== index;
    Object.assign(row, { item, index, height: this.#rowHeight });
    if (isOther) this.#fill(row, item, index);
    return row;
  }

  #tellWindow(wanted) {
    const key = `${wanted[0]}-${wanted.at(-1)}-${this.items[wanted[0]]?.id}-${this.items.length}`;
    if (key === this.#shownIds) return;
    this.#shownIds = key;
    this.#onWindow(wanted.map((index) => this.items[index]));
  }

  /** Move the focus to the row *by* further; the screen follows. */
  focusRow(by, selector) {
    const current = this.#focusedIndex();
    const index = Math.min(this.items.length - 1, Math.max(0, (current ?? -1) + by));
    if (!this.items[index]) return;
    const top = this.#box.getBoundingClientRect().top + scrollY + index * this.#rowHeight;
    const head = 120; // what sticks to the top of the screen
    if (top < scrollY + head) scrollTo(0, top - head);
    else if (top + this.#rowHeight > scrollY + innerHeight) scrollTo(0, top + this.#rowHeight - innerHeight + 8);
    this.layout();
    this.#made.get(this.items[index].id)?.element.querySelector(selector)?.focus({ preventScroll: true });
  }
}
