// Drives the demo pool with amazon-cognito-identity-js, which signs in by SRP.
'use strict';
const assert = require('node:assert/strict');
const { AuthenticationDetails, CognitoUser, CognitoUserAttribute, CognitoUserPool } = require('amazon-cognito-identity-js');

const { BASE, POOL, CLIENT } = process.env;
const PASSWORD = 'Correct-horse-9';
const OTHER = 'Battery-staple-7';
const SIGN_INS = 30; // a number of SRP that has a high bit, or starts with a zero, is hashed in another way

const pool = new CognitoUserPool({ UserPoolId: POOL, ClientId: CLIENT, endpoint: BASE });
let checks = 0;

function check(what, got, want) {
  assert.deepEqual(got, want, what);
  checks++;
}

// called makes a promise of a call whose last argument is a callback.
const called = (f) => new Promise((done, fail) => f((e, result) => (e ? fail(e) : done(result))));

async function refused(what, kind, text, promise) {
  const e = await promise.then(
    () => assert.fail(`${what}: not refused`),
    (e) => e,
  );
  check(what, [e.name, e.message], [kind, text]);
}

const userOf = (name) => new CognitoUser({ Username: name, Pool: pool });
const mail = async (name) => (await (await fetch(`${BASE}/${POOL}/mail/${name}`)).text()).trim();

async function me(token) {
  const res = await fetch(`${BASE}/Prod/me`, { headers: { Authorization: `Bearer ${token}` } });
  check('the status of a call', res.status, 200);
  return res.json();
}

// signIn signs in by SRP, or by the flow given. If a new password is required, it chooses OTHER.
function signIn(user, name, password, flow = 'USER_SRP_AUTH') {
  user.setAuthenticationFlowType(flow);
  return new Promise((onSuccess, onFailure) => {
    user.authenticateUser(new AuthenticationDetails({ Username: name, Password: password }), {
      onSuccess,
      onFailure,
      newPasswordRequired: () => user.completeNewPasswordChallenge(OTHER, {}, { onSuccess, onFailure }),
    });
  });
}

async function users() {
  const name = 'srp';
  const email = new CognitoUserAttribute({ Name: 'email', Value: 'srp@example.com' });
  const made = await called((f) => pool.signUp(name, PASSWORD, [email], null, f));
  check('confirmed', made.userConfirmed, false);
  const user = userOf(name);
  await refused('before the code', 'UserNotConfirmedException', 'User is not confirmed.', signIn(user, name, PASSWORD));
  await called((f) => user.resendConfirmationCode(f));
  await called(async (f) => user.confirmRegistration(await mail(name), false, f));

  const wrong = 'Incorrect username or password.';
  await refused('a wrong password', 'NotAuthorizedException', wrong, signIn(userOf(name), name, OTHER));
  await refused('no such user', 'NotAuthorizedException', wrong, signIn(userOf('nobody'), 'nobody', PASSWORD));
  for (let i = 0; i < SIGN_INS; i++) {
    const session = await signIn(userOf(name), name, PASSWORD);
    check('the user of a token', session.getIdToken().payload['cognito:username'], name);
  }
  const byPassword = await signIn(userOf(name), name, PASSWORD, 'USER_PASSWORD_AUTH');
  check('valid', byPassword.isValid(), true);

  const session = await signIn(user, name, PASSWORD);
  const want = { sub: made.userSub, groups: [], token_use: 'id' };
  check('a call', await me(session.getIdToken().getJwtToken()), want);
  const attributes = await called((f) => user.getUserAttributes(f));
  check('attributes', Object.fromEntries(attributes.map((a) => [a.Name, a.Value])), {
    sub: made.userSub,
    email: 'srp@example.com',
    email_verified: 'true',
  });
  const next = await called((f) => user.refreshSession(session.getRefreshToken(), f));
  check('a call after a refresh', await me(next.getIdToken().getJwtToken()), want);
  await new Promise((onSuccess, onFailure) => user.globalSignOut({ onSuccess, onFailure }));
  const refresh = called((f) => userOf(name).refreshSession(session.getRefreshToken(), f));
  await refused('signed out', 'NotAuthorizedException', 'Refresh Token has been revoked', refresh);
}

async function administrator() {
  const name = 'srp-admin';
  const res = await fetch(BASE, {
    method: 'POST',
    headers: { 'X-Amz-Target': 'AWSCognitoIdentityProviderService.AdminCreateUser', Authorization: 'AWS4-HMAC-SHA256 x' },
    body: JSON.stringify({ UserPoolId: POOL, Username: name }),
  });
  check('the status', res.status, 200);
  const session = await signIn(userOf(name), name, await mail(name));
  check('the user', session.getAccessToken().payload.username, name);
  await signIn(userOf(name), name, OTHER);
}

async function main() {
  await users();
  await administrator();
  console.log(`pool, amazon-cognito-identity-js: ${checks} checks passed, ${SIGN_INS} sign-ins by SRP in a row`);
}

main().catch((e) => {
  console.log('amazon-cognito-identity-js:', e);
  process.exit(1);
});
