// Verifies a webhook with the reference implementation (npm `standardwebhooks`).
// Standard input: {"secret", "headers", "body"}. Prints the verified payload.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

const xdg = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
const cache = process.env.KEYWATCH_CACHE || join(xdg, 'keywatch');
const { Webhook } = createRequire(join(cache, 'node', 'package.json'))('standardwebhooks');

const { secret, headers, body } = JSON.parse(readFileSync(0, 'utf8'));
console.log(JSON.stringify(new Webhook(secret).verify(body, headers)));
