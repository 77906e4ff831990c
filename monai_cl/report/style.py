"""The report's style sheet: dark on white, from 360 pixels up, readable on paper."""

STYLE = """
:root { color-scheme: light; --ink: #1b1f24; --soft: #57606a; --line: #d8dee4; --tint: #f6f8fa; --link: #0b5cad; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body { margin: 0 auto; max-width: 1180px; padding: 0 1rem 3rem; background: #fff; color: var(--ink);
  overflow-wrap: anywhere;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: clamp(1.5rem, 1.1rem + 1.6vw, 2.1rem); line-height: 1.2; margin: 2rem 0 .25rem; }
h2 { font-size: 1.3rem; margin: 2.4rem 0 .8rem; padding-top: .9rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.4rem 0 .5rem; }
a { color: var(--link); }
.sub { color: var(--soft); margin: 0 0 .8rem; font-size: .92rem; }
.skip { position: absolute; left: -999px; }
.skip:focus { left: 1rem; top: .5rem; background: #fff; padding: .3rem .6rem; }
.banner { border-left: 4px solid #b35900; background: #fff6ea; margin: .8rem 0; padding: .6rem .9rem; }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; list-style: none; margin: .6rem 0 0; padding: 0; }
nav a { display: inline-block; padding: .25rem 0; }
.result { font-size: 1.08rem; padding-left: 1.2rem; }
.scroll, pre { overflow-x: auto; max-width: 100%; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
table { border-collapse: collapse; min-width: min(100%, 34rem); font-size: .92rem; overflow-wrap: normal;
  font-variant-numeric: tabular-nums; }
th, td { padding: .38rem .9rem .38rem 0; text-align: left; vertical-align: baseline;
  border-bottom: 1px solid var(--line); }
td { white-space: nowrap; }
thead th { color: var(--soft); font-weight: 600; border-bottom: 2px solid var(--line); }
tbody th { font-weight: 500; min-width: 7rem; max-width: 22rem; }
th.n, td.n { text-align: right; }
.strong th, .strong td { font-weight: 700; border-top: 2px solid var(--line); }
.notes { color: var(--soft); font-size: .88rem; padding-left: 1.1rem; margin: .5rem 0 1.6rem; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .6rem 0; padding: 0 .9rem; }
details[open] { padding-bottom: .8rem; }
summary { cursor: pointer; padding: .5rem 0; font-weight: 500; }
pre { background: var(--tint); padding: .8rem; border-radius: 6px; font-size: .82rem; line-height: 1.45;
  overflow-wrap: normal; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; font-size: .92rem;
  margin: .4rem 0 .8rem; }
dt { color: var(--soft); }
dd { margin: 0; }
figure { margin: 0; }
figcaption { color: var(--soft); font-size: .88rem; margin-top: .3rem; }
.table { margin: .4rem 0 1rem; }
.table figcaption { color: var(--ink); font-size: .95rem; font-weight: 600; margin: 0 0 .4rem; }
.curves { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); gap: 1rem 1.4rem; }
.curves img { width: 100%; height: auto; max-width: 520px; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 500px), 1fr)); gap: 1.2rem; }
.pictures img { display: block; width: 100%; max-width: 980px; min-width: 560px; height: auto; }
footer { margin-top: 3rem; color: var(--soft); font-size: .88rem; border-top: 1px solid var(--line); }
thead th.n { white-space: nowrap; }
@media (max-width: 560px) {
  th, td { padding-right: .7rem; }
  tbody th { min-width: 5.5rem; }
  dl { grid-template-columns: 1fr; }
  dd { margin-bottom: .5rem; }
}
@media print { nav, .skip { display: none; } figure, table { break-inside: avoid; } .scroll { overflow: visible; } }
"""
