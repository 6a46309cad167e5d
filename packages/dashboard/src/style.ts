/** One column of cards on a phone, a table from 48rem on; colours follow the system and never carry meaning alone. */
export const style = `
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --line: #d5dae0; --quiet: #57606a; --good: #1a7f37; --bad: #b42318; --wait: #8a5a00; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --paper: #14171a; --line: #343a41; --quiet: #9aa4af; --good: #4ac26b; --bad: #ff7b72; --wait: #e3b341; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 80rem; color: var(--ink); background: var(--paper); font: 1rem/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.4rem; }
#summary { margin: .25rem 0 1.5rem; font-size: 1.1rem; }
caption { text-align: left; padding-bottom: .5rem; color: var(--quiet); overflow-wrap: anywhere; }
table { width: 100%; border-collapse: collapse; }
td, th { text-align: left; padding: .4rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { font-size: .85rem; color: var(--quiet); font-weight: 600; white-space: nowrap; }
td { font-variant-numeric: tabular-nums; }
code { font: .9em ui-monospace, monospace; }
.quiet { color: var(--quiet); font-size: .9rem; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; } .wait { color: var(--wait); font-weight: 600; }
a { color: inherit; }
a:focus-visible { outline: 2px solid currentColor; outline-offset: 2px; }
@media (max-width: 48rem) {
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table, tbody, tr, td, tbody th, caption { display: block; }
  tr { border: 1px solid var(--line); border-radius: .5rem; margin-bottom: 1rem; padding: .5rem; }
  td, tbody th { border: 0; padding: .15rem .4rem; display: flex; justify-content: space-between; gap: 1rem; }
  td::before, tbody th::before { content: attr(data-label); color: var(--quiet); font-weight: 400; }
}
`;
