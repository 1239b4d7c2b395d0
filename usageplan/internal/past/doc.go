// Package past carries accounts from a file of an earlier format to the rows of the present one. An engine knows how to
// read its own old files, and package ledger knows the rows. Neither is of use to anybody else, so this is no part of
// their interfaces.
package past
