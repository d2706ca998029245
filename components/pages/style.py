"""The style sheet of reports and model cards: light, dark and on paper, for any width; no font from elsewhere.

Colours of plots are those of Okabe & Ito's palette that can be told apart with any colour vision,
  darkened or lightened
until they stand out by 3 to 1; shapes and dashes differ as well.
"""

STYLE = """
:root {
  color-scheme: light dark;
  --font: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
  --ground: #f4f6f8; --panel: #ffffff; --ink: #1c2730; --quiet: #4d5b66; --line: #b9c4cd; --accent: #1f5f8b;
  --first: #0063a6; --second: #b34700; --shade: #0063a638; --limit: #a3121f;
  --pass: #14653a; --pass-ground: #e3f4ea; --warn: #7a4a00; --warn-ground: #fff1d6; --stop: #a3121f;
    --stop-ground: #fdecee;
  --none: #3f4d58; --none-ground: #e9eef2; --focus: #b45309;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --ground: #12181d; --panel: #1b242b; --ink: #e8eef2; --quiet: #b2bfc9; --line: #4b5a66; --accent: #7fc0ee;
    --first: #6db9ee; --second: #f2a65a; --shade: #6db9ee40; --limit: #ff9aa2;
    --pass: #8fe0b0; --pass-ground: #173526; --warn: #ffcf7d; --warn-ground: #3d2d0c; --stop: #ffb3b9;
      --stop-ground: #451a20;
    --none: #c5d0d8; --none-ground: #26323b; --focus: #ffc861;
  }
}
* { box-sizing: border-box; }
html { font: 100%/1.55 var(--font); scroll-padding-top: 1rem; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--ground); color: var(--ink); }
h1, h2, h3, h4 { line-height: 1.25; text-wrap: balance; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin: 0; }
h2 { font-size: 1.3rem; margin: 0 0 .75rem; }
section > * + h2 { margin-top: 1.75rem; }
h3 { font-size: 1.08rem; margin: 1.75rem 0 .5rem; }
h4 { font-size: 1rem; margin: 1.25rem 0 .4rem; }
p, ul { margin: .5rem 0; max-width: 75ch; }
ul { padding-left: 1.25rem; }
li { margin: .2rem 0; }
a { color: var(--accent); }
code { font-size: .9em; overflow-wrap: anywhere; }
small, .quiet { color: var(--quiet); }
.quiet { font-size: .92rem; }
.skip { position: absolute; left: -100vw; }
.skip:focus { left: 1rem; top: .5rem; background: var(--panel); padding: .5rem 1rem; z-index: 2; }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
header, main, footer { max-width: 74rem; margin: auto; padding: 1.25rem; }
header { padding-bottom: 0; }
header p { margin: .35rem 0 0; color: var(--quiet); max-width: none; overflow-wrap: anywhere; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; padding: 0; margin: .9rem 0 0;
  max-width: none; }
main { display: grid; gap: 1.25rem; grid-template-columns: minmax(0, 1fr); }
section { background: var(--panel); border: 1px solid var(--line); border-radius: .6rem; padding: 1.25rem 1.4rem;
  min-width: 0; }
section > :last-child { margin-bottom: 0; }
.decision { border-width: 2px; border-left-width: .6rem; }
.decision h2 { font-size: 1.5rem; margin: 0 0 .4rem; display: flex; flex-wrap: wrap; gap: .3rem .7rem;
  align-items: center; }
.decision.pass { border-color: var(--pass); } .decision.warn { border-color: var(--warn); }
.decision.stop { border-color: var(--stop); } .decision.none { border-color: var(--none); }
.decision h3 { margin-top: 1.1rem; }
.mark { display: inline-flex; align-items: center; gap: .35em; font-weight: 700; font-size: .85rem;
  line-height: 1.5; border-radius: .35rem;
  padding: .05rem .5rem; white-space: nowrap; }
h2 .mark { font-size: 1rem; padding: .15rem .65rem; }
.mark.pass { color: var(--pass); background: var(--pass-ground); } .mark.warn { color: var(--warn);
  background: var(--warn-ground); }
.mark.stop { color: var(--stop); background: var(--stop-ground); } .mark.none { color: var(--none);
  background: var(--none-ground); }
.note { max-width: none; border-left: .3rem solid var(--warn); background: var(--warn-ground); color: var(--ink);
  padding: .6rem .9rem; border-radius: .3rem; margin: .75rem 0; }
.note.stop { border-color: var(--stop); background: var(--stop-ground); }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 9.5rem), 1fr)); gap: .75rem 1.5rem;
  margin: .75rem 0; }
.facts div { min-width: 0; }
.facts dt { color: var(--quiet); font-size: .88rem; }
.facts dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.facts .big { font-size: 1.5rem; line-height: 1.25; }
.facts dd small { display: block; font-weight: 400; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: 1.25rem;
  margin: 1rem 0; align-items: start; }
.plot { margin: 0; min-width: 0; }
.plot figcaption { margin-bottom: .4rem; line-height: 1.35; overflow-wrap: anywhere; font-weight: 600; }
.plot .under { color: var(--quiet); font-size: .88rem; line-height: 1.4; margin: .3rem 0 0; overflow-wrap: anywhere;
  max-width: 25rem; }
.plot svg { display: block; width: 100%; max-width: 25rem; height: auto; font-family: var(--font);
  stroke-linejoin: round; stroke-linecap: butt;
  font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; margin: .75rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; }
th, td { text-align: left; padding: .35rem 1rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { color: var(--quiet); font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 600; }
tr:last-child > * { border-bottom: 0; }
thead tr:last-child > * { border-bottom: 1px solid var(--line); }
td.n { font-variant-numeric: tabular-nums; white-space: nowrap; }
td small { white-space: nowrap; }
td.words { color: var(--quiet); font-style: italic; }
.bar { background: var(--shade); border: 1px solid var(--first); height: .7rem; min-width: 2px;
  border-radius: .15rem; margin-top: .35rem; }
td.bars { width: 22%; min-width: 5rem; }
summary { cursor: pointer; padding: .3rem 0; font-weight: 600; color: var(--accent); width: fit-content; }
details { margin: .5rem 0; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .82rem; background: var(--ground);
  border-radius: .4rem; padding: .8rem; margin: .4rem 0; }
footer { color: var(--quiet); font-size: .9rem; padding-top: 0; }
@media (max-width: 40rem) {
  header, main, footer { padding-left: .75rem; padding-right: .75rem; }
  section { padding: 1rem .9rem; }
  h1 { font-size: 1.35rem; }
}
@media (prefers-reduced-motion: no-preference) { html { scroll-behavior: smooth; } }
@media print {
  @page { margin: 14mm; }
  :root { color-scheme: light; --ground: #fff; --panel: #fff; --ink: #000; --quiet: #333; --line: #999; }
  html { font-size: 9.5pt; }
  header, main, footer { max-width: none; padding: 0; }
  main { display: block; }
  nav, .skip, .screen { display: none; }
  section { border: 0; border-radius: 0; padding: 0; margin: 0 0 1.4rem; }
  .decision { border: 2px solid; border-left-width: .6rem; padding: .8rem 1rem; margin-top: 1rem; }
  h2 { border-bottom: 1px solid var(--line); padding-bottom: .2rem; }
  .decision h2 { border: 0; padding: 0; }
  h2, h3, h4, summary { break-after: avoid; }
  .plots { display: block; margin: .5rem 0; }
  .plot { display: inline-block; width: 48%; margin: 0 1% .8rem 0; vertical-align: top; break-inside: avoid; }
  .plot svg, .mark, .bar, .note { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  tr, li, .facts div, .note { break-inside: avoid; }
  thead { display: table-header-group; }
  .wide { overflow: visible; }
  table { font-size: 8.5pt; }
  th, td { padding-right: .5rem; }
  td small, td.n { white-space: normal; }
  details.data::details-content { content-visibility: visible; display: block; height: auto; }
  details.data > summary { color: inherit; list-style: none; }
  details.long::details-content { display: none; }
  details.long > summary::after { content: " (not printed: it is long)"; font-weight: 400; }
  details.fold { display: none; }
}
"""
