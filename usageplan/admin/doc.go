// Package admin serves API Gateway's control plane for API keys, usage plans and usage, so that aws-cli, the AWS SDKs
// and Terraform manage the keys of an [apikey.Verifier] and the plans of a [usageplan.Meter].
//
// # Errors
//
// What the caller gets for each cause, and what the caller or the operator does about it:
//
//   - [ErrNoRoute]: 403 Missing Authentication Token. Correct the path or the method: API Gateway answers so too.
//   - [ErrDenied]: 403. Let Config.Authorize allow the action that [Error].Action names.
//   - [ErrInvalid]: 400. Correct the request; [Error].Message says what is wrong.
//   - [ErrNotFound]: 404. Correct the id.
//   - [ErrConflict]: 409. Change first what is in the way; [Error].Message names it.
//   - [ErrTooLarge]: 413. Send at most 10 MiB, for example a CSV file in parts.
//   - [ErrUnavailable]: 503, with Retry-After. Look at the store of keys, plans or balances. A change may have been made
//     or not; to repeat it is safe where the answer to the repetition says that it was made.
package admin
