/** The contrast of each colour to its background is at least 4.5, in light and dark mode (WCAG 2.2, 1.4.3). */
export const PAGE_STYLE = `
:root { color-scheme: light dark;
  --ground: light-dark(#f5f6f8, #14171c); --card: light-dark(#ffffff, #1d2128); --line: light-dark(#dfe3e8, #323944);
  --ink: light-dark(#1b1f24, #e8ebf0); --dim: light-dark(#57606c, #a3adba); --accent: light-dark(#1f5fc4, #8ab4f8);
  --ok: light-dark(#17703f, #67cc94); --warn: light-dark(#865000, #e5b25c); --bad: light-dark(#ad262c, #f38d92); }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 74rem; margin: 0 auto; padding: 1.25rem; }
header { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; align-items: baseline; margin-bottom: 1rem; }
h1 { font-size: 1.4rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: .95rem; margin: 0 0 .5rem; color: var(--dim); font-weight: 600; }
p { margin: .25rem 0; overflow-wrap: anywhere; } a { color: var(--accent); }
code { font: .85em ui-monospace, monospace; overflow-wrap: anywhere; }
.grid { display: grid; gap: .9rem; grid-template-columns: repeat(12, minmax(0, 1fr)); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .9rem 1rem; min-width: 0; }
.third { grid-column: span 4; } .half { grid-column: span 6; } .whole { grid-column: span 12; }
.big { font-size: 1.45rem; font-weight: 600; overflow-wrap: anywhere; }
.dim { color: var(--dim); } .ok { color: var(--ok); } .warn { color: var(--warn); } .bad { color: var(--bad); }
.chip { display: inline-block; border: 1px solid currentColor; border-radius: 1rem; padding: 0 .6rem; font-size: .85em; }
.alert { border-left: .3rem solid var(--warn); }
.alert.bad { border-left-color: var(--bad); color: var(--ink); }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem .75rem .4rem 0; border-top: 1px solid var(--line); }
thead th { border-top: 0; color: var(--dim); font-weight: 500; }
td { overflow-wrap: anywhere; } td.when { white-space: nowrap; } td.answer { min-width: 11rem; }
th { white-space: nowrap; }
form { display: flex; flex-wrap: wrap; gap: .5rem; margin: .25rem 0 .75rem; }
input, select, button { font: inherit; padding: .2rem .6rem; border: 1px solid var(--dim); border-radius: .4rem;
  background: var(--ground); color: var(--ink); max-width: 100%; }
@media (max-width: 60rem) { .third, .half { grid-column: span 12; } }
@media (max-width: 42rem) {
  table, tbody, tr, td, th { display: block; } thead { display: none; }
  td, th { border: 0; padding: .1rem 0; } tr { border-top: 1px solid var(--line); padding: .5rem 0; }
}`;
