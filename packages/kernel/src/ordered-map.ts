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
  /** Who may change `keys` and `heads` in place. Copies of a node share them until an entry comes or goes. */
  keysEdit: Edit | null;
  readonly leaf: true;
  keys: string[];
  /** `headOf` each key. */
  heads: number[];
  values: V[];
}

interface Branch<V> {
  edit: Edit | null;
  keysEdit: Edit | null;
  readonly leaf: false;
  /** keys[i] is at most every key under children[i] and above every key under children[i - 1]; keys[0] is unused. */
  keys: string[];
  heads: number[];
  children: Node<V>[];
}

type Node<V> = Leaf<V> | Branch<V>;

const two32 = 0x1_0000_0000;

/**
 * The first eight bytes of a key as a number that never orders two keys the other way round, so that a search reads
 * one array of numbers instead of a string for each key it looks at (a cache miss each). Of the key of an int within
 * 2^53 it is the int itself; of longer or denser keys it is the same for some, which are then compared as strings.
 */
function headOf(key: string): number {
  let high = 0;
  let low = 0;
  if (key.length >= 8) {
    high = (key.charCodeAt(0) << 24) | (key.charCodeAt(1) << 16) | (key.charCodeAt(2) << 8) | key.charCodeAt(3);
    low = (key.charCodeAt(4) << 24) | (key.charCodeAt(5) << 16) | (key.charCodeAt(6) << 8) | key.charCodeAt(7);
  } else {
    for (let i = 0; i < 4; i++) high = (high << 8) | (i < key.length ? key.charCodeAt(i) : 0);
    for (let i = 4; i < 8; i++) low = (low << 8) | (i < key.length ? key.charCodeAt(i) : 0);
  }
  return (high ^ 0x80000000) * two32 + (low >>> 0);
}

/** First index whose key is at least `key`. */
function lowerBound({ keys, heads }: Node<unknown>, head: number, key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const other = heads[middle] as number;
    if (other < head || (other === head && (keys[middle] as string) < key)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Index of the child that would hold `key`. */
function childIndex({ keys, heads }: Branch<unknown>, head: number, key: string): number {
  let low = 1;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const other = heads[middle] as number;
    if (other < head || (other === head && (keys[middle] as string) <= key)) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Whether the holder of `edit` made what bears `made`, and so may change it in place. */
const owns = (edit: Edit | null, made: Edit | null): boolean => edit !== null && made === edit;

/** The node as the holder of `edit` may change its values or children. */
function editable<V>(node: Node<V>, edit: Edit | null): Node<V> {
  if (owns(edit, node.edit)) return node;
  const { keysEdit, keys, heads } = node;
  return node.leaf
    ? { edit, keysEdit, leaf: true, keys, heads, values: node.values.slice() }
    : { edit, keysEdit, leaf: false, keys, heads, children: node.children.slice() };
}

/** Makes the keys of an editable node the edit's own, before entries come or go. */
function ownKeys(node: Node<unknown>, edit: Edit | null): void {
  if (owns(edit, node.keysEdit)) return;
  node.keys = node.keys.slice();
  node.heads = node.heads.slice();
  node.keysEdit = edit;
}

/** Puts a child behind child `i` of an editable branch that has room for it. */
function insertChild<V>(parent: Branch<V>, i: number, key: string, child: Node<V>, edit: Edit | null): void {
  assert(parent.keys.length < nodeMax, 'a branch was split before it is full');
  ownKeys(parent, edit);
  parent.keys.splice(i + 1, 0, key);
  parent.heads.splice(i + 1, 0, headOf(key));
  parent.children.splice(i + 1, 0, child);
}

/** Moves the entries from `at` on into a new right neighbour. `node` is editable. */
function splitAt<V>(node: Node<V>, at: number, edit: Edit | null): Node<V> {
  const [keys, heads] = [node.keys.slice(at), node.heads.slice(at)];
  node.keys = node.keys.slice(0, at);
  node.heads = node.heads.slice(0, at);
  node.keysEdit = edit;
  if (node.leaf) return { edit, keysEdit: edit, leaf: true, keys, heads, values: node.values.splice(at) };
  assert(at > 0 && keys.length > 0, 'a branch splits into two non-empty halves');
  return { edit, keysEdit: edit, leaf: false, keys, heads, children: node.children.splice(at) };
}

/** Splits the full, editable child `i` of an editable branch. An append at the right edge leaves the left half full. */
function splitChild<V>(parent: Branch<V>, i: number, key: string, edit: Edit | null): void {
  const child = parent.children[i] as Node<V>;
  const last = child.keys[child.keys.length - 1] as string;
  const append = child.leaf && i === parent.children.length - 1 && key > last;
  const right = splitAt(child, append ? child.keys.length : nodeMax >> 1, edit);
  insertChild(parent, i, append ? key : (right.keys[0] as string), right, edit);
}

/** Appends the entries of the right neighbour, which `separator` parts from the editable `left`. */
function append<V>(left: Node<V>, right: Node<V>, separator: string, edit: Edit | null): void {
  ownKeys(left, edit);
  for (let k = 0; k < right.keys.length; k++) {
    const key = k === 0 && !right.leaf ? separator : (right.keys[k] as string);
    left.keys.push(key);
    left.heads.push(headOf(key));
  }
  if (left.leaf && right.leaf) {
    for (let k = 0; k < right.values.length; k++) left.values.push(right.values[k] as V);
  } else if (!left.leaf && !right.leaf) {
    for (let k = 0; k < right.children.length; k++) left.children.push(right.children[k] as Node<V>);
  } else assert(false, 'neighbours are of one level');
}

/** Gives the thin child `i` of an editable branch entries of a neighbour, or makes the two one. */
function feedChild<V>(parent: Branch<V>, i: number, edit: Edit | null): void {
  const at = i > 0 ? i - 1 : i;
  const left = editable(parent.children[at] as Node<V>, edit);
  append(left, parent.children[at + 1] as Node<V>, parent.keys[at + 1] as string, edit);
  parent.children[at] = left;
  ownKeys(parent, edit);
  if (left.keys.length <= nodeMax) {
    parent.keys.splice(at + 1, 1);
    parent.heads.splice(at + 1, 1);
    parent.children.splice(at + 1, 1);
    return;
  }
  const half = splitAt(left, left.keys.length >> 1, edit);
  parent.keys[at + 1] = half.keys[0] as string;
  parent.heads[at + 1] = half.heads[0] as number;
  parent.children[at + 1] = half;
}

/** The leaf with `value` in place `at`: the same one where it may be changed. */
function withValue<V>(leaf: Leaf<V>, at: number, value: V, edit: Edit | null): Leaf<V> {
  const own = editable(leaf, edit);
  assert(own.leaf, 'a copy of a leaf is a leaf');
  own.values[at] = value;
  return own;
}

/** The leaf with an entry more before place `at`: the same one where it may be changed. */
function withEntry<V>(leaf: Leaf<V>, at: number, key: string, value: V, edit: Edit | null): Leaf<V> {
  assert(leaf.keys.length < nodeMax, 'a leaf was split before it is full');
  const head = headOf(key);
  if (owns(edit, leaf.edit) && owns(edit, leaf.keysEdit)) {
    insertEntry(leaf, at, key, head, value);
    return leaf;
  }
  return {
    edit,
    keysEdit: edit,
    leaf: true,
    keys: leaf.keys.toSpliced(at, 0, key),
    heads: leaf.heads.toSpliced(at, 0, head),
    values: leaf.values.toSpliced(at, 0, value),
  };
}

/** Shifts by hand, which is several times faster than `splice`: that also makes a list of what it took out. */
function insertEntry<V>({ keys, heads, values }: Leaf<V>, at: number, key: string, head: number, value: V): void {
  keys.push(key);
  heads.push(head);
  values.push(value);
  for (let i = keys.length - 1; i > at; i--) {
    keys[i] = keys[i - 1] as string;
    heads[i] = heads[i - 1] as number;
    values[i] = values[i - 1] as V;
  }
  keys[at] = key;
  heads[at] = head;
  values[at] = value;
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
    return new OrderedMap<V>({ edit: null, keysEdit: null, leaf: true, keys: [], heads: [], values: [] }, 0, null);
  }

  get size(): number {
    return this.count;
  }

  get(key: string): V | undefined {
    const head = headOf(key);
    let node = this.root;
    for (let depth = 0; depth < depthMax; depth++) {
      if (node.leaf) {
        const at = lowerBound(node, head, key);
        return node.keys[at] === key ? node.values[at] : undefined;
      }
      node = node.children[childIndex(node, head, key)] as Node<V>;
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
    const head = headOf(key);
    if (this.root.leaf && this.root.keys.length < nodeMax) {
      const at = lowerBound(this.root, head, key);
      if (this.root.keys[at] === key) return this.owned(edit, withValue(this.root, at, value, edit), this.count);
      return this.owned(edit, withEntry(this.root, at, key, value, edit), this.count + 1);
    }
    const root = this.roomyRoot(key, edit);
    let node = root;
    for (let depth = 0; depth < depthMax; depth++) {
      let i = childIndex(node, head, key);
      let child = node.children[i] as Node<V>;
      if (child.keys.length >= nodeMax) {
        node.children[i] = editable(child, edit);
        splitChild(node, i, key, edit);
        i = childIndex(node, head, key);
        child = node.children[i] as Node<V>;
      }
      if (child.leaf) {
        const at = lowerBound(child, head, key);
        const found = child.keys[at] === key;
        node.children[i] = found ? withValue(child, at, value, edit) : withEntry(child, at, key, value, edit);
        return this.owned(edit, root, found ? this.count : this.count + 1);
      }
      const own = editable(child, edit);
      assert(!own.leaf, 'a copy of a branch is a branch');
      node.children[i] = own;
      node = own;
    }
    return assert(false, 'the tree is deeper than any tree can be') as never;
  }

  /** The root as a branch that may be changed and has room for one more child. */
  private roomyRoot(key: string, edit: Edit | null): Branch<V> {
    const root = editable(this.root, edit);
    if (!root.leaf && root.keys.length < nodeMax) return root;
    const grown: Branch<V> = {
      edit,
      keysEdit: edit,
      leaf: false,
      keys: [''],
      heads: [headOf('')],
      children: [root],
    };
    splitChild(grown, 0, key, edit);
    return grown;
  }

  /** The map without `key`; the same map when there is none. */
  delete(key: string, edit: Edit | null = null): OrderedMap<V> {
    if (this.get(key) === undefined) return this;
    const head = headOf(key);
    let root = editable(this.root, edit);
    let node = root;
    for (let depth = 0; depth < depthMax; depth++) {
      if (node.leaf) {
        const at = lowerBound(node, head, key);
        assert(node.keys[at] === key, 'the key found before is found again');
        ownKeys(node, edit);
        node.keys.splice(at, 1);
        node.heads.splice(at, 1);
        node.values.splice(at, 1);
        if (!root.leaf && root.children.length === 1) root = root.children[0] as Node<V>;
        return this.owned(edit, root, this.count - 1);
      }
      let i = childIndex(node, head, key);
      if ((node.children[i] as Node<V>).keys.length <= nodeMin && node.children.length > 1) {
        feedChild(node, i, edit);
        i = childIndex(node, head, key);
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
    const head = bound === undefined ? 0 : headOf(bound);
    let node = root;
    for (let depth = 0; depth < depthMax && !node.leaf; depth++) {
      const i = bound === undefined ? node.children.length - 1 : childIndex(node, head, bound);
      this.branches.push(node);
      this.places.push(i);
      node = node.children[i] as Node<V>;
    }
    assert(node.leaf, 'the tree is deeper than any tree can be');
    this.node = node;
    const at = bound === undefined ? node.keys.length : lowerBound(node, head, bound);
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
