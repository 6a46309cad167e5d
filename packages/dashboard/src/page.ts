import { script } from './script.ts';
import { style } from './style.ts';

/**
 * The page a node serves at `/`, complete in itself: no file beside it, nothing fetched from elsewhere. It asks its own
 * node for `/status`, learns from the answer where the other members' admin ports are, and asks those too.
 */
export const dashboardPage: string = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Kimberlite</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
<header>
<h1>Kimberlite</h1>
<p id="summary" role="status" aria-live="polite">Asking this node…</p>
</header>
<main>
<table>
<caption>Replicas of cluster <code id="cluster">…</code></caption>
<thead>
<tr>
<th scope="col">Replica</th><th scope="col">Role</th><th scope="col">Status</th><th scope="col">View</th>
<th scope="col">Op</th><th scope="col">Commit</th><th scope="col">Behind</th><th scope="col">State hash</th>
<th scope="col">Clock</th><th scope="col">Disk</th><th scope="col">Version</th>
</tr>
</thead>
<tbody id="replicas"></tbody>
</table>
<p id="seen" class="quiet"></p>
<noscript><p>This page asks the nodes with JavaScript. Without it, see <a href="/status">/status</a>.</p></noscript>
</main>
<footer class="quiet">
<a href="/status">status</a> <a href="/metrics">metrics</a> <a href="/readyz">readyz</a>
</footer>
<script>${script}</script>
</body>
</html>
`;
