// Everything here compiles in a pure package, because it belongs to the language; the linter must refuse it.
export const now = Date.now();
export const dice = Math.random();
export const sine = Math.sin(1);
export const collator = new Intl.Collator();
export const order = 'a'.localeCompare('b');
export const shown = (1.5).toLocaleString();
export const upper = 'i'.toLocaleUpperCase();
export const later = Promise.resolve(1);
export const weak = new WeakRef({});
export async function slow(): Promise<void> {
  await later;
}
export const anything: any = 1;
export const first = [1][0]!;
export default first;
