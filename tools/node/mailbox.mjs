// A real SMTP server with a mailbox one can look into. Every mail becomes a file
// NNNNNN.eml in a directory; a small page shows them. For demos and tests: nothing
// is relayed.

import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { timingSafeEqual } from 'node:crypto';
import { parseArgs } from 'node:util';

const USAGE = `usage: mailbox.mjs --dir DIR [options]
  --dir DIR             where mails are kept; made when missing
  --host ADDRESS        address to listen on (127.0.0.1)
  --port N              SMTP port (0: any free one)
  --http-port N         also show the mails on this port (0: any free one)
  --tls MODE            none, starttls or implicit (none)
  --cert FILE --key FILE    PEM, for starttls and implicit
  --user U --password P     ask for this login
  --fail CODE[:COUNT]   answer mails with this code: the first COUNT, or all
  --refuse ADDRESS      answer 550 to this recipient
  --with-parent         end when standard input ends
Prints one line of JSON when ready: {"smtp":PORT,"http":PORT}`;

const { values: options } = parseArgs({
  options: {
    dir: { type: 'string' },
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string', default: '0' },
    'http-port': { type: 'string' },
    tls: { type: 'string', default: 'none' },
    cert: { type: 'string' },
    key: { type: 'string' },
    user: { type: 'string' },
    password: { type: 'string' },
    fail: { type: 'string' },
    refuse: { type: 'string' },
    'with-parent': { type: 'boolean', default: false },
  },
});
if (!options.dir || !['none', 'starttls', 'implicit'].includes(options.tls)) {
  console.error(USAGE);
  process.exit(2);
}

const { SMTPServer, simpleParser } = libraries();
mkdirSync(options.dir, { recursive: true });
let failures = failurePlan(options.fail);

const smtp = new SMTPServer({
  secure: options.tls === 'implicit',
  ...(options.tls === 'none' ? {} : { cert: readFileSync(options.cert), key: readFileSync(options.key) }),
  disabledCommands: [
    ...(options.tls === 'starttls' ? [] : ['STARTTLS']),
    ...(options.user ? [] : ['AUTH']),
  ],
  authOptional: !options.user,
  allowInsecureAuth: options.tls === 'none',
  disableReverseLookup: true,
  closeTimeout: 500,
  onAuth: (login, _session, done) =>
    equal(login.username, options.user) && equal(login.password, options.password)
      ? done(null, { user: login.username })
      : done(reply(535, '5.7.8 Authentication credentials invalid')),
  onRcptTo: ({ address }, _session, done) =>
    address === options.refuse ? done(reply(550, `5.1.1 <${address}>: no such mailbox`)) : done(),
  onData: receive,
});
smtp.on('error', (error) => console.error(`mailbox: ${error.message}`));

function receive(stream, _session, done) {
  const chunks = [];
  stream.on('data', (chunk) => chunks.push(chunk));
  stream.on('end', () => {
    const code = failures.next().value;
    if (code) return done(reply(code, 'told to fail'));
    done(null, `kept as ${keep(Buffer.concat(chunks))}`);
  });
}

/** Readers see whole mails only: the file gets its name when it is complete. */
function keep(mail) {
  const name = `${String(mails().length + 1).padStart(6, '0')}.eml`;
  const unfinished = join(options.dir, `${name}.part`);
  writeFileSync(unfinished, mail);
  renameSync(unfinished, join(options.dir, name));
  return name;
}

function mails() {
  return readdirSync(options.dir).filter((name) => /^\d+\.eml$/.test(name)).sort();
}

function* failurePlan(text) {
  const [code, count] = (text ?? '0:0').split(':').map(Number);
  for (let n = 0; n < (count ?? Infinity); n += 1) yield code;
}

function reply(responseCode, text) {
  return Object.assign(new Error(text), { responseCode });
}

function equal(given, wanted) {
  const [a, b] = [Buffer.from(String(given)), Buffer.from(String(wanted))];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** npm packages live in the cache, not next to this file. */
function libraries() {
  const xdg = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  const cache = process.env.KEYWATCH_CACHE || join(xdg, 'keywatch');
  const require = createRequire(join(cache, 'node', 'package.json'));
  try {
    return { ...require('smtp-server'), ...require('mailparser') };
  } catch (error) {
    console.error(`mailbox: ${error.message.split('\n')[0]}; npm packages are missing in ${join(cache, 'node')}`);
    process.exit(1);
  }
}

// ---- the page -------------------------------------------------------------------

const escape = (text) => String(text ?? '').replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

const page = (title, body) => `<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>${escape(title)}</title><style>
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.4rem .8rem .4rem 0;border-bottom:1px solid #8884;vertical-align:top}
iframe{width:100%;height:75vh;border:1px solid #8884;background:#fff}pre{white-space:pre-wrap;overflow-wrap:anywhere}
</style></head><body>${body}</body></html>`;

async function listPage() {
  const rows = await Promise.all(mails().reverse().map(async (name) => {
    const mail = await simpleParser(readFileSync(join(options.dir, name)));
    const cells = [mail.date?.toISOString(), `<a href="/${name}">${escape(mail.subject)}</a>`, escape(mail.to?.text)];
    return `<tr>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`;
  }));
  const head = '<tr><th>Date</th><th>Subject</th><th>To</th></tr>';
  return page('Mailbox', `<h1>Mailbox</h1><p>${rows.length} mails, newest first</p><table>${head}${rows.join('')}</table>`);
}

async function mailPage(name) {
  const mail = await simpleParser(readFileSync(join(options.dir, name)));
  // The frame may run no script and load nothing.
  const frame = mail.html ? `<iframe sandbox srcdoc="${escape(mail.html)}" title="HTML part"></iframe>` : '';
  return page(mail.subject, `<p><a href="/">All mails</a> · <a href="/${name}?raw">Source</a></p>
<h1>${escape(mail.subject)}</h1><p>From ${escape(mail.from?.text)} to ${escape(mail.to?.text)}</p>
${frame}<h2>Text</h2><pre>${escape(mail.text)}</pre>`);
}

async function answer(request, response) {
  const url = new URL(request.url, 'http://mailbox');
  const name = mails().find((mail) => `/${mail}` === url.pathname);
  response.setHeader('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'");
  response.setHeader('x-content-type-options', 'nosniff');
  if (request.method !== 'GET' || (!name && url.pathname !== '/')) return response.writeHead(404).end();
  if (name && url.search === '?raw') {
    response.setHeader('content-type', 'text/plain; charset=utf-8');
    return response.end(readFileSync(join(options.dir, name)));
  }
  response.setHeader('content-type', 'text/html; charset=utf-8');
  response.end(await (name ? mailPage(name) : listPage()));
}

// ---- start ----------------------------------------------------------------------

const listening = (server, port) =>
  new Promise((resolve, reject) => {
    server.on('error', reject);
    server.listen(Number(port), options.host, () => resolve((server.server ?? server).address().port));
  });

const http = createServer((request, response) =>
  answer(request, response).catch((error) => response.writeHead(500).end(error.message)));
const ports = { smtp: await listening(smtp, options.port) };
if (options['http-port'] !== undefined) ports.http = await listening(http, options['http-port']);
console.log(JSON.stringify(ports));

if (options['with-parent']) process.stdin.on('end', () => process.exit(0)).resume();
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
