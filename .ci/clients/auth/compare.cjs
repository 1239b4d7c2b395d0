// Lets aws-jwt-verify verify every case of the matrix and compares its answers with those of package auth. It fails on a
// difference that the matrix does not name, and on a named difference that does not occur.
'use strict';
const fs = require('node:fs');
const { CognitoJwtVerifier } = require('aws-jwt-verify');

const matrix = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));

function verdict(c) {
  const verifier = CognitoJwtVerifier.create({
    userPoolId: matrix.pool,
    tokenUse: c.rules.tokenUse || null,
    clientId: matrix.client,
    groups: c.rules.groups,
    scope: c.rules.scopes,
  });
  verifier.cacheJwks(matrix.jwks);
  try {
    verifier.verifySync(c.token);
    return '';
  } catch (e) {
    return e.constructor.name;
  }
}

const wrong = [];
const differences = new Map();
const looser = new Map();
let accepted = 0;
for (const c of matrix.cases) {
  const theirs = verdict(c);
  const agree = (theirs === '') === (c.ours === '');
  if (theirs === '' && c.ours === '') accepted++;
  if (c.stricter) {
    differences.set(c.stricter, (differences.get(c.stricter) || 0) + (agree ? 0 : 1));
    if (c.ours === '') wrong.push(`${c.name}: auth should be stricter and is not`);
  } else if (c.looser) {
    looser.set(c.looser, (looser.get(c.looser) || 0) + (agree ? 0 : 1));
    if (theirs === '') wrong.push(`${c.name}: aws-jwt-verify should be stricter and is not`);
  } else if (!agree) {
    wrong.push(`${c.name}: auth says ${c.ours || 'yes'}, aws-jwt-verify says ${theirs || 'yes'}`);
  }
}
for (const [name, n] of differences) {
  console.log(`aws-jwt-verify: ${name}: ${n} accepted there, refused here`);
  if (n === 0) wrong.push(`${name}: listed as a difference, but there is none`);
}
for (const [name, n] of looser) {
  console.log(`aws-jwt-verify: ${name}: ${n} refused there, accepted here`);
  if (n === 0) wrong.push(`${name}: listed as a difference, but there is none`);
}
// With fewer, the matrix would test hardly anything but refusals.
if (accepted < 25) wrong.push(`only ${accepted} cases were accepted by both`);
if (wrong.length > 0) {
  console.log(wrong.slice(0, 20).join('\n'));
  console.log(`aws-jwt-verify: FAIL: ${wrong.length} of ${matrix.cases.length} cases`);
  process.exit(1);
}
console.log(`aws-jwt-verify: PASS: ${matrix.cases.length} cases, ${accepted} accepted by both, the differences above`);
