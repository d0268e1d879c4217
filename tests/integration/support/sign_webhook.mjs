// Signs a message with the reference implementation (npm `standardwebhooks`).
// Standard input: {"secret", "id", "timestamp", "body"}. Prints the value of `webhook-signature`.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

const xdg = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
const cache = process.env.KEYWATCH_CACHE || join(xdg, 'keywatch');
const { Webhook } = createRequire(join(cache, 'node', 'package.json'))('standardwebhooks');

const { secret, id, timestamp, body } = JSON.parse(readFileSync(0, 'utf8'));
console.log(new Webhook(secret).sign(id, new Date(timestamp * 1000), body));
