// A style sheet that is made by a script is no inline style: a strict content security policy takes it.

const TEXT = `
:host {
  --ground: var(--inspector-ground, Canvas); --ink: var(--inspector-ink, CanvasText);
  --quiet: var(--inspector-quiet, color-mix(in srgb, var(--ink) 66%, var(--ground)));
  --line: var(--inspector-line, color-mix(in srgb, var(--ink) 14%, var(--ground)));
  --accent: var(--inspector-accent, color-mix(in srgb, #1668c4 78%, var(--ink)));
  --soft: color-mix(in srgb, var(--ink) 5%, var(--ground));
  --good: color-mix(in srgb, #158a52 72%, var(--ink)); --busy: color-mix(in srgb, #b26a00 72%, var(--ink)); --bad: color-mix(in srgb, #c62828 72%, var(--ink));
  --mono: ui-monospace, "SF Mono", "Cascadia Code", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  display: flex; flex-direction: column; height: 100%; min-height: 0; container-type: inline-size;
  background: var(--ground); color: var(--ink); font: 13px/1.5 ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
  text-align: start;
}
*, ::before, ::after { box-sizing: border-box; }
[hidden] { display: none !important; }
p, h3, dl, dd, ul, ol, pre { margin: 0; padding: 0; }
ul, ol { list-style: none; }
button, input, select { font: inherit; color: inherit; }
button { background: none; border: 0; padding: 0; cursor: pointer; text-align: start; }
:focus { outline: none; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: -2px; border-radius: 6px; }
code, pre { font-family: var(--mono); font-size: 12px; overflow-wrap: anywhere; }
.space { flex: 1; }

header { display: flex; align-items: center; gap: 12px; padding: 6px 16px; flex: none; }
select, input { height: 30px; padding: 0 8px; border: 1px solid var(--line); border-radius: 7px; background: var(--ground); min-width: 0; }
select { font-weight: 600; max-width: 50%; }
.standing { display: inline-flex; align-items: center; gap: 7px; color: var(--quiet); white-space: nowrap; }
.standing::before { content: ""; width: 8px; height: 8px; border-radius: 50%; background: var(--quiet); }
.standing[data-kind="good"]::before { background: var(--good); } .standing[data-kind="busy"]::before { background: var(--busy); }
.standing[data-kind="bad"] { color: var(--bad); } .standing[data-kind="bad"]::before { background: var(--bad); }
.live { height: 30px; padding: 0 12px; border: 1px solid var(--line); border-radius: 15px; color: var(--quiet); }
.live[aria-pressed="true"] { color: var(--good); border-color: currentColor; }
.live::before { content: ""; display: inline-block; width: 8px; height: 8px; margin-inline-end: 7px; border: 1.5px solid; border-radius: 50%; } .live[aria-pressed="true"]::before { background: currentColor; }

.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 1px; padding: 1px 0; background: var(--line); flex: none; }
.tiles div { padding: 5px 16px; background: var(--ground); display: flex; flex-direction: row-reverse; justify-content: flex-end; align-items: baseline; gap: 7px; min-width: 0; }
.tiles dt { color: var(--quiet); font-size: 12px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.tiles dd { font-size: 15px; font-weight: 600; font-variant-numeric: tabular-nums; white-space: nowrap; }
.tiles .alarming dd { color: var(--bad); }

.tabs { display: flex; gap: 2px; padding: 6px 10px 0; border-bottom: 1px solid var(--line); overflow-x: auto; scrollbar-width: none; flex: none; }
.tabs button { display: flex; align-items: center; gap: 6px; padding: 6px 10px 8px; color: var(--quiet); border-bottom: 2px solid transparent; white-space: nowrap; }
.tabs button:hover { color: var(--ink); }
.tabs button[aria-selected="true"] { color: var(--ink); font-weight: 600; border-bottom-color: var(--accent); }
.number { padding: 0 6px; border-radius: 9px; background: color-mix(in srgb, var(--ink) 9%, var(--ground)); color: var(--ink); font-size: 11px; font-weight: 500; font-variant-numeric: tabular-nums; }
.trouble { padding: 8px 16px; color: var(--bad); background: color-mix(in srgb, var(--bad) 8%, var(--ground)); }
.panel { flex: 1; min-height: 0; overflow: auto; overscroll-behavior: contain; scrollbar-width: thin; padding-bottom: 24px; }

.tools { display: flex; gap: 10px; padding: 10px 16px 6px; flex-wrap: wrap; }
.tools input { flex: 1 1 200px; }
.choice { display: flex; border: 1px solid var(--line); border-radius: 7px; overflow: hidden; }
.choice button { padding: 0 10px; height: 28px; color: var(--quiet); } .choice button + button { border-left: 1px solid var(--line); }
.choice button[aria-pressed="true"] { background: var(--soft); color: var(--ink); font-weight: 600; }
.summary { padding: 0 16px 8px; color: var(--quiet); }
.panel > div > .summary:first-child { padding-top: 14px; }

.row { display: grid; grid-template-columns: 104px 112px minmax(120px, 1.3fr) 96px minmax(140px, 2fr); gap: 12px; width: 100%; padding: 5px 16px; align-items: baseline; }
.row > * { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.head { position: sticky; top: 0; z-index: 1; color: var(--quiet); font-size: 11.5px; background: var(--ground); border-bottom: 1px solid var(--line); }
.operations li { border-bottom: 1px solid color-mix(in srgb, var(--line) 55%, var(--ground)); animation: come .5s; }
@keyframes come { from { background: color-mix(in srgb, var(--accent) 8%, var(--ground)); } }
.operations .row:hover, .operations .row[aria-expanded="true"] { background: var(--soft); }
time { color: var(--quiet); font-variant-numeric: tabular-nums; white-space: nowrap; }
.writer { display: inline-flex; align-items: center; gap: 7px; white-space: nowrap; }
.writer .dot { width: 8px; height: 8px; border-radius: 50%; background: hsl(var(--hue) 62% 52%); flex: none; }
.writer span:last-child { overflow: hidden; text-overflow: ellipsis; } .writer:not(.own) span:last-child { font-family: var(--mono); font-size: 12px; }
.collection { color: var(--quiet); margin-inline-end: 6px; } .collection::after { content: " ›"; }
.name { font-weight: 550; }
.field { color: var(--quiet); font-family: var(--mono); font-size: 12px; }
.what { font-family: var(--mono); font-size: 12px; }
.chip { display: inline-block; padding: 0 6px; border-radius: 8px; font: 500 11px/16px ui-sans-serif, system-ui, sans-serif; background: color-mix(in srgb, var(--ink) 9%, var(--ground)); color: var(--ink); margin-inline-end: 6px; }
.chip.good { background: color-mix(in srgb, var(--good) 16%, var(--ground)); }
.what .chip { background: color-mix(in srgb, var(--busy) 18%, var(--ground)); }
.detail { padding: 2px 16px 12px 20px; background: var(--soft); }
.more { display: block; margin: 12px auto; padding: 6px 16px; border: 1px solid var(--line); border-radius: 8px; font-weight: 500; }
.more:hover { background: var(--soft); }

.terms { display: grid; gap: 4px; } .terms > div { display: grid; grid-template-columns: minmax(120px, 160px) 1fr; gap: 16px; }
.terms dt { color: var(--quiet); } .terms dd { overflow-wrap: anywhere; white-space: pre-wrap; }
.group { padding: 14px 16px 0; min-width: 0; } .conflict + .conflict { margin-top: 10px; border-top: 1px solid var(--line); }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(400px, 100%), 1fr)); gap: 4px 24px; }
.group h3 { font-size: 13px; font-weight: 600; margin-bottom: 8px; display: flex; gap: 8px; align-items: baseline; }
.quota { display: flex; align-items: center; gap: 12px; margin-bottom: 8px; } meter { width: min(240px, 50%); height: 12px; }
.conflict li, .peers li, .tabs-here li { display: flex; flex-wrap: wrap; gap: 4px 12px; align-items: baseline; padding: 4px 0; }
.conflict .value { flex: 0 1 420px; font-family: var(--mono); font-size: 12px; overflow-wrap: anywhere; }
.conflict .counts .chip { background: color-mix(in srgb, var(--good) 16%, var(--ground)); }
.conflict .lost .value { color: var(--quiet); text-decoration: line-through; text-decoration-color: var(--line); }
.conflict .chip { min-width: 44px; text-align: center; margin: 0; }
.peers pre { flex-basis: 100%; padding: 8px 10px; border-radius: 7px; background: var(--soft); white-space: pre-wrap; }
.events li { display: grid; grid-template-columns: 104px 1fr; gap: 12px; padding: 3px 0; } .events span { overflow-wrap: anywhere; }
.wide { overflow-x: auto; padding: 0 16px; }
table { border-collapse: collapse; width: 100%; } th { font-size: 11.5px; font-weight: 500; color: var(--quiet); }
th, td { text-align: start; padding: 5px 16px 5px 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
.nothing { padding: 40px 24px; text-align: center; color: var(--quiet); text-wrap: balance; } .nothing strong { color: var(--ink); }
.group .nothing { padding: 4px 0; text-align: start; }

@container (max-width: 620px) {
  .tiles { grid-template-columns: repeat(2, 1fr); } .tiles div { padding: 4px 16px; } .tiles div:last-child:nth-child(odd) { grid-column: 1 / -1; }
  .head { display: none; }
  .operations .row { grid-template-columns: auto auto 1fr; gap: 2px 10px; padding: 8px 16px; }
  .operations .row > :nth-child(1) { grid-area: 1 / 3; text-align: end; } .operations .row > :nth-child(2) { grid-area: 1 / 1 / auto / 3; }
  .operations .row > :nth-child(3) { grid-area: 2 / 1 / auto / 3; } .operations .row > :nth-child(4) { grid-area: 2 / 3; }
  .operations .row > :nth-child(5) { grid-area: 3 / 1 / auto / 4; }
  .terms > div { grid-template-columns: 110px 1fr; gap: 10px; }
  .choice button { height: 36px; } .tabs button { min-height: 40px; } .tools input, select, .live { height: 38px; } .live { border-radius: 19px; }
}
@media (prefers-reduced-motion: reduce) { * { animation: none !important; } }
@media (forced-colors: active) { .chip, .number { border: 1px solid; } }
`

let made: CSSStyleSheet | undefined

/** The style of all inspectors of a page. */
export function style(): CSSStyleSheet {
  if (!made) {
    made = new CSSStyleSheet()
    made.replaceSync(TEXT)
  }
  return made
}
