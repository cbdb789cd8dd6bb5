"""The style sheet of the report, for light and dark mode, small screens and paper."""

STYLE = '''
:root { --back: #fff; --text: #1b1f24; --soft: #59636e; --line: #d4d9df; --card: #f4f6f8;
  --ok: #2a7f4f; --bad: #c2372e; --warn: #b7791f; --run: #2f6fbf; --wait: #9aa4af;
  --lost: #7d4fb0; }
@media (prefers-color-scheme: dark) { :root { --back: #14171b; --text: #e4e8ec; --soft: #a0a9b3;
    --line: #333a42;
  --card: #1d2228; --ok: #46a871; --bad: #e5645b; --warn: #d9a441; --run: #5b9ae0;
  --wait: #6a7580; --lost: #ad86dd; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 76rem; background: var(--back); color: var(--text);
  font: 15px/1.45 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.1rem; margin: 0 0 .5rem; }
h3 { font-size: .9rem; margin: 0; font-weight: 600; }
p { margin: .3rem 0; } header p, small, .axis, dt, th { color: var(--soft); }
small { font-size: .85em; font-weight: 400; }
section { margin-top: 1.8rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .6rem;
    margin: 1rem 0 0; }
.tiles div { background: var(--card); border: 1px solid var(--line); border-radius: 6px;
    padding: .5rem .7rem; }
dt { font-size: .85rem; } dd { margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
.bar { display: flex; height: 1.6rem; border-radius: 6px; overflow: hidden; gap: 1px; }
.bar i { min-width: 3px; flex-basis: 0; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: .5rem 0 0;
    padding: 0; }
li i, td i { display: inline-block; margin-right: .35em; width: .9em; height: .9em;
    border-radius: 2px; }
.mark { white-space: nowrap; }
i.ok { background: var(--ok); } i.bad { background: var(--bad); }
    i.warn { background: var(--warn); }
i.run { background: var(--run); } i.wait { background: var(--wait); }
i.failed { background: var(--bad); }
i.timeout { background: repeating-linear-gradient(var(--card) 0 1.5px, var(--bad) 1.5px 4px); }
i.lost { background: repeating-linear-gradient(var(--card) 0 3px, var(--lost) 3px 6px); }
i.killed { background: repeating-linear-gradient(var(--card) 0 2px, var(--warn) 2px 8px); }
rect.failed, .timeout-back { fill: var(--bad); } .lost-back { fill: var(--lost); }
.killed-back { fill: var(--warn); } .stripe { fill: var(--card); }
rect.timeout { fill: url(#timeout); } rect.lost { fill: url(#lost); }
rect.killed { fill: url(#killed); }
svg.patterns { position: absolute; width: 0; height: 0; border: 0; }
.plot { display: grid; grid-template-columns: 3rem 1fr; }
.scale { display: flex; flex-direction: column; justify-content: space-between; margin: 0;
    text-align: right; padding-right: .5rem; }
.unit, .scale, .zone, .quiet { font-size: .8rem; color: var(--soft); }
.chart .axis, .chart .zone { margin-left: 3rem; }
code { font-size: .85em; } td p { margin: 0 0 .3rem; }
rect.ok { fill: var(--ok); } rect.bad { fill: var(--bad); } rect.warn { fill: var(--warn); }
    rect.run { fill: var(--run); }
svg { display: block; width: 100%; background: var(--card); border-bottom: 1px solid var(--line); }
.axis { display: flex; justify-content: space-between; font-size: .8rem; gap: 1rem; }
.strip { margin: .4rem 0; }
@media (min-width: 48rem) { .strip { display: grid; grid-template-columns: 11rem 1fr; gap: .6rem;
    align-items: center; }
  .strip ~ .axis, .strip ~ .zone { margin-left: 11.6rem; } }
table { width: 100%; border-collapse: collapse; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0;
    border-bottom: 1px solid var(--line);
  overflow-wrap: normal; }
th { font-size: .85rem; font-weight: 500; }
td:last-child, th:last-child { padding-right: 0; }
td[data-head^="host"], td[data-head="reason"], td[data-head="task"],
    td[data-head="examples"], td small, td code { overflow-wrap: anywhere; min-width: 6rem; }
td[data-head="last"] { min-width: 6rem; }
.health { display: block; min-width: 9rem; } .health svg { border: 0; }
@media (max-width: 47.9rem) { thead { display: none; }
  tr { display: grid; grid-template-columns: 1.7fr 1fr 1fr 1fr; gap: .2rem .8rem; padding: .6rem 0;
    border-bottom: 1px solid var(--line); }
  td { border: 0; padding: 0; min-width: 0; overflow-wrap: anywhere; }
  td::before { display: block; content: attr(data-head); color: var(--soft); font-size: .75rem; }
  td[data-head="host"]::before { content: none; }
  td[data-head^="host"], td[data-head="health"], td[data-head="reason"],
  td[data-head="state"], td[data-head="examples"] { grid-column: 1 / -1; }
  td[data-head="task"], td[data-head="last"] { grid-column: span 2; } }
@media print { :root { --back: #fff; --text: #000; --soft: #444; --line: #bbb; --card: #f4f4f4;
    --ok: #2a7f4f; --bad: #c2372e;
  --warn: #b7791f; --run: #2f6fbf; --wait: #9aa4af; --lost: #7d4fb0; }
  body { max-width: none; padding: 0;
  font-size: 10pt; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } tr, .strip,
  .tiles div { break-inside: avoid; } }
'''
