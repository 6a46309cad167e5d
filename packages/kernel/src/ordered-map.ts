import { assert } from '@kimberlite/base';

// A persistent ordered map: a copy-on-write B+tree with string keys, ordered by `<` (the kernel's keys are
// byte strings, one code unit a byte, so this is byte order). A change copies the nodes on one path and shares
// the rest, so an old map stays valid at no cost. Nodes made with an edit token may be changed in place by
// whoever holds the same token: a batch of changes copies each node once. A token must never be used again
// once a map made with it has been handed out.

/** Identity of one batch of changes. */
export interface Edit {
  readonly edit: true;
}

export const newEdit = (): Edit => ({ edit: true });

/** Entries of a leaf, children of a branch. 48 keeps a copied node within a few cache lines. */
const nodeMax = 48;
const nodeMin = 12;
/** Levels of a tree: far more than 2^53 entries need at the least fill. */
const depthMax = 32;

interface Leaf<V> {
  edit: Edit | null;
  readonly leaf: true;
  keys: string[];
  values: V[];
}

interface Branch<V> {
  edit: Edit | null;
  readonly leaf: false;
  /** keys[i] is at most every key under children[i] and above every key under children[i - 1]; keys[0] is unused. */
  keys: string[];
  children: Node<V>[];
}

type Node<V> = Leaf<V> | Branch<V>;

/** First index whose key is at least `key`. */
function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Index of the child that would hold `key`. */
function childIndex(keys: readonly string[], key: string): number {
  let low = 1;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as string) <= key) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function editable<V>(node: Node<V>, edit: Edit | null): Node<V> {
  if (edit !== null && node.edit === edit) return node;
  return node.leaf
    ? { edit, leaf: true, keys: node.keys.slice(), values: node.values.slice() }
    : { edit, leaf: false, keys: node.keys.slice(), children: node.children.slice() };
}

/** Moves the entries from `at` on into a new right neighbour. `node` is editable. */
function splitAt<V>(node: Node<V>, at: number, edit: Edit | null): Node<V> {
  if (node.leaf) return { edit, leaf: true, keys: node.keys.splice(at), values: node.values.splice(at) };
  assert(at > 0 && at < node.keys.length, 'a branch splits into two non-empty halves');
  return { edit, leaf: false, keys: node.keys.splice(at), children: node.children.splice(at) };
}

/** Splits the full, editable child `i` of an editable branch. An append at the right edge leaves the left half full. */
function splitChild<V>(parent: Branch<V>, i: number, key: string, edit: Edit | null): void {
  const child = parent.children[i] as Node<V>;
  const last = child.keys[child.keys.length - 1] as string;
  const append = child.leaf && i === parent.children.length - 1 && key > last;
  const right = splitAt(child, append ? child.keys.length : nodeMax >> 1, edit);
  parent.keys.splice(i + 1, 0, append ? key : (right.keys[0] as string));
  parent.children.splice(i + 1, 0, right);
}

/** Gives the thin child `i` of an editable branch entries of a neighbour, or makes the two one. */
function feedChild<V>(parent: Branch<V>, i: number, edit: Edit | null): void {
  const at = i > 0 ? i - 1 : i;
  const left = editable(parent.children[at] as Node<V>, edit);
  const right = parent.children[at + 1] as Node<V>;
  const separator = parent.keys[at + 1] as string;
  if (left.leaf && right.leaf) {
    for (let k = 0; k < right.keys.length; k++) {
      left.keys.push(right.keys[k] as string);
      left.values.push(right.values[k] as V);
    }
  } else if (!left.leaf && !right.leaf) {
    for (let k = 0; k < right.keys.length; k++) {
      left.keys.push(k === 0 ? separator : (right.keys[k] as string));
      left.children.push(right.children[k] as Node<V>);
    }
  } else assert(false, 'neighbours are of one level');
  parent.children[at] = left;
  if (left.keys.length <= nodeMax) {
    parent.keys.splice(at + 1, 1);
    parent.children.splice(at + 1, 1);
    return;
  }
  const half = splitAt(left, left.keys.length >> 1, edit);
  parent.keys[at + 1] = half.keys[0] as string;
  parent.children[at + 1] = half;
}

/** A persistent ordered map from byte strings to values. */
export class OrderedMap<V> {
  private root: Node<V>;
  private edit: Edit | null;
  private count: number;

  private constructor(root: Node<V>, count: number, edit: Edit | null) {
    this.root = root;
    this.count = count;
    this.edit = edit;
  }

  static empty<V>(): OrderedMap<V> {
    return new OrderedMap<V>({ edit: null, leaf: true, keys: [], values: [] }, 0, null);
  }

  get size(): number {
    return this.count;
  }

  get(key: string): V | undefined {
    let node = this.root;
    for (let depth = 0; depth < depthMax; depth++) {
      if (node.leaf) {
        const at = lowerBound(node.keys, key);
        return node.keys[at] === key ? node.values[at] : undefined;
      }
      node = node.children[childIndex(node.keys, key)] as Node<V>;
    }
    return assert(false, 'the tree is deeper than any tree can be') as never;
  }

  has(key: string): boolean {
    return this.get(key) !== undefined;
  }

  private owned(edit: Edit | null, root: Node<V>, count: number): OrderedMap<V> {
    if (edit === null || this.edit !== edit) return new OrderedMap(root, count, edit);
    this.root = root;
    this.count = count;
    return this;
  }

  /** The map with `key` set. With an edit token, what the token's holder made may be reused in place. */
  set(key: string, value: V, edit: Edit | null = null): OrderedMap<V> {
    assert(value !== undefined, 'undefined stands for no entry');
    let root = editable(this.root, edit);
    if (root.keys.length >= nodeMax) {
      const grown: Branch<V> = { edit, leaf: false, keys: [''], children: [root] };
      splitChild(grown, 0, key, edit);
      root = grown;
    }
    let node = root;
    for (let depth = 0; depth < depthMax; depth++) {
      if (node.leaf) {
        const at = lowerBound(node.keys, key);
        if (node.keys[at] === key) {
          node.values[at] = value;
          return this.owned(edit, root, this.count);
        }
        if (at === node.keys.length) {
          node.keys.push(key);
          node.values.push(value);
        } else {
          node.keys.splice(at, 0, key);
          node.values.splice(at, 0, value);
        }
        return this.owned(edit, root, this.count + 1);
      }
      let i = childIndex(node.keys, key);
      const child = editable(node.children[i] as Node<V>, edit);
      node.children[i] = child;
      if (child.keys.length >= nodeMax) {
        splitChild(node, i, key, edit);
        i = childIndex(node.keys, key);
      }
      node = node.children[i] as Node<V>;
    }
    return assert(false, 'the tree is deeper than any tree can be') as never;
  }

  /** The map without `key`; the same map when there is none. */
  delete(key: string, edit: Edit | null = null): OrderedMap<V> {
    if (this.get(key) === undefined) return this;
    let root = editable(this.root, edit);
    let node = root;
    for (let depth = 0; depth < depthMax; depth++) {
      if (node.leaf) {
        const at = lowerBound(node.keys, key);
        assert(node.keys[at] === key, 'the key found before is found again');
        node.keys.splice(at, 1);
        node.values.splice(at, 1);
        if (!root.leaf && root.children.length === 1) root = root.children[0] as Node<V>;
        return this.owned(edit, root, this.count - 1);
      }
      let i = childIndex(node.keys, key);
      if ((node.children[i] as Node<V>).keys.length <= nodeMin && node.children.length > 1) {
        feedChild(node, i, edit);
        i = childIndex(node.keys, key);
      }
      const child = editable(node.children[i] as Node<V>, edit);
      node.children[i] = child;
      node = child;
    }
    return assert(false, 'the tree is deeper than any tree can be') as never;
  }

  /** A cursor on the first key at least `from` (`''`: the first of all). Valid while the map is not changed in place. */
  ascend(from = ''): MapCursor<V> {
    return new MapCursor(this.root, from, true);
  }

  /** A cursor on the last key below `before` (`undefined`: the last of all), going down. */
  descend(before?: string): MapCursor<V> {
    return new MapCursor(this.root, before, false);
  }
}

/**
 * A place in a map. `key` is undefined past the end. Used as
 * `for (const at = map.ascend(low); at.key !== undefined && at.key < high; at.next())`.
 */
export class MapCursor<V> {
  key: string | undefined;
  private readonly branches: Branch<V>[] = [];
  private readonly places: number[] = [];
  private node: Leaf<V>;
  private place: number;
  private readonly up: boolean;

  constructor(root: Node<V>, bound: string | undefined, up: boolean) {
    this.up = up;
    let node = root;
    for (let depth = 0; depth < depthMax && !node.leaf; depth++) {
      const i = bound === undefined ? node.children.length - 1 : childIndex(node.keys, bound);
      this.branches.push(node);
      this.places.push(i);
      node = node.children[i] as Node<V>;
    }
    assert(node.leaf, 'the tree is deeper than any tree can be');
    this.node = node;
    const at = bound === undefined ? node.keys.length : lowerBound(node.keys, bound);
    this.place = up ? at : at - 1;
    this.settle();
  }

  /** The value at the cursor, which must not be past the end. */
  get value(): V {
    assert(this.key !== undefined, 'a cursor past the end has no value');
    return this.node.values[this.place] as V;
  }

  next(): void {
    assert(this.key !== undefined, 'a cursor past the end does not move');
    this.place += this.up ? 1 : -1;
    this.settle();
  }

  /** Moves on to a neighbouring leaf when the place is outside this one. */
  private settle(): void {
    // A leaf is empty only where it is the whole tree, so one move is enough; the bound is the depth.
    if (this.place >= 0 && this.place < this.node.keys.length) {
      this.key = this.node.keys[this.place];
      return;
    }
    this.key = undefined;
    const step = this.up ? 1 : -1;
    let level = this.branches.length - 1;
    while (level >= 0) {
      const i = (this.places[level] as number) + step;
      if (i >= 0 && i < (this.branches[level] as Branch<V>).children.length) break;
      level--;
    }
    if (level < 0) return;
    this.places[level] = (this.places[level] as number) + step;
    for (; level < this.branches.length; level++) {
      const child = (this.branches[level] as Branch<V>).children[this.places[level] as number] as Node<V>;
      if (child.leaf) {
        this.node = child;
        this.place = this.up ? 0 : child.keys.length - 1;
        this.key = child.keys[this.place];
        assert(this.key !== undefined, 'only a whole tree may be an empty leaf');
        return;
      }
      this.branches[level + 1] = child;
      this.places[level + 1] = this.up ? 0 : child.children.length - 1;
    }
  }
}
