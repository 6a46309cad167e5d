import type { ReportData } from './report-data.ts';

/** The page's own script and style sheet, as the build leaves them. */
export interface PageParts {
  readonly script: string;
  readonly style: string;
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

/** JSON that ends no script element, whatever text of a run is in it. */
const embedded = (data: ReportData): string => JSON.stringify(data).replaceAll('<', '\\u003c');

/** Nothing is asked of any network: not by the page, and not by what a run may have put into it. */
const policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:";

/**
 * A failing run as one file that needs nothing beside it: the sequence diagram, the replicas at each moment, and the
 * calls on the row that went wrong.
 */
export function renderReport(data: ReportData, { script, style }: PageParts): string {
  const failure = data.failure === null ? 'No checker objected.' : `${data.failure.kind}: ${data.failure.message}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${escaped(data.title)}</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
<header>
<h1>${escaped(data.title)}</h1>
<p id="failure" class="${data.failure === null ? 'good' : 'bad'}">${escaped(failure)}</p>
<div id="replay"><span class="quiet">run it again</span> <code>${escaped(data.replay)}</code>
<button type="button" id="copy">copy</button> <span id="copied" class="quiet" role="status"></span></div>
<dl id="facts"></dl>
</header>
<main>
<div id="left">
<div id="controls" role="toolbar" aria-label="diagram">
<button type="button" id="to-failure">to the failure</button>
<button type="button" id="previous" aria-label="previous event">↑</button>
<button type="button" id="next" aria-label="next event">↓</button>
<button type="button" id="zoom-out" aria-label="zoom out">−</button>
<button type="button" id="zoom-in" aria-label="zoom in">+</button>
<span id="search"></span>
<span id="filter"></span>
<span id="count" class="quiet" role="status"></span>
</div>
<div id="diagram" tabindex="0" role="region" aria-label="sequence diagram; arrow keys go from event to event, the text beside it says the same"></div>
<section id="calls" aria-labelledby="calls-title">
<div class="bar">
<h2 id="calls-title">Calls on row</h2>
<select id="register-choice" aria-label="row"></select>
<button type="button" id="register-focus">to the violation</button>
<button type="button" id="register-earlier" aria-label="earlier">←</button>
<button type="button" id="register-later" aria-label="later">→</button>
<button type="button" id="register-out" aria-label="more time">−</button>
<button type="button" id="register-in" aria-label="less time">+</button>
<button type="button" id="register-all">whole run</button>
</div>
<div id="register"></div>
</section>
</div>
<aside>
<section aria-label="selected event"><h2>Selected event</h2><div id="details" role="status"></div></section>
<section aria-label="replicas"><h2>Replicas at <span id="states-at"></span></h2><div class="wide"><table id="states"></table></div></section>
<section class="grows" aria-label="events"><h2>Events around it</h2><ul id="list"></ul></section>
</aside>
</main>
<noscript><p>The diagram is drawn with JavaScript, all of it in this file.</p></noscript>
<script type="application/json" id="run">${embedded(data)}</script>
<script>${script.replaceAll('</script', '<\\/script')}</script>
</body>
</html>
`;
}
